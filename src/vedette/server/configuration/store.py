"""The SQL of the configuration of devices."""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

from typing import Final

from vedette.server.db import Row, Tx

_COLUMNS: Final = (
    "device_configuration.configured, device_configuration.reported, device_configuration.deployment,"
    " device_configuration.updated_at, device_configuration.reported_at, device_configuration.absent,"
    " device_configuration.version, device_deployment.status AS deployment_status"
)

# --- devices ---------------------------------------------------------------------------------------------------------


async def own(tx: Tx) -> Row | None:
    """For a device: its group; None: it is no longer there."""
    return await tx.one("SELECT group_name FROM device WHERE tenant = :tenant AND id = :device")


async def set_reported(tx: Tx, reported: str, reported_hash: str, now: int) -> None:
    """For a device: what it has taken up."""
    await tx.execute(
        "INSERT INTO device_configuration (tenant, device, configured, reported, reported_hash, updated_at,"
        " reported_at) VALUES (:tenant, :device, '{}', :reported, :hash, :now, :now)"
        " ON CONFLICT (tenant, device) DO UPDATE SET reported = excluded.reported,"
        " reported_hash = excluded.reported_hash, reported_at = excluded.reported_at",
        reported=reported, hash=reported_hash, now=now,
    )  # fmt: skip


# --- users -----------------------------------------------------------------------------------------------------------


async def of_device(tx: Tx, device: str) -> Row | None:
    """The record with `status`, `group_name`, `identity` and `created_at` of the device; NULLs where there is none."""
    return await tx.one(
        f"SELECT device.id, device.status, device.group_name, device.identity, device.created_at, {_COLUMNS}"
        " FROM device"
        " LEFT JOIN device_configuration ON device_configuration.tenant = device.tenant"
        " AND device_configuration.device = device.id"
        " LEFT JOIN device_deployment ON device_deployment.tenant = device.tenant"
        " AND device_deployment.device = device.id"
        " AND device_deployment.deployment = device_configuration.deployment"
        " WHERE {visible} AND device.id = :id",
        id=device,
    )


async def remove(tx: Tx, device: str) -> None:
    await tx.execute(
        "DELETE FROM device_configuration WHERE device_configuration.tenant = :tenant"
        " AND device_configuration.device = :id AND EXISTS (SELECT 1 FROM device"
        " WHERE device.tenant = device_configuration.tenant AND device.id = device_configuration.device AND {visible})",
        id=device,
    )
