"""The SQL of devices and their authentication sets. Statements for users confine themselves by `{visible}`."""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

import json
from collections.abc import Iterable, Mapping

from vedette.server.db import Row, Tx

DEVICE = (
    "device.id, device.identity, device.status, device.group_name, device.check_in_at, device.open_count,"
    " device.decommissioning,"
    " device.created_at, device.updated_at"
)
NAME = (
    "(SELECT {plain:value} FROM attribute WHERE attribute.tenant = device.tenant"
    " AND attribute.device = device.id AND (scope, name) IN (VALUES ('tags', 'name'), ('inventory', 'hostname'))"
    " ORDER BY scope DESC LIMIT 1) AS name"
)
_OF_VISIBLE = (
    "EXISTS (SELECT 1 FROM device WHERE device.tenant = auth_set.tenant AND device.id = auth_set.device AND {visible})"
)


async def device(tx: Tx, device_id: str) -> Row | None:
    return await tx.one(f"SELECT {DEVICE}, {NAME} FROM device WHERE {{visible}} AND id = :id", id=device_id)


async def by_identity(tx: Tx, identity_hash: str) -> Row | None:
    return await tx.one(
        "SELECT id, status, group_name FROM device WHERE {visible} AND identity_hash = :hash", hash=identity_hash
    )


async def add_device(tx: Tx, device_id: str, identity: str, identity_hash: str, status: str, now: int) -> None:
    await tx.execute(
        "INSERT INTO device (tenant, id, identity, identity_hash, status, created_at, updated_at)"
        " VALUES (:tenant, :id, :identity, :hash, :status, :now, :now)",
        id=device_id, identity=identity, hash=identity_hash, status=status, now=now,
    )  # fmt: skip


async def set_status(tx: Tx, device_id: str, status: str, now: int) -> None:
    await tx.execute(
        "UPDATE device SET status = :status, updated_at = :now WHERE {visible} AND id = :id",
        id=device_id, status=status, now=now,
    )  # fmt: skip


async def remove_device(tx: Tx, device_id: str) -> int:
    return await tx.execute("DELETE FROM device WHERE {visible} AND id = :id", id=device_id)


async def auth_sets(tx: Tx, device_id: str) -> list[Row]:
    return await auth_sets_of(tx, [device_id])


async def auth_sets_of(tx: Tx, device_ids: Iterable[str]) -> list[Row]:
    """The authentication sets of some devices, those of one by age."""
    return await tx.all(
        "SELECT auth_set.device, auth_set.id, auth_set.pubkey, auth_set.status, auth_set.created_at FROM auth_set"
        f" WHERE auth_set.tenant = :tenant AND auth_set.device IN {{each:ids}} AND {_OF_VISIBLE}"
        " ORDER BY auth_set.device, auth_set.created_at, auth_set.id",
        ids=json.dumps(list(device_ids)),
    )


async def auth_set_by_key(tx: Tx, device_id: str, pubkey: str) -> Row | None:
    return await tx.one(
        "SELECT id, status FROM auth_set WHERE tenant = :tenant AND auth_set.device = :id AND pubkey = :pubkey"
        f" AND {_OF_VISIBLE}",
        id=device_id, pubkey=pubkey,
    )  # fmt: skip


async def limit(tx: Tx) -> int:
    """How many devices the tenant may have accepted; 0: any number."""
    found: int = await tx.value("SELECT device_limit FROM tenant WHERE id = :tenant")
    return found


async def add_auth_set(tx: Tx, device_id: str, auth_id: str, pubkey: str, status: str, now: int) -> None:
    await tx.execute(
        "INSERT INTO auth_set (tenant, device, id, pubkey, status, created_at)"
        " VALUES (:tenant, :of, :id, :pubkey, :status, :now)",
        of=device_id, id=auth_id, pubkey=pubkey, status=status, now=now,
    )  # fmt: skip


