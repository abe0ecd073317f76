"""The JSON of second factors (docs/compatibility.md)."""

from base64 import b64encode
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.server.access import second_factor, service
from vedette.server.caller import Caller
from vedette.server.http import decode, json_response, services, user_route

USERADM: Final = "/api/management/v1/useradm"


class Code(msgspec.Struct):
    """The digits that the app shows."""

    token2fa: str


async def enable(request: Request, caller: Caller) -> Response:
    await second_factor.enable(services(request), caller, _whom(request, caller))
    return Response(status_code=200)


async def disable(request: Request, caller: Caller) -> Response:
    user_id = _whom(request, caller)
    if user_id != caller.user_id:
        service.require_admin(caller)
    await second_factor.disable(services(request), caller, user_id)
    return Response(status_code=200)


async def picture(request: Request, caller: Caller) -> Response:
    png = await second_factor.picture(services(request), caller)
    return json_response({"qr": b64encode(png).decode()}, headers={"Cache-Control": "no-store"})


async def verify(request: Request, caller: Caller) -> Response:
    await second_factor.verify(services(request), caller, (await decode(request, Code)).token2fa)
    return Response(status_code=202)


def _whom(request: Request, caller: Caller) -> str:
    user_id: str = request.path_params["id"]
    return caller.user_id if user_id == "me" else user_id


ROUTES: Final = [
    user_route(f"{USERADM}/users/{{id}}/2fa/enable", {"POST": enable}),
    user_route(f"{USERADM}/users/{{id}}/2fa/disable", {"POST": disable}),
    user_route(f"{USERADM}/2faqr", {"GET": picture}),
    user_route(f"{USERADM}/2faverify", {"PUT": verify}),
]
