"""Which device gets a change when, and when there is reason to stop. Pure.

Each device has a place in each rollout: a hash of the two. A wave is all devices up to some place, so whoever is in an
early wave is in all that come later, and devices that appear meanwhile have theirs. The places where waves end are
looked for once, among the devices that there are: a wave of 1 % is 1 % of them, and never none.
"""

import hashlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final, Generic, TypeVar

from vedette.errors import Invalid

EVERYBODY: Final = 2**63 - 1  # the last place; what a BIGINT holds
NOBODY: Final = -1
MAX_WAVES: Final = 20
MAX_S: Final = 90 * 86_400  # of a soak, or of patience
MAX_RETRIES: Final = 100
FEW: Final = 10  # while fewer have ended, a share is counted against so many

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """How a rollout is to go. Raises Invalid."""

    # Percent of the devices, all of those before among them. A factory, for a tuple is no JSON in descriptions of this.
    waves: tuple[float, ...] = field(default_factory=lambda: (1, 10, 100))
    soak_s: int = 600  # from the end of the handing out to the next wave
    patience_s: int = 3600  # so long it is waited for devices that are at it
    retries: int = 0  # how often a device gets it again that has failed
    max_failure_percent: float | None = 10
    max_failures: int | None = None
    max_alert_percent: float | None = 20
    paused: bool = False  # begins when somebody resumes it

    def __post_init__(self) -> None:
        if not 1 <= len(self.waves) <= MAX_WAVES:
            raise Invalid(f"rollout: give 1 to {MAX_WAVES} waves")
        ascending = all(low < high for low, high in zip(self.waves, self.waves[1:], strict=False))
        if not ascending or not self.waves[0] > 0 or self.waves[-1] != 100:
            raise Invalid("rollout: waves are percents, each more than the one before; the last one is 100")
        for name in ("soak_s", "patience_s"):
            if not 0 <= getattr(self, name) <= MAX_S:
                raise Invalid(f"rollout: {name} is seconds, 0 to {MAX_S}")
        if not 0 <= self.retries <= MAX_RETRIES:
            raise Invalid(f"rollout: give 0 to {MAX_RETRIES} retries")
        for name in ("max_failure_percent", "max_alert_percent"):
            percent = getattr(self, name)
            if percent is not None and not 0 <= percent <= 100:
                raise Invalid(f"rollout: {name} is 0 to 100, or null: any number")
        if self.max_failures is not None and not 0 <= self.max_failures <= 10**9:
            raise Invalid("rollout: max_failures is a number of devices, or null: any number")


AT_ONCE: Final = Parameters(
    waves=(100,), soak_s=0, max_failure_percent=None, max_failures=None, max_alert_percent=None
)  # fmt: skip
"""For taking something back."""


def place(rollout: str, device: str) -> int:
    """Where a device stands in a rollout: from 0, below EVERYBODY; evenly spread, and the same for ever."""
    digest = hashlib.blake2b(f"{rollout} {device}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % EVERYBODY


def ends(places: Iterable[int], percents: Sequence[float]) -> list[tuple[int, int]]:
    """Of each wave, the last place in it, and how many devices are in it that are in none before."""
    ordered = sorted(places)
    found: list[tuple[int, int]] = []
    before = 0
    for percent in percents:
        count = ceil(len(ordered) * percent / 100)
        if percent >= 100:
            last = EVERYBODY
        elif not ordered:
            last = int(EVERYBODY * percent / 100)
        else:
            last = ordered[count - 1]
        found.append((last, count - before))
        before = count
    return found


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """How far a rollout has come."""

    rollout: str
    reached: int  # the last place that it means
    brings: T
    begun: Container[str] | None = None  # of one that was stopped: only these devices are meant

    def means(self, device: str) -> bool:
        if self.begun is not None and device not in self.begun:
            return False
        return place(self.rollout, device) <= self.reached


def counts_for(device: str, steps: Iterable[Step[T]], otherwise: T) -> T:
    """What counts for a device of what rollouts bring that came one after the other.

    Args:
        steps: newest first.
        otherwise: what counts where none of them means the device.
    """
    return next((step.brings for step in steps if step.means(device)), otherwise)


@dataclass(frozen=True, slots=True)
class Tally:
    """Devices that a rollout has given something to."""

    given: int = 0  # all of them
    ended: int = 0  # of these it has ended on so many
    failures: int = 0
    alerting: int = 0  # have a problem that began after they had it

    def since(self, earlier: "Tally") -> "Tally":
        """What has come since."""
        return Tally(
            given=max(0, self.given - earlier.given),
            ended=max(0, self.ended - earlier.ended),
            failures=max(0, self.failures - earlier.failures),
            alerting=max(0, self.alerting - earlier.alerting),
        )


def reason_to_halt(tally: Tally, bounds: Parameters) -> str | None:
    """Why a rollout must not go on, in a sentence; None: it may."""
    if bounds.max_failures is not None and tally.failures > bounds.max_failures:
        return f"{tally.failures} devices failed; at most {bounds.max_failures} may"
    against = max(tally.ended, min(tally.given, FEW))
    for number, percent, what in (
        (tally.failures, bounds.max_failure_percent, "failed"),
        (tally.alerting, bounds.max_alert_percent, "have a problem that began after they had it"),
    ):
        if percent is not None and number * 100 > percent * against:
            return f"{number} of {against} devices {what}; at most {percent:g} % may"
    return None
