"""Model values to JSON-able ones. Standard library only: the device imports this."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from vedette.model import Alert, ConfiguredCheck, Details, Gap, Line, Origin


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds or, where needed, microseconds: "2026-08-22T08:05:58.123Z"."""
    at = at.astimezone(UTC)
    precision = "milliseconds" if at.microsecond % 1000 == 0 else "microseconds"
    return at.isoformat(timespec=precision).replace("+00:00", "Z")


def line(value: Line) -> dict[str, Any]:
    return {"line_number": value.number, "data": value.data}


def details(value: Details) -> dict[str, Any]:
    """Only what is there: clients must not meet empty keys that the API calls optional."""
    out: dict[str, Any] = {}
    if value.description:
        out["description"] = value.description
    if value.lines_before:
        out["lines_before"] = [line(each) for each in value.lines_before]
    if value.line_matching is not None:
        out["line_matching"] = line(value.line_matching)
    if value.lines_after:
        out["lines_after"] = [line(each) for each in value.lines_after]
    return out


def origin(value: Origin) -> dict[str, Any]:
    out: dict[str, Any] = {
        "id": str(value.id),
        "sequence": value.sequence,
        "boot": str(value.boot),
        "elapsed_s": value.elapsed_s,
    }
    if value.account is not None:
        out["account"] = str(value.account)
    return out


def alert(value: Alert, *, with_origin: bool = False) -> dict[str, Any]:
    """One alert as the API documents it; `with_origin` adds our own key, for servers that announce themselves."""
    subject: dict[str, Any] = {
        "name": value.subject.name,
        "type": value.subject.type,
        "status": value.subject.status,
    }
    if value.subject.details is not None:
        subject["details"] = details(value.subject.details)
    out: dict[str, Any] = {
        "name": value.name,
        "level": value.level.value,
        "subject": subject,
        "timestamp": timestamp(value.at),
    }
    if with_origin and value.origin is not None:
        out["origin"] = origin(value.origin)
    return out


def gap(value: Gap) -> dict[str, Any]:
    """Our own: only for servers that announce themselves."""
    return {
        "account": str(value.account),
        "first": value.first,
        "last": value.last,
        "reason": value.reason,
        "at": timestamp(value.at),
    }


DOCUMENTED: Final = frozenset({"log", "service", "dbus"})
"""The kinds whose settings the API tells of; those of others are for servers of ours."""


def documented_check(item: Mapping[str, Any]) -> dict[str, Any]:
    """What `configured_check` made, as every server understands it."""
    return {key: value for key, value in item.items() if key in {"name", "status", "type", *DOCUMENTED}}


def configured_check(value: ConfiguredCheck) -> dict[str, Any]:
    out: dict[str, Any] = {"name": value.name, "status": value.status, "type": value.kind}
    if value.settings:
        out[value.kind] = dict(value.settings)
    return out
