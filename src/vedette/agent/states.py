"""What a check's verdicts mean: pure decisions, no clock, no I/O.

One CRITICAL while a problem is raised, then one OK: whatever a check does, its levels alternate. A raised problem is
called off by its check or by its expiry clock, which every further match starts anew.

What changes too often goes up and down ("flapping"): one CRITICAL says so, then nothing is said until there was no
change for a while; then the present state is. So the same subject may go from CRITICAL to CRITICAL, with another name.

Clocks must go on over a restart, a reboot and a wrong wall clock: a moment is kept as elapsed time of this boot, and as
wall time for the case that the machine has been restarted since.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vedette.clock import PLAUSIBLE
from vedette.model import Details, Level, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """One moment on all clocks."""

    boot: str  # id of this boot
    elapsed_s: float  # since this boot
    wall: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """A moment, told so that a later boot understands it too."""

    boot: str
    elapsed_s: float
    wall: datetime
    span_s: float | None = None  # how far ahead it was when it was set

    def remaining_s(self, now: Now) -> float:
        """Seconds until then; zero or less when it has passed.

        After a boot the wall clocks of then and now decide, but it is never further away than it was at first. Where
        one of them was not set, nobody knows how long the machine was off: then the time since it started counts.
        """
        if now.boot == self.boot:
            return self.elapsed_s - now.elapsed_s
        between = (self.wall - now.wall).total_seconds()
        if self.span_s is None:
            return between
        if now.wall < PLAUSIBLE or self.wall - PLAUSIBLE < timedelta(seconds=self.span_s):
            return self.span_s - now.elapsed_s
        return min(between, self.span_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check says now."""

    ok: bool
    name: str  # of the alert that this would be
    subject: Subject
    level: Level = Level.CRITICAL  # what to raise when not ok
    expires_s: int = 0  # called off this long after the last one; 0 = only by hand
    flapping_name: str = ""  # of the alert while it goes up and down; empty: each change is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Flapping:
    """When a check goes up and down: after so many changes within the time; and no more after that time without one."""

    changes: int = 5
    within_s: int = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is raised. The names are remembered, for the OK must carry them though the check was edited since."""

    raised: bool = False
    alert_name: str = ""
    subject: Subject | None = None  # without details
    deadline: Deadline | None = None  # when to call `expire`
    changes: tuple[Deadline, ...] = ()  # the latest ones, oldest first; only of checks that can flap
    flapping: Verdict | None = None  # the latest one, not told while it goes up and down


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What the server is to be told."""

    level: Level
    name: str
    subject: Subject


Outcome = tuple[State, tuple[Announcement, ...]]

QUIET = State()
FLAPPING_STATUS = "flapping"
MAX_CHANGES = 1000  # remembered at most, whatever the settings say


def step(state: State, verdict: Verdict, now: Now, flapping: Flapping | None = None) -> Outcome:
    """One verdict: the new state, and what is to be announced, oldest first."""
    if state.raised and state.subject is not None and _names(state.subject) != _names(verdict.subject):
        # The check was edited and is about something else: what it had raised is not its affair any more.
        gone = _off(state, "the check watches something else now")
        after, news = step(QUIET, verdict, now, flapping)
        return after, (gone, *news)
    changes = state.changes
    if verdict.flapping_name:
        rule = flapping or Flapping()
        if verdict.ok == _is_down(state):
            moment = Deadline(boot=now.boot, elapsed_s=now.elapsed_s, wall=now.wall)
            changes = (*changes, moment)[-min(rule.changes, MAX_CHANGES) :]
            if state.flapping is not None:
                return _restless(state, verdict, changes, _deadline(rule.within_s, now)), ()
            if len(changes) >= min(rule.changes, MAX_CHANGES) and -changes[0].remaining_s(now) <= rule.within_s:
                return _begin_flapping(verdict, changes, rule, now)
        elif state.flapping is not None:
            return replace(state, flapping=_bare(verdict)), ()
    elif state.flapping is not None:  # it cannot flap any more: as if it had calmed down
        after, calmed = _calm(state, state.flapping)
        after, news = step(after, verdict, now, flapping)
        return after, (*calmed, *news)
    if verdict.ok:
        if not state.raised:
            return replace(QUIET, changes=changes), ()
        news = (Announcement(level=Level.OK, name=state.alert_name, subject=verdict.subject),)
        return replace(QUIET, changes=changes), news
    deadline = _deadline(verdict.expires_s, now)
    if state.raised:
        return replace(state, deadline=deadline, changes=changes), ()
    raised = State(
        raised=True, alert_name=verdict.name, subject=_plain(verdict.subject), deadline=deadline, changes=changes
    )
    return raised, (Announcement(level=verdict.level, name=verdict.name, subject=verdict.subject),)


