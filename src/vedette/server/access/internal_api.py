"""What other programs of this machine ask about users and tenants; behind the internal listener, without a token."""

from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Denied, Invalid, Unauthenticated
from vedette.server.access import sessions, tenant_service
from vedette.server.access.permissions import FORBIDDEN, Groups, Rights
from vedette.server.caller import Caller
from vedette.server.db import UserScope
from vedette.server.http import decode, json_response, public_route, services
from vedette.server.http.routes import COOKIE, bearer

USERADM: Final = "/api/internal/v1/useradm"
TENANTADM: Final = "/api/internal/v1/tenantadm"


class StatusBody(msgspec.Struct):
    """What a tenant should be."""

    status: str


def internal_caller(tenant: str) -> Caller:
    """Another program of this machine, in the log of changes: whoever runs the server."""
    return Caller(
        scope=UserScope(tenant, None),
        user_id="00000000-0000-0000-0000-000000000000",
        email="internal",
        session="",
        rights=Rights(everything=True),
    )


def forwarded(request: Request) -> tuple[str, str]:
    """Method and path of the request that a gateway asks about, as our own router would see it."""
    method, uri = request.headers.get("x-forwarded-method", ""), request.headers.get("x-forwarded-uri", "")
    if not method or not uri.startswith("/") or uri.startswith("//") or "#" in uri:  # urlsplit would cut it elsewhere
        raise Invalid("X-Forwarded-Method and X-Forwarded-Uri are needed")
    try:
        return method.upper(), unquote(urlsplit(uri).path, errors="strict")
    except ValueError as exc:
        raise Invalid("X-Forwarded-Uri is no path") from exc


async def verify(request: Request) -> Response:
    """May the user of this token make this call? In the answer: the groups whose devices he reaches, if not all."""
    call = forwarded(request)
    if not call[1].startswith("/api/management/"):
        raise Unauthenticated("the token is one of a user")
    header = request.headers.get("authorization")
    token = request.cookies[COOKIE] if header is None and COOKIE in request.cookies else bearer(header)
    caller = (await sessions.caller(services(request), token)).within(_harmless(call))
    return Response(headers=_groups(caller.scope.groups))


def _harmless(call: tuple[str, str]) -> tuple[str, str]:
    """Refuse a path that another server could read otherwise than we do."""
    if any(part in {".", ".."} for part in call[1].split("/")) or "//" in call[1] or "\\" in call[1]:
        raise Denied(FORBIDDEN)
    return call


def _groups(groups: Groups) -> dict[str, str]:
    if groups is None:
        return {}
    names = ",".join(sorted(groups))
    return {"X-MEN-RBAC-Inventory-Groups": names, "X-MEN-RBAC-Deployments-Groups": names}


async def verify_tenant(request: Request) -> Response:
    """Which tenant is this the token of?"""
    found = await tenant_service.of_token(services(request), bearer(request.headers.get("authorization")))
    answer: dict[str, Any] = {"id": found.id, "name": found.name, "status": found.status, "plan": "enterprise"}
    return json_response(answer)


async def put_status(request: Request) -> Response:
    body = await decode(request, StatusBody)
    await tenant_service.set_status(services(request), request.path_params["tenant"], body.status)
    return Response(status_code=204)


ROUTES: Final = [
    public_route(f"{USERADM}/auth/verify", {"GET": verify, "POST": verify}),
    public_route(f"{TENANTADM}/tenants/verify", {"GET": verify_tenant}),
    public_route(f"{TENANTADM}/tenants/{{tenant}}/status", {"PUT": put_status}),
]
