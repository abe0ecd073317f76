"""Our own call for what is open in the whole fleet: with the compatible API one has to ask each device."""

from typing import Annotated, Final, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from vedette.model import Level
from vedette.server.alerts import inbox, service
from vedette.server.alerts.inbox import Problem, Wanted
from vedette.server.http import Caller, page_of, paged, services, user_route
from vedette.server.openapi.operation import PAGED, Parameter, Time, operation, paged_list, words
from vedette.wire import outgoing


class SubjectAnswer(TypedDict):
    """What is wrong."""

    type: str
    name: str
    status: str


class ProblemAnswer(TypedDict):
    """A subject of a device that is open, with its newest alert."""

    device_id: str
    device_name: str
    group: str | None
    alert_id: str
    level: Level
    name: str
    subject: SubjectAnswer
    timestamp: Time
    since: Time


@operation(
    "List what is open in the fleet",
    query=(
        *PAGED,
        Parameter("level", "Only those of this level.", Annotated[str, words(Level)]),
        Parameter("type", "Only those of this kind of check, as `log`."),
        Parameter("group", "Only those of devices in this static group."),
        Parameter("device", "Only those of the device with this id."),
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
        text=asked.get("q", ""),
    )
    found = await inbox.problems(services(request), caller, wanted, page.number, page.size)
    return paged(request, page, [_json(each) for each in found.items], found.total)


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
    }


ROUTES: Final = [user_route("/api/management/v1/vedette/problems", {"GET": _list})]
