"""The JSON of the configuration of devices. Source of paths and keys: docs/compatibility.md."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.server.caller import Caller
from vedette.server.configuration import service
from vedette.server.db import DeviceScope
from vedette.server.deployments.service import MAX_RETRIES
from vedette.server.devices import sessions
from vedette.server.http import decode, json_response, public_route, services, user_route
from vedette.server.http.routes import bearer
from vedette.server.openapi.operation import Time, bounds, operation
from vedette.wire.outgoing import timestamp

PREFIX: Final = "/api/management/v1/deviceconfig/configurations/device"


class DeployBody(msgspec.Struct):
    """How a configuration is to be brought onto its device; everything is optional."""

    retries: Annotated[int, bounds(minimum=0, maximum=MAX_RETRIES)] = 0
    update_control_map: dict[str, Any] | None = None


class ConfigurationAnswer(TypedDict):
    """What is wanted of a device, and what it has taken up."""

    id: str
    configured: Mapping[str, str]
    reported: Mapping[str, str]
    updated_ts: Time
    deployment_id: NotRequired[str]
    reported_ts: NotRequired[Time]


class DeployedAnswer(TypedDict):
    """The deployment that was made."""

    deployment_id: str


@operation("Ask which configuration is wanted", answers=dict[str, str], errors=(404,), by="device")
async def get_own(request: Request) -> Response:
    return json_response(await service.configured(services(request), await _device(request)))


@operation("Say which configuration is there", body=dict[str, str], answers={204: None}, by="device")
async def put_own(request: Request) -> Response:
    device = await _device(request)
    await service.report(services(request), device, await decode(request, dict[str, str]))
    return Response(status_code=204)


@operation("Show the configuration of a device", answers=ConfigurationAnswer)
async def get_configuration(request: Request, caller: Caller) -> Response:
    found = await service.configuration(services(request), caller.scope, request.path_params["device"])
    out: ConfigurationAnswer = {
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


@operation("Set what is wanted of a device", body=dict[str, str], answers={204: None})
async def put_configuration(request: Request, caller: Caller) -> Response:
    values = await decode(request, dict[str, str])
    await service.configure(services(request), caller, request.path_params["device"], values)
    return Response(status_code=204)


@operation("Bring what is wanted onto a device", body=DeployBody, answers=DeployedAnswer, errors=(409, 422))
async def deploy(request: Request, caller: Caller) -> Response:
    body = await decode(request, DeployBody)
    made = await service.deploy(
        services(request), caller, request.path_params["device"], body.retries, body.update_control_map
    )
    answer: DeployedAnswer = {"deployment_id": made}
    return json_response(answer)


async def _device(request: Request) -> DeviceScope:
    return await sessions.device(services(request), bearer(request.headers.get("authorization")))


ROUTES: Final = [
    public_route("/api/devices/v1/deviceconfig/configuration", {"GET": get_own, "PUT": put_own}),
    user_route(f"{PREFIX}/{{device}}", {"GET": get_configuration, "PUT": put_configuration}),
    user_route(f"{PREFIX}/{{device}}/deploy", {"POST": deploy}),
]
