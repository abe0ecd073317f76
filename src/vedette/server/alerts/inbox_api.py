"""Our own call for what is open in the whole fleet: with the compatible API one has to ask each device."""

from datetime import datetime
from typing import Annotated, Final, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.model import Level
from vedette.server.alerts import acknowledging, inbox, service
from vedette.server.alerts.api import flag
from vedette.server.alerts.inbox import Acknowledgement, Problem, Wanted
from vedette.server.http import Caller, decode_or_none, page_of, paged, services, user_route
from vedette.server.openapi.operation import PAGED, Flag, Parameter, Time, bounds, operation, paged_list, words
from vedette.wire import outgoing


class ProblemSubjectAnswer(TypedDict):
    """What is wrong."""

    type: str
    name: str
    status: str


class AcknowledgementAnswer(TypedDict):
    """Who has taken a problem over; `until` null: until it is over."""

    by: str
    note: str
    at: Time
    until: Time | None


class AcknowledgeBody(msgspec.Struct):
    """Why, and until when somebody takes a problem over."""

    note: Annotated[str, bounds(maxLength=acknowledging.MAX_NOTE)] = ""
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class ProblemAnswer(TypedDict):
    """A subject of a device that is open, with its newest alert."""

    device_id: str
    device_name: str
    group: str | None
    alert_id: str
    level: Level
    name: str
    subject: ProblemSubjectAnswer
    timestamp: Time
    since: Time
    acknowledged: AcknowledgementAnswer | None


@operation(
    "List what is open in the fleet",
    query=(
        *PAGED,
        Parameter("level", "Only those of this level.", Annotated[str, words(Level)]),
        Parameter("type", "Only those of this kind of check, as `log`."),
        Parameter("group", "Only those of devices in this static group."),
        Parameter("device", "Only those of the device with this id."),
        Parameter("acknowledged", "`true`: only those that somebody has taken over; `false`: the others.", Flag),
        Parameter("q", "Part of the name of alert or subject, or of the device's identity."),
    ),
    answers=paged_list(ProblemAnswer),
)
async def _list(request: Request, caller: Caller) -> Response:
    page, asked = page_of(request), request.query_params
    wanted = Wanted(
        level=service.level(asked["level"]) if asked.get("level") else None,
        kind=asked.get("type", ""),
        group=asked.get("group", ""),
        device=asked.get("device", ""),
        acknowledged=flag(request, "acknowledged") if asked.get("acknowledged") else None,
        text=asked.get("q", ""),
    )
    found = await inbox.problems(services(request), caller, wanted, page.number, page.size)
    return paged(request, page, [_json(each) for each in found.items], found.total)


@operation("Take a problem over", body=AcknowledgeBody, answers={204: None})
async def _acknowledge(request: Request, caller: Caller) -> Response:
    path, body = request.path_params, await decode_or_none(request, AcknowledgeBody) or AcknowledgeBody()
    await acknowledging.acknowledge(services(request), caller, path["device"], path["alert"], body.note, body.until)
    return Response(status_code=204)


@operation("Let a problem be nobody's again", answers={204: None})
async def _withdraw(request: Request, caller: Caller) -> Response:
    path = request.path_params
    await acknowledging.withdraw(services(request), caller, path["device"], path["alert"])
    return Response(status_code=204)


def _json(each: Problem) -> ProblemAnswer:
    return {
        "device_id": each.device.id,
        "device_name": each.device.name,
        "group": each.device.group,
        "alert_id": each.alert_id,
        "level": each.level,
        "name": each.name,
        "subject": {"type": each.kind, "name": each.subject, "status": each.status},
        "timestamp": outgoing.timestamp(each.at),
        "since": outgoing.timestamp(each.since),
        "acknowledged": None if each.acknowledged is None else _acknowledged(each.acknowledged),
    }


def _acknowledged(value: Acknowledgement) -> AcknowledgementAnswer:
    return {
        "by": value.email,
        "note": value.note,
        "at": outgoing.timestamp(value.at),
        "until": None if value.until is None else outgoing.timestamp(value.until),
    }


OURS: Final = "/api/management/v1/vedette"
ROUTES: Final = [
    user_route(f"{OURS}/problems", {"GET": _list}),
    user_route(
        f"{OURS}/devices/{{device}}/problems/{{alert}}/acknowledgement", {"PUT": _acknowledge, "DELETE": _withdraw}
    ),
]
