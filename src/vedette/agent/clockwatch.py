"""Told by the kernel when the wall clock was set, or when the machine woke up from a suspend.

Timers run on elapsed time and need neither; but epoll does not count the time of a suspend, and a deadline that was set
in another boot is known by the wall clock only. So after either, everybody looks again.

A timer of the wall clock that is far away and is cancelled when that clock jumps: no wake-up but for that. Python has
timerfd since 3.13 only. Source: timerfd_create(2), TFD_TIMER_CANCEL_ON_SET.
"""

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from vedette.agent import libc, log
from vedette.agent.loop import Loop

_CLOCK_REALTIME: Final = 0
_ABSOLUTE_AND_CANCELLED: Final = 1 | 2  # TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
_FAR: Final = 2**31 - 2  # seconds since 1970 that also fit a time_t of 32 bits


class ClockWatch:
    """Calls `on_jump` from the loop. Where the kernel cannot do it, nobody is called; said once."""

    def __init__(self, loop: Loop, on_jump: Callable[[], None]) -> None:
        self._loop, self._on_jump = loop, on_jump
        self._fd: int | None = None
        try:
            self._fd = libc.call("timerfd_create", _CLOCK_REALTIME, os.O_CLOEXEC | os.O_NONBLOCK)
            self._arm(self._fd)
        except OSError as exc:
            log.warn(f"jumps of the clock are not told here: {exc.strerror}")
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
            return
        loop.add_reader(self._fd, self._jumped)

    def close(self) -> None:
        if self._fd is not None:
            self._loop.remove(self._fd)
            os.close(self._fd)
            self._fd = None

    def _arm(self, fd: int) -> None:
        when = struct.pack("llll", 0, 0, _FAR, 0)  # struct itimerspec: interval, value
        libc.call("timerfd_settime", fd, _ABSOLUTE_AND_CANCELLED, when, None)

    def _jumped(self) -> None:
        assert self._fd is not None
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        except OSError:  # ECANCELED: this is what we wait for
            with suppress(OSError):
                self._arm(self._fd)
            self._on_jump()
        else:  # the year 2038: nothing further to be told by this one
            self.close()
