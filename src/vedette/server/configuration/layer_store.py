"""The SQL of the layers of configurations and their versions. The layer of the tenant is the one of the group ''."""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

import json
from collections.abc import Mapping, Sequence
from typing import Final

from vedette.server.db import Row, Tx

_SEEN: Final = "(:all = 1 OR configuration_version.group_name IN {each:mine})"
_NEWEST: Final = (
    " AND configuration_version.number = (SELECT max(newer.number) FROM configuration_version AS newer"
    " WHERE newer.tenant = :tenant AND newer.group_name = configuration_version.group_name)"
)
_VERSION: Final = "number, content, author, comment, reverted_to, created_at"


# --- layers of the tenant and of groups ------------------------------------------------------------------------------


async def newest(tx: Tx, group: str) -> Row | None:
    """The version of a layer that was made last."""
    return await tx.one(
        f"SELECT {_VERSION} FROM configuration_version WHERE tenant = :tenant AND group_name = :of"
        " ORDER BY number DESC LIMIT 1",
        of=group,
    )


async def newest_of(tx: Tx, groups: Sequence[str]) -> dict[str, str]:
    """The content of the newest version of each of these layers; those never written are left out."""
    rows = await tx.all(
        "SELECT group_name, content FROM configuration_version WHERE tenant = :tenant AND group_name IN {each:of}"
        + _NEWEST,
        of=json.dumps(list(groups)),
    )
    return {row["group_name"]: row["content"] for row in rows}


async def with_checks(tx: Tx, limit: int) -> list[tuple[str, str]]:
    """Groups whose layer says something of checks, and what it says."""
    rows = await tx.all(
        "SELECT group_name, content FROM configuration_version WHERE tenant = :tenant AND group_name <> ''"
        f" AND content {{like}} '%monitor.check.%'{_NEWEST} ORDER BY group_name LIMIT :limit",
        limit=limit,
    )
    return [(row["group_name"], row["content"]) for row in rows]


async def version(tx: Tx, group: str, number: int) -> Row | None:
    return await tx.one(
        f"SELECT {_VERSION} FROM configuration_version"
        " WHERE tenant = :tenant AND group_name = :of AND number = :number",
        of=group, number=number,
    )  # fmt: skip


async def versions(tx: Tx, group: str, limit: int, offset: int) -> tuple[list[Row], int]:
    """Versions of a layer, newest first."""
    total: int = await tx.value(
        "SELECT count(*) FROM configuration_version WHERE tenant = :tenant AND group_name = :of", of=group
    )
    rows = await tx.all(
        f"SELECT {_VERSION} FROM configuration_version WHERE tenant = :tenant AND group_name = :of"
        " ORDER BY number DESC LIMIT :limit OFFSET :offset",
        of=group, limit=limit, offset=offset,
    )  # fmt: skip
    return rows, total


async def add_version(tx: Tx, group: str, values: Mapping[str, object]) -> None:
    await tx.execute(
        "INSERT INTO configuration_version (tenant, group_name, number, content, author, comment, reverted_to,"
        " created_at) VALUES (:tenant, :of, :number, :content, :author, :comment, :reverted_to, :now)",
        of=group, **values,
    )  # fmt: skip


async def forget_versions(tx: Tx, group: str, up_to: int) -> None:
    """Remove old versions, with their rollouts."""
    await tx.execute(
        "DELETE FROM configuration_version WHERE tenant = :tenant AND group_name = :of AND number <= :number",
        of=group, number=up_to,
    )  # fmt: skip


async def layers(tx: Tx, mine: Sequence[str] | None, limit: int, offset: int) -> tuple[list[Row], int]:
    """The newest version of each layer, by name, the tenant's first; `mine`: only these."""
    seen = {"all": int(mine is None), "mine": json.dumps(list(mine or ()))}
    total: int = await tx.value(
        "SELECT count(*) FROM (SELECT DISTINCT group_name FROM configuration_version"
        f" WHERE tenant = :tenant AND {_SEEN}) AS found",
        **seen,
    )
    rows = await tx.all(
        "SELECT configuration_version.*, rollout.id AS rollout, rollout.state FROM configuration_version"
        " LEFT JOIN rollout ON rollout.tenant = configuration_version.tenant"
        " AND rollout.group_name = configuration_version.group_name AND rollout.version = configuration_version.number"
        f" WHERE configuration_version.tenant = :tenant AND {_SEEN}{_NEWEST}"
        " ORDER BY configuration_version.group_name LIMIT :limit OFFSET :offset",
        **seen, limit=limit, offset=offset,
    )  # fmt: skip
    return rows, total


async def count(tx: Tx) -> int:
    """How many layers of groups there are, and the tenant's."""
    total: int = await tx.value(
        "SELECT count(*) FROM (SELECT DISTINCT group_name FROM configuration_version WHERE tenant = :tenant) AS found"
    )
    return total