def expire(state: State, now: Now) -> Outcome:
    """Call off what has outlived its time, tell the state of what has calmed down; asked too early nothing happens."""
    if not state.raised or state.deadline is None or state.deadline.remaining_s(now) > 0:
        return state, ()
    if state.flapping is not None:
        return _calm(state, state.flapping)
    return QUIET, (_off(state, "no match within its expiration time"),)


def end(state: State) -> Outcome:
    """The check was switched off or removed."""
    return QUIET, (_off(state, "check disabled"),) if state.raised else ()


def _is_down(state: State) -> bool:
    return not state.flapping.ok if state.flapping is not None else state.raised


def _begin_flapping(verdict: Verdict, changes: tuple[Deadline, ...], rule: Flapping, now: Now) -> Outcome:
    subject = replace(verdict.subject, status=FLAPPING_STATUS)
    said = subject.details.description if subject.details is not None else ""
    often = f"{len(changes)} changes within {rule.within_s} s" + (f"; now: {said}" if said else "")
    state = State(
        raised=True,
        alert_name=verdict.flapping_name,
        subject=_plain(subject),
        deadline=_deadline(rule.within_s, now),
        changes=changes,
        flapping=_bare(verdict),
    )
    subject = replace(subject, details=Details(description=often))
    return state, (Announcement(level=verdict.level, name=verdict.flapping_name, subject=subject),)


def _restless(state: State, verdict: Verdict, changes: tuple[Deadline, ...], deadline: Deadline | None) -> State:
    return replace(state, flapping=_bare(verdict), changes=changes, deadline=deadline)


def _calm(state: State, verdict: Verdict) -> Outcome:
    """It stays as it is now: say how that is. The OK has the name of the alert for being down."""
    news = (
        Announcement(level=Level.OK if verdict.ok else verdict.level, name=verdict.name, subject=verdict.subject),
    )  # fmt: skip
    if verdict.ok:
        return QUIET, news
    return State(raised=True, alert_name=verdict.name, subject=_plain(verdict.subject)), news


def _off(state: State, why: str) -> Announcement:
    """An OK for what is raised. While it flaps, the alert for being down is the one that people wait for."""
    assert state.subject is not None
    name = state.alert_name if state.flapping is None else state.flapping.name
    return Announcement(
        level=Level.OK, name=name, subject=replace(state.subject, details=Details(description=why))
    )  # fmt: skip


def _names(subject: Subject) -> tuple[str, str]:
    return subject.type, subject.name


def _plain(subject: Subject) -> Subject:
    return replace(subject, details=None)


def _bare(verdict: Verdict) -> Verdict:
    """With nothing of its details but the sentence: it is kept for as long as it is not told."""
    details = verdict.subject.details
    kept = Details(description=details.description) if details is not None and details.description else None
    return replace(verdict, subject=replace(verdict.subject, details=kept))


def _deadline(expires_s: int, now: Now) -> Deadline | None:
    if expires_s <= 0:
        return None
    try:
        wall = now.wall + timedelta(seconds=expires_s)
    except OverflowError:  # some thousand years from now
        return None
    return Deadline(boot=now.boot, elapsed_s=now.elapsed_s + expires_s, wall=wall, span_s=expires_s)
