"""Who would be told of an alert; behind the internal listener, without a token."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.server.access import service as access
from vedette.server.db import UserScope
from vedette.server.devices import service as devices
from vedette.server.http import json_response, public_route, services


async def recipients(request: Request) -> Response:
    use, tenant = services(request), request.path_params["tenant"]
    device = await devices.device(use, UserScope(tenant, None), request.path_params["device"])
    people = await access.recipients(use, tenant)
    return json_response({"emails": [each.email for each in people if each.sees(device.group)]})


ROUTES: Final = [
    public_route("/api/internal/v1/useradm/tenants/{tenant}/devices/{device}/users", {"GET": recipients}),
]
