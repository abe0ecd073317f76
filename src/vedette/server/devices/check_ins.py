"""When was a device last here? Noted at its calls, written together and seldom."""

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from vedette.errors import VedetteError
from vedette.server.db import SYSTEM, DeviceScope
from vedette.server.devices import store

if TYPE_CHECKING:
    from vedette.server.services import Services

EXACT_TO_S: Final = 60.0  # a device that calls more often is noted once in this time
WRITE_EVERY_S: Final = 5.0
MAX_WAITING: Final = 50_000  # devices; more are noted at a later call

log = logging.getLogger(__name__)


class CheckIns:
    """Check-ins that wait to be written. Used by one thread."""

    def __init__(self) -> None:
        self._waiting: dict[DeviceScope, int] = {}

    def add(self, device: DeviceScope, at: int) -> None:
        """`device` was here at `at` (microseconds)."""
        if len(self._waiting) < MAX_WAITING or device in self._waiting:
            self._waiting[device] = at

    def take(self) -> Mapping[DeviceScope, int]:
        """Everything that waits, which then waits no longer."""
        waiting, self._waiting = self._waiting, {}
        return waiting


async def write(services: "Services") -> None:
    """Write what waits. When the database cannot take it, it waits on."""
    waiting = services.check_ins.take()
    if not waiting:
        return
    rows = [{"tenant": each.tenant, "id": each.device, "at": at} for each, at in waiting.items()]
    try:
        await services.db.write(SYSTEM, store.check_in, rows)
    except VedetteError as exc:
        log.warning("check-ins of %d devices wait: %s", len(waiting), exc)
        for device, at in waiting.items():
            services.check_ins.add(device, at)


async def write_forever(services: "Services") -> None:
    """Write every few seconds, and once more at the end."""
    try:
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await write(services)
    finally:
        await write(services)
