"""The management side of the alert API. Source of paths and keys: docs/compatibility.md."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.alerts import account, service
from vedette.server.alerts.account import Account, Missing
from vedette.server.alerts.service import StoredAlert
from vedette.server.http import Caller, decode, json_response, page_of, paged, services, user_route
from vedette.wire import outgoing

PREFIX: Final = "/api/management/v1/devicemonitor"
OURS: Final = "/api/management/v1/vedette"

_moment: Final = msgspec.json.Decoder(datetime)


class Switch(msgspec.Struct):
    """The body that turns a channel on or off."""

    enabled: bool


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
        ascending=_flag(request, "sort_ascending"),
    )
    return paged(request, page, [_json(each) for each in listing.items], listing.total)


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


async def _configuration(request: Request, caller: Caller) -> Response:
    checks = await service.configuration(services(request), caller.scope, request.path_params["device"])
    return json_response([outgoing.configured_check(check) for check in checks])


async def _completeness(request: Request, caller: Caller) -> Response:
    device = request.path_params["device"]
    accounts = await account.completeness(services(request), caller.scope, device)
    return json_response({"device_id": device, "accounts": [_account(each) for each in accounts]})


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


def _account(value: Account) -> dict[str, Any]:
    return {
        "account": None if value.account is None else str(value.account),
        "received": value.received,
        "last": value.last,
        "complete_to": value.complete_to,
        "missing": [_missing(each) for each in value.missing],
        "before": [_missing(each) for each in value.before],
    }


def _missing(value: Missing) -> dict[str, Any]:
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


def _flag(request: Request, name: str) -> bool:
    """A query parameter as a boolean, in any case."""
    text = request.query_params.get(name, "false").lower()
    if text in {"true", "1"}:
        return True
    if text in {"false", "0", ""}:
        return False
    raise Invalid(f"invalid {name} query: {text[:100]!r}; expected true or false")
