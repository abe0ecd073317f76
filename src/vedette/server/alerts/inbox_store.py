"""The SQL of what is open in the whole fleet, newest first."""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

import json
from collections.abc import Mapping
from typing import Any, Final

from vedette.server.db import Row, Tx

_ACKNOWLEDGED: Final = (
    " LEFT JOIN acknowledgement ON acknowledgement.tenant = subject.tenant"
    " AND acknowledgement.device = subject.device"
    " AND acknowledgement.problem = coalesce(subject.opened_by, subject.alert_id)"
    " AND (acknowledgement.until_at IS NULL OR acknowledgement.until_at > :now)"
)
_OPEN: Final = (
    "FROM subject JOIN device ON device.tenant = subject.tenant AND device.id = subject.device"
    + _ACKNOWLEDGED
    + " WHERE {visible} AND subject.tenant = :tenant AND subject.open = 1"
)
_WHERE: Final[Mapping[str, str]] = {
    "levels": "subject.level IN {each:levels}",
    "kind": "subject.type = :kind",
    "group": "device.group_name = :group",
    "device": "subject.device = :device_id",
    "acknowledged": "CASE WHEN acknowledgement.problem IS NULL THEN 0 ELSE 1 END = :acknowledged",
    "text": (
        "(subject.name {like} :part ESCAPE '\\' OR subject.device {like} :start ESCAPE '\\'"
        " OR device.identity {like} :part ESCAPE '\\'"
        " OR EXISTS (SELECT 1 FROM alert WHERE alert.tenant = subject.tenant AND alert.device = subject.device"
        " AND alert.id = subject.alert_id AND alert.name {like} :part ESCAPE '\\'))"
    ),
}
"""Conditions by the name of what is asked for."""


def _narrowed(asked: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The condition for what is asked, and its parameters."""
    params: dict[str, Any] = {}
    for name, value in asked.items():
        if name == "levels":
            params["levels"] = json.dumps(sorted(value))
        elif name == "acknowledged":
            params["acknowledged"] = int(value)
        elif name == "text":
            escaped = "".join(f"\\{char}" if char in "\\%_" else char for char in value)
            params |= {"part": f"%{escaped}%", "start": f"{escaped}%"}
        else:
            params["device_id" if name == "device" else name] = value
    return _OPEN + "".join(f" AND {_WHERE[name]}" for name in asked), params


async def counts(tx: Tx, asked: Mapping[str, Any], now: int) -> list[Row]:
    """How many there are by level, kind and whether somebody has them: `level`, `kind`, `acknowledged`, `problems`."""
    where, params = _narrowed(asked)
    return await tx.all(
        "SELECT subject.level, subject.type AS kind,"
        " CASE WHEN acknowledgement.problem IS NULL THEN 0 ELSE 1 END AS acknowledged, count(*) AS problems " + where
        + " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        now=now, **params,
    )  # fmt: skip


async def page(tx: Tx, asked: Mapping[str, Any], now: int, *, offset: int, limit: int) -> list[Row]:
    """One part of the list: of each the newest alert, and when the one came that opened it."""
    where, params = _narrowed(asked)
    return await tx.all(
        "SELECT found.device, found.type, found.name AS subject_name, found.level, found.alert_id, found.at,"
        " alert.name, alert.subject_status, coalesce(opened.at, found.at) AS since,"
        " found.email, found.note, found.until_at, found.acknowledged_at"
        " FROM (SELECT subject.tenant, subject.device, subject.type, subject.name, subject.level, subject.alert_id,"
        " subject.at, subject.opened_by, acknowledgement.email, acknowledgement.note, acknowledgement.until_at,"
        " acknowledgement.created_at AS acknowledged_at " + where
        + " ORDER BY subject.at DESC, subject.device, subject.type, subject.name LIMIT :limit OFFSET :offset) AS found"
        " JOIN device ON device.tenant = :tenant AND device.id = found.device"
        " JOIN alert ON alert.tenant = :tenant AND alert.device = found.device AND alert.id = found.alert_id"
        " LEFT JOIN alert AS opened ON opened.tenant = :tenant AND opened.device = found.device"
        " AND opened.id = found.opened_by WHERE {visible}"
        " ORDER BY found.at DESC, found.device, found.type, found.name",
        now=now, limit=limit, offset=offset, **params,
    )  # fmt: skip
