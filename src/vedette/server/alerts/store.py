"""The SQL of alerts: the only module that knows the tables `alert`, `subject`, `monitor_config`, the column
`device.open_count`, and what goes into `notification` (which notify/ takes out again)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from vedette.model import Level
from vedette.server.alerts.order import Head, SubjectState
from vedette.server.db import Row, Tx

Key = tuple[str, str]
"""A subject of a device: its type and name."""

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of a history: ids from `low` on and below `high`. The default is all: ids are hexadecimal."""

    low: str = ""
    high: str = "g"


# --- devices: one POST -------------------------------------------------------------------------------------------


async def group_of(tx: Tx) -> Row | None:
    """The device's static group; None if it is no longer there."""
    return await tx.one("SELECT group_name FROM device WHERE tenant = :tenant AND id = :device AND decommissioning = 0")


async def add(tx: Tx, row: Mapping[str, object]) -> bool:
    """One alert; False if it is stored already."""
    touched = await tx.execute(
        "INSERT INTO alert (tenant, device, id, name, level, at, received_at, subject_type, subject_name,"
        " subject_status, details, sequence, boot, elapsed_us, account, origin)"
        " VALUES (:tenant, :device, :id, :name, :level, :at, :received_at, :subject_type, :subject_name,"
        " :subject_status, :details, :sequence, :boot, :elapsed_us, :account, :origin) ON CONFLICT DO NOTHING",
        **row,
    )
    return touched == 1


async def state(tx: Tx, key: Key) -> SubjectState | None:
    """What is known of a subject; None if it was never heard of."""
    row = await tx.one(
        "SELECT level, alert_id, at, account, sequence, others, opened_by FROM subject"
        " WHERE tenant = :tenant AND device = :device AND type = :type AND name = :name",
        type=key[0],
        name=key[1],
    )
    return None if row is None else _state(row)


async def set_states(tx: Tx, changed: Mapping[Key, SubjectState]) -> None:
    """What is known of these subjects from now on."""
    await tx.many(
        "INSERT INTO subject (tenant, device, type, name, level, open, alert_id, at, account, sequence, others,"
        " opened_by) VALUES (:tenant, :device, :type, :name, :level, :open, :alert_id, :at, :account, :sequence,"
        " :others, :opened_by) ON CONFLICT (tenant, device, type, name) DO UPDATE SET level = excluded.level,"
        " open = excluded.open, alert_id = excluded.alert_id, at = excluded.at, account = excluded.account,"
        " sequence = excluded.sequence, others = excluded.others, opened_by = excluded.opened_by",
        (_row(key, state) for key, state in changed.items()),
    )


async def count_open(tx: Tx, more: int) -> None:
    """`more` subjects are open than before; less than 0: fewer."""
    await tx.execute(
        "UPDATE device SET open_count = max(0, open_count + :more) WHERE tenant = :tenant AND id = :device", more=more
    )


async def owe(tx: Tx, alerts: Iterable[tuple[str, str]], now: int) -> None:
    """Somebody may have to hear of these alerts: (id, id of the one that opened the problem)."""
    await tx.many(
        "INSERT INTO notification (tenant, device, alert_id, thread, created_at)"
        " VALUES (:tenant, :device, :alert_id, :thread, :now)",
        ({"alert_id": id, "thread": thread, "now": now} for id, thread in alerts),
    )


async def set_configuration(tx: Tx, document: str, now: int) -> None:
    """The whole set of checks, as a JSON document."""
    await tx.execute(
        "INSERT INTO monitor_config (tenant, device, document, updated_at) VALUES (:tenant, :device, :document, :now)"
        " ON CONFLICT (tenant, device) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at",
        document=document,
        now=now,
    )


# --- users -------------------------------------------------------------------------------------------------------

_HISTORY: Final = (
    "FROM alert JOIN device ON device.tenant = :tenant AND device.id = alert.device"
    " WHERE {visible} AND alert.tenant = :tenant AND alert.device = :id AND alert.id >= :low AND alert.id < :high"
)
_LATEST: Final = (
    "FROM subject JOIN device ON device.tenant = :tenant AND device.id = subject.device"
    " JOIN alert ON alert.tenant = :tenant AND alert.device = subject.device AND alert.id = subject.alert_id"
    " WHERE {visible} AND subject.tenant = :tenant AND subject.device = :id"
    " AND subject.alert_id >= :low AND subject.alert_id < :high"
    " AND subject.level IN (SELECT value FROM json_each(:levels))"
)


