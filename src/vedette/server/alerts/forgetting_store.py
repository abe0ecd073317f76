"""The SQL of forgetting alerts: what is too old, and what leaves with its device. It knows the table `forgotten`."""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from vedette.server.alerts.store import Span
from vedette.server.db import Row, Tx

Key = tuple[str, str, str]
"""Tenant, device, and id of an alert."""

_encode: Final = msgspec.json.Encoder().encode

_NAMES: Final = (
    "SELECT tenant, id FROM device WHERE (tenant, id) >= (:tenant, :device) ORDER BY tenant, id LIMIT :devices"
)
_OLD: Final = (
    f"WITH those AS ({_NAMES}), kept AS ("
    " SELECT subject.tenant, subject.device, subject.alert_id AS id FROM those"
    " JOIN subject ON subject.tenant = those.tenant AND subject.device = those.id"
    " UNION ALL SELECT subject.tenant, subject.device, subject.opened_by FROM those"
    " JOIN subject ON subject.tenant = those.tenant AND subject.device = those.id"
    " WHERE subject.open = 1 AND subject.opened_by IS NOT NULL)"
    " SELECT alert.tenant, alert.device, alert.id, alert.account, alert.sequence FROM those"
    " JOIN alert ON alert.tenant = those.tenant AND alert.device = those.id"
    " WHERE alert.id >= :low AND alert.id < :high AND alert.received_at < :before"
    " AND (alert.tenant, alert.device, alert.id) > (:tenant, :device, :id)"
    " AND (alert.tenant, alert.device, alert.id) NOT IN (SELECT tenant, device, id FROM kept)"
    " ORDER BY alert.tenant, alert.device, alert.id LIMIT :limit"
)


async def old(
    tx: Tx, after: Key, span: Span, before: int, devices: int, limit: int
) -> tuple[Sequence[Row], Key | None]:
    """Alerts beyond `after` that came in before `before`, of the next `devices`, and where to look on; None: the end.

    The newest alert of each subject is not among them, nor the one that opened what is open. Runs as the system.
    """
    place = {"tenant": after[0], "device": after[1]}
    names = await tx.all(_NAMES, **place, devices=devices)
    rows = await tx.all(
        _OLD, **place, id=after[2], devices=devices, limit=limit, low=span.low, high=span.high, before=before
    )
    if len(rows) == limit:
        return rows, (rows[-1]["tenant"], rows[-1]["device"], rows[-1]["id"])
    if len(names) == devices:
        return rows, (names[-1]["tenant"], names[-1]["id"], Span().high)
    return rows, None


async def remove(tx: Tx, alerts: Sequence[Row]) -> None:
    """Forget these, as `old` gave them; that their numbers came stays known. Runs as the system."""
    for place, rows in groupby(alerts, lambda row: (row["tenant"], row["device"], row["account"] or "")):
        await _remember(tx, *place, sorted({row["sequence"] for row in rows if row["sequence"] is not None}))
    await tx.execute(
        "DELETE FROM alert WHERE (tenant, device, id) IN"
        " (SELECT {text:item.0}, {text:item.1}, {text:item.2} FROM {rows:items})",
        items=_encode([(row["tenant"], row["device"], row["id"]) for row in alerts]).decode(),
    )


async def _remember(tx: Tx, tenant: str, device: str, account: str, numbers: Iterable[int]) -> None:
    """These numbers of an account have come."""
    for _, members in groupby(enumerate(numbers), lambda each: each[1] - each[0]):
        run = [number for _, number in members]
        first, last = run[0], run[-1]
        where: dict[str, Any] = {"t": tenant, "d": device, "a": account, "from": first - 1, "to": last + 1}
        touching = "tenant = :t AND device = :d AND account = :a AND first <= :to AND last >= :from"
        for row in await tx.all(f"SELECT first, last FROM forgotten WHERE {touching}", **where):
            first, last = min(first, row["first"]), max(last, row["last"])
        await tx.execute(f"DELETE FROM forgotten WHERE {touching}", **where)
        await tx.execute(
            "INSERT INTO forgotten (tenant, device, account, first, last) VALUES (:t, :d, :a, :first, :last)",
            t=tenant, d=device, a=account, first=first, last=last,
        )  # fmt: skip


async def some_leave(tx: Tx, device_id: str, limit: int) -> int:
    """Remove some of the alerts of a device that is about to be removed; how many."""
    return await tx.execute(
        "DELETE FROM alert WHERE tenant = :tenant AND device = :id AND id IN (SELECT alert.id FROM alert"
        " JOIN device ON device.tenant = :tenant AND device.id = alert.device"
        " WHERE {visible} AND alert.tenant = :tenant AND alert.device = :id LIMIT :limit)",
        id=device_id,
        limit=limit,
    )
