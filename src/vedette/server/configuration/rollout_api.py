"""The JSON of rollouts: following them, pausing, going on, ending them, taking them back."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.caller import Caller
from vedette.server.configuration import layer_service, rollouts
from vedette.server.configuration.layer_api import PREFIX, Level, SavedAnswer, dump_saved
from vedette.server.configuration.layers import GROUP, TENANT
from vedette.server.configuration.rollouts import STATES, WAVE_STATES, Counts, Rollout, Wave
from vedette.server.configuration.waves import Parameters
from vedette.server.deployments.values import DEVICE_STATUSES
from vedette.server.http import decode, json_response, page_of, paged, services, user_route
from vedette.server.openapi.operation import PAGED, Parameter, Time, operation, paged_list, words
from vedette.server.services import Services
from vedette.server.times import datetime_of
from vedette.wire.outgoing import timestamp


class CommentBody(msgspec.Struct):
    """Why, for those who read it later."""

    comment: str = ""


class WaveAnswer(TypedDict):
    """A wave, and what has become of it on its devices."""

    percent: float
    state: Annotated[str, words(WAVE_STATES)]
    planned: int
    started_ts: NotRequired[Time]
    handed_out_ts: NotRequired[Time]
    devices: int
    pending: int
    offline: int
    active: int
    success: int
    failure: int
    aborted: int


class RolloutAnswer(TypedDict):
    """How a version of a layer reaches its devices."""

    id: str
    type: Level
    group: NotRequired[str]
    version: int
    before: int
    state: Annotated[str, words(STATES)]
    reason: str
    comment: str
    author: str
    created_ts: Time
    finished_ts: NotRequired[Time]
    parameters: Parameters
    wave: int
    waiting_for: str
    waves: list[WaveAnswer]
    alerting: int
    too_large: int


class RolloutDeviceAnswer(TypedDict):
    """What has become of it on a device."""

    device: str
    wave: int
    deployment: str
    status: Annotated[str, words(DEVICE_STATUSES)]
    log: bool
    created_ts: Time
    started_ts: NotRequired[Time]
    ended_ts: NotRequired[Time]


_LIST: Final = (
    Parameter("state", "How they are.", Annotated[str, words(STATES)]),
    Parameter("group", "Of the layer of this group; empty: of the tenant's."),
    *PAGED,
)
_STATUS: Final = Parameter("status", "What has become of it.", Annotated[str, words(DEVICE_STATUSES)])


@operation("List rollouts", query=_LIST, answers=paged_list(RolloutAnswer))
async def get_rollouts(request: Request, caller: Caller) -> Response:
    page, query = page_of(request), request.query_params
    state = query.get("state")
    if state is not None and state not in STATES:
        raise Invalid(f"state: give one of {', '.join(STATES)}")
    found = await rollouts.rollouts(services(request), caller, state, query.get("group"), page.size, page.offset)
    return paged(request, page, [_dump(each) for each in found.items], found.total)


@operation("Show a rollout", answers=RolloutAnswer)
async def get_rollout(request: Request, caller: Caller) -> Response:
    return json_response(_dump(await rollouts.rollout(services(request), caller, request.path_params["rollout"])))


@operation("List the devices of a rollout", query=(_STATUS, *PAGED), answers=paged_list(RolloutDeviceAnswer))
async def get_devices(request: Request, caller: Caller) -> Response:
    page, status = page_of(request), request.query_params.get("status")
    if status is not None and status not in DEVICE_STATUSES:
        raise Invalid(f"status: give one of {', '.join(DEVICE_STATUSES)}")
    found = await rollouts.devices(
        services(request),
        caller,
        request.path_params["rollout"],
        None if status is None else [status],
        page.size,
        page.offset,
    )
    items = []
    for wave, each in found.items:
        item: RolloutDeviceAnswer = {
            "device": each.device,
            "wave": wave,
            "deployment": each.deployment,
            "status": each.status,
            "log": each.has_log,
            "created_ts": timestamp(each.created_at),
        }
        if each.started_at is not None:
            item["started_ts"] = timestamp(each.started_at)
        if each.ended_at is not None:
            item["ended_ts"] = timestamp(each.ended_at)
        items.append(item)
    return paged(request, page, items, found.total)


Act = Callable[[Services, Caller, str, str], Awaitable[None]]


async def _acted(request: Request, caller: Caller, act: Act) -> Response:
    body, rollout = await decode(request, CommentBody), request.path_params["rollout"]
    await act(services(request), caller, rollout, body.comment)
    return json_response(_dump(await rollouts.rollout(services(request), caller, rollout)))


@operation("Pause a rollout", body=CommentBody, answers=RolloutAnswer, errors=(409,))
async def pause(request: Request, caller: Caller) -> Response:
    return await _acted(request, caller, rollouts.pause)


@operation("Let a rollout go on", body=CommentBody, answers=RolloutAnswer, errors=(409,))
async def resume(request: Request, caller: Caller) -> Response:
    return await _acted(request, caller, rollouts.resume)


@operation("Begin the next wave of a rollout", body=CommentBody, answers=RolloutAnswer, errors=(409,))
async def advance(request: Request, caller: Caller) -> Response:
    return await _acted(request, caller, rollouts.advance)


@operation("End a rollout", body=CommentBody, answers=RolloutAnswer, errors=(409,))
async def abort(request: Request, caller: Caller) -> Response:
    return await _acted(request, caller, rollouts.abort)


@operation("End a rollout, and take back what it has brought", body=CommentBody, answers=SavedAnswer, errors=(409,))
async def rollback(request: Request, caller: Caller) -> Response:
    body = await decode(request, CommentBody)
    saved = await layer_service.roll_back(services(request), caller, request.path_params["rollout"], body.comment)
    return json_response(dump_saved(saved))


def _dump(rollout: Rollout) -> RolloutAnswer:
    answer: RolloutAnswer = {
        "id": rollout.id,
        "type": GROUP if rollout.group else TENANT,
        "version": rollout.version,
        "before": rollout.version - 1,
        "state": rollout.state,
        "reason": rollout.reason,
        "comment": rollout.comment,
        "author": rollout.author,
        "created_ts": timestamp(rollout.created_at),
        "parameters": rollout.parameters,
        "wave": rollout.wave,
        "waiting_for": rollout.waiting_for,
        "waves": [
            _wave(percent, wave, counts)
            for percent, wave, counts in zip(rollout.parameters.waves, rollout.waves, rollout.counts, strict=True)
        ],
        "alerting": rollout.alerting,
        "too_large": rollout.too_large,
    }
    if rollout.group:
        answer["group"] = rollout.group
    if rollout.finished_at is not None:
        answer["finished_ts"] = timestamp(rollout.finished_at)
    return answer


def _wave(percent: float, wave: Wave, counts: Counts) -> WaveAnswer:
    answer: WaveAnswer = {
        "percent": percent,
        "state": wave.state,
        "planned": wave.planned,
        "devices": counts.devices,
        "pending": counts.pending,
        "offline": counts.offline,
        "active": counts.active,
        "success": counts.success,
        "failure": counts.failure,
        "aborted": counts.aborted,
    }
    if wave.started_at is not None:
        answer["started_ts"] = timestamp(datetime_of(wave.started_at))
    if wave.handed_out_at is not None:
        answer["handed_out_ts"] = timestamp(datetime_of(wave.handed_out_at))
    return answer


ROUTES: Final = [
    user_route(f"{PREFIX}/rollouts", {"GET": get_rollouts}),
    user_route(f"{PREFIX}/rollouts/{{rollout}}", {"GET": get_rollout}),
    user_route(f"{PREFIX}/rollouts/{{rollout}}/devices", {"GET": get_devices}),
    user_route(f"{PREFIX}/rollouts/{{rollout}}/pause", {"POST": pause}),
    user_route(f"{PREFIX}/rollouts/{{rollout}}/resume", {"POST": resume}),
    user_route(f"{PREFIX}/rollouts/{{rollout}}/advance", {"POST": advance}),
    user_route(f"{PREFIX}/rollouts/{{rollout}}/abort", {"POST": abort}),
    user_route(f"{PREFIX}/rollouts/{{rollout}}/rollback", {"POST": rollback}),
]
