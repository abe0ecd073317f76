"""Told by the kernel when the wall clock was set, or when the machine woke up from a suspend.

Timers run on elapsed time and need neither; but epoll does not count the time of a suspend, and a deadline that was set
in another boot is known by the wall clock only. So after either, everybody looks again.

A timer of the wall clock that is far away and is cancelled when that clock jumps: no wake-up but for that. Python has
timerfd since 3.13 only. Source: timerfd_create(2), TFD_TIMER_CANCEL_ON_SET.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Final

from vedette.agent import log
from vedette.agent.loop import Loop

_CLOCK_REALTIME: Final = 0
_ABSOLUTE_AND_CANCELLED: Final = 1 | 2  # TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
_FAR: Final = 2**31 - 2  # seconds since 1970 that also fit a time_t of 32 bits


class ClockWatch:
    """Calls `on_jump` from the loop. Where the kernel cannot do it, nobody is called; said once."""

    def __init__(self, loop: Loop, on_jump: Callable[[], None]) -> None:
        self._loop, self._on_jump = loop, on_jump
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int | None = None
        fd = self._libc.timerfd_create(_CLOCK_REALTIME, os.O_CLOEXEC | os.O_NONBLOCK)
        if fd < 0 or not self._arm(fd):
            log.warn(f"jumps of the clock are not told here: {os.strerror(ctypes.get_errno())}")
            if fd >= 0:
                os.close(fd)
            return
        self._fd = fd
        loop.add_reader(fd, self._jumped)

    def close(self) -> None:
        if self._fd is not None:
            self._loop.remove(self._fd)
            os.close(self._fd)
            self._fd = None

    def _arm(self, fd: int) -> bool:
        when = (ctypes.c_long * 4)(0, 0, _FAR, 0)  # struct itimerspec: interval, value
        return bool(self._libc.timerfd_settime(fd, _ABSOLUTE_AND_CANCELLED, when, None) == 0)

    def _jumped(self) -> None:
        assert self._fd is not None
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        except OSError:  # ECANCELED: this is what we wait for
            self._arm(self._fd)
            self._on_jump()
        else:  # the year 2038: nothing further to be told by this one
            self.close()
