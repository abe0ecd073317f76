"""What other programs of this machine ask about devices; behind the internal listener, without a token."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid, NotFound, Unauthenticated
from vedette.server.access import tenant_service
from vedette.server.access.internal_api import forwarded, internal_caller
from vedette.server.db import UserScope
from vedette.server.devices import api, service, sessions, told
from vedette.server.devices.inventory import Reported
from vedette.server.http import decode, json_response, public_route, services
from vedette.server.http.routes import bearer

DEVAUTH: Final = "/api/internal/v1/devauth"
INVENTORY: Final = "/api/internal/v1/inventory"
MAX_DEVICES: Final = 10_000  # in one body
STATUSES: Final = ("accepted", "pending", "rejected", "preauthorized", "noauth", "decommissioned")


class LimitBody(msgspec.Struct):
    """How many devices may be accepted; 0: any number."""

    limit: int


class DeviceBody(msgspec.Struct):
    """A device whose status is told; further keys do not count."""

    id: str


class ToldBody(msgspec.Struct):
    """An attribute of a device; its scope where the path does not name it."""

    name: str
    value: Any
    scope: str = "inventory"
    description: str | None = None


class NewDeviceBody(msgspec.Struct):
    """A device that nobody has seen yet; further keys do not count."""

    id: str
    attributes: list[ToldBody] | None = None


def _scope(request: Request) -> UserScope:
    return UserScope(request.path_params["tenant"], None)


async def verify(request: Request) -> Response:
    """Is this the live token of a device that may call this path?"""
    _, path = forwarded(request)
    if not path.startswith("/api/devices/"):
        raise Unauthenticated("the token is one of a device")
    await sessions.device(services(request), bearer(request.headers.get("authorization")))
    return Response()


async def list_devices(request: Request) -> Response:
    return await api.list_devices(request, internal_caller(request.path_params["tenant"]))


async def count_devices(request: Request) -> Response:
    return await api.count_devices(request, internal_caller(request.path_params["tenant"]))


async def device_status(request: Request) -> Response:
    device = await service.device(services(request), _scope(request), request.path_params["device"])
    return json_response({"status": device.status})


async def get_limit(request: Request) -> Response:
    return json_response({"limit": await tenant_service.limit_of(services(request), request.path_params["tenant"])})


async def put_limit(request: Request) -> Response:
    body = await decode(request, LimitBody)
    await tenant_service.limit_to(services(request), request.path_params["tenant"], body.limit)
    return Response(status_code=204)


async def delete_limit(request: Request) -> Response:
    await tenant_service.limit_to(services(request), request.path_params["tenant"], 0)
    return Response(status_code=204)


async def delete_tokens(request: Request) -> Response:
    """Kill the tokens of a tenant's devices, or of one of them."""
    tenant, device = request.query_params.get("tenant_id", ""), request.query_params.get("device_id", "")
    if not tenant:
        raise Invalid("tenant_id must be provided")
    await service.drop_tokens(services(request), internal_caller(tenant), device or None)
    return Response(status_code=204)


async def groups(request: Request) -> Response:
    device = await service.device(services(request), _scope(request), request.path_params["device"])
    return json_response({"groups": [] if device.group is None else [device.group]})


async def reindex(request: Request) -> Response:
    """What is found of a device is always what is there, so there is nothing to do."""
    await service.device(services(request), _scope(request), request.path_params["device"])
    return Response()


async def statuses(request: Request) -> Response:
    """Other programs tell of devices that are gone; every other status is known here first."""
    if request.path_params["status"] not in STATUSES:
        raise Invalid(f"status must be one of: {', '.join(STATUSES)}")
    ids = [each.id for each in await decode(request, list[DeviceBody])]
    if len(ids) > MAX_DEVICES:
        raise Invalid(f"give at most {MAX_DEVICES} devices")
    if request.path_params["status"] == "decommissioned":
        for device in ids:
            try:
                await service.decommission(services(request), internal_caller(request.path_params["tenant"]), device)
            except NotFound:
                continue
    return Response()


async def patch_attributes(request: Request) -> Response:
    """Attributes of one scope, which the path names, or of the scope that each names."""
    use, path = services(request), request.path_params
    given = _told(await decode(request, list[ToldBody]), path.get("scope"))
    await told.merge(use, internal_caller(path["tenant"]), path["device"], given, _since(request))
    return Response()


async def add_device(request: Request) -> Response:
    body = await decode(request, NewDeviceBody)
    caller = internal_caller(request.path_params["tenant"])
    made = await told.add(services(request), caller, body.id, _told(body.attributes or ()))
    return Response(status_code=201, headers={"Location": f"devices/{made}"})


def _told(given: Sequence[ToldBody], scope: str | None = None) -> dict[str, list[Reported]]:
    """By scope; without what the server knows by itself."""
    out: dict[str, list[Reported]] = {}
    if scope is not None:
        told.check_scope(scope)
    for each in given:
        told.check_scope(where := scope or each.scope)
        if not told.is_own(where, each.name):
            reported = Reported(name=each.name, value=each.value, description=each.description)
            out.setdefault(where, []).append(reported)
    return out


def _since(request: Request) -> datetime | None:
    """The header If-Unmodified-Since. Source: RFC 9110, section 13.1.4."""
    text = request.headers.get("if-unmodified-since")
    if text is None:
        return None
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        raise Invalid(f"If-Unmodified-Since: {text[:50]!r} is no date of HTTP") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


ROUTES: Final = [
    public_route(f"{DEVAUTH}/tokens/verify", {"GET": verify, "POST": verify}),
    public_route(f"{DEVAUTH}/tokens", {"DELETE": delete_tokens}),
    public_route(
        f"{DEVAUTH}/tenant/{{tenant}}/limits/max_devices", {"GET": get_limit, "PUT": put_limit, "DELETE": delete_limit}
    ),
    public_route(f"{DEVAUTH}/tenants/{{tenant}}/devices", {"GET": list_devices}),
    public_route(f"{DEVAUTH}/tenants/{{tenant}}/devices/count", {"GET": count_devices}),
    public_route(f"{DEVAUTH}/tenants/{{tenant}}/devices/{{device}}/status", {"GET": device_status}),
    public_route(
        f"{INVENTORY}/tenants/{{tenant}}/device/{{device}}/attribute/scope/{{scope}}", {"PATCH": patch_attributes}
    ),
    public_route(f"{INVENTORY}/tenants/{{tenant}}/device/{{device}}/attributes", {"PATCH": patch_attributes}),
    public_route(f"{INVENTORY}/tenants/{{tenant}}/devices", {"POST": add_device}),
    public_route(f"{INVENTORY}/tenants/{{tenant}}/devices/status/{{status}}", {"POST": statuses}),
    public_route(f"{INVENTORY}/tenants/{{tenant}}/devices/{{device}}/groups", {"GET": groups}),
    public_route(f"{INVENTORY}/tenants/{{tenant}}/devices/{{device}}/reindex", {"POST": reindex}),
]
