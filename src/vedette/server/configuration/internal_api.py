"""What other programs of this machine do with configurations; behind the internal listener, without a token."""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Conflict, Invalid
from vedette.server.access.internal_api import internal_caller
from vedette.server.caller import Caller
from vedette.server.configuration import api, service
from vedette.server.http import decode, public_route, services

PREFIX: Final = "/api/internal/v1/deviceconfig/tenants"
MAX_MERGED: Final = 100  # keys at once


class DeviceBody(msgspec.Struct):
    """Of which device a record is to be begun."""

    device_id: str


async def add_tenant(_: Request) -> Response:
    """There is nothing to do for one."""
    return Response(status_code=201)


async def add_device(request: Request) -> Response:
    body = await decode(request, DeviceBody)
    if not await service.start(services(request), _caller(request), body.device_id):
        raise Conflict("there is a configuration of this device already")
    return Response(status_code=201)


async def remove_device(request: Request) -> Response:
    await service.forget(services(request), _caller(request), request.path_params["device"])
    return Response(status_code=204)


async def patch_configuration(request: Request) -> Response:
    values = await decode(request, dict[str, str])
    if len(values) > MAX_MERGED:
        raise Invalid(f"give at most {MAX_MERGED} keys at once")
    await service.merge(services(request), _caller(request), request.path_params["device"], values)
    return Response(status_code=204)


async def deploy(request: Request) -> Response:
    return await api.deploy(request, _caller(request))


def _caller(request: Request) -> Caller:
    return internal_caller(request.path_params["tenant"])


ROUTES: Final = [
    public_route(PREFIX, {"POST": add_tenant}),
    public_route(f"{PREFIX}/{{tenant}}/devices", {"POST": add_device}),
    public_route(f"{PREFIX}/{{tenant}}/devices/{{device}}", {"DELETE": remove_device}),
    public_route(f"{PREFIX}/{{tenant}}/configurations/device/{{device}}", {"PATCH": patch_configuration}),
    public_route(f"{PREFIX}/{{tenant}}/configurations/device/{{device}}/deploy", {"POST": deploy}),
]
