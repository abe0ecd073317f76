"""Which devices are owed a deployment: nearly none, nearly always, and every device asks all day long.

So those that are owed one are remembered by tenant, and the rest are answered without the database. They are few, but
for a while after a change for a whole group; devices that are away for good are owed one for ever. What is remembered
is a hash of each: that another device has the same costs one look.
"""

from dataclasses import dataclass
from typing import Final

from vedette.clock import Clock
from vedette.server.db import Database, DeviceScope, Tx, UserScope
from vedette.server.deployments import store

TOPIC: Final = "deployments"
FRESH_S: Final = 30.0  # new ones are announced; this is for what has ended, and costs such a device one look
DEVICES_IN_1_S: Final = 1_000  # of many, it is asked less often
MAX_DEVICES: Final = 100_000  # of a tenant; with more, each device is looked up
MAX_REMEMBERED: Final = 1_000_000  # of all tenants
MAX_TENANTS: Final = 10_000
_MANY: Final = ""  # announced in place of a device


@dataclass(slots=True)
class _Known:
    """Hashes of the devices of a tenant that are owed something; None: too many to remember."""

    devices: set[int] | None
    fresh_until: float  # elapsed seconds


class Due:
    """See above. Used by one thread."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._changes = 0
        self._remembered = 0  # of all tenants, since all was forgotten; those asked again count again
        db.hear(TOPIC, self._added, self._forget)

    async def may_be(self, device: DeviceScope) -> bool:
        """False: nothing is owed to `device`. True: ask the database."""
        known = self._known.get(device.tenant)
        now = self._clock.elapsed()
        if known is None or now >= known.fresh_until:
            if known is not None:
                known.fresh_until = now + FRESH_S  # the others go on with what is known while this one asks
            known = await self._ask(device.tenant)
        return known is None or known.devices is None or hash(device.device) in known.devices

    async def _ask(self, tenant: str) -> _Known | None:
        """Ask the database; None: something came up meanwhile that the answer may not know."""
        changes = self._changes
        found = await self._db.read(UserScope(tenant, groups=None), store.due_devices, MAX_DEVICES + 1)
        if changes != self._changes:
            return None
        self._remembered += len(found)
        if len(self._known) >= MAX_TENANTS or self._remembered > MAX_REMEMBERED:
            self._known.clear()
            self._remembered = len(found)
        fresh_s = max(FRESH_S, len(found) / DEVICES_IN_1_S)
        devices = set(map(hash, found)) if len(found) <= MAX_DEVICES else None
        known = _Known(devices, self._clock.elapsed() + fresh_s)
        self._known[tenant] = known
        return known

    def _added(self, tenant: str, device: str) -> None:
        self._changes += 1
        if device == _MANY:
            self._known.pop(tenant, None)
            return
        known = self._known.get(tenant)
        if known is not None and known.devices is not None:
            known.devices.add(hash(device))
            if len(known.devices) > MAX_DEVICES:
                known.devices = None

    def _forget(self) -> None:
        self._changes += 1
        self._known.clear()
        self._remembered = 0


def announce(tx: Tx, tenant: str, device: str) -> None:
    """Tell every server process that `device` is owed something."""
    tx.announce(TOPIC, tenant, device)


def announce_many(tx: Tx, tenant: str) -> None:
    """Tell every server process that any device of the tenant may be owed something: they ask the database anew."""
    tx.announce(TOPIC, tenant, _MANY)