async def set_auth_status(tx: Tx, device_id: str, auth_id: str, status: str) -> int:
    """Set it; whoever is not accepted has no live token."""
    return await tx.execute(
        "UPDATE auth_set SET status = :status,"
        " token_hash = CASE WHEN :status = 'accepted' THEN token_hash END"
        f" WHERE tenant = :tenant AND auth_set.device = :of AND id = :id AND {_OF_VISIBLE}",
        of=device_id, id=auth_id, status=status,
    )  # fmt: skip


async def remove_auth_set(tx: Tx, device_id: str, auth_id: str) -> int:
    return await tx.execute(
        f"DELETE FROM auth_set WHERE tenant = :tenant AND auth_set.device = :of AND id = :id AND {_OF_VISIBLE}",
        of=device_id, id=auth_id,
    )  # fmt: skip


async def keep_token(tx: Tx, device_id: str, auth_id: str, token_hash: str, now: int) -> bool:
    """Make this the one live token of the device. False: the authentication set is not accepted any more."""
    count = await tx.execute(
        "UPDATE auth_set SET token_hash = :hash WHERE tenant = :tenant AND auth_set.device = :of AND id = :id"
        f" AND auth_set.status = 'accepted' AND {_OF_VISIBLE}",
        of=device_id, id=auth_id, hash=token_hash,
    )  # fmt: skip
    await tx.execute("UPDATE device SET check_in_at = :now WHERE {visible} AND id = :id", id=device_id, now=now)
    return count == 1


async def drop_token(tx: Tx, auth_id: str) -> str | None:
    """Kill the live token with this id; its device, or None when there is none."""
    found: str | None = await tx.value(
        f"UPDATE auth_set SET token_hash = NULL WHERE tenant = :tenant AND id = :id AND token_hash IS NOT NULL"
        f" AND {_OF_VISIBLE} RETURNING device",
        id=auth_id,
    )
    return found


async def drop_tokens(tx: Tx, device_id: str | None) -> None:
    """Kill the live tokens of one device, or of all (None)."""
    await tx.execute(
        f"UPDATE auth_set SET token_hash = NULL WHERE tenant = :tenant AND token_hash IS NOT NULL"
        f" AND (CAST(:id AS text) IS NULL OR auth_set.device = :id) AND {_OF_VISIBLE}",
        id=device_id,
    )


async def token_is_live(tx: Tx, auth_id: str, token_hash: str) -> bool:
    """For a device: is this its one live token, and may it speak at all?"""
    found = await tx.value(
        "SELECT 1 FROM auth_set JOIN device ON device.tenant = auth_set.tenant AND device.id = auth_set.device"
        " JOIN tenant ON tenant.id = auth_set.tenant"
        " WHERE auth_set.tenant = :tenant AND auth_set.device = :device AND auth_set.id = :id"
        " AND auth_set.token_hash = :hash AND auth_set.status = 'accepted' AND device.decommissioning = 0"
        " AND tenant.status = 'active'",
        id=auth_id, hash=token_hash,
    )  # fmt: skip
    return found is not None


async def check_in(tx: Tx, rows: Iterable[Mapping[str, object]]) -> None:
    """Note when devices were here last, across tenants: `tenant`, `id`, `at` each. Runs as the system.

    Another process may have written a little more. What is much later was written by a clock that was wrong then.
    """
    await tx.many(
        "UPDATE device SET check_in_at = CASE WHEN check_in_at BETWEEN :at AND :at + 600000000 THEN check_in_at"
        " ELSE :at END WHERE tenant = :tenant AND id = :id",
        rows,
    )


async def mark_leaving(tx: Tx, device_id: str) -> None:
    await tx.execute("UPDATE device SET decommissioning = 1 WHERE {visible} AND id = :id", id=device_id)


async def is_leaving(tx: Tx, device_id: str) -> bool:
    found = await tx.value("SELECT 1 FROM device WHERE {visible} AND id = :id AND decommissioning = 1", id=device_id)
    return found is not None


async def leaving(tx: Tx) -> list[Row]:
    """Devices that are to be removed, across tenants. Runs as the system."""
    return await tx.all("SELECT tenant, id FROM device WHERE decommissioning = 1 LIMIT 1000")
