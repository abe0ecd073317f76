"""The SQL of devices' accounts: the only module that knows the table `gap`; of alerts it reads the numbers."""

from collections.abc import Iterable
from uuid import UUID

from vedette.model import Gap
from vedette.server.db import Row, Tx
from vedette.wire import incoming


async def count_gaps(tx: Tx) -> int:
    """How many gaps the device has reported so far."""
    number: int = await tx.value("SELECT count(*) FROM gap WHERE tenant = :tenant AND device = :device")
    return number


async def add_gaps(tx: Tx, gaps: Iterable[Gap], now: int) -> None:
    """Keep gaps of a device; one that is known already stays as it is."""
    await tx.many(
        "INSERT INTO gap (tenant, device, account, first, last, reason, at, received_at)"
        " VALUES (:tenant, :device, :account, :first, :last, :reason, :at, :now) ON CONFLICT DO NOTHING",
        (
            {
                "account": str(gap.account),
                "first": gap.first,
                "last": gap.last,
                "reason": gap.reason,
                "at": incoming.microseconds(gap.at),
                "now": now,
            }
            for gap in gaps
        ),
    )


async def gaps(tx: Tx, device: str) -> list[Gap]:
    """All gaps of a device, by account and number."""
    rows = await tx.all(
        "SELECT gap.* FROM gap JOIN device ON device.tenant = :tenant AND device.id = gap.device"
        " WHERE {visible} AND gap.tenant = :tenant AND gap.device = :id ORDER BY gap.account, gap.first, gap.last",
        id=device,
    )
    return [
        Gap(
            account=UUID(row["account"]),
            first=row["first"],
            last=row["last"],
            reason=row["reason"],
            at=incoming.moment(row["at"]),
        )
        for row in rows
    ]


async def received(tx: Tx, device: str, limit: int) -> list[Row]:
    """Numbers that have come, as ranges: account (NULL or empty: not named), first, last.

    At most `limit` of alerts that are there, and as many of those that have been forgotten.
    """
    forgotten = await tx.all(
        "SELECT forgotten.account, forgotten.first, forgotten.last FROM forgotten"
        " JOIN device ON device.tenant = :tenant AND device.id = forgotten.device"
        " WHERE {visible} AND forgotten.tenant = :tenant AND forgotten.device = :id"
        " ORDER BY forgotten.account, forgotten.first LIMIT :limit",
        id=device,
        limit=limit,
    )
    return forgotten + await tx.all(
        "WITH numbered AS (SELECT DISTINCT alert.account, alert.sequence FROM alert"
        " JOIN device ON device.tenant = :tenant AND device.id = alert.device"
        " WHERE {visible} AND alert.tenant = :tenant AND alert.device = :id AND alert.sequence IS NOT NULL),"
        " placed AS (SELECT account, sequence,"
        " sequence - row_number() OVER (PARTITION BY account ORDER BY sequence) AS island FROM numbered)"
        " SELECT account, min(sequence) AS first, max(sequence) AS last FROM placed"
        " GROUP BY account, island ORDER BY account NULLS FIRST, first LIMIT :limit",
        id=device,
        limit=limit,
    )
