"""The only module that asks what time it is. Tests hand in a `FakeClock` instead of waiting."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

PLAUSIBLE: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""A wall clock before this was not set yet, so it says nothing: boards without a battery start in 1970."""


class Clock(Protocol):
    """Wall time for people and the wire, elapsed time for timers."""

    def now(self) -> datetime:
        """Wall time with zone UTC. May jump; never used for timers."""
        ...

    def elapsed(self) -> float:
        """Seconds since boot, suspend included, never going back. Comparable between processes of one boot."""
        ...


class SystemClock:
    """The machine's clocks. Source: clock_gettime(2), CLOCK_REALTIME and CLOCK_BOOTTIME."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class FakeClock:
    """Stands still until told to move."""

    def __init__(self, wall: datetime = datetime(2026, 1, 1, tzinfo=UTC), since_boot: float = 1000.0) -> None:
        self.wall, self.since_boot = wall, since_boot

    def now(self) -> datetime:
        return self.wall

    def elapsed(self) -> float:
        return self.since_boot

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall += timedelta(seconds=seconds)
        self.since_boot += seconds
