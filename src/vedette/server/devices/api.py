"""The JSON of device authentication: paths, keys and codes of the compatible API (docs/compatibility.md)."""

from typing import Annotated, Any, Final, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette import __version__
from vedette.errors import Invalid, NotFound
from vedette.server.caller import Caller
from vedette.server.devices import authentication, filters_api, inventory_api, search, service
from vedette.server.devices.authentication import AuthRequest
from vedette.server.devices.search import Cut, Predicate
from vedette.server.devices.service import STATUSES, AlreadyThere, Device
from vedette.server.http import decode, json_response, page_of, paged, public_route, services, user_route
from vedette.server.http.body import parse
from vedette.server.openapi.operation import JWT, PAGED, Answer, Parameter, Time, operation, paged_list, words
from vedette.wire.outgoing import timestamp

DEVAUTH: Final = "/api/management/v2/devauth"


Status = Annotated[str, words(STATUSES)]


class AuthBody(msgspec.Struct):
    """What a device sends to be let in. What is missing is named as clients know it, so nothing is required here."""

    id_data: str = ""
    pubkey: str = ""
    tenant_token: str | None = None


class AuthStatusBody(msgspec.Struct):
    """A status to be set."""

    status: Annotated[str, words(("accepted", "rejected", "pending"))]


class AuthSearchBody(msgspec.Struct):
    """Which devices are looked for."""

    status: Status | list[Status] | None = None
    id: str | list[str] | None = None


class PreauthorizeBody(msgspec.Struct):
    """A device to be announced."""

    identity_data: dict[str, Any]
    pubkey: str
    force: bool = False


class AuthSetAnswer(TypedDict):
    """A key that a device has shown, and whether it is let in with it."""

    id: str
    identity_data: dict[str, Any]
    pubkey: str
    ts: Time
    status: Status
    tier: str


class AuthDeviceAnswer(TypedDict):
    """A device with its keys."""

    id: str
    identity_data: dict[str, Any]
    status: Status
    created_ts: Time
    updated_ts: Time
    decommissioning: bool
    auth_sets: list[AuthSetAnswer]
    check_in_time: NotRequired[Time]


class CountAnswer(TypedDict):
    """How many there are."""

    count: int


class AuthStatusAnswer(TypedDict):
    """The status of a key."""

    status: Status


class DeviceLimitAnswer(TypedDict):
    """How many devices may be accepted; 0: any number."""

    limit: int


_LIMIT: Final = Parameter("name", "Of what.", Annotated[str, words(("max_devices",))], "path")
_STATUS: Final = Parameter("status", "Only those of one of these statuses.", list[Status])
_ONE_STATUS: Final = Parameter("status", "Only those of this status.", Status)


@operation(
    "Ask to be let in: the token of an accepted device",
    body=AuthBody,
    headers=(Parameter("X-MEN-Signature", "Of the body, by the device's key, in Base64.", str, "header", True),),
    answers=Answer(str, JWT, headers=("X-Vedette",), description="A token, as it is."),
    errors=(401, 429),
    by="nobody",
)
async def auth_request(request: Request) -> Response:
    body = await request.body()
    wish: AuthBody = parse(body, AuthBody)
    for name in ("id_data", "pubkey"):
        if not getattr(wish, name):
            raise Invalid(f"invalid auth request: {name} must be provided")
    signature = request.headers.get("x-men-signature", "")
    if not signature:
        raise Invalid("missing request signature header")
    token = await authentication.request(
        services(request),
        AuthRequest(identity=wish.id_data, pubkey=wish.pubkey, tenant_token=wish.tenant_token),
        signature,
        body,
    )
    # X-Vedette tells our own devices that this server understands their account of alerts.
    return Response(token.encode(), headers={"Content-Type": "application/jwt", "X-Vedette": __version__})


@operation(
    "List devices with their keys",
    query=(*PAGED, _STATUS, Parameter("id", "Only these.", list[str])),
    answers=paged_list(AuthDeviceAnswer, counted=False),
)
async def list_devices(request: Request, caller: Caller) -> Response:
    query = request.query_params
    return await _found(request, caller, query.getlist("status"), query.getlist("id"))


@operation(
    "List devices with their keys, by a body",
    body=AuthSearchBody,
    query=PAGED,
    answers=paged_list(AuthDeviceAnswer, counted=False),
)
async def search_devices(request: Request, caller: Caller) -> Response:
    body = await decode(request, AuthSearchBody)
    return await _found(request, caller, _listed(body.status), _listed(body.id))


async def _found(request: Request, caller: Caller, statuses: list[str], ids: list[str]) -> Response:
    page = page_of(request)
    for status in statuses:
        _check_status(status)
    wanted = [Predicate(scope="identity", attribute="status", type="$in", value=statuses)] if statuses else []
    order = "device.status, device.id"
    # One more tells whether there are more.
    cut = Cut(limit=page.size + 1, offset=page.offset, order=order, with_auth=True, counted=False)
    found = await service.devices(services(request), caller, search.of_predicates(wanted, ids=ids), cut)
    items = [_dump(each) for each in found.items]
    return paged(request, page, items[: page.size], more=len(items) > page.size)