async def reached(tx: Tx, group: str, limit: int) -> list[Row]:
    """How far the versions of a layer have come, newest first: `number`, `rollout`, `reached`, `stopped`, `state`,
    `wave`."""
    return await tx.all(
        "SELECT version AS number, id AS rollout, reached, stopped, state, wave FROM rollout"
        " WHERE tenant = :tenant AND group_name = :of ORDER BY version DESC LIMIT :limit",
        of=group, limit=limit,
    )  # fmt: skip


async def contents(tx: Tx, group: str, numbers: Sequence[int]) -> dict[int, str]:
    rows = await tx.all(
        "SELECT number, content FROM configuration_version WHERE tenant = :tenant AND group_name = :of"
        " AND number IN {each_int:numbers}",
        of=group, numbers=json.dumps(list(numbers)),
    )  # fmt: skip
    return {row["number"]: row["content"] for row in rows}


# --- devices ---------------------------------------------------------------------------------------------------------

_DEVICE: Final = (
    "SELECT device.id, device.group_name, device.status, device_configuration.configured, device_configuration.absent,"
    " device_configuration.version, device_configuration.deployed, device_configuration.deployment,"
    " device_configuration.reported_hash, device_configuration.reported_at, device_deployment.ended_at,"
    " device_deployment.status AS deployment_status, deployment.held FROM device"
    " LEFT JOIN device_configuration ON device_configuration.tenant = device.tenant"
    " AND device_configuration.device = device.id"
    " LEFT JOIN device_deployment ON device_deployment.tenant = device.tenant AND device_deployment.device = device.id"
    " AND device_deployment.deployment = device_configuration.deployment"
    " LEFT JOIN deployment ON deployment.tenant = device.tenant AND deployment.id = device_configuration.deployment"
    " WHERE {visible}"
)


async def devices(tx: Tx, ids: Sequence[str]) -> list[Row]:
    """What is known of the configuration of each of these devices; NULLs where that is nothing."""
    return await tx.all(f"{_DEVICE} AND device.id IN {{each:ids}}", ids=json.dumps(list(ids)))


async def some_devices(tx: Tx, group: str, limit: int) -> list[Row]:
    """The same of the first accepted devices of a group; '' is all of them."""
    where, order = _within(group)
    return await tx.all(
        f"{_DEVICE} AND device.id IN (SELECT id FROM device WHERE {{visible}}{where} AND status = 'accepted'"
        f" ORDER BY id LIMIT :limit){order}",
        of=group, limit=limit,
    )  # fmt: skip


async def own_layers(tx: Tx, group: str, limit: int) -> list[Row]:
    """The same of accepted devices that have a layer of their own."""
    where, order = _within(group)
    return await tx.all(
        f"{_DEVICE}{where} AND device.status = 'accepted'"
        " AND (device_configuration.configured <> '{}' OR device_configuration.absent <> '[]')"
        f"{order} LIMIT :limit",
        of=group, limit=limit,
    )  # fmt: skip


def _within(group: str) -> tuple[str, str]:
    return ("" if group == "" else " AND device.group_name = :of"), " ORDER BY device.id"