async def sees(tx: Tx, device: str) -> bool:
    """May the caller see this device?"""
    return bool(await tx.value("SELECT 1 FROM device WHERE {visible} AND device.id = :id", id=device))


async def count(tx: Tx, device: str, span: Span) -> int:
    """How long the history is."""
    total: int = await tx.value("SELECT count(*) " + _HISTORY, id=device, low=span.low, high=span.high)
    return total


async def history(tx: Tx, device: str, span: Span, *, offset: int, limit: int, ascending: bool) -> list[Row]:
    """Alerts of a device by its time, newest first unless `ascending`."""
    order = " ORDER BY alert.id" if ascending else " ORDER BY alert.id DESC"
    return await tx.all(
        "SELECT alert.* " + _HISTORY + order + " LIMIT :limit OFFSET :offset",
        id=device,
        low=span.low,
        high=span.high,
        limit=limit,
        offset=offset,
    )


async def one(tx: Tx, device: str, alert: str) -> Row | None:
    """One alert."""
    return await tx.one(
        "SELECT alert.* FROM alert JOIN device ON device.tenant = :tenant AND device.id = alert.device"
        " WHERE {visible} AND alert.tenant = :tenant AND alert.device = :id AND alert.id = :alert",
        id=device,
        alert=alert,
    )


async def count_latest(tx: Tx, device: str, levels: Iterable[Level], span: Span) -> int:
    """How many subjects have a newest alert of one of these levels."""
    total: int = await tx.value(
        "SELECT count(*) " + _LATEST, id=device, levels=_text(list(levels)), low=span.low, high=span.high
    )
    return total


async def latest(tx: Tx, device: str, levels: Iterable[Level], span: Span, *, offset: int, limit: int) -> list[Row]:
    """The newest alert of each subject, where it has one of these levels; oldest first."""
    return await tx.all(
        "SELECT alert.* " + _LATEST + " ORDER BY subject.alert_id LIMIT :limit OFFSET :offset",
        id=device,
        levels=_text(list(levels)),
        low=span.low,
        high=span.high,
        limit=limit,
        offset=offset,
    )


async def configuration(tx: Tx, device: str) -> str | None:
    """The checks a device reported, as a JSON document; None: it never did."""
    document: str | None = await tx.value(
        "SELECT document FROM monitor_config JOIN device ON device.tenant = :tenant"
        " AND device.id = monitor_config.device"
        " WHERE {visible} AND monitor_config.tenant = :tenant AND monitor_config.device = :id",
        id=device,
    )
    return document


async def email_enabled(tx: Tx) -> bool:
    """The tenant's switch of alert e-mails."""
    return bool(await tx.value("SELECT alert_email FROM tenant WHERE id = :tenant"))


async def set_email_enabled(tx: Tx, enabled: bool) -> None:
    """Turn the tenant's switch."""
    await tx.execute("UPDATE tenant SET alert_email = :enabled WHERE id = :tenant", enabled=int(enabled))


def _text(value: object) -> str:
    """A list as a parameter: SQLite's json_each reads it."""
    return _encode(value).decode()


def _state(row: Row) -> SubjectState:
    head = Head(row["account"], row["sequence"], row["at"], row["alert_id"], Level(row["level"]))
    others = row["others"]
    if others is None:
        return SubjectState((head,), row["opened_by"])
    rest = (Head(a, s, at, id, Level(level)) for a, s, at, id, level in msgspec.json.decode(others))
    return SubjectState((head, *rest), row["opened_by"])


def _row(key: Key, state: SubjectState) -> dict[str, Any]:
    head, *rest = state.heads
    others = [(each.account, each.sequence, each.at, each.id, each.level) for each in rest]
    return {
        "type": key[0],
        "name": key[1],
        "level": head.level.value,
        "open": int(state.open),
        "alert_id": head.id,
        "at": head.at,
        "account": head.account,
        "sequence": head.sequence,
        "others": _text(others) if others else None,
        "opened_by": state.opened_by,
    }