@operation("Show a device with its keys", answers=AuthDeviceAnswer)
async def get_device(request: Request, caller: Caller) -> Response:
    return json_response(_dump(await service.device(services(request), caller.scope, request.path_params["id"])))


@operation("Count devices", query=(_ONE_STATUS,), answers=CountAnswer)
async def count_devices(request: Request, caller: Caller) -> Response:
    status = request.query_params.get("status") or None
    if status is not None:
        _check_status(status)
    answer: CountAnswer = {"count": await service.count(services(request), caller.scope, status)}
    return json_response(answer)


@operation(
    "Announce a device, which is then let in at its first call",
    body=PreauthorizeBody,
    answers={
        201: Answer(headers=("Location",)),
        409: Answer(AuthDeviceAnswer, description="There is a device of this identity: this one."),
    },
)
async def preauthorize(request: Request, caller: Caller) -> Response:
    body = await decode(request, PreauthorizeBody)
    use = services(request)
    try:
        device_id = await service.preauthorize(use, caller, body.identity_data, body.pubkey, force=body.force)
    except AlreadyThere as error:
        return json_response(_dump(await service.device(use, caller.scope, error.device_id)), 409)
    return Response(status_code=201, headers={"Location": f"devices/{device_id}"})


@operation("Remove a device, with everything known of it", answers={204: None})
async def decommission(request: Request, caller: Caller) -> Response:
    await service.decommission(services(request), caller, request.path_params["id"])
    return Response(status_code=204)


@operation("Forget a key of a device", answers={204: None})
async def dismiss(request: Request, caller: Caller) -> Response:
    await service.dismiss(services(request), caller, request.path_params["id"], request.path_params["auth"])
    return Response(status_code=204)


@operation("Show the status of a key", answers=AuthStatusAnswer)
async def get_status(request: Request, caller: Caller) -> Response:
    device = await service.device(services(request), caller.scope, request.path_params["id"])
    for each in device.auth_sets:
        if each.id == request.path_params["auth"]:
            answer: AuthStatusAnswer = {"status": each.status}
            return json_response(answer)
    raise NotFound("authentication set not found")


@operation("Accept or reject a device by its key", body=AuthStatusBody, answers={204: None}, errors=(422,))
async def put_status(request: Request, caller: Caller) -> Response:
    body = await decode(request, AuthStatusBody)
    path = request.path_params
    await service.set_auth_status(services(request), caller, path["id"], path["auth"], body.status)
    return Response(status_code=204)


@operation("Show how many devices may be accepted", path=(_LIMIT,), answers=DeviceLimitAnswer)
async def limit(request: Request, caller: Caller) -> Response:
    if request.path_params["name"] != "max_devices":
        raise Invalid("unsupported limit name")
    # 0: none; a client of today takes -1 for a limit that is reached
    answer: DeviceLimitAnswer = {"limit": await service.device_limit(services(request), caller.scope)}
    return json_response(answer)


@operation("Withdraw the token of a device", answers={204: None})
async def delete_token(request: Request, caller: Caller) -> Response:
    await service.drop_token(services(request), caller, request.path_params["id"])
    return Response(status_code=204)


def _check_status(status: str) -> None:
    if status not in STATUSES:
        raise Invalid(f"status must be one of: {', '.join(STATUSES)}")


def _listed(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _dump(device: Device) -> AuthDeviceAnswer:
    out: AuthDeviceAnswer = {
        "id": device.id,
        "identity_data": device.identity,
        "status": device.status,
        "created_ts": timestamp(device.created_at),
        "updated_ts": timestamp(device.updated_at),
        "decommissioning": device.decommissioning,
        "auth_sets": [
            {
                "id": each.id,
                "identity_data": device.identity,
                "pubkey": each.pubkey,
                "ts": timestamp(each.created_at),
                "status": each.status,
                "tier": "standard",
            }
            for each in device.auth_sets
        ],
    }
    if device.check_in_at is not None:
        out["check_in_time"] = timestamp(device.check_in_at)
    return out


ROUTES: Final = [
    public_route("/api/devices/v1/authentication/auth_requests", {"POST": auth_request}),
    user_route(f"{DEVAUTH}/devices", {"GET": list_devices, "POST": preauthorize}),
    user_route(f"{DEVAUTH}/devices/search", {"POST": search_devices}),
    user_route(f"{DEVAUTH}/devices/count", {"GET": count_devices}),
    user_route(f"{DEVAUTH}/devices/{{id}}", {"GET": get_device, "DELETE": decommission}),
    user_route(f"{DEVAUTH}/devices/{{id}}/auth/{{auth}}", {"DELETE": dismiss}),
    user_route(f"{DEVAUTH}/devices/{{id}}/auth/{{auth}}/status", {"GET": get_status, "PUT": put_status}),
    user_route(f"{DEVAUTH}/limits/{{name}}", {"GET": limit}),
    user_route(f"{DEVAUTH}/tokens/{{id}}", {"DELETE": delete_token}),
    *inventory_api.ROUTES,
    *filters_api.ROUTES,
]
