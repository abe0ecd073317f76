"""The rules of the configuration of devices: what is wanted, bringing it onto the device, what the device reports.

A device that has been let in has a record, which is empty until somebody writes to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import msgspec

from vedette.errors import Conflict, Invalid, NotFound, Unauthenticated
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.configuration import layer_store, rules, store
from vedette.server.configuration.effective import MAX_KEYS, Layers, Wanted, carried, own_said
from vedette.server.configuration.layers import Drift, Effective, Said, Values, digest, drift
from vedette.server.db import DeviceScope, Row, Tx, UserScope
from vedette.server.deployments import service as deployments
from vedette.server.deployments.service import NewConfiguration
from vedette.server.listing import Listing
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

__all__ = ["MAX_KEYS"]

MAX_CONTROL_MAP: Final = 64 * 1024  # bytes of JSON
KEPT: Final = 50  # versions of the layer of a device
NO_RECORD: Final = "there is no configuration of this device"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The record of one device."""

    device: str
    group: str | None
    configured: Values  # what its own layer says
    effective: Effective  # as people want it, all layers together
    reported: Values  # as the device has taken it up
    deployment: str | None  # the last one that was made of it
    deployment_status: str | None  # what has become of that
    updated_at: datetime
    reported_at: datetime | None  # None: the device has never reported

    @property
    def drift(self) -> Drift:
        """How what it has taken up differs from what is wanted."""
        return drift(self.effective.values, self.reported)

    @property
    def in_sync(self) -> bool:
        """Whether the device has taken up what is wanted."""
        return not self.drift


# --- devices ---------------------------------------------------------------------------------------------------------


async def configured(services: Services, scope: DeviceScope) -> Values:
    """What is wanted of the device, all layers together.

    Raises:
        NotFound: there is no record of it.
    """

    async def work(tx: Tx) -> Values | None:
        rows = await layer_store.devices(tx, [scope.device])
        return (await Layers(tx, [scope.device]).of(rows[0])).effective.values if rows else None

    values = await services.db.read(UserScope(scope.tenant, None), work)  # the layers around it are not the device's
    if values is None:
        raise NotFound(NO_RECORD)
    return values


async def report(services: Services, scope: DeviceScope, values: Values) -> None:
    """What the device has taken up, in place of what it said before.

    Raises:
        Invalid: not a configuration.
        Unauthenticated: the device is no longer there.
    """
    rules.check_size(values)
    text = _text(values)

    async def work(tx: Tx) -> None:
        device = await store.own(tx)
        if device is None:
            raise Unauthenticated("dev auth: unauthorized")
        await store.set_reported(tx, text, digest(values), micros(services.clock.now()))
        services.live.announce(tx, scope.tenant, device["group_name"], scope.device)

    await services.db.write(scope, work)


# --- users -----------------------------------------------------------------------------------------------------------


