"""The rules of deployments for people: making them, following them, calling them off. No SQL, no HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from vedette.errors import Conflict, Invalid, NotFound, Unacceptable
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import Row, Tx, UserScope
from vedette.server.deployments import due, store
from vedette.server.deployments.store import Wanted
from vedette.server.deployments.values import (
    CONFIGURATION,
    DEVICE_STATUSES,
    Deployment,
    DeviceDeployment,
    LogMessage,
)
from vedette.server.listing import Listing
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

__all__ = ["Deployment", "DeviceDeployment", "LogMessage", "Wanted"]

MAX_RETRIES: Final = 100
NO_DEPLOYMENT: Final = "deployment not found"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConfiguration:
    """A configuration that is to be brought onto one device. Raises Invalid."""

    id: str
    device: str
    configuration: str  # JSON object
    called: str = ""  # by whoever makes it; empty: as its artifact
    retries: int = 0
    control_map: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.retries <= MAX_RETRIES:
            raise Invalid(f"retries: give 0 to {MAX_RETRIES}")

    @property
    def artifact_name(self) -> str:
        return f"{CONFIGURATION}-{self.id}"


# --- making and ending -----------------------------------------------------------------------------------------------


async def create(tx: Tx, tenant: str, new: NewConfiguration, now: int) -> None:
    """Make a deployment and owe it to its device, in the transaction of what asks for it.

    Raises:
        Conflict: there is one with this id.
        NotFound: no such device for this caller.
    """
    control_map = msgspec.json.encode({**new.control_map, "id": new.id}).decode() if new.control_map else None
    values = {
        "id": new.id,
        "type": CONFIGURATION,
        "name": new.called or new.artifact_name,
        "artifact_name": new.artifact_name,
        "content": new.configuration,
        "control_map": control_map,
        "retries": new.retries,
        "devices": 1,
    }
    if not await store.add(tx, values, now):
        raise Conflict("a deployment with this id exists already")
    if not await store.add_device(tx, new.id, new.device, now):
        raise NotFound("device not found")
    due.announce(tx, tenant, new.device)


async def abort(services: Services, caller: Caller, deployment_id: str) -> None:
    """Call it off on every device that the caller reaches and on which it has not ended.

    Raises:
        NotFound: there is none, or not for this caller.
        Unacceptable: it has ended.
    """

    async def work(tx: Tx) -> None:
        row = await _one(tx, caller.scope, deployment_id)
        aborted = await store.abort(tx, micros(services.clock.now()), deployment=deployment_id)
        if not aborted:
            raise Unacceptable("Deployment already finished")
        await _aborted(tx, services, caller, aborted)
        thing = audit.deployment(deployment_id, row["name"], row["artifact_name"])
        await audit.record(tx, services, caller, "abort", thing)

    await services.db.write(caller.scope, work)


async def abort_of_device(services: Services, caller: Caller, device_id: str) -> None:
    """Call off whatever has not ended on a device.

    Raises:
        NotFound: no such device for this caller.
    """

    async def work(tx: Tx) -> None:
        await _require_device(tx, device_id)
        aborted = await store.abort(tx, micros(services.clock.now()), device=device_id)
        await _aborted(tx, services, caller, aborted)
        for each in aborted:
            row = await _one(tx, caller.scope, each["deployment"])
            thing = audit.deployment(each["deployment"], row["name"], row["artifact_name"])
            await audit.record(tx, services, caller, "abort", thing)

    await services.db.write(caller.scope, work)


async def _aborted(tx: Tx, services: Services, caller: Caller, rows: Sequence[Row]) -> None:
    now = micros(services.clock.now())
    by_deployment: dict[str, int] = {}
    for row in rows:
        by_deployment[row["deployment"]] = by_deployment.get(row["deployment"], 0) + 1
    for deployment, devices in by_deployment.items():
        await store.ended(tx, deployment, now, devices)
    for device, group in (await store.groups(tx, [row["device"] for row in rows])).items():
        services.live.announce(tx, caller.scope.tenant, group, device)


async def forget_history(services: Services, caller: Caller, device_id: str) -> None:
    """Take what has ended on a device out of its history. The numbers of the deployments stay.

    Raises:
        NotFound: no such device for this caller.
    """

    async def work(tx: Tx) -> None:
        await _require_device(tx, device_id)
        await store.hide(tx, device_id)
        await audit.record(tx, services, caller, "delete", audit.device(device_id), "the history of its deployments")
        change = audit.diff("deployments", {"history": "shown"}, {"history": "hidden"})
        await audit.record(tx, services, caller, "update", audit.device(device_id), change)

    await services.db.write(caller.scope, work)


# --- reading ---------------------------------------------------------------------------------------------------------


async def deployments(
    services: Services, scope: UserScope, wanted: Wanted, limit: int = 20, offset: int = 0
) -> Listing[Deployment]:
    """The deployments that meet `wanted`, newest first unless it says otherwise."""

    async def work(tx: Tx) -> Listing[Deployment]:
        everything = scope.groups is None
        rows, total = await store.find(tx, wanted, limit, offset, everything=everything)
        numbers: dict[str, dict[str, int]] = {row["id"]: dict.fromkeys(DEVICE_STATUSES, 0) for row in rows}
        for row in await store.statistics(tx, list(numbers)):
            numbers[row["deployment"]][row["status"]] += row["number"]
        if everything:
            for row in rows:
                for status, number in msgspec.json.decode(row["gone"]).items():
                    numbers[row["id"]][status] += number
        return Listing(tuple(_deployment(row, numbers[row["id"]]) for row in rows), total)

    return await services.db.read(scope, work)


async def deployment(services: Services, scope: UserScope, deployment_id: str) -> Deployment:
    """One deployment.

    Raises:
        NotFound: there is none, or not for this caller.
    """
    found = await deployments(services, scope, Wanted(ids=[deployment_id]), 1)
    if not found.items:
        raise NotFound(NO_DEPLOYMENT)
    return found.items[0]


async def devices(
    services: Services,
    scope: UserScope,
    deployment_id: str,
    statuses: Sequence[str] | None = None,
    limit: int = 20,
    offset: int = 0,
) -> Listing[DeviceDeployment]:
    """What has become of a deployment on its devices, by their id.

    Raises:
        NotFound: no such deployment, or not for this caller.
    """

    async def work(tx: Tx) -> Listing[DeviceDeployment]:
        await _one(tx, scope, deployment_id)
        rows, total = await store.devices(tx, limit, offset, deployments=[deployment_id], statuses=statuses)
        return Listing(tuple(map(entry, rows)), total)

    return await services.db.read(scope, work)


async def of_device(
    services: Services,
    scope: UserScope,
    device_id: str,
    statuses: Sequence[str] | None = None,
    limit: int = 20,
    offset: int = 0,
) -> Listing[DeviceDeployment]:
    """The deployments of a device, newest first.

    Raises:
        NotFound: no such device for this caller.
    """

    async def work(tx: Tx) -> Listing[DeviceDeployment]:
        await _require_device(tx, device_id)
        rows, total = await store.devices(tx, limit, offset, device=device_id, statuses=statuses)
        return Listing(tuple(map(entry, rows)), total)

    return await services.db.read(scope, work)


async def log(services: Services, scope: UserScope, deployment_id: str, device_id: str) -> tuple[LogMessage, ...]:
    """What a device said of its last attempt.

    Raises:
        NotFound: it has said nothing, or not to this caller.
    """
    text = await services.db.read(scope, store.log, deployment_id, device_id)
    if text is None:
        raise NotFound("there is no log of this deployment and device")
    return tuple(
        LogMessage(at=datetime_of(at), level=level, text=said) for at, level, said in msgspec.json.decode(text)
    )


async def _one(tx: Tx, scope: UserScope, deployment_id: str) -> Row:
    rows, _ = await store.find(tx, Wanted(ids=[deployment_id]), 1, 0, everything=scope.groups is None)
    if not rows:
        raise NotFound(NO_DEPLOYMENT)
    return rows[0]


async def _require_device(tx: Tx, device_id: str) -> None:
    if not await store.groups(tx, [device_id]):
        raise NotFound("device not found")


def _deployment(row: Row, numbers: Mapping[str, int]) -> Deployment:
    return Deployment(
        id=row["id"],
        type=row["type"],
        name=row["name"],
        artifact_name=row["artifact_name"],
        configuration=msgspec.json.decode(row["content"], type=dict[str, str]),
        retries=row["retries"],
        status=row["status"],
        created_at=datetime_of(row["created_at"]),
        finished_at=datetime_of(row["finished_at"]),
        statistics=numbers,
    )


def entry(row: Row) -> DeviceDeployment:
    """Out of a row of `store.devices`."""
    return DeviceDeployment(
        device=row["device"],
        deployment=row["deployment"],
        status=row["status"],
        substate=row["substate"],
        attempts=row["attempts"],
        has_log=bool(row["has_log"]),
        created_at=datetime_of(row["created_at"]),
        started_at=datetime_of(row["started_at"]),
        ended_at=datetime_of(row["ended_at"]),
    )
