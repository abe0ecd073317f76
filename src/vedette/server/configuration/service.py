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
from vedette.server.configuration import store
from vedette.server.db import DeviceScope, Row, Tx, UserScope
from vedette.server.deployments import service as deployments
from vedette.server.deployments.service import NewConfiguration
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

MAX_KEYS: Final = 1000
MAX_LENGTH: Final = 4096  # characters of a key or value
MAX_TOTAL: Final = 64 * 1024  # characters of all together: a list of deployments holds 500 configurations
MAX_CONTROL_MAP: Final = 64 * 1024  # bytes of JSON
NO_RECORD: Final = "there is no configuration of this device"

Values = Mapping[str, str]
"""A configuration: names to values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The record of one device."""

    device: str
    configured: Values  # as people want it
    reported: Values  # as the device has taken it up
    deployment: str | None  # the last one that was made of it
    updated_at: datetime
    reported_at: datetime | None  # None: the device has never reported

    @property
    def in_sync(self) -> bool:
        """Whether the device has taken up what is wanted."""
        return self.configured == self.reported


def check(values: Values) -> None:
    """Refuse what is no configuration. Raises Invalid."""
    if len(values) > MAX_KEYS:
        raise Invalid(f"a configuration has at most {MAX_KEYS} keys")
    for key, value in values.items():
        if not 1 <= len(key) <= MAX_LENGTH:
            raise Invalid(f"configuration key {key[:50]!r}: give 1 to {MAX_LENGTH} characters")
        if len(value) > MAX_LENGTH:
            raise Invalid(f"configuration value of {key[:50]!r}: give at most {MAX_LENGTH} characters")
    if sum(len(key) + len(value) for key, value in values.items()) > MAX_TOTAL:
        raise Invalid(f"a configuration has at most {MAX_TOTAL} characters")


# --- devices ---------------------------------------------------------------------------------------------------------


async def configured(services: Services, scope: DeviceScope) -> Values:
    """What is wanted of the device.

    Raises:
        NotFound: there is no record of it.
    """
    row = await services.db.read(scope, store.own)
    if row is None:
        raise NotFound(NO_RECORD)
    return _values(row["configured"])


async def report(services: Services, scope: DeviceScope, values: Values) -> None:
    """What the device has taken up, in place of what it said before.

    Raises:
        Invalid: not a configuration.
        Unauthenticated: the device is no longer there.
    """
    check(values)
    text = _text(values)

    async def work(tx: Tx) -> None:
        device = await store.own(tx)
        if device is None:
            raise Unauthenticated("dev auth: unauthorized")
        await store.set_reported(tx, text, micros(services.clock.now()))
        services.live.announce(tx, scope.tenant, device["group_name"], scope.device)

    await services.db.write(scope, work)


# --- users -----------------------------------------------------------------------------------------------------------


async def configuration(services: Services, scope: UserScope, device_id: str) -> Configuration:
    """The record of a device.

    Raises:
        NotFound: there is none, or not for this caller.
    """
    row = await services.db.read(scope, store.of_device, device_id)
    return _configuration(device_id, _with_record(row))


async def configure(
    services: Services, caller: Caller, device_id: str, values: Values, instead_of: datetime | None = None
) -> None:
    """What is wanted of a device, in place of what was. The device does not get it before it is deployed.

    Args:
        instead_of: `updated_at` of what the caller has seen; None: whatever there is.
    Raises:
        Conflict: something else is wanted by now than `instead_of`.
        Invalid: not a configuration.
        NotFound: no such device for this caller.
    """
    check(values)

    async def work(tx: Tx) -> None:
        row = await _of_device(tx, device_id)
        if instead_of is not None and _configuration(device_id, row).updated_at != instead_of:
            raise Conflict("Somebody has changed this configuration since you opened it; open it again.")
        await _configure(tx, services, caller, device_id, row, values)

    await services.db.write(caller.scope, work)


async def merge(services: Services, caller: Caller, device_id: str, values: Values) -> None:
    """As `configure`, but what is not in `values` stays as it is."""

    async def work(tx: Tx) -> None:
        row = await _of_device(tx, device_id)
        merged = {**_values(row["configured"]), **values}
        check(merged)
        await _configure(tx, services, caller, device_id, row, merged)

    await services.db.write(caller.scope, work)


async def _configure(tx: Tx, services: Services, caller: Caller, device_id: str, row: Row, values: Values) -> None:
    await store.set_configured(tx, device_id, _text(values), micros(services.clock.now()))
    thing = audit.device(device_id, row["identity"])
    await audit.record(tx, services, caller, "set_configuration", thing, audit.document(values))
    services.live.announce(tx, caller.scope.tenant, row["group_name"], device_id)


async def _of_device(tx: Tx, device_id: str) -> Row:
    row = await store.of_device(tx, device_id)
    if row is None:
        raise NotFound(NO_RECORD)
    return row


async def start(services: Services, caller: Caller, device_id: str) -> bool:
    """Begin an empty record. False: there is one.

    Raises:
        NotFound: no such device for this caller.
    """

    async def work(tx: Tx) -> bool:
        if (await _of_device(tx, device_id))["configured"] is not None:
            return False
        await store.set_configured(tx, device_id, "{}", micros(services.clock.now()))
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

    async def work(tx: Tx) -> str:
        row = _with_record(await store.of_device(tx, device_id))
        new = NewConfiguration(
            id=str(uuid4()),
            device=device_id,
            configuration=row["configured"] or "{}",
            retries=retries,
            control_map=control_map or {},
        )
        now = micros(services.clock.now())
        await deployments.create(tx, caller.scope.tenant, new, now)
        await store.set_deployment(tx, device_id, new.id, now)
        thing, change = audit.device(device_id, row["identity"]), audit.document(_values(row["configured"]))
        await audit.record(tx, services, caller, "deploy_configuration", thing, change)
        services.live.announce(tx, caller.scope.tenant, row["group_name"], device_id)
        return new.id

    return await services.db.write(caller.scope, work)


def _with_record(row: Row | None) -> Row:
    """Raises NotFound for a device that has no record."""
    if row is None or (row["configured"] is None and row["status"] != "accepted"):
        raise NotFound(NO_RECORD)
    return row


def _configuration(device_id: str, row: Row) -> Configuration:
    updated_at = row["created_at"] if row["updated_at"] is None else row["updated_at"]
    return Configuration(
        device=device_id,
        configured=_values(row["configured"]),
        reported=_values(row["reported"]),
        deployment=row["deployment"],
        updated_at=datetime_of(updated_at),
        reported_at=datetime_of(row["reported_at"]),
    )


def _text(values: Values) -> str:
    return msgspec.json.encode(values).decode()


def _values(text: str | None) -> Values:
    return {} if text is None else msgspec.json.decode(text, type=dict[str, str])
