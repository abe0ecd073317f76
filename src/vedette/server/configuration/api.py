"""The JSON of the configuration of devices. Source of paths and keys: docs/compatibility.md."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.server.caller import Caller
from vedette.server.configuration import service
from vedette.server.db import DeviceScope
from vedette.server.devices import sessions
from vedette.server.http import decode, json_response, public_route, services, user_route
from vedette.server.http.routes import bearer
from vedette.wire.outgoing import timestamp

PREFIX: Final = "/api/management/v1/deviceconfig/configurations/device"


class DeployBody(msgspec.Struct):
    """How a configuration is to be brought onto its device; everything is optional."""

    retries: int = 0
    update_control_map: dict[str, Any] | None = None


async def get_own(request: Request) -> Response:
    return json_response(await service.configured(services(request), await _device(request)))


async def put_own(request: Request) -> Response:
    device = await _device(request)
    await service.report(services(request), device, await decode(request, dict[str, str]))
    return Response(status_code=204)


async def get_configuration(request: Request, caller: Caller) -> Response:
    found = await service.configuration(services(request), caller.scope, request.path_params["device"])
    out: dict[str, Any] = {
        "id": found.device,
        "configured": found.configured,
        "reported": found.reported,
        "updated_ts": timestamp(found.updated_at),
    }
    if found.deployment is not None:
        out["deployment_id"] = found.deployment
    if found.reported_at is not None:
        out["reported_ts"] = timestamp(found.reported_at)
    return json_response(out)


async def put_configuration(request: Request, caller: Caller) -> Response:
    values = await decode(request, dict[str, str])
    await service.configure(services(request), caller, request.path_params["device"], values)
    return Response(status_code=204)


async def deploy(request: Request, caller: Caller) -> Response:
    body = await decode(request, DeployBody)
    made = await service.deploy(
        services(request), caller, request.path_params["device"], body.retries, body.update_control_map
    )
    return json_response({"deployment_id": made})


async def _device(request: Request) -> DeviceScope:
    return await sessions.device(services(request), bearer(request.headers.get("authorization")))


ROUTES: Final = [
    public_route("/api/devices/v1/deviceconfig/configuration", {"GET": get_own, "PUT": put_own}),
    user_route(f"{PREFIX}/{{device}}", {"GET": get_configuration, "PUT": put_configuration}),
    user_route(f"{PREFIX}/{{device}}/deploy", {"POST": deploy}),
]
