"""The management side of the alert API. Source of paths and keys: docs/compatibility.md."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.model import Level
from vedette.server.alerts import account, service
from vedette.server.alerts.account import Account, Missing
from vedette.server.alerts.service import StoredAlert
from vedette.server.http import Caller, decode, json_response, page_of, paged, services, user_route
from vedette.server.openapi.operation import PAGED, Flag, Parameter, Time, operation, paged_list, words
from vedette.wire import outgoing

PREFIX: Final = "/api/management/v1/devicemonitor"
OURS: Final = "/api/management/v1/vedette"

_moment: Final = msgspec.json.Decoder(datetime)


class Switch(msgspec.Struct):
    """The body that turns a channel on or off."""

    enabled: bool


class LineAnswer(TypedDict):
    """One line of a log."""

    line_number: int
    data: str


class DetailsAnswer(TypedDict):
    """What was seen."""

    description: NotRequired[str]
    lines_before: NotRequired[list[LineAnswer]]
    line_matching: NotRequired[LineAnswer]
    lines_after: NotRequired[list[LineAnswer]]


class SubjectAnswer(TypedDict):
    """What an alert is about."""

    name: str
    type: str
    status: str
    details: NotRequired[DetailsAnswer]


class AlertAnswer(TypedDict):
    """A check of a device has changed its level."""

    id: str
    device_id: str
    name: str
    level: Level
    subject: SubjectAnswer
    timestamp: Time


class CheckAnswer(TypedDict):
    """A check that a device runs; a key named as its type may hold its settings."""

    name: str
    type: str
    status: str


class MissingAnswer(TypedDict):
    """Alerts that have not come; `last` null: from `first` on."""

    first: int
    last: int | None
    reason: str | None
    at: Time | None


class AccountAnswer(TypedDict):
    """What has come of one account of a device: its alerts are numbered without holes."""

    account: str | None
    received: int
    last: int | None
    complete_to: int | None
    missing: list[MissingAnswer]
    before: list[MissingAnswer]


class CompletenessAnswer(TypedDict):
    """Whether everything has come that a device has sent."""

    device_id: str
    accounts: list[AccountAnswer]


_PERIOD: Final = (
    Parameter("issued_after", "Only those of this time or later: RFC 3339, or unix seconds."),
    Parameter("issued_before", "Only those of this time or earlier."),
)


@operation(
    "List the alerts of a device",
    query=(*PAGED, *_PERIOD, Parameter("sort_ascending", "`true`: the oldest first.", Flag)),
    answers=paged_list(AlertAnswer),
)
async def _history(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    listing = await service.history(
        services(request),
        caller.scope,
        request.path_params["device"],
        page.number,
        page.size,
        issued_after=_time(request, "issued_after"),
        issued_before=_time(request, "issued_before"),
        ascending=flag(request, "sort_ascending"),
    )
    return paged(request, page, [_json(each) for each in listing.items], listing.total)


@operation(
    "List the latest alert of each subject of a device",
    query=(*PAGED, *_PERIOD, Parameter("level_from", "Only those of this level.", Annotated[str, words(Level)])),
    answers=paged_list(AlertAnswer),
)
async def latest(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    level = request.query_params.get("level_from")
    listing = await service.latest(
        services(request),
        caller.scope,
        request.path_params["device"],
        page.number,
        page.size,
        issued_after=_time(request, "issued_after"),
        issued_before=_time(request, "issued_before"),
        level_from=service.level(level) if level else None,
    )
    return paged(request, page, [_json(each) for each in listing.items], listing.total)


@operation("List the checks that a device runs", answers=list[CheckAnswer])
async def _configuration(request: Request, caller: Caller) -> Response:
    checks = await service.configuration(services(request), caller.scope, request.path_params["device"])
    return json_response([outgoing.configured_check(check) for check in checks])


@operation("Show whether every alert of a device has come", answers=CompletenessAnswer)
async def _completeness(request: Request, caller: Caller) -> Response:
    device = request.path_params["device"]
    accounts = await account.completeness(services(request), caller.scope, device)
    answer: CompletenessAnswer = {"device_id": device, "accounts": [_account(each) for each in accounts]}
    return json_response(answer)


@operation(
    "Turn mails about alerts on or off, for the tenant",
    body=Switch,
    path=(Parameter("channel", "How people are told.", Annotated[str, words(("email",))], "path"),),
    answers={204: None},
)
async def _switch(request: Request, caller: Caller) -> Response:
    if request.path_params["channel"] != "email":
        raise Invalid("there is no such channel, only email")
    await service.set_email_enabled(services(request), caller, (await decode(request, Switch)).enabled)
    return Response(status_code=204)


ROUTES: Final = [
    user_route(PREFIX + "/devices/{device}/alerts", {"GET": _history}),
    user_route(PREFIX + "/devices/{device}/alerts/latest", {"GET": latest}),
    user_route(PREFIX + "/devices/{device}/config", {"GET": _configuration}),
    user_route(OURS + "/devices/{device}/completeness", {"GET": _completeness}),
    user_route(PREFIX + "/settings/global/channel/alerts/{channel}/status", {"PUT": _switch}),
]


def _account(value: Account) -> AccountAnswer:
    return {
        "account": None if value.account is None else str(value.account),
        "received": value.received,
        "last": value.last,
        "complete_to": value.complete_to,
        "missing": [_missing(each) for each in value.missing],
        "before": [_missing(each) for each in value.before],
    }


def _missing(value: Missing) -> MissingAnswer:
    at = None if value.at is None else outgoing.timestamp(value.at)
    return {"first": value.first, "last": value.last, "reason": value.reason, "at": at}


def _json(stored: StoredAlert) -> dict[str, Any]:
    return {"id": stored.id, "device_id": stored.device, **outgoing.alert(stored.alert)}


def _time(request: Request, name: str) -> datetime | None:
    """A query parameter as a time: RFC 3339, or unix seconds as older clients send."""
    text = request.query_params.get(name, "").strip()
    if not text:
        return None
    try:
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        # A "+" that was not escaped arrives as a blank.
        at = _moment.decode(msgspec.json.encode(text.replace(" ", "+") if "T" in text.upper() else text))
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (msgspec.DecodeError, ValueError, OverflowError, OSError):
        raise Invalid(f"invalid {name} query: {text[:100]!r}; expected a time like 2026-08-22T08:05:58Z") from None


def flag(request: Request, name: str) -> bool:
    """A query parameter as a boolean, in any case."""
    text = request.query_params.get(name, "false").lower()
    if text in {"true", "1"}:
        return True
    if text in {"false", "0", ""}:
        return False
    raise Invalid(f"invalid {name} query: {text[:100]!r}; expected true or false")
