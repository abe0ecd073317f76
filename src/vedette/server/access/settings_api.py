"""The JSON of settings: `/settings` of the tenant and `/settings/me` of the caller (docs/compatibility.md)."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.server.access import settings_service
from vedette.server.caller import Caller
from vedette.server.http import decode, json_response, services, user_route
from vedette.server.openapi.operation import Answer, Parameter, operation

PREFIX: Final = "/api/management/v1/useradm/settings"


@operation(
    "Show what clients keep for the tenant, or for oneself (`/me`)",
    answers=Answer(dict[str, Any], headers=("ETag",)),
)
async def get_settings(request: Request, caller: Caller) -> Response:
    found = await settings_service.load(services(request), caller, own=_own(request))
    return json_response(found.document, headers={} if found.etag is None else {"ETag": f'"{found.etag}"'})


@operation(
    "Replace what clients keep for the tenant, or for oneself (`/me`)",
    body=dict[str, Any],
    headers=(Parameter("If-Match", "Only if the settings are still these.", str, "header"),),
    answers={201: None},
    errors=(412,),
)
async def post_settings(request: Request, caller: Caller) -> Response:
    document = await decode(request, dict[str, Any])
    match = request.headers.get("if-match")
    await settings_service.replace(services(request), caller, document, own=_own(request), match=match)
    return Response(status_code=201)


def _own(request: Request) -> bool:
    return request.url.path.endswith("/me")


_HANDLERS: Final = {"GET": get_settings, "POST": post_settings}
ROUTES: Final = [user_route(PREFIX, _HANDLERS), user_route(f"{PREFIX}/me", _HANDLERS)]
