"""The SQL of what other programs of this machine ask about alerts, and of forgetting a device's."""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

from vedette.server.db import Row, Tx

_OF_DEVICE = "EXISTS (SELECT 1 FROM device WHERE device.tenant = {0}.tenant AND device.id = {0}.device AND {{visible}})"


async def counts(tx: Tx, limit: int, offset: int) -> list[Row]:
    """Devices with how many problems are open and how many alerts there were."""
    return await tx.all(
        "SELECT device.id, device.open_count, (SELECT count(*) FROM alert WHERE alert.tenant = device.tenant"
        " AND alert.device = device.id) AS total FROM device WHERE {visible} ORDER BY device.id"
        " LIMIT :limit OFFSET :offset",
        limit=limit, offset=offset,
    )  # fmt: skip


async def forget(tx: Tx, device: str) -> bool:
    """Everything that a device has told of itself in alerts. False: there is no such device."""
    for table in ("delivery", "notification", "alert", "subject", "gap", "monitor_config"):
        await tx.execute(
            f"DELETE FROM {table} WHERE tenant = :tenant AND {table}.device = :id AND {_OF_DEVICE.format(table)}",
            id=device,
        )
    return await tx.execute("UPDATE device SET open_count = 0 WHERE {visible} AND id = :id", id=device) == 1


async def some_devices(tx: Tx, after: str, limit: int) -> list[str]:
    """Ids of the tenant's devices, in order."""
    rows = await tx.all(
        "SELECT id FROM device WHERE {visible} AND id > :after ORDER BY id LIMIT :limit", after=after, limit=limit
    )
    return [row["id"] for row in rows]
