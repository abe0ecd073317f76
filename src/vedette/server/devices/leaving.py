"""Letting go of a device: at once where that is little, else in small steps, for others want the database too.

A device that leaves is dead from the first moment: its token, its keys. Until the last of it is gone it is still
listed, as `decommissioning`, and who has its identity is not let in.
"""

import asyncio
import logging
from typing import Final

from vedette.errors import VedetteError
from vedette.server.db import SYSTEM, Scope, Tx, UserScope
from vedette.server.devices import authentication, store
from vedette.server.services import Services
from vedette.server.times import micros

AT_ONCE: Final = 500  # rows of a kind in one transaction
BREATH_S: Final = 0.005
WAIT_S: Final = 10.0  # whoever asked for it waits so long for the end
LOOK_EVERY_S: Final = 30.0

log = logging.getLogger(__name__)


async def begin(tx: Tx, services: Services, device_id: str) -> None:
    """Remove a device, or if it has too much for one transaction, mark it: `wait` and `leave_forever` do the rest."""
    if await _step(tx, services, device_id):
        return
    for each in await store.auth_sets(tx, device_id):
        await store.set_auth_status(tx, device_id, each["id"], "rejected")
    await authentication.refresh_status(tx, device_id, micros(services.clock.now()))
    await store.mark_leaving(tx, device_id)


async def _step(tx: Tx, services: Services, device_id: str) -> bool:
    """Remove some of what it has, in the end itself. Whether that was all."""
    taken = [await empty(tx, device_id, AT_ONCE) for empty in services.emptying]
    if max(taken, default=0) >= AT_ONCE:
        return False
    for leave in services.leaving:
        await leave(tx, device_id, micros(services.clock.now()))
    await store.remove_device(tx, device_id)
    return True


async def wait(services: Services, scope: Scope, device_id: str) -> None:
    """Go on until a device that `begin` has marked is gone, or for a while."""
    until = services.clock.elapsed() + WAIT_S
    while services.clock.elapsed() < until and await services.db.read(scope, store.is_leaving, device_id):
        await services.db.write(scope, _step, services, device_id)
        await asyncio.sleep(BREATH_S)


async def leave_marked(services: Services) -> int:
    """Remove the devices that are marked, a little at a time. How many there were."""
    found = await services.db.read(SYSTEM, store.leaving)
    for row in found:
        scope, gone = UserScope(row["tenant"], None), False
        while not gone:
            gone = await services.db.write(scope, _step, services, row["id"])
            await asyncio.sleep(BREATH_S)
    return len(found)


async def leave_forever(services: Services) -> None:
    """Look for marked devices as long as the server runs: who asked has gone, or the server was stopped."""
    while True:
        try:
            await leave_marked(services)
        except VedetteError as exc:
            log.warning("devices that leave are still there: %s", exc)
        await asyncio.sleep(LOOK_EVERY_S)
