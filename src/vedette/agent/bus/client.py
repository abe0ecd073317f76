"""A connection to the bus that comes back when the bus does."""

from collections.abc import Callable
from typing import Final

from vedette.agent import log
from vedette.agent.bus.connection import Call, Connection, Lost, Reply, Signal
from vedette.agent.loop import Loop, Timer

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 60.0
STEADY_S: Final = 10.0
"""A connection that lived so long was a good one: the next wait is short again."""


class Client:
    """`on_up` is called whenever the bus is there (again) and knows nothing of us; `on_down` when it is not.

    `on_down` is also called when it is not there from the start; from then on until `on_up` it is not called again.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        purpose: str,
        on_up: Callable[[], None],
        on_signal: Callable[[Signal], None],
        on_down: Callable[[], None],
    ) -> None:
        self._loop, self._purpose = loop, purpose
        self._on_up, self._on_signal, self._on_down = on_up, on_signal, on_down
        self._connection: Connection | None = None
        self._wait_s = FIRST_WAIT_S
        self._since = 0.0
        self._retry: Timer | None = None
        self._told: str | None = None  # what was said to be wrong
        self._down = False
        self._up = False

    @property
    def name(self) -> str:
        """Our unique name on the bus, "" while there is none."""
        return self._connection.name if self._connection is not None else ""

    @property
    def is_down(self) -> bool:
        """`on_down` has been called, and `on_up` not since."""
        return self._down

    def start(self) -> None:
        """Connect, now and whenever the connection is lost."""
        self._since = self._loop.clock.elapsed()
        try:
            self._connection = Connection(
                self._loop, on_up=self._on_connected, on_signal=self._on_signal, on_lost=self._on_lost
            )
        except Lost as exc:
            self._on_lost(str(exc))

    def call(self, call: Call, on_reply: Callable[[Reply], None]) -> None:
        """Only while it is up; the reply does not come when the connection is lost before."""
        if self._connection is not None:
            self._connection.call(call, on_reply)

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _on_connected(self) -> None:
        if self._told is not None:
            log.info(f"the system bus is there: {self._purpose}")
        self._told, self._down = None, False
        self._since = self._loop.clock.elapsed()
        self._up = True
        self._on_up()

    def _on_lost(self, reason: str) -> None:
        self._connection = None
        if self._up and self._loop.clock.elapsed() - self._since >= STEADY_S:
            self._wait_s = FIRST_WAIT_S
        self._up = False
        if self._told != reason:
            log.warn(f"no system bus for {self._purpose}: {reason}; it is tried again")
            self._told = reason
        self._retry = self._loop.call_later(self._wait_s, self.start)
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)
        if not self._down:
            self._down = True
            self._on_down()
