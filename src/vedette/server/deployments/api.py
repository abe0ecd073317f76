"""The management side of deployments. Source of paths and keys: docs/compatibility.md."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Final, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.caller import Caller
from vedette.server.deployments import device_api, service
from vedette.server.deployments.service import Deployment, DeviceDeployment, Wanted
from vedette.server.deployments.values import (
    ABORTED,
    ACTIVE,
    DEVICE_STATUSES,
    ENDS,
    INPROGRESS,
    PAUSES,
    PENDING,
    STATUSES,
    TYPES,
)
from vedette.server.http import decode, json_response, page_of, paged, services, user_route
from vedette.server.openapi.operation import (
    PAGED,
    Answer,
    Order,
    Parameter,
    Seconds,
    Time,
    bounds,
    operation,
    paged_list,
    words,
)
from vedette.wire.outgoing import timestamp

PREFIX: Final = "/api/management/v1/deployments"
MAX_STATISTICS: Final = 100  # deployments in one question
MAX_ALL: Final = 10_000  # devices in one answer that has no pages
MAX_SEARCH: Final = 256  # characters
_GROUPS_OF_STATUSES: Final[Mapping[str, tuple[str, ...]]] = {
    "active": (PENDING, *ACTIVE),
    "finished": ENDS,
    "pause": PAUSES,
    INPROGRESS: ACTIVE,
}


class AbortBody(msgspec.Struct):
    """What a deployment is to become."""

    status: Annotated[str, words((ABORTED,))]


class StatisticsBody(msgspec.Struct):
    """Of which deployments the numbers are wanted."""

    deployment_ids: Annotated[list[str], bounds(minItems=1, maxItems=MAX_STATISTICS)]


class StatisticsOfDeployment(TypedDict):
    """Numbers of devices by status, of every status."""

    status: Mapping[str, int]
    total_size: int


class DeploymentAnswer(TypedDict):
    """A deployment; numbers are of devices that the caller may see."""

    id: str
    name: str
    artifact_name: str
    created: Time
    status: Annotated[str, words(STATUSES)]
    device_count: int
    max_devices: int
    retries: int
    type: Annotated[str, words(TYPES)]
    groups: list[str]
    artifacts: list[str]
    statistics: StatisticsOfDeployment
    configuration: str
    finished: NotRequired[Time]


class DeviceDeploymentAnswer(TypedDict):
    """What has become of a deployment on one device, whose id it has."""

    id: str
    status: Annotated[str, words(DEVICE_STATUSES)]
    created: Time
    log: bool
    attempts: int
    substate: NotRequired[str]
    started: NotRequired[Time]
    finished: NotRequired[Time]


class DeploymentOfDeviceAnswer(TypedDict):
    """A deployment, and what has become of it on one device."""

    id: str
    deployment: DeploymentAnswer
    device: DeviceDeploymentAnswer


class StatisticsAnswerOfMany(TypedDict):
    """The numbers of one of several deployments."""

    id: str
    stats: Mapping[str, int]


_STATUS: Final = Parameter(
    "status",
    "Only those of this status, or of these statuses.",
    Annotated[str, words(dict.fromkeys((*DEVICE_STATUSES, *_GROUPS_OF_STATUSES)))],
)


@operation(
    "List deployments, the newest first",
    query=(
        *PAGED,
        Parameter("id", "Only these.", list[str]),
        Parameter("status", "Only those of this status.", Annotated[str, words(STATUSES)]),
        Parameter("type", "Only those of this type.", Annotated[str, words(TYPES)]),
        Parameter("search", "A part of the name."),
        Parameter("name", "The same, as other clients call it."),
        Parameter("created_after", "Only those made at this time or later.", Seconds),
        Parameter("created_before", "Only those made at this time or earlier.", Seconds),
        Parameter("sort", "`asc`: the oldest first.", Order),
    ),
    answers=paged_list(DeploymentAnswer),
)
async def list_deployments(request: Request, caller: Caller) -> Response:
    page, asked = page_of(request), request.query_params
    wanted = Wanted(
        ids=asked.getlist("id") or None,
        status=_one_of(asked.get("status"), STATUSES, "status"),
        type=_one_of(asked.get("type"), TYPES, "type"),
        text=(asked.get("search") or asked.get("name") or "")[:MAX_SEARCH],
        created_after=_seconds(asked.get("created_after"), "created_after"),
        created_before=_seconds(asked.get("created_before"), "created_before"),
        ascending=_one_of(asked.get("sort"), ("asc", "desc"), "sort") == "asc",
    )
    found = await service.deployments(services(request), caller.scope, wanted, page.size, page.offset)
    return paged(request, page, [_dump(each) for each in found.items], found.total)


@operation("Show a deployment", answers=DeploymentAnswer)
async def get_deployment(request: Request, caller: Caller) -> Response:
    return json_response(_dump(await _asked(request, caller)))


@operation("Count the devices of a deployment by status", answers=dict[str, int])
async def get_statistics(request: Request, caller: Caller) -> Response:
    return json_response((await _asked(request, caller)).statistics)


@operation("Count the devices of several deployments", body=StatisticsBody, answers=list[StatisticsAnswerOfMany])
async def list_statistics(request: Request, caller: Caller) -> Response:
    ids = (await decode(request, StatisticsBody)).deployment_ids
    if not 0 < len(ids) <= MAX_STATISTICS:
        raise Invalid(f"deployment_ids: give 1 to {MAX_STATISTICS}")
    found = await service.deployments(services(request), caller.scope, Wanted(ids=ids), MAX_STATISTICS)
    answer: list[StatisticsAnswerOfMany] = [{"id": each.id, "stats": each.statistics} for each in found.items]
    return json_response(answer)


@operation("Call a deployment off", body=AbortBody, answers={204: None}, errors=(422,))
async def put_status(request: Request, caller: Caller) -> Response:
    if (await decode(request, AbortBody)).status != ABORTED:
        raise Invalid("a deployment can only be aborted: the status must be aborted")
    await service.abort(services(request), caller, request.path_params["deployment"])
    return Response(status_code=204)


@operation("List the devices of a deployment", query=(_STATUS,), answers=list[DeviceDeploymentAnswer])
async def list_devices(request: Request, caller: Caller) -> Response:
    """All of them, as far as one answer can hold them."""
    return json_response([_dump_device(each) for each in await _all_devices(request, caller)])


@operation("List the ids of the devices of a deployment", query=(_STATUS,), answers=list[str])
async def list_device_ids(request: Request, caller: Caller) -> Response:
    return json_response([each.device for each in await _all_devices(request, caller)])


@operation(
    "List the devices of a deployment, in pages",
    query=(*PAGED, _STATUS),
    answers=paged_list(DeviceDeploymentAnswer),
)
async def page_devices(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    found = await service.devices(
        services(request), caller.scope, request.path_params["deployment"], _statuses(request), page.size, page.offset
    )
    return paged(request, page, [_dump_device(each) for each in found.items], found.total)


@operation("Show what a device said went wrong", answers=Answer(str, "text/plain"))
async def get_log(request: Request, caller: Caller) -> Response:
    path = request.path_params
    messages = await service.log(services(request), caller.scope, path["deployment"], path["device"])
    lines = (f"{timestamp(each.at)} {each.level}: {each.text}\n" for each in messages)
    return Response("".join(lines).encode("utf-8", "replace"), media_type="text/plain")


@operation(
    "List the deployments of a device, the newest first",
    query=(*PAGED, _STATUS),
    answers=paged_list(DeploymentOfDeviceAnswer),
)
async def deployments_of_device(request: Request, caller: Caller) -> Response:
    page, use = page_of(request), services(request)
    found = await service.of_device(
        use, caller.scope, request.path_params["device"], _statuses(request), page.size, page.offset
    )
    ids = [each.deployment for each in found.items]
    known = {each.id: each for each in (await service.deployments(use, caller.scope, Wanted(ids=ids), len(ids))).items}
    items: list[DeploymentOfDeviceAnswer] = [
        {
            "id": each.deployment,
            "deployment": _dump(known[each.deployment]),
            "device": _dump_device(each),
        }
        for each in found.items
        if each.deployment in known
    ]
    return paged(request, page, items, found.total)


@operation("Call everything off that a device still has to do", answers={204: None})
async def abort_of_device(request: Request, caller: Caller) -> Response:
    await service.abort_of_device(services(request), caller, request.path_params["device"])
    return Response(status_code=204)


@operation("Forget the deployments of a device that have ended", answers={204: None})
async def forget_history(request: Request, caller: Caller) -> Response:
    await service.forget_history(services(request), caller, request.path_params["device"])
    return Response(status_code=204)


async def _asked(request: Request, caller: Caller) -> Deployment:
    return await service.deployment(services(request), caller.scope, request.path_params["deployment"])


async def _all_devices(request: Request, caller: Caller) -> tuple[DeviceDeployment, ...]:
    found = await service.devices(
        services(request), caller.scope, request.path_params["deployment"], _statuses(request), MAX_ALL
    )
    return found.items


def _statuses(request: Request) -> tuple[str, ...] | None:
    status = _one_of(request.query_params.get("status"), (*DEVICE_STATUSES, *_GROUPS_OF_STATUSES), "status")
    return None if status is None else _GROUPS_OF_STATUSES.get(status, (status,))


def _one_of(text: str | None, known: tuple[str, ...], name: str) -> str | None:
    if not text:
        return None
    if text not in known:
        raise Invalid(f"invalid {name} query: {text[:50]!r}, expected one of: {', '.join(known)}")
    return text


def _seconds(text: str | None, name: str) -> int | None:
    """Unix seconds as microseconds."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Invalid(f"invalid {name} query: {text[:50]!r} is no unix timestamp")
    return int(text) * 1_000_000


