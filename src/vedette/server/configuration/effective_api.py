"""The JSON of what is wanted of devices, all layers together, and of those that report something else."""

from collections.abc import Mapping
from typing import Final, NotRequired, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from vedette.server.caller import Caller
from vedette.server.configuration import service
from vedette.server.configuration.layer_api import PREFIX, Level, add
from vedette.server.configuration.layers import Drift
from vedette.server.http import json_response, page_of, paged, services, user_route
from vedette.server.openapi.operation import PAGED, Parameter, Time, operation, paged_list
from vedette.wire.outgoing import timestamp


class ValueAnswer(TypedDict):
    """A value that counts, and the layer it comes from."""

    value: str
    layer: Level
    version: int


class UnsetAnswer(TypedDict):
    """A key that a layer says is to be absent."""

    key: str
    layer: Level


class ShadowedAnswer(TypedDict):
    """What an outer layer says and does not count."""

    key: str
    layer: Level
    value: str | None


class DriftAnswer(TypedDict):
    """Keys that are wanted and not reported, reported and not wanted, or reported otherwise."""

    missing: list[str]
    extra: list[str]
    different: list[str]


class DeploymentRef(TypedDict):
    """A deployment, and what has become of it on the device."""

    id: str
    status: str


class DriftingAnswer(TypedDict):
    """A device that reports something else than it was given."""

    device: str
    group: NotRequired[str]
    drift: DriftAnswer
    reported_ts: NotRequired[Time]
    deployment: DeploymentRef


class EffectiveAnswer(TypedDict):
    """What is wanted of a device, all layers together, and what it reports."""

    device: str
    group: NotRequired[str]
    values: Mapping[str, ValueAnswer]
    shadowed: list[ShadowedAnswer]
    unset: list[UnsetAnswer]
    reported: Mapping[str, str]
    reported_ts: NotRequired[Time]
    in_sync: bool
    drift: DriftAnswer
    deployment: NotRequired[DeploymentRef]


@operation("Show what is wanted of a device, and by which layer", answers=EffectiveAnswer)
async def get_effective(request: Request, caller: Caller) -> Response:
    found = await service.configuration(services(request), caller.scope, request.path_params["device"])
    wanted = found.effective
    answer: EffectiveAnswer = {
        "device": found.device,
        "values": {
            key: {"value": value, "layer": wanted.origins[key].level, "version": wanted.origins[key].version}
            for key, value in wanted.values.items()
        },
        "shadowed": [{"key": each.key, "layer": each.level, "value": each.value} for each in wanted.shadowed],
        "unset": [{"key": key, "layer": origin.level} for key, origin in wanted.unset.items()],
        "reported": found.reported,
        "in_sync": found.in_sync,
        "drift": _drift(found.drift),
    }
    last: DeploymentRef | None = None
    if found.deployment is not None and found.deployment_status is not None:
        last = {"id": found.deployment, "status": found.deployment_status}
    reported_ts = None if found.reported_at is None else timestamp(found.reported_at)
    return json_response(add(answer, group=found.group, reported_ts=reported_ts, deployment=last))


@operation(
    "List devices that report another configuration than they were given",
    query=(Parameter("group", "In this group."), *PAGED),
    answers=paged_list(DriftingAnswer),
)
async def get_drifting(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    found = await service.drifting(
        services(request), caller.scope, request.query_params.get("group"), page.size, page.offset
    )
    items: list[DriftingAnswer] = []
    for each in found.items:
        item: DriftingAnswer = {
            "device": each.device,
            "drift": _drift(each.drift),
            "deployment": {"id": each.deployment, "status": each.deployment_status},
        }
        reported_ts = None if each.reported_at is None else timestamp(each.reported_at)
        items.append(add(item, group=each.group, reported_ts=reported_ts))
    return paged(request, page, items, found.total)


def _drift(drift: Drift) -> DriftAnswer:
    return {"missing": list(drift.missing), "extra": list(drift.extra), "different": list(drift.different)}


ROUTES: Final = [
    user_route(f"{PREFIX}/devices/{{device}}/effective", {"GET": get_effective}),
    user_route(f"{PREFIX}/drift", {"GET": get_drifting}),
]
