"""Every decision about a delivery, as pure functions: who is told, and what happens after a try."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from vedette.errors import DeliveryFailed

State = Literal["due", "sent", "failed", "withheld"]

MAX_REASON: Final = 300  # characters
SWITCHED_OFF: Final = "alert e-mails are switched off for the tenant"
NO_SERVER: Final = "no mail server is configured (setting smtp)"
NO_ACCESS: Final = "the user may not see the device"
GONE: Final = "the user is no longer there, or may no longer see the device"
WAITS: Final = "waits to be sent: the user may see the device"


class ChannelDown(DeliveryFailed):
    """Nothing at all can be sent now; the one delivery that found out is not to blame."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient the outbox is. Back-off has full jitter: a random part of a doubling wait, so retries spread."""

    retry_s: float = 30.0  # first wait of a delivery that was put off; doubles with each try
    retry_max_s: float = 3600.0
    channel_s: float = 1.0  # first wait when the channel is down
    channel_max_s: float = 60.0
    give_up: timedelta = timedelta(days=3)
    lease_s: float = 30.0  # a server that dies keeps its deliveries from others this long
    batch: int = 16  # deliveries leased at once
    poll_s: float = 5.0  # without a wake-up (other processes give none), look this often
    answer_s: float = 60.0  # the mail server may think so long about one answer

    @property
    def longest_wait_s(self) -> float:
        """Nothing is ever put off for longer; what is due later was due by a clock that has been set back since."""
        return max(self.retry_max_s, self.channel_max_s, self.lease_s)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a delivery."""

    state: State
    reason: str
    attempts: int  # to be added
    wait_s: float  # until it is due again


def at_first(*, email_enabled: bool, configured: bool, visible: bool) -> tuple[State, str]:
    """Is a user told of an alert by e-mail, and why?"""
    if not visible:
        return "withheld", NO_ACCESS
    if not email_enabled:
        return "withheld", SWITCHED_OFF
    if not configured:
        return "withheld", NO_SERVER
    return "due", WAITS


def sent(answer: str) -> Outcome:
    """The mail server has taken it over."""
    return Outcome("sent", _short(f"accepted by the mail server: {answer}"), 1, 0)


def withdrawn(reason: str) -> Outcome:
    """It must not be sent after all."""
    return Outcome("withheld", reason, 0, 0)


def too_old(policy: Policy, last: str) -> Outcome:
    """It could not be sent in time."""
    days = policy.give_up.total_seconds() / 86400
    return Outcome("failed", _short(f"given up after {days:g} days; last: {last}"), 0, 0)


def failed(error: Exception, attempts: int, policy: Policy, share: float) -> Outcome:
    """A try has failed.

    Args:
        attempts: tries before this one.
        share: 0 to 1, random.
    """
    if isinstance(error, ChannelDown):
        # Not its own fault, most likely; should it be (the server dies of this message), others go first next time.
        wait_s = backoff(policy.channel_s, policy.channel_max_s, attempts, share)
        return Outcome("due", _short(f"waits for the mail server: {error}"), 1, wait_s)
    if not isinstance(error, DeliveryFailed):  # a bug of ours, and the same at every try
        return Outcome("failed", f"the message could not be made ({type(error).__name__})", 1, 0)
    if error.permanent:
        return Outcome("failed", _short(f"refused for good: {error}"), 1, 0)
    wait_s = backoff(policy.retry_s, policy.retry_max_s, attempts, share)
    return Outcome("due", _short(f"put off by the mail server: {error}"), 1, wait_s)


def backoff(first_s: float, max_s: float, failures: int, share: float) -> float:
    """Seconds to wait after `failures` earlier ones: a random `share` (0 to 1) of a doubling time, never nothing."""
    return max(0.05 * first_s, share * min(max_s, first_s * 2.0 ** min(failures, 32)))


def _short(text: str) -> str:
    """One line that any log and database can take: mail servers say whatever they like."""
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 1] + "…"
