"""What a check's verdicts mean: pure decisions, no clock, no I/O.

One CRITICAL while a problem is raised, then one OK: whatever a check does, its levels alternate. A raised problem is
called off by its check or by its expiry clock, which every further match starts anew.

Expiry clocks must go on over a restart, a reboot and a wrong wall clock: a deadline is kept as elapsed time of this
boot, and as wall time for the case that the machine has been restarted since.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from vedette.model import Level, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """One moment on all clocks."""

    boot: str  # id of this boot
    elapsed_s: float  # since this boot
    wall: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """A moment to come, told so that a later boot understands it too."""

    boot: str
    elapsed_s: float
    wall: datetime

    def remaining_s(self, now: Now) -> float:
        """Seconds until then; zero or less when it has passed."""
        if now.boot == self.boot:
            return self.elapsed_s - now.elapsed_s
        return (self.wall - now.wall).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check says now."""

    ok: bool
    name: str  # of the alert that this would be
    subject: Subject
    level: Level = Level.CRITICAL  # what to raise when not ok
    expires_s: int = 0  # called off this long after the last one; 0 = only by hand


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is raised. The names are remembered, for the OK must carry them though the check was edited since."""

    raised: bool = False
    alert_name: str = ""
    subject: Subject | None = None  # without details
    deadline: Deadline | None = None


QUIET = State()


def step(state: State, verdict: Verdict, now: Now) -> tuple[State, Level | None]:
    """One verdict: the new state, and the level to announce or None."""
    if verdict.ok:
        return QUIET, Level.OK if state.raised else None
    deadline = _deadline(verdict.expires_s, now)
    if state.raised:
        return State(raised=True, alert_name=state.alert_name, subject=state.subject, deadline=deadline), None
    bare = Subject(name=verdict.subject.name, type=verdict.subject.type, status=verdict.subject.status)
    return State(raised=True, alert_name=verdict.name, subject=bare, deadline=deadline), verdict.level


def expire(state: State, now: Now) -> tuple[State, Level | None]:
    """Call off what has outlived its time; asked too early nothing happens."""
    if state.raised and state.deadline is not None and state.deadline.remaining_s(now) <= 0:
        return QUIET, Level.OK
    return state, None


def end(state: State) -> tuple[State, Level | None]:
    """The check was switched off or removed."""
    return QUIET, Level.OK if state.raised else None


def _deadline(expires_s: int, now: Now) -> Deadline | None:
    if expires_s <= 0:
        return None
    try:
        wall = now.wall + timedelta(seconds=expires_s)
    except OverflowError:  # some thousand years from now
        return None
    return Deadline(boot=now.boot, elapsed_s=now.elapsed_s + expires_s, wall=wall)
