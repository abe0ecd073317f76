"""The SQL of deployments for people, and of their making. Numbers and lists are of devices that the caller may see."""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vedette.server.db import Row, Tx

_OF_VISIBLE: Final = (
    "EXISTS (SELECT 1 FROM device WHERE device.tenant = device_deployment.tenant"
    " AND device.id = device_deployment.device AND {visible})"
)
# Who sees every device sees also what is left of deployments whose devices are gone.
_SEEN: Final = (
    "deployment.tenant = :tenant AND (:all = 1 OR EXISTS (SELECT 1 FROM device_deployment"
    " JOIN device ON device.tenant = device_deployment.tenant AND device.id = device_deployment.device"
    " WHERE device_deployment.tenant = :tenant AND device_deployment.deployment = deployment.id AND {visible}))"
)
_FROM_DEVICES: Final = (
    " FROM device_deployment JOIN device ON device.tenant = device_deployment.tenant"
    " AND device.id = device_deployment.device"
    " WHERE device_deployment.tenant = :tenant AND device_deployment.hidden = 0 AND {visible}"
)
_DEVICE_COLUMNS: Final = (
    "SELECT device_deployment.device, device_deployment.deployment, device_deployment.status,"
    " device_deployment.substate, device_deployment.attempts, device_deployment.created_at,"
    " device_deployment.started_at, device_deployment.ended_at, CASE WHEN EXISTS (SELECT 1 FROM deployment_log"
    " WHERE deployment_log.tenant = device_deployment.tenant AND deployment_log.device = device_deployment.device"
    " AND deployment_log.deployment = device_deployment.deployment) THEN 1 ELSE 0 END AS has_log"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which deployments are looked for; conditions are and-ed."""

    ids: Sequence[str] | None = None
    status: str | None = None
    type: str | None = None
    text: str | None = None  # part of a name
    created_after: int | None = None  # microseconds; both inclusive
    created_before: int | None = None
    ascending: bool = False  # by creation; the default is the newest first

    def where(self) -> tuple[str, dict[str, Any]]:
        """A condition, and its parameters."""
        terms: list[str] = []
        params: dict[str, Any] = {}
        if self.ids is not None:
            terms.append("deployment.id IN {each:ids}")
            params["ids"] = json.dumps(list(self.ids))
        for column, sign, value in (
            ("status", "=", self.status),
            ("type", "=", self.type),
            ("created_at", ">=", self.created_after),
            ("created_at", "<=", self.created_before),
        ):
            if value is not None:
                name = f"wanted{len(params)}"
                terms.append(f"deployment.{column} {sign} :{name}")
                params[name] = value
        if self.text:
            terms.append(
                "(deployment.name {like} :text ESCAPE '\\' OR deployment.artifact_name {like} :text ESCAPE '\\')"
            )
            escaped = self.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            params["text"] = f"%{escaped}%"
        return "".join(f" AND {term}" for term in terms), params


# --- making, aborting, forgetting ------------------------------------------------------------------------------------


async def add(tx: Tx, values: Mapping[str, object], now: int) -> bool:
    """A deployment that no device has yet. False: there is one with this id."""
    count = await tx.execute(
        "INSERT INTO deployment (tenant, id, type, name, artifact_name, content, control_map, retries, status,"
        " unfinished, gone, created_at) VALUES (:tenant, :id, :type, :name, :artifact_name, :content, :control_map,"
        " :retries, 'pending', :devices, '{}', :now) ON CONFLICT DO NOTHING",
        **values, now=now,
    )  # fmt: skip
    return count == 1


async def add_device(tx: Tx, deployment: str, device: str, now: int) -> bool:
    """Owe it to a device, behind what it is owed already. False: there is no such device for this caller."""
    count = await tx.execute(
        "INSERT INTO device_deployment (tenant, device, deployment, position, status, substate, attempts, hidden,"
        " created_at) SELECT device.tenant, device.id, :deployment, (SELECT coalesce(max(position), 0) + 1"
        " FROM device_deployment WHERE device_deployment.tenant = :tenant AND device_deployment.device = :of),"
        " 'pending', '', 0, 0, CAST(:now AS bigint) FROM device WHERE {visible} AND device.id = :of",
        deployment=deployment, of=device, now=now,
    )  # fmt: skip
    return count == 1


async def widen(tx: Tx, deployment: str, devices: int) -> None:
    """So many more devices have it."""
    await tx.execute(
        "UPDATE deployment SET unfinished = unfinished + :devices, finished_at = NULL,"
        " status = CASE WHEN status = 'finished' THEN 'inprogress' ELSE status END"
        " WHERE tenant = :tenant AND id = :id",
        id=deployment, devices=devices,
    )  # fmt: skip


async def remove(tx: Tx, deployment: str) -> None:
    """One that no device has."""
    await tx.execute("DELETE FROM deployment WHERE tenant = :tenant AND id = :id", id=deployment)


async def add_devices(tx: Tx, deployment: str, devices: Sequence[str], now: int) -> list[str]:
    """As `add_device`, for many; those who had it not."""
    rows = await tx.all(
        "INSERT INTO device_deployment (tenant, device, deployment, position, status, substate, attempts, hidden,"
        " created_at) SELECT device.tenant, device.id, CAST(:deployment AS text),"
        " (SELECT coalesce(max(earlier.position), 0) + 1 FROM device_deployment AS earlier"
        " WHERE earlier.tenant = :tenant AND earlier.device = device.id),"
        " 'pending', '', 0, 0, CAST(:now AS bigint) FROM device WHERE {visible} AND device.id IN {each:ids}"
        " ON CONFLICT (tenant, device, deployment) DO NOTHING RETURNING device",
        deployment=deployment, ids=json.dumps(list(devices)), now=now,
    )  # fmt: skip
    return [row["device"] for row in rows]


async def abort_pending(tx: Tx, devices: Sequence[str], but: str, now: int) -> list[Row]:
    """Abort what these devices have not begun, but for one deployment; the `device` and `deployment` of each."""
    return await tx.all(
        "UPDATE device_deployment SET status = 'aborted', substate = '', ended_at = :now"
        " WHERE device_deployment.tenant = :tenant AND device_deployment.device IN {each:ids}"
        " AND device_deployment.ended_at IS NULL AND device_deployment.status = 'pending'"
        f" AND device_deployment.deployment <> :but AND {_OF_VISIBLE} RETURNING device, deployment",
        ids=json.dumps(list(devices)), but=but, now=now,
    )  # fmt: skip


async def abort_some(tx: Tx, deployments: Sequence[str], limit: int, now: int) -> list[Row]:
    """Abort deployments on devices that have not begun, so many at most; the `device` and `deployment` of each."""
    return await tx.all(
        "UPDATE device_deployment SET status = 'aborted', substate = '', ended_at = :now"
        " WHERE device_deployment.tenant = :tenant AND (device_deployment.device, device_deployment.deployment) IN"
        " (SELECT owed.device, owed.deployment FROM device_deployment AS owed WHERE owed.tenant = :tenant"
        " AND owed.deployment IN {each:ids} AND owed.ended_at IS NULL AND owed.status = 'pending' LIMIT :limit)"
        f" AND {_OF_VISIBLE} RETURNING device, deployment",
        ids=json.dumps(list(deployments)), limit=limit, now=now,
    )  # fmt: skip


async def set_held(tx: Tx, deployments: Sequence[str], held: bool) -> None:
    await tx.execute(
        "UPDATE deployment SET held = :held WHERE tenant = :tenant AND id IN {each:ids}",
        ids=json.dumps(list(deployments)), held=int(held),
    )  # fmt: skip


async def abort(tx: Tx, now: int, *, deployment: str | None = None, device: str | None = None) -> list[Row]:
    """Abort what has not ended, of a deployment or of a device; the `device` and `deployment` of each."""
    column, value = ("deployment", deployment) if device is None else ("device", device)
    return await tx.all(
        "UPDATE device_deployment SET status = 'aborted', substate = '', ended_at = :now"
        f" WHERE device_deployment.tenant = :tenant AND device_deployment.{column} = :value"
        f" AND device_deployment.ended_at IS NULL AND {_OF_VISIBLE} RETURNING device, deployment",
        value=value, now=now,
    )  # fmt: skip


async def groups(tx: Tx, devices: Sequence[str]) -> dict[str, str | None]:
    """The static group of each of these devices."""
    rows = await tx.all(
        "SELECT id, group_name FROM device WHERE {visible} AND id IN {each:ids}", ids=json.dumps(list(devices))
    )
    return {row["id"]: row["group_name"] for row in rows}


async def started(tx: Tx, deployment: str) -> None:
    """A device has begun."""
    await tx.execute(
        "UPDATE deployment SET status = 'inprogress' WHERE tenant = :tenant AND id = :id AND status = 'pending'",
        id=deployment,
    )


async def ended(tx: Tx, deployment: str, now: int, devices: int = 1) -> None:
    """It has ended on so many more devices."""
    await tx.execute(
        "UPDATE deployment SET unfinished = unfinished - :devices,"
        " status = CASE WHEN unfinished <= :devices THEN 'finished' ELSE 'inprogress' END,"
        " finished_at = CASE WHEN unfinished <= :devices THEN CAST(:now AS bigint) END"
        " WHERE tenant = :tenant AND id = :id",
        id=deployment, devices=devices, now=now,
    )  # fmt: skip


async def of_leaving(tx: Tx, device: str) -> list[Row]:
    """Every deployment of a device that is about to be removed, with what is known of those that are gone before."""
    return await tx.all(
        "SELECT device_deployment.deployment, device_deployment.status, device_deployment.ended_at, deployment.gone"
        " FROM device_deployment JOIN device ON device.tenant = device_deployment.tenant"
        " AND device.id = device_deployment.device JOIN deployment ON deployment.tenant = device_deployment.tenant"
        " AND deployment.id = device_deployment.deployment"
        " WHERE device_deployment.tenant = :tenant AND device_deployment.device = :of AND {visible}",
        of=device,
    )


async def set_gone(tx: Tx, deployment: str, gone: str) -> None:
    await tx.execute("UPDATE deployment SET gone = :gone WHERE tenant = :tenant AND id = :id", id=deployment, gone=gone)


async def hide(tx: Tx, device: str) -> None:
    """Take what has ended out of the history of a device, with what it said."""
    await tx.execute(
        "DELETE FROM deployment_log WHERE deployment_log.tenant = :tenant AND deployment_log.device = :of"
        " AND EXISTS (SELECT 1 FROM device_deployment JOIN device ON device.tenant = device_deployment.tenant"
        " AND device.id = device_deployment.device WHERE device_deployment.tenant = deployment_log.tenant"
        " AND device_deployment.device = deployment_log.device"
        " AND device_deployment.deployment = deployment_log.deployment"
        " AND device_deployment.ended_at IS NOT NULL AND {visible})",
        of=device,
    )
    await tx.execute(
        "UPDATE device_deployment SET hidden = 1 WHERE device_deployment.tenant = :tenant"
        f" AND device_deployment.device = :of AND device_deployment.ended_at IS NOT NULL AND {_OF_VISIBLE}",
        of=device,
    )


# --- reading ---------------------------------------------------------------------------------------------------------


async def find(tx: Tx, wanted: Wanted, limit: int, offset: int, *, everything: bool) -> tuple[list[Row], int]:
    """Deployments, one page of them, and how many there are."""
    where, params = wanted.where()
    params["all"] = int(everything)
    total: int = await tx.value(f"SELECT count(*) FROM deployment WHERE {_SEEN}{where}", **params)
    order = "deployment.created_at, deployment.id"
    if not wanted.ascending:
        order = "deployment.created_at DESC, deployment.id DESC"
    rows = await tx.all(
        f"SELECT deployment.* FROM deployment WHERE {_SEEN}{where} ORDER BY {order} LIMIT :limit OFFSET :offset",
        **params, limit=limit, offset=offset,
    )  # fmt: skip
    return rows, total


async def statistics(tx: Tx, deployments: Sequence[str]) -> list[Row]:
    """How many devices have which status: `deployment`, `status`, `number` each."""
    return await tx.all(
        "SELECT device_deployment.deployment, device_deployment.status, count(*) AS number"
        " FROM device_deployment WHERE {visible:device_deployment} AND device_deployment.deployment IN {each:ids}"
        " GROUP BY device_deployment.deployment, device_deployment.status",
        ids=json.dumps(list(deployments)),
    )


async def offline(tx: Tx, deployments: Sequence[str]) -> list[Row]:
    """How many devices have not begun, and have not been heard of since they were owed it: `deployment`, `number`."""
    return await tx.all(
        "SELECT device_deployment.deployment, count(*) AS number FROM device_deployment"
        " JOIN device ON device.tenant = device_deployment.tenant AND device.id = device_deployment.device"
        " WHERE device_deployment.tenant = :tenant AND {visible} AND device_deployment.deployment IN {each:ids}"
        " AND device_deployment.status = 'pending'"
        " AND (device.check_in_at IS NULL OR device.check_in_at < device_deployment.created_at)"
        " GROUP BY device_deployment.deployment",
        ids=json.dumps(list(deployments)),
    )


async def somebody_at_it(tx: Tx, deployments: Sequence[str]) -> bool:
    """Whether a device has not ended that was heard of since it was owed it."""
    found = await tx.value(
        "SELECT 1 FROM device_deployment"
        " JOIN device ON device.tenant = device_deployment.tenant AND device.id = device_deployment.device"
        " WHERE device_deployment.tenant = :tenant AND {visible} AND device_deployment.deployment IN {each:ids}"
        " AND device_deployment.ended_at IS NULL"
        " AND (device_deployment.status <> 'pending' OR device.check_in_at >= device_deployment.created_at) LIMIT 1",
        ids=json.dumps(list(deployments)),
    )
    return found is not None


async def begun(tx: Tx, deployments: Sequence[str], devices: Sequence[str]) -> dict[str, int]:
    """When each of these devices began with one of these deployments; those who have not are not there."""
    rows = await tx.all(
        "SELECT device_deployment.device, min(device_deployment.started_at) AS at FROM device_deployment"
        " JOIN device ON device.tenant = device_deployment.tenant AND device.id = device_deployment.device"
        " WHERE device_deployment.tenant = :tenant AND {visible} AND device_deployment.deployment IN {each:ids}"
        " AND device_deployment.device IN {each:devices} AND device_deployment.started_at IS NOT NULL"
        " GROUP BY device_deployment.device",
        ids=json.dumps(list(deployments)), devices=json.dumps(list(devices)),
    )  # fmt: skip
    return {row["device"]: row["at"] for row in rows}


async def devices(
    tx: Tx, limit: int, offset: int, *, deployments: Sequence[str] | None = None, device: str | None = None,
    statuses: Sequence[str] | None = None,
) -> tuple[list[Row], int]:  # fmt: skip
    """What has become of deployments on their devices, or of the deployments of a device, which come newest first."""
    where, order, params = _FROM_DEVICES, "device_deployment.device, device_deployment.deployment", dict[str, Any]()
    if deployments is not None:
        where += " AND device_deployment.deployment IN {each:deployments}"
        params["deployments"] = json.dumps(list(deployments))
    if device is not None:
        where += " AND device_deployment.device = :of"
        params["of"] = device
        order = "device_deployment.position DESC, device_deployment.deployment"
    if statuses is not None:
        where += " AND device_deployment.status IN {each:statuses}"
        params["statuses"] = json.dumps(list(statuses))
    total: int = await tx.value(f"SELECT count(*){where}", **params)
    rows = await tx.all(
        f"{_DEVICE_COLUMNS}{where} ORDER BY {order} LIMIT :limit OFFSET :offset", **params, limit=limit, offset=offset
    )
    return rows, total


async def log(tx: Tx, deployment: str, device: str) -> str | None:
    """What a device said of its last attempt; JSON."""
    messages: str | None = await tx.value(
        "SELECT deployment_log.messages FROM deployment_log JOIN device ON device.tenant = deployment_log.tenant"
        " AND device.id = deployment_log.device WHERE deployment_log.tenant = :tenant AND {visible}"
        " AND deployment_log.device = :of AND deployment_log.deployment = :deployment",
        of=device, deployment=deployment,
    )  # fmt: skip
    return messages


async def due_devices(tx: Tx, limit: int) -> list[str]:
    """The devices on which something has not ended, `limit` at most."""
    rows = await tx.all(
        "SELECT DISTINCT device_deployment.device FROM device_deployment"
        " JOIN device ON device.tenant = device_deployment.tenant AND device.id = device_deployment.device"
        " JOIN deployment ON deployment.tenant = device_deployment.tenant"
        " AND deployment.id = device_deployment.deployment"
        " WHERE device_deployment.tenant = :tenant AND device_deployment.ended_at IS NULL AND {visible}"
        " AND (deployment.held = 0 OR device_deployment.status <> 'pending') LIMIT :limit",
        limit=limit,
    )
    return [row["device"] for row in rows]