def _dump(each: Deployment) -> DeploymentAnswer:
    cut = {key: f"{value[:3]}...<omitted>" for key, value in each.configuration.items()}
    out: DeploymentAnswer = {
        "id": each.id,
        "name": each.name,
        "artifact_name": each.artifact_name,
        "created": timestamp(each.created_at),
        "status": each.status,
        "device_count": each.device_count,
        "max_devices": each.device_count,
        "retries": each.retries,
        "type": each.type,
        "groups": [],
        "artifacts": [],
        "statistics": {"status": each.statistics, "total_size": 0},
        # Enough to recognise it by; values may be secret.
        "configuration": b64encode(msgspec.json.encode(cut)).decode(),
    }
    if each.finished_at is not None:
        out["finished"] = timestamp(each.finished_at)
    return out


def _dump_device(each: DeviceDeployment) -> DeviceDeploymentAnswer:
    out: DeviceDeploymentAnswer = {
        "id": each.device,
        "status": each.status,
        "created": timestamp(each.created_at),
        "log": each.has_log,
        "attempts": each.attempts,
    }
    if each.substate:
        out["substate"] = each.substate
    if each.started_at is not None:
        out["started"] = timestamp(each.started_at)
    if each.ended_at is not None:
        out["finished"] = timestamp(each.ended_at)
    return out


ROUTES: Final = [
    *device_api.ROUTES,
    user_route(f"{PREFIX}/deployments", {"GET": list_deployments}),
    user_route(f"{PREFIX}/deployments/statistics/list", {"POST": list_statistics}),
    user_route(f"{PREFIX}/deployments/devices/{{device}}", {"GET": deployments_of_device, "DELETE": abort_of_device}),
    user_route(f"{PREFIX}/deployments/devices/{{device}}/history", {"DELETE": forget_history}),
    user_route(f"{PREFIX}/deployments/{{deployment}}", {"GET": get_deployment}),
    user_route(f"{PREFIX}/deployments/{{deployment}}/status", {"PUT": put_status}),
    user_route(f"{PREFIX}/deployments/{{deployment}}/statistics", {"GET": get_statistics}),
    user_route(f"{PREFIX}/deployments/{{deployment}}/devices", {"GET": list_devices}),
    user_route(f"{PREFIX}/deployments/{{deployment}}/devices/list", {"GET": page_devices}),
    user_route(f"{PREFIX}/deployments/{{deployment}}/device_list", {"GET": list_device_ids}),
    user_route(f"{PREFIX}/deployments/{{deployment}}/devices/{{device}}/log", {"GET": get_log}),
]
