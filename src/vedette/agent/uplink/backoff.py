"""How long to wait before trying again. Pure, but for the dice it is handed.

Full jitter: the wait is drawn from the whole window, also after the window has reached its cap. A fleet that lost
its server together must not come back together.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from vedette.errors import Unavailable

FIRST_WINDOW_S = 1.0
SHORTEST_S = 0.1  # a daemon must not start children in a hot loop
LONGEST_RETRY_AFTER_S = 24 * 3600.0  # one mistaken header must not silence a device for ever
EAGER_ASKS = 20  # somebody may sit there who has just installed the device and accepts it
EAGER_S = (2.0, 5.0)
PENDING_S = (10.0, 40.0)  # whoever is accepted has a token within 60 s

Draw = Callable[[float, float], float]  # uniform between two bounds


def draw(low: float, high: float) -> float:
    """The dice of a real device."""
    from random import SystemRandom  # only one that has to wait needs them

    return SystemRandom().uniform(low, high)


class TryLater(Unavailable):
    """The server could not take it now; everything is kept."""

    def __init__(self, message: str, *, retry_after_s: float = 0.0, answered: bool = True) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s  # the least wait that the server asked for
        self.answered = answered  # False: the server was not reached at all


class NotAccepted(TryLater):
    """The server does not let this device in (yet)."""


def pending_s(asked: int, draw: Draw) -> float:
    """Seconds until a device that is not accepted asks again, after it asked `asked` times in a row."""
    return draw(*(EAGER_S if asked <= EAGER_ASKS else PENDING_S))


def delay_s(failures: int, *, cap_s: float, steady_s: float, retry_after_s: float, draw: Draw) -> float:
    """Seconds to wait after the `failures`-th failure in a row (1, 2, ...).

    The window doubles from FIRST_WINDOW_S up to `cap_s`; with `cap_s` 0 the back-off is off and the window is always
    `steady_s`. `retry_after_s` is waited in any case, the draw comes on top.
    """
    grown = FIRST_WINDOW_S * 2.0 ** min(max(failures - 1, 0), 30)
    window = min(cap_s, grown) if cap_s > 0 else steady_s
    return retry_after_s + draw(SHORTEST_S, max(window, SHORTEST_S))


def retry_after_s(value: str | None, now: datetime) -> float:
    """A `Retry-After` header in seconds from `now`, 0.0 when absent, past or not understood (RFC 9110, 10.2.3)."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:12])
    elif not text:
        return 0.0
    else:
        from email.utils import parsedate_to_datetime  # slow to import, and hardly any server sends a date

        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)
