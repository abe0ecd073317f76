"""The SQL of what users read of alerts, and of the reported checks.

With `intake_store` the only module that knows the tables `alert`, `subject` and `monitor_config`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from vedette.errors import TooLarge
from vedette.model import Level
from vedette.server.db import Row, Tx
from vedette.wire.incoming import MAX_BODY

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of a history: ids from `low` on and below `high`. The default is all: ids are hexadecimal."""

    low: str = ""
    high: str = "g"


# --- devices -------------------------------------------------------------------------------------------


async def group_of(tx: Tx) -> Row | None:
    """The device's static group; None if it is no longer there."""
    return await tx.one("SELECT group_name FROM device WHERE tenant = :tenant AND id = :device AND decommissioning = 0")


async def set_configuration(tx: Tx, document: str, now: int) -> None:
    """The whole set of checks, as a JSON document."""
    await tx.execute(
        "INSERT INTO monitor_config (tenant, device, document, updated_at) VALUES (:tenant, :device, :document, :now)"
        " ON CONFLICT (tenant, device) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at",
        document=document,
        now=now,
    )


# --- users -------------------------------------------------------------------------------------------------------

MAX_WEIGHT: Final = 32 * 1024 * 1024  # characters of the details in one answer
_COLUMNS: Final = {
    True: "SELECT alert.* ",
    False: "SELECT alert.device, alert.id, alert.name, alert.level, alert.at, alert.received_at, alert.subject_type,"
    " alert.subject_name, alert.subject_status, NULL AS details, alert.sequence, alert.boot, alert.elapsed_us,"
    " alert.account, alert.origin ",
}
_HISTORY: Final = (
    "FROM alert JOIN device ON device.tenant = :tenant AND device.id = alert.device"
    " WHERE {visible} AND alert.tenant = :tenant AND alert.device = :id AND alert.id >= :low AND alert.id < :high"
)
_LATEST: Final = (
    "FROM subject JOIN device ON device.tenant = :tenant AND device.id = subject.device"
    " JOIN alert ON alert.tenant = :tenant AND alert.device = subject.device AND alert.id = subject.alert_id"
    " WHERE {visible} AND subject.tenant = :tenant AND subject.device = :id"
    " AND subject.alert_id >= :low AND subject.alert_id < :high"
    " AND subject.level IN {each:levels}"
)


async def sees(tx: Tx, device: str) -> bool:
    """May the caller see this device?"""
    return bool(await tx.value("SELECT 1 FROM device WHERE {visible} AND device.id = :id", id=device))


async def count(tx: Tx, device: str, span: Span) -> int:
    """How long the history is."""
    total: int = await tx.value("SELECT count(*) " + _HISTORY, id=device, low=span.low, high=span.high)
    return total


async def history(
    tx: Tx, device: str, span: Span, *, offset: int, limit: int, ascending: bool, details: bool
) -> list[Row]:
    """Alerts of a device by its time, newest first unless `ascending`; without `details`, these are NULL.

    Raises:
        TooLarge: with their details they are too much for one answer.
    """
    order = " ORDER BY alert.id" if ascending else " ORDER BY alert.id DESC"
    cut = _HISTORY + order + " LIMIT :limit OFFSET :offset"
    params = {"id": device, "low": span.low, "high": span.high, "limit": limit, "offset": offset}
    if details:
        await _check_weight(tx, cut, params)
    return await tx.all(_COLUMNS[details] + cut, **params)


async def _check_weight(tx: Tx, cut: str, params: Mapping[str, Any]) -> None:
    """One alert can have a megabyte, and one answer 500 of them."""
    if params["limit"] <= MAX_WEIGHT // MAX_BODY:
        return
    weight = await tx.value(f"SELECT sum(length(details)) FROM (SELECT alert.details {cut}) AS found", **params)  # noqa: S608
    if weight is not None and weight > MAX_WEIGHT:
        raise TooLarge("these alerts are too large for one answer; ask for fewer at once with per_page")


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


async def latest(
    tx: Tx, device: str, levels: Iterable[Level], span: Span, *, offset: int, limit: int, details: bool
) -> list[Row]:
    """The newest alert of each subject, where it has one of these levels; oldest first. Otherwise as `history`."""
    cut = _LATEST + " ORDER BY subject.alert_id LIMIT :limit OFFSET :offset"
    params = {
        "id": device,
        "levels": _text(list(levels)),
        "low": span.low,
        "high": span.high,
        "limit": limit,
        "offset": offset,
    }
    if details:
        await _check_weight(tx, cut, params)
    return await tx.all(_COLUMNS[details] + cut, **params)


async def is_open(tx: Tx, device: str, alert: str) -> bool:
    """Whether a subject is open with this alert."""
    found = await tx.value(
        "SELECT 1 FROM subject JOIN device ON device.tenant = :tenant AND device.id = subject.device"
        " WHERE {visible} AND subject.tenant = :tenant AND subject.device = :id AND subject.open = 1"
        " AND subject.alert_id = :alert",
        id=device,
        alert=alert,
    )
    return found is not None


async def begun_since(tx: Tx, after: int, heard_after: int, limit: int) -> list[Row]:
    """Devices with an open problem that began after `after` by the device's clock, and that was first heard of since
    `heard_after`; with the time when the last of these was: `device`, `at`."""
    return await tx.all(
        "SELECT subject.device, max(alert.received_at) AS at FROM subject"
        " JOIN device ON device.tenant = subject.tenant AND device.id = subject.device"
        " JOIN alert ON alert.tenant = subject.tenant AND alert.device = subject.device"
        " AND alert.id = subject.opened_by"
        " WHERE subject.tenant = :tenant AND {visible} AND subject.open = 1 AND subject.at >= :after"
        " AND alert.at >= :after AND alert.received_at >= :heard"
        " GROUP BY subject.device ORDER BY subject.device LIMIT :limit",
        after=after, heard=heard_after, limit=limit,
    )  # fmt: skip


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
    """A list as a parameter."""
    return _encode(value).decode()
