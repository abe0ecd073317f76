"""The SQL of what is known of devices."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from vedette.server.db import Row, Tx

_encode = msgspec.json.Encoder().encode


def encoded(value: Any) -> str:
    """A value as it is stored and compared: JSON, with 5.0 written as 5."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, list):
        return "[" + ",".join(encoded(each) for each in value) + "]"
    return _encode(value).decode()


async def keep_identity(tx: Tx, device_id: str, identity: str, now: int) -> None:
    """The identity of a new device, as attributes that can be searched. For the server acting for its tenant."""
    values = msgspec.json.decode(identity)
    await tx.many(
        "INSERT INTO attribute (tenant, device, scope, name, value, updated_at)"
        " VALUES (:tenant, :of, 'identity', :name, :value, :now)",
        [{"of": device_id, "name": name, "value": encoded(plain(value)), "now": now} for name, value in values.items()],
    )


def plain(value: Any) -> Any:
    """`value` if an attribute can have it, else its JSON as text."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    one_kind = isinstance(value, list) and len({isinstance(each, str) for each in value}) == 1
    if one_kind and all(isinstance(each, str | int | float) and not isinstance(each, bool) for each in value):
        return value
    return _encode(value).decode()


async def of_devices(tx: Tx, device_ids: Iterable[str]) -> list[Row]:
    """Everything known of some devices, by device, scope and name."""
    return await tx.all(
        "SELECT attribute.device, scope, name, value, description, attribute.updated_at FROM attribute"
        " JOIN device ON device.tenant = attribute.tenant AND device.id = attribute.device"
        " WHERE {visible} AND attribute.tenant = :tenant AND attribute.device IN {each:ids}"
        " ORDER BY attribute.device, scope, name",
        ids=_encode(list(device_ids)).decode(),
    )


async def of_scope(tx: Tx, device_id: str, scope: str) -> list[Row]:
    """What users can see of one scope of a device."""
    return await tx.all(
        "SELECT name, value, description, attribute.updated_at FROM attribute"
        " JOIN device ON device.tenant = attribute.tenant AND device.id = attribute.device"
        " WHERE {visible} AND attribute.tenant = :tenant AND attribute.device = :of AND scope = :scope ORDER BY name",
        of=device_id, scope=scope,
    )  # fmt: skip


async def clear(tx: Tx, device_id: str, scope: str) -> None:
    """Forget one scope of a device."""
    await tx.execute(
        "DELETE FROM attribute WHERE tenant = :tenant AND attribute.device = :of AND scope = :scope AND EXISTS"
        " (SELECT 1 FROM device WHERE device.tenant = attribute.tenant AND device.id = attribute.device AND {visible})",
        of=device_id, scope=scope,
    )  # fmt: skip


async def set_scope(tx: Tx, device_id: str, scope: str, rows: Iterable[Mapping[str, object]], now: int) -> None:
    """Write attributes of a device that the caller has been seen to see."""
    await tx.many(
        "INSERT INTO attribute (tenant, device, scope, name, value, description, updated_at)"
        " VALUES (:tenant, :of, :scope, :name, :value, :description, :now)"
        " ON CONFLICT (tenant, device, scope, name)"
        " DO UPDATE SET value = excluded.value, description = excluded.description, updated_at = excluded.updated_at",
        [{**row, "of": device_id, "scope": scope, "now": now} for row in rows],
    )


async def touch(tx: Tx, device_id: str, now: int) -> None:
    """Something about a device has changed."""
    await tx.execute("UPDATE device SET updated_at = :now WHERE {visible} AND id = :id", id=device_id, now=now)


async def set_group(tx: Tx, device_id: str, group: str | None) -> int:
    return await tx.execute("UPDATE device SET group_name = :new WHERE {visible} AND id = :id", id=device_id, new=group)


async def members(tx: Tx, group: str) -> list[str]:
    rows = await tx.all("SELECT id FROM device WHERE {visible} AND group_name = :name ORDER BY id", name=group)
    return [row["id"] for row in rows]


async def names(tx: Tx, limit: int) -> list[Row]:
    """Which attributes there are, and how many devices have each."""
    return await tx.all(
        "SELECT scope, name, count(*) AS count FROM attribute"
        " WHERE {visible:attribute} GROUP BY scope, name ORDER BY count DESC, scope, name"
        " LIMIT :limit",
        limit=limit,
    )
