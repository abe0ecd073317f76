"""The SQL of the outbox: the only module that knows the table `delivery`, and the taker of `notification`.

All of it runs for the server itself: an outbox belongs to no user.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from vedette.server.db import Row, Tx

_encode = msgspec.json.Encoder().encode

_TEXTS: Final = ("tenant", "device", "alert_id", "thread", "user_id", "channel", "address", "state", "reason")
_OWE: Final = (
    f"INSERT INTO delivery ({', '.join(_TEXTS)}, due_at, created_at, ended_at)"  # noqa: S608 - our own names
    f" SELECT {', '.join(f'{{text:item.{name}}}' for name in _TEXTS)}, {{int:item.now}}, {{int:item.now}},"
    " {int:item.ended_at} FROM {rows:items} ORDER BY item.key"
)


async def undecided_tenants(tx: Tx, limit: int) -> set[str]:
    """Whose alerts are the oldest that somebody may have to hear of."""
    rows = await tx.all(
        "SELECT DISTINCT tenant FROM (SELECT tenant FROM notification ORDER BY id LIMIT :limit) AS oldest", limit=limit
    )
    return {row["tenant"] for row in rows}


async def decide(
    tx: Tx, limit: int, tenants: Iterable[str], deliveries: Callable[[Row], Iterable[Mapping[str, object]]]
) -> int:
    """Turn the oldest alerts of these tenants into deliveries; how many there were.

    Args:
        deliveries: of one alert, which comes with the group its device is in; pure.
    """
    rows = await tx.all(
        "SELECT notification.*, device.group_name FROM notification"
        " JOIN device ON device.tenant = notification.tenant AND device.id = notification.device"
        " WHERE notification.tenant IN {each:tenants}"
        " ORDER BY notification.id LIMIT :limit",
        limit=limit,
        tenants=_encode(list(tenants)).decode(),
    )
    # In one step: the threads of the storm of alerts that this belongs to want the interpreter after each.
    await tx.execute(_OWE, items=_encode([delivery for row in rows for delivery in deliveries(row)]).decode())
    await tx.execute(
        "DELETE FROM notification WHERE id IN {each_int:ids}",
        ids=_encode([row["id"] for row in rows]).decode(),
    )
    return len(rows)


async def lease(tx: Tx, now: int, until: int, beyond: int, limit: int) -> list[Row]:
    """Deliveries that are due, oldest first, also those due after `beyond`; nobody else gets them before `until`."""
    rows = await tx.all(
        "UPDATE delivery SET due_at = :until WHERE id IN"
        " (SELECT id FROM delivery WHERE state = 'due' AND (due_at <= :now OR due_at > :beyond)"
        " ORDER BY due_at, id LIMIT :limit)"
        " RETURNING *, (SELECT group_name FROM device WHERE device.tenant = delivery.tenant"
        " AND device.id = delivery.device) AS group_name",
        now=now,
        until=until,
        beyond=beyond,
        limit=limit,
    )
    return sorted(rows, key=lambda row: row["id"])


async def renew(tx: Tx, ids: Iterable[int], until: int) -> None:
    """Keep what was leased for longer."""
    await tx.execute(
        "UPDATE delivery SET due_at = :until WHERE state = 'due' AND id IN {each_int:ids}",
        ids=_encode(list(ids)).decode(),
        until=until,
    )


async def conclude(
    tx: Tx, id: int, *, state: str, reason: str, attempts: int, due_at: int, ended_at: int | None
) -> None:
    """What became of one delivery."""
    await tx.execute(
        "UPDATE delivery SET state = :state, reason = :reason, attempts = attempts + :attempts, due_at = :due_at,"
        " ended_at = :ended_at WHERE id = :id",
        id=id,
        state=state,
        reason=reason,
        attempts=attempts,
        due_at=due_at,
        ended_at=ended_at,
    )


async def next_due(tx: Tx) -> int | None:
    """When the next delivery is due, microseconds since 1970; None: nothing waits."""
    at: int | None = await tx.value("SELECT min(due_at) FROM delivery WHERE state = 'due'")
    return at


async def undecided(tx: Tx, device: str, alert: str) -> bool:
    """Whether an alert still waits to become deliveries."""
    found = await tx.value(
        "SELECT 1 FROM notification JOIN device ON device.tenant = :tenant AND device.id = notification.device"
        " WHERE {visible} AND notification.tenant = :tenant AND notification.device = :id"
        " AND notification.alert_id = :alert",
        id=device,
        alert=alert,
    )
    return found is not None


async def of_alert(tx: Tx, device: str, alert: str) -> list[Row]:
    """What became of one alert, for a user who may see the device."""
    return await tx.all(
        "SELECT delivery.* FROM delivery JOIN device ON device.tenant = :tenant AND device.id = delivery.device"
        " WHERE {visible} AND delivery.tenant = :tenant AND delivery.device = :id AND delivery.alert_id = :alert"
        " ORDER BY delivery.id",
        id=device,
        alert=alert,
    )


# --- forgetting ------------------------------------------------------------------------------------------------------

_THESE = "IN (SELECT {text:item.0}, {text:item.1}, {text:item.2} FROM {rows:items})"


async def owed(tx: Tx, alerts: Sequence[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Of these alerts (tenant, device, id) those that somebody is still to hear of."""
    rows = await tx.all(
        f"SELECT tenant, device, alert_id FROM notification WHERE (tenant, device, alert_id) {_THESE} UNION ALL"  # noqa: S608
        f" SELECT tenant, device, alert_id FROM delivery WHERE state = 'due' AND (tenant, device, alert_id) {_THESE}",
        items=_encode(alerts).decode(),
    )
    return {(row["tenant"], row["device"], row["alert_id"]) for row in rows}


async def forget(tx: Tx, alerts: Sequence[tuple[str, str, str]]) -> None:
    """Forget what became of these alerts (tenant, device, id)."""
    await tx.execute(
        f"DELETE FROM delivery WHERE (tenant, device, alert_id) {_THESE}",  # noqa: S608
        items=_encode(alerts).decode(),
    )


async def some_leave(tx: Tx, device_id: str, limit: int) -> int:
    """Remove some of the deliveries of a device that is about to be removed; how many."""
    return await tx.execute(
        "DELETE FROM delivery WHERE id IN (SELECT delivery.id FROM delivery"
        " JOIN device ON device.tenant = :tenant AND device.id = delivery.device"
        " WHERE {visible} AND delivery.tenant = :tenant AND delivery.device = :id LIMIT :limit)",
        id=device_id,
        limit=limit,
    )
