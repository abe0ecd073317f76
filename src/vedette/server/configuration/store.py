"""The SQL of the configuration of devices."""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

from typing import Final

from vedette.server.db import Row, Tx

_COLUMNS: Final = (
    "device_configuration.configured, device_configuration.reported, device_configuration.deployment,"
    " device_configuration.updated_at, device_configuration.reported_at"
)

# --- devices ---------------------------------------------------------------------------------------------------------


async def own(tx: Tx) -> Row | None:
    """For a device: what is wanted of it; None: it is no longer there. Without a record, `configured` is NULL."""
    return await tx.one(
        "SELECT device.group_name, device_configuration.configured FROM device"
        " LEFT JOIN device_configuration ON device_configuration.tenant = device.tenant"
        " AND device_configuration.device = device.id WHERE device.tenant = :tenant AND device.id = :device"
    )


async def set_reported(tx: Tx, reported: str, now: int) -> None:
    """For a device: what it has taken up."""
    await tx.execute(
        "INSERT INTO device_configuration (tenant, device, configured, reported, updated_at, reported_at)"
        " VALUES (:tenant, :device, '{}', :reported, :now, :now)"
        " ON CONFLICT (tenant, device) DO UPDATE SET reported = excluded.reported, reported_at = excluded.reported_at",
        reported=reported, now=now,
    )  # fmt: skip


# --- users -----------------------------------------------------------------------------------------------------------


async def of_device(tx: Tx, device: str) -> Row | None:
    """The record with `status`, `group_name`, `identity` and `created_at` of the device; NULLs where there is none."""
    return await tx.one(
        f"SELECT device.status, device.group_name, device.identity, device.created_at, {_COLUMNS} FROM device"
        " LEFT JOIN device_configuration ON device_configuration.tenant = device.tenant"
        " AND device_configuration.device = device.id WHERE {visible} AND device.id = :id",
        id=device,
    )


async def set_configured(tx: Tx, device: str, configured: str, now: int) -> None:
    """What is wanted of a device that is known to be there."""
    await tx.execute(
        "INSERT INTO device_configuration (tenant, device, configured, reported, updated_at)"
        " SELECT device.tenant, device.id, CAST(:configured AS text), '{}', CAST(:now AS bigint)"
        " FROM device WHERE {visible} AND device.id = :id"
        " ON CONFLICT (tenant, device) DO UPDATE SET configured = excluded.configured,"
        " updated_at = excluded.updated_at",
        id=device, configured=configured, now=now,
    )  # fmt: skip


async def set_deployment(tx: Tx, device: str, deployment: str, now: int) -> None:
    """The last deployment that was made of it."""
    await tx.execute(
        "INSERT INTO device_configuration (tenant, device, configured, reported, deployment, updated_at)"
        " SELECT device.tenant, device.id, '{}', '{}', CAST(:deployment AS text), CAST(:now AS bigint)"
        " FROM device WHERE {visible} AND device.id = :id"
        " ON CONFLICT (tenant, device) DO UPDATE SET deployment = excluded.deployment",
        id=device, deployment=deployment, now=now,
    )  # fmt: skip


async def remove(tx: Tx, device: str) -> None:
    await tx.execute(
        "DELETE FROM device_configuration WHERE device_configuration.tenant = :tenant"
        " AND device_configuration.device = :id AND EXISTS (SELECT 1 FROM device"
        " WHERE device.tenant = device_configuration.tenant AND device.id = device_configuration.device AND {visible})",
        id=device,
    )
