"""The SQL of what a device asks and says of its own deployments. Runs as the device."""

from collections.abc import Sequence
from typing import Final

from vedette.server.db import Row, Tx

_COLUMNS: Final = (
    "SELECT device_deployment.deployment, device_deployment.status, device_deployment.substate,"
    " device_deployment.attempts, device_deployment.offered, device_deployment.position, device_deployment.ended_at,"
    " deployment.artifact_name, deployment.retries, deployment.type, deployment.content, deployment.control_map"
    " FROM device_deployment JOIN deployment ON deployment.tenant = device_deployment.tenant"
    " AND deployment.id = device_deployment.deployment"
    " WHERE device_deployment.tenant = :tenant AND device_deployment.device = :device"
)


async def candidate(tx: Tx) -> Row | None:
    """The oldest deployment of the device that has not ended; none that is held and that the device has not begun."""
    return await tx.one(
        f"{_COLUMNS} AND device_deployment.ended_at IS NULL"
        " AND (deployment.held = 0 OR device_deployment.status <> 'pending')"
        " ORDER BY device_deployment.position, device_deployment.deployment LIMIT 1"
    )


async def own(tx: Tx, deployment: str) -> Row | None:
    """One deployment of the device."""
    return await tx.one(f"{_COLUMNS} AND device_deployment.deployment = :deployment", deployment=deployment)


async def set_offered(tx: Tx, deployment: str, offered: str) -> None:
    await tx.execute(
        "UPDATE device_deployment SET offered = :offered"
        " WHERE tenant = :tenant AND device = :device AND deployment = :deployment",
        deployment=deployment, offered=offered,
    )  # fmt: skip


async def set_status(tx: Tx, deployment: str, status: str, substate: str, now: int, *, ended: bool) -> None:
    await tx.execute(
        "UPDATE device_deployment SET status = :status, substate = :substate,"
        " attempts = attempts + CASE WHEN :status = 'failure' AND status <> 'failure' THEN 1 ELSE 0 END,"
        " started_at = coalesce(started_at, :now), ended_at = CASE WHEN :ended = 1 THEN CAST(:now AS bigint) END"
        " WHERE tenant = :tenant AND device = :device AND deployment = :deployment",
        deployment=deployment, status=status, substate=substate, now=now, ended=int(ended),
    )  # fmt: skip


async def try_again(tx: Tx, deployment: str) -> None:
    """An attempt has failed; the next begins when the device asks."""
    await tx.execute(
        "UPDATE device_deployment SET status = 'pending', substate = '', offered = NULL, attempts = attempts + 1"
        " WHERE tenant = :tenant AND device = :device AND deployment = :deployment",
        deployment=deployment,
    )


async def abort_older(tx: Tx, position: int, now: int) -> Sequence[str]:
    """End what the device will not get any more, for it has finished something newer; the deployments."""
    rows = await tx.all(
        "UPDATE device_deployment SET status = 'aborted', substate = '', ended_at = :now"
        " WHERE tenant = :tenant AND device = :device AND position < :position AND ended_at IS NULL"
        " RETURNING deployment",
        position=position, now=now,
    )  # fmt: skip
    return [row["deployment"] for row in rows]


async def keep_log(tx: Tx, deployment: str, messages: str) -> None:
    """In place of that of an earlier attempt."""
    await tx.execute(
        "INSERT INTO deployment_log (tenant, device, deployment, messages)"
        " VALUES (:tenant, :device, :deployment, :messages)"
        " ON CONFLICT (tenant, device, deployment) DO UPDATE SET messages = excluded.messages",
        deployment=deployment, messages=messages,
    )  # fmt: skip


async def group_of(tx: Tx) -> str | None:
    """The static group of the device."""
    group: str | None = await tx.value("SELECT group_name FROM device WHERE tenant = :tenant AND id = :device")
    return group
