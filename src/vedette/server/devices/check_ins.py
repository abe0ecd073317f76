"""When was a device last here? Remembered at every call, written together and seldom."""

from collections.abc import Mapping
from typing import Final

from vedette.server.db import DeviceScope

EXACT_TO_S: Final = 60.0  # a device that calls more often is written once in this time
MAX_WAITING: Final = 50_000  # devices; more are told at their next call


class CheckIns:
    """Check-ins that wait to be written. Used by one thread."""

    def __init__(self) -> None:
        self._waiting: dict[DeviceScope, int] = {}

    def add(self, device: DeviceScope, at: int) -> None:
        """`device` was here at `at` (microseconds)."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting[device] = at

    def take(self) -> Mapping[DeviceScope, int]:
        """Everything that waits, which then waits no longer."""
        waiting, self._waiting = self._waiting, {}
        return waiting
