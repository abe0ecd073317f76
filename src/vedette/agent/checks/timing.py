"""What checks have in common that look from time to time: how often, and how long one look may take."""

from collections.abc import Callable, Mapping

from vedette.agent.loop import Loop, Timer
from vedette.errors import Invalid
from vedette.model import durations


def seconds(values: Mapping[str, str], name: str, default_s: int) -> int:
    """A duration of at least one second from the variable `name`; raises `Invalid` when it is none."""
    given = values.get(name, "")
    if not given:
        return default_s
    found = durations.parse(given)
    if found < 1:
        raise Invalid(f"{name} {given!r} is shorter than one second")
    return found


class Ticker:
    """Calls `look` now and then every `every_s` seconds, from the loop, until it is closed.

    A call that comes late, after a suspend say, is not made up for. `together`: at whole multiples of `every_s` since
    the boot, so that those who look as often, or twice as often, wake the machine once for all.
    """

    def __init__(self, loop: Loop, every_s: float, look: Callable[[], None], *, together: bool = False) -> None:
        self._loop, self._every_s, self._look, self._together = loop, every_s, look, together
        self._timer: Timer = loop.call_later(0.0, self._tick)

    def close(self) -> None:
        self._timer.cancel()

    def _tick(self) -> None:
        wait_s = self._every_s
        if self._together:
            wait_s -= self._loop.clock.elapsed() % wait_s
        self._timer = self._loop.call_later(wait_s, self._tick)
        self._look()
