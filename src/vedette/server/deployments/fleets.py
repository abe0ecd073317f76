"""Configurations for many devices at once: for the slices to the right, within their transactions.

Whatever a device had been owed and had not begun is called off with a newer configuration: it holds all that is wanted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.server.db import Row, Tx
from vedette.server.deployments import due, store
from vedette.server.deployments.service import entry
from vedette.server.deployments.values import CONFIGURATION, DeviceDeployment
from vedette.server.listing import Listing
from vedette.server.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A configuration that several devices get; more of them may be added."""

    id: str
    called: str
    configuration: str  # JSON object
    retries: int = 0


async def owe(tx: Tx, services: Services, tenant: str, new: Shared, devices: Sequence[str], now: int) -> None:
    """Owe it to these devices; those who have had it, or are not there for this scope, are left out."""
    values = {
        "id": new.id,
        "type": CONFIGURATION,
        "name": new.called,
        "artifact_name": f"{CONFIGURATION}-{new.id}",
        "content": new.configuration,
        "control_map": None,
        "retries": new.retries,
        "devices": 0,
    }
    is_new = await store.add(tx, values, now)
    added = await store.add_devices(tx, new.id, devices, now)
    if not added:
        if is_new:
            await store.remove(tx, new.id)
        return
    await store.widen(tx, new.id, len(added))
    await _ended(tx, await store.abort_pending(tx, added, new.id, now), now)
    for device, group in (await store.groups(tx, added)).items():
        due.announce(tx, tenant, device)
        services.live.announce(tx, tenant, group, device)


async def hold(tx: Tx, tenant: str, deployments: Sequence[str], *, held: bool) -> None:
    """Held, devices that have not begun do not begin. Costs the same for any number of devices."""
    await store.set_held(tx, deployments, held)
    if not held:
        due.announce_many(tx, tenant)


async def call_off(tx: Tx, deployments: Sequence[str], limit: int, now: int) -> int:
    """Call it off on devices that have not begun, `limit` at most; on how many it was."""
    rows = await store.abort_some(tx, deployments, limit, now)
    await _ended(tx, rows, now)
    return len(rows)


async def _ended(tx: Tx, rows: Sequence[Row], now: int) -> None:
    numbers: dict[str, int] = {}
    for row in rows:
        numbers[row["deployment"]] = numbers.get(row["deployment"], 0) + 1
    for deployment, number in numbers.items():
        await store.ended(tx, deployment, now, number)


async def numbers(tx: Tx, deployments: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
    """Of each deployment, how many devices have which status."""
    found: dict[str, dict[str, int]] = {each: {} for each in deployments}
    for row in await store.statistics(tx, deployments):
        found[row["deployment"]][row["status"]] = row["number"]
    return found


async def offline(tx: Tx, deployments: Sequence[str]) -> Mapping[str, int]:
    """Of each deployment, how many devices have not begun and were not heard of since; zeros are left out."""
    return {row["deployment"]: row["number"] for row in await store.offline(tx, deployments)}


async def somebody_at_it(tx: Tx, deployments: Sequence[str]) -> bool:
    """Whether it has not ended on a device that was heard of since."""
    return await store.somebody_at_it(tx, deployments)


async def begun(tx: Tx, deployments: Sequence[str], devices: Sequence[str]) -> Mapping[str, int]:
    """When each of these devices began (microseconds); those who have not are left out."""
    return await store.begun(tx, deployments, devices)


async def devices(
    tx: Tx, deployments: Sequence[str], statuses: Sequence[str] | None, limit: int, offset: int
) -> Listing[DeviceDeployment]:
    """What has become of it on each device, by device."""
    rows, total = await store.devices(tx, limit, offset, deployments=deployments, statuses=statuses)
    return Listing(tuple(map(entry, rows)), total)
