"""The daemon's heart: sleeps in epoll until a descriptor, a signal or a timer has something to say.

No asyncio: it costs 5 to 10 MB of resident memory. With nothing to do there is not one wake-up.
Source: epoll(7), signal(7); Python's set_wakeup_fd turns a signal into a readable descriptor.
"""

import heapq
import os
import select
import signal
from collections import deque
from collections.abc import Callable
from typing import Final

from vedette.clock import Clock, SystemClock

Callback = Callable[[], None]

MAX_SLEEP_S: Final = 86400.0 * 20  # epoll counts milliseconds in 32 bits


class Timer:
    """One callback at one moment."""

    __slots__ = ("_callback", "at")

    def __init__(self, at: float, callback: Callback) -> None:
        self.at = at
        self._callback: Callback | None = callback

    def cancel(self) -> None:
        """It will not be called. Also right after it was, or twice."""
        self._callback = None

    @property
    def pending(self) -> bool:
        return self._callback is not None

    def _fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def __lt__(self, other: "Timer") -> bool:
        return self.at < other.at


class Loop:
    """Descriptors, timers and signals of one thread. A callback that raises ends `run` with its error: it is a bug."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._epoll = select.epoll()
        self._readers: dict[int, Callback] = {}
        self._timers: list[Timer] = []
        self._tidy_at = 64
        self._soon: deque[Callback] = deque()
        self._signals: dict[int, Callback] = {}
        self._old_handlers: dict[int, object] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._running = False
        self.add_reader(self._wake_read, self._on_signal)

    def add_reader(self, fd: int, callback: Callback) -> None:
        """Call `callback` whenever `fd` is readable or at its end, until `remove`."""
        self._epoll.register(fd, select.EPOLLIN)
        self._readers[fd] = callback

    def remove(self, fd: int) -> None:
        """No more calls for `fd`; must come before it is closed."""
        del self._readers[fd]
        self._epoll.unregister(fd)

    def call_at(self, elapsed_s: float, callback: Callback) -> Timer:
        """Call once when the clock's elapsed time has reached `elapsed_s`."""
        timer = Timer(elapsed_s, callback)
        if len(self._timers) >= self._tidy_at:  # cancelled ones would lie there until their time
            self._timers = [each for each in self._timers if each.pending]
            heapq.heapify(self._timers)
            self._tidy_at = max(64, 2 * len(self._timers))
        heapq.heappush(self._timers, timer)
        return timer

    def call_later(self, seconds: float, callback: Callback) -> Timer:
        return self.call_at(self.clock.elapsed() + seconds, callback)

    def call_soon(self, callback: Callback) -> None:
        """Call once, after what is ready now; descriptors and timers get their turn in between."""
        self._soon.append(callback)

    def on_signal(self, number: int, callback: Callback) -> None:
        """Call `callback` in the loop, not in the signal handler. Main thread only."""
        if not self._signals:
            signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._signals[number] = callback
        old = signal.signal(number, _ignore_in_handler)
        self._old_handlers.setdefault(number, old)
        signal.siginterrupt(number, False)

    def run(self) -> None:
        """Until `stop` is called."""
        self._running = True
        while self._running:
            for fd, _ in self._epoll.poll(self._sleep_s()):
                callback = self._readers.get(fd)  # an earlier callback of this round may have removed it
                if callback is not None:
                    callback()
            now = self.clock.elapsed()
            while self._timers and (self._timers[0].at <= now or not self._timers[0].pending):
                heapq.heappop(self._timers)._fire()
            for _ in range(len(self._soon)):
                self._soon.popleft()()

    def stop(self) -> None:
        """`run` returns after the callbacks of this round."""
        self._running = False

    def close(self) -> None:
        """Give back descriptors and signal handlers."""
        if self._signals:
            signal.set_wakeup_fd(-1)
        for number, old in self._old_handlers.items():
            signal.signal(number, old)  # type: ignore[arg-type]  # what signal.signal returned
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _sleep_s(self) -> float | None:
        if self._soon or not self._running:
            return 0.0
        while self._timers and not self._timers[0].pending:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return min(max(self._timers[0].at - self.clock.elapsed(), 0.0), MAX_SLEEP_S)

    def _on_signal(self) -> None:
        for number in dict.fromkeys(os.read(self._wake_read, 512)):
            if number in self._signals:
                self._signals[number]()


def _ignore_in_handler(number: int, frame: object) -> None:
    """The wake-up descriptor has told the loop already."""