async def configuration(services: Services, scope: UserScope, device_id: str) -> Configuration:
    """The record of a device.

    Raises:
        NotFound: there is none, or not for this caller.
    """

    async def work(tx: Tx) -> Configuration:
        row = _with_record(await store.of_device(tx, device_id))
        return _configuration(device_id, row, (await Layers(tx, [device_id]).of(row)).effective)

    return await services.db.read(scope, work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifting:
    """A device that reports something else than it was given."""

    device: str
    group: str | None
    drift: Drift
    reported_at: datetime | None
    deployment: str  # that gave it
    deployment_status: str


async def drifting(
    services: Services, scope: UserScope, group: str | None, limit: int, offset: int
) -> Listing[Drifting]:
    """The devices that report something else than they were given, by id; also those to which it is on its way."""
    rows, total = await services.db.read(scope, layer_store.drifting, group, limit, offset)
    found = tuple(
        Drifting(
            device=row["id"],
            group=row["group_name"],
            drift=drift(_values(row["content"]), _values(row["reported"])),
            reported_at=datetime_of(row["reported_at"]),
            deployment=row["deployment"],
            deployment_status=row["status"],
        )
        for row in rows
    )
    return Listing(found, total)


async def configure(
    services: Services, caller: Caller, device_id: str, values: Values, instead_of: datetime | None = None
) -> None:
    """The values that the layer of a device has, in place of those it had; what it says is to be absent stays so, for
    whoever calls this cannot see it. The device does not get it before it is deployed.

    Args:
        instead_of: `updated_at` of what the caller has seen; None: whatever there is.
    Raises:
        Conflict: something else is wanted by now than `instead_of`.
        Invalid: not a configuration.
        NotFound: no such device for this caller.
    """
    rules.check(values)

    async def work(tx: Tx) -> None:
        row = await record_of(tx, device_id)
        if instead_of is not None and _updated_at(row) != instead_of:
            raise Conflict("Somebody has changed this configuration since you opened it; open it again.")
        absent = {key: value for key, value in own_said(row).items() if value is None}
        await keep_own(tx, services, caller, device_id, row, {**absent, **values})

    await services.db.write(caller.scope, work)


async def merge(services: Services, caller: Caller, device_id: str, values: Values) -> None:
    """As `configure`, but what is not in `values` stays as it is."""

    async def work(tx: Tx) -> None:
        row = await record_of(tx, device_id)
        merged = {**own_said(row), **values}
        rules.check(merged)
        await keep_own(tx, services, caller, device_id, row, merged)

    await services.db.write(caller.scope, work)


async def keep_own(
    tx: Tx,
    services: Services,
    caller: Caller,
    device_id: str,
    row: Row,
    said: Said,
    comment: str = "",
    reverted_to: int | None = None,
) -> int:
    """Make `said`, which was checked, a version of the layer of a device; its number. `row` is its `record_of`.

    Raises:
        Invalid: with the layers around it, no device could take it up.
    """
    now = micros(services.clock.now())
    values = {key: value for key, value in said.items() if value is not None}
    absent = sorted(key for key, value in said.items() if value is None)
    number = (row["version"] or 0) + 1
    changed: Row = {**row, "configured": _text(values), "absent": msgspec.json.encode(absent).decode()}
    _check_whole(await Layers(tx, [device_id]).of(changed))
    if number == 1 or dict(said) != dict(own_said(row)):
        version = {
            "number": number,
            "content": msgspec.json.encode(said).decode(),
            "author": caller.email,
            "comment": comment,
            "reverted_to": reverted_to,
            "now": now,
        }
        await layer_store.add_device_version(tx, device_id, version)
        await layer_store.forget_device_versions(tx, device_id, number - KEPT)
    else:
        number -= 1
    await layer_store.set_own(tx, device_id, changed["configured"], changed["absent"], number, now)
    thing = audit.device(device_id, row["identity"])
    await audit.record(tx, services, caller, "set_configuration", thing, audit.document(said))
    services.live.announce(tx, caller.scope.tenant, row["group_name"], device_id)
    return number


async def record_of(tx: Tx, device_id: str) -> Row:
    """The row of a device with its record, if any. Raises NotFound."""
    row = await store.of_device(tx, device_id)
    if row is None:
        raise NotFound(NO_RECORD)
    return row


def _check_whole(wanted: Wanted) -> None:
    rules.check_size(wanted.effective.values)
    rules.check_whole(wanted.effective.values)


async def start(services: Services, caller: Caller, device_id: str) -> bool:
    """Begin an empty record. False: there is one.

    Raises:
        NotFound: no such device for this caller.
    """

    async def work(tx: Tx) -> bool:
        if (await record_of(tx, device_id))["configured"] is not None:
            return False
        await layer_store.set_own(tx, device_id, "{}", "[]", 0, micros(services.clock.now()))
        return True

    return await services.db.write(caller.scope, work)


async def forget(services: Services, caller: Caller, device_id: str) -> None:
    """Remove the record of a device, if there is one."""
    await services.db.write(caller.scope, store.remove, device_id)


async def deploy(
    services: Services,
    caller: Caller,
    device_id: str,
    retries: int = 0,
    control_map: Mapping[str, Any] | None = None,
) -> str:
    """Bring what is wanted now onto the device; the id of the deployment.

    Args:
        retries: how often the device gets it again when it fails.
        control_map: where the device is to wait while it installs, as its client understands it.
    Raises:
        Invalid: too many retries, or too large a map.
        NotFound: no record of such a device for this caller.
    """
    if control_map and len(msgspec.json.encode(control_map)) > MAX_CONTROL_MAP:
        raise Invalid(f"update_control_map: more than {MAX_CONTROL_MAP} bytes")
    return await services.db.write(
        caller.scope, deploy_in, services, caller, device_id, retries=retries, control_map=control_map
    )


async def deploy_in(
    tx: Tx,
    services: Services,
    caller: Caller,
    device_id: str,
    *,
    retries: int = 0,
    control_map: Mapping[str, Any] | None = None,
) -> str:
    """As `deploy`, in a transaction."""
    row = _with_record(await store.of_device(tx, device_id))
    wanted = await Layers(tx, [device_id]).of(row)
    _check_whole(wanted)
    new = NewConfiguration(
        id=str(uuid4()),
        device=device_id,
        configuration=wanted.content,
        retries=retries,
        control_map=control_map or {},
    )
    now = micros(services.clock.now())
    await deployments.create(tx, caller.scope.tenant, new, now)
    await layer_store.set_deployed(tx, [device_id], new.id, wanted.digest, now)
    await carried(tx, wanted.carries, wanted.digest, new.id)
    thing, change = audit.device(device_id, row["identity"]), audit.document(wanted.effective.values)
    await audit.record(tx, services, caller, "deploy_configuration", thing, change)
    services.live.announce(tx, caller.scope.tenant, row["group_name"], device_id)
    return new.id


def _with_record(row: Row | None) -> Row:
    """Raises NotFound for a device that has no record."""
    if row is None or (row["configured"] is None and row["status"] != "accepted"):
        raise NotFound(NO_RECORD)
    return row


def _configuration(device_id: str, row: Row, effective: Effective) -> Configuration:
    return Configuration(
        device=device_id,
        group=row["group_name"],
        configured=_values(row["configured"]),
        effective=effective,
        reported=_values(row["reported"]),
        deployment=row["deployment"],
        deployment_status=row["deployment_status"],
        updated_at=_updated_at(row),
        reported_at=datetime_of(row["reported_at"]),
    )


def _updated_at(row: Row) -> datetime:
    return datetime_of(row["created_at"] if row["updated_at"] is None else row["updated_at"])


def _text(values: Values) -> str:
    return msgspec.json.encode(values).decode()


def _values(text: str | None) -> Values:
    return {} if text is None else msgspec.json.decode(text, type=dict[str, str])
