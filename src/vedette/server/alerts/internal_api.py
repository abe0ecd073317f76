"""What other programs of this machine ask about alerts; behind the internal listener, without a token."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.server.access.internal_api import internal_caller
from vedette.server.alerts import api, internal_store
from vedette.server.db import Tx, UserScope
from vedette.server.http import json_response, page_of, public_route, services
from vedette.server.services import Services

PREFIX: Final = "/api/internal/v1/devicemonitor/tenants/{tenant}"
AT_ONCE: Final = 100  # devices in one transaction


async def counts(request: Request) -> Response:
    page = page_of(request)
    scope = UserScope(request.path_params["tenant"], None)
    rows = await services(request).db.read(scope, internal_store.counts, page.size, page.offset)
    return json_response(
        [
            {
                "id": row["id"],
                "alerts": row["open_count"] > 0,
                "alerts_open_count": row["open_count"],
                "alerts_total_count": row["total"],
            }
            for row in rows
        ]
    )


async def latest(request: Request) -> Response:
    return await api.latest(request, internal_caller(request.path_params["tenant"]))


async def forget_device(request: Request) -> Response:
    """The alerts of one device, which itself stays; also when there is no such device."""
    await _forget(services(request), request.path_params["tenant"], [request.path_params["device"]])
    return Response(status_code=204)


async def forget_tenant(request: Request) -> Response:
    """The alerts of all devices of a tenant."""
    use, tenant, last = services(request), request.path_params["tenant"], ""
    while True:
        some = await use.db.read(UserScope(tenant, None), internal_store.some_devices, last, AT_ONCE)
        if not some:
            return Response(status_code=204)
        await _forget(use, tenant, some)
        last = some[-1]


async def _forget(use: Services, tenant: str, devices: list[str]) -> None:
    async def work(tx: Tx) -> None:
        for device in devices:
            if await internal_store.forget(tx, device):
                use.live.announce(tx, tenant, None, device)

    await use.db.write(UserScope(tenant, None), work)


ROUTES: Final = [
    public_route(PREFIX, {"DELETE": forget_tenant}),
    public_route(f"{PREFIX}/devices", {"GET": counts}),
    public_route(f"{PREFIX}/devices/{{device}}", {"DELETE": forget_device}),
    public_route(f"{PREFIX}/devices/{{device}}/alerts/latest", {"GET": latest}),
]
