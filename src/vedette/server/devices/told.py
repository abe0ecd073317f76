"""What other programs of this machine say of devices: attributes of any scope, and devices that nobody has seen yet.

What the server itself always knows exactly (the scope `system`, the status, open alerts) is taken from nobody.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from vedette.errors import Changed, Conflict, Invalid, NotFound
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import Tx
from vedette.server.devices import attribute_store, proof, store
from vedette.server.devices.inventory import MAX_ATTRIBUTES, MAX_TAGS, Reported
from vedette.server.devices.search import SCOPES
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

OWN: Final = frozenset({("identity", "status"), ("monitor", "alerts"), ("monitor", "alert_count")})

Told = Mapping[str, Sequence[Reported]]
"""Attributes by scope."""


def check_scope(scope: str) -> None:
    """Raises Invalid."""
    if scope not in SCOPES:
        raise Invalid(f"attribute scope must be one of: {', '.join(SCOPES)}")


def is_own(scope: str, name: str) -> bool:
    """Whether the server knows this better than anybody."""
    return scope == "system" or (scope, name) in OWN


async def merge(
    services: Services, caller: Caller, device_id: str, told: Told, unmodified_since: datetime | None = None
) -> None:
    """Add attributes to those a device has.

    Raises:
        NotFound: no such device.
        Changed: it has changed after `unmodified_since`, in whole seconds.
        Invalid: too many attributes.
    """

    async def work(tx: Tx) -> None:
        row = await store.device(tx, device_id)
        if row is None:
            raise NotFound("device not found")
        changed_at = datetime_of(row["updated_at"]).replace(microsecond=0)
        if unmodified_since is not None and changed_at > unmodified_since:
            raise Changed("the device has changed since; read it again")
        await _merge(tx, services, caller, device_id, row["identity"], told)
        services.live.announce(tx, caller.scope.tenant, row["group_name"], device_id)

    await services.db.write(caller.scope, work)


async def add(services: Services, caller: Caller, device_id: str, told: Told) -> str:
    """A device that has not come yet; it is known by its attributes of the scope `identity` when it does. Its id.

    Raises:
        Invalid: no UUID, or nothing to know it by.
        Conflict: a device of this id or identity is there already.
    """
    try:
        device_id = str(UUID(device_id))
    except ValueError:
        raise Invalid(f"device id {device_id[:50]!r} is no UUID") from None
    identity = {each.name: each.value for each in told.get("identity", ())}
    if not identity:
        raise Invalid("give at least one attribute of the scope identity: the device is known by them when it comes")
    canonical = proof.canonical_identity(msgspec.json.encode(identity).decode())
    digest, now = proof.identity_hash(canonical), micros(services.clock.now())

    async def work(tx: Tx) -> None:
        if await store.device(tx, device_id) is not None or await store.by_identity(tx, digest) is not None:
            raise Conflict("there is such a device already")
        await store.add_device(tx, device_id, canonical, digest, "noauth", now)
        thing = audit.device(device_id, canonical)
        await audit.record(tx, services, caller, "create", thing, audit.diff("device", None, {"status": "noauth"}))
        await _merge(tx, services, caller, device_id, canonical, told)
        services.live.announce(tx, caller.scope.tenant, None, device_id)

    await services.db.write(caller.scope, work)
    return device_id


async def _merge(tx: Tx, services: Services, caller: Caller, device_id: str, identity: str, told: Told) -> None:
    now = micros(services.clock.now())
    for scope, given in told.items():
        before = {row["name"]: row["value"] for row in await attribute_store.of_scope(tx, device_id, scope)}
        wanted = {each.name: each for each in given}
        most = MAX_TAGS if scope == "tags" else MAX_ATTRIBUTES
        if len(before.keys() | wanted.keys()) > most:
            raise Invalid(f"too many attributes of scope {scope}: at most {most}")
        rows: list[dict[str, Any]] = [
            {"name": each.name, "value": each.text, "description": each.description} for each in wanted.values()
        ]
        await attribute_store.set_scope(tx, device_id, scope, rows, now)
        after = before | {row["name"]: row["value"] for row in rows}
        if after != before:
            await attribute_store.touch(tx, device_id, now)
            change = audit.diff(scope, before, after)
            await audit.record(tx, services, caller, "update", audit.device(device_id, identity), change)