async def ids(tx: Tx, group: str, after: str, limit: int) -> list[str]:
    """The ids of the accepted devices of a group behind `after`, in order; '' is all of them."""
    where, order = _within(group)
    rows = await tx.all(
        f"SELECT device.id FROM device WHERE {{visible}}{where} AND device.status = 'accepted'"
        f" AND device.id > :after{order} LIMIT :limit",
        of=group, after=after, limit=limit,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def counts(tx: Tx) -> dict[str | None, int]:
    """How many accepted devices each group has; None: in no group."""
    rows = await tx.all(
        "SELECT device.group_name, device.devices FROM device_count AS device"
        " WHERE {visible} AND device.status = 'accepted'"
    )
    return {row["group_name"]: row["devices"] for row in rows}


async def drifting(tx: Tx, group: str | None, limit: int, offset: int) -> tuple[list[Row], int]:
    """Devices that report something else than they were given, by id, with both; in a group, or in any (None)."""
    where = (
        " FROM device_configuration JOIN device ON device.tenant = device_configuration.tenant"
        " AND device.id = device_configuration.device"
        " JOIN deployment ON deployment.tenant = device_configuration.tenant"
        " AND deployment.id = device_configuration.deployment"
        " JOIN device_deployment ON device_deployment.tenant = device_configuration.tenant"
        " AND device_deployment.device = device_configuration.device"
        " AND device_deployment.deployment = device_configuration.deployment"
        " WHERE device_configuration.tenant = :tenant AND {visible} AND device.status = 'accepted'"
        " AND device_configuration.deployed <> device_configuration.reported_hash"
        " AND (CAST(:of AS text) IS NULL OR device.group_name = :of)"
    )
    total: int = await tx.value(f"SELECT count(*){where}", of=group)
    rows = await tx.all(
        "SELECT device.id, device.group_name, deployment.content, device_configuration.reported,"
        " device_configuration.reported_at, device_configuration.deployment, device_deployment.status"
        f"{where} ORDER BY device_configuration.device LIMIT :limit OFFSET :offset",
        of=group, limit=limit, offset=offset,
    )  # fmt: skip
    return rows, total


async def set_deployed(tx: Tx, devices: Sequence[str], deployment: str, content_hash: str, now: int) -> None:
    """The last deployment that was made of it, and what it brings."""
    await tx.execute(
        "INSERT INTO device_configuration (tenant, device, configured, reported, deployment, deployed, updated_at)"
        " SELECT device.tenant, device.id, '{}', '{}', CAST(:deployment AS text), CAST(:hash AS text),"
        " CAST(:now AS bigint) FROM device WHERE {visible} AND device.id IN {each:ids}"
        " ON CONFLICT (tenant, device) DO UPDATE SET deployment = excluded.deployment, deployed = excluded.deployed",
        deployment=deployment, hash=content_hash, now=now, ids=json.dumps(list(devices)),
    )  # fmt: skip


# --- versions of the layer of one device -----------------------------------------------------------------------------

_OF_DEVICE: Final = (
    " FROM device_configuration_version JOIN device ON device.tenant = device_configuration_version.tenant"
    " AND device.id = device_configuration_version.device"
    " WHERE device_configuration_version.tenant = :tenant AND device_configuration_version.device = :of AND {visible}"
)
_OWN_VERSION: Final = (
    "SELECT device_configuration_version.number, device_configuration_version.content,"
    " device_configuration_version.author, device_configuration_version.comment,"
    " device_configuration_version.reverted_to, device_configuration_version.created_at"
)


async def device_version(tx: Tx, device: str, number: int) -> Row | None:
    return await tx.one(
        f"{_OWN_VERSION}{_OF_DEVICE} AND device_configuration_version.number = :number", of=device, number=number
    )


async def device_versions(tx: Tx, device: str, limit: int, offset: int) -> tuple[list[Row], int]:
    """Versions of the layer of a device, newest first."""
    total: int = await tx.value(f"SELECT count(*){_OF_DEVICE}", of=device)
    rows = await tx.all(
        f"{_OWN_VERSION}{_OF_DEVICE} ORDER BY device_configuration_version.number DESC LIMIT :limit OFFSET :offset",
        of=device, limit=limit, offset=offset,
    )  # fmt: skip
    return rows, total


async def add_device_version(tx: Tx, device: str, values: Mapping[str, object]) -> None:
    """Of a device that is known to be there for this scope."""
    await tx.execute(
        "INSERT INTO device_configuration_version (tenant, device, number, content, author, comment, reverted_to,"
        " created_at) VALUES (:tenant, :of, :number, :content, :author, :comment, :reverted_to, :now)",
        of=device, **values,
    )  # fmt: skip


async def forget_device_versions(tx: Tx, device: str, up_to: int) -> None:
    await tx.execute(
        "DELETE FROM device_configuration_version WHERE {visible:device_configuration_version}"
        " AND device_configuration_version.device = :of AND device_configuration_version.number <= :number",
        of=device, number=up_to,
    )  # fmt: skip


async def set_own(tx: Tx, device: str, configured: str, absent: str, number: int, now: int) -> None:
    """What the layer of a device says from now on."""
    await tx.execute(
        "INSERT INTO device_configuration (tenant, device, configured, absent, version, reported, updated_at)"
        " SELECT device.tenant, device.id, CAST(:configured AS text), CAST(:absent AS text), CAST(:number AS bigint),"
        " '{}', CAST(:now AS bigint) FROM device WHERE {visible} AND device.id = :id"
        " ON CONFLICT (tenant, device) DO UPDATE SET configured = excluded.configured, absent = excluded.absent,"
        " version = excluded.version, updated_at = excluded.updated_at",
        id=device, configured=configured, absent=absent, number=number, now=now,
    )  # fmt: skip


# --- devices for which another configuration may count now -----------------------------------------------------------


async def due(tx: Tx, limit: int) -> list[Row]:
    """`tenant` and `device`. Runs as the system."""
    return await tx.all(
        "SELECT tenant, device FROM configuration_due ORDER BY tenant, device LIMIT :limit", limit=limit
    )


async def no_longer_due(tx: Tx, devices: Sequence[str]) -> dict[str, bool]:
    """Those of them that still were, and whether they were let in meanwhile."""
    rows = await tx.all(
        "DELETE FROM configuration_due WHERE {visible:configuration_due} AND device IN {each:ids}"
        " RETURNING device, anew",
        ids=json.dumps(list(devices)),
    )
    return {row["device"]: row["anew"] > 0 for row in rows}
