"""What is raised, since when and for how long, and what of it is on the disk.

Verdicts come in, alerts go to the store: each in one transaction with the states it changed and with the places behind
the lines that caused it. While the disk takes nothing, all of it is held here and tried again.
"""

import sqlite3
from collections.abc import Callable, Collection, Mapping
from typing import Final
from uuid import UUID

from vedette.agent import log, memory, metakeys, states
from vedette.agent.follow.position import Position
from vedette.agent.loop import Loop, Timer
from vedette.agent.states import QUIET, Announcement, Flapping, Now, State, Verdict
from vedette.agent.store import Store
from vedette.model import Alert, Subject

RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
LAZY_S: Final = 1.0
"""What changed no level is saved this much later, so that a restless check costs no flush to the disk each time."""
MAX_HELD: Final = 1000
"""Alerts held in memory while the disk takes nothing. Logs wait unread meanwhile; only other checks go on."""


OWNER: Final = "#"
"""Between a check and one of the many things that it has raised, in the key of a state; no check's name holds it."""
PLACE: Final = "/"
"""Between a check and one of the files that it reads, in the key of a position; no check's name holds it either."""


def own_key(check: str, subject: Subject) -> str:
    """Under which the state of something is kept that a check raises under a name of its own, as one of many."""
    return f"{check}{OWNER}{subject.type}/{subject.name}"


class Ledger:
    """The states of all checks. `on_owed` is called when there is something new for the server."""

    def __init__(self, *, loop: Loop, store: Store, boot: UUID, on_owed: Callable[[], None]) -> None:
        self._loop, self._store, self._boot, self._on_owed = loop, store, boot, on_owed
        self.on_free: Callable[[], None] = _nothing  # called when the store takes records again
        self.flapping = Flapping()
        self._states: dict[str, State] = {}
        self._clocks: dict[str, Timer] = {}
        self.all_places: Callable[[], Mapping[str, Position | None]] = dict  # asked when the store has lost them
        # Not on the disk yet:
        self._alerts: list[tuple[str, Alert]] = []
        self._changed: dict[str, State] = {}
        self._places: dict[str, Position] = {}
        self._notes: dict[str, str] = {}
        self._lazy: Timer | None = None
        self._retry: Timer | None = None
        self._retry_s = RETRY_S
        self._blocked = False
        store.on_renewed = self._save_all

    @property
    def blocked(self) -> bool:
        """The disk takes nothing: nothing more may be read."""
        return self._blocked

    @property
    def announces(self) -> bool:
        """Is there an alert that the next `commit` makes durable?"""
        return bool(self._alerts)

    def open(self, key: str) -> None:
        """From now on this check has verdicts; what ran out while nobody looked is called off first."""
        if key not in self._states:
            self._states[key] = self._changed.get(key) or self._store.state(key)
            self._ring(key)

    def known(self) -> set[str]:
        """Every check of which something is remembered."""
        return {
            key.partition(OWNER)[0].partition(PLACE)[0]
            for key in (*self._states, *self._changed, *self._store.checks())
        }

    def end(self, check: str, *, forget: bool) -> None:
        """The check was switched off (its place is kept for when it is switched on again) or deleted."""
        raised = self.own_keys(check)
        for key in (check, *raised):
            self._call_off(key)
        self.commit()
        if forget:
            self._notes.pop(check, None)
            self.forget_places([check, *(check + PLACE + name for name in self.places(check))])
        if raised or forget:  # else its program would believe that it had told what was just called off
            try:
                memory.forget(self._store, check)
            except sqlite3.Error as exc:
                log.error(f"the store cannot forget {check}: {exc}")

    def _call_off(self, key: str) -> None:
        state = self._states.pop(key, None) or self._changed.get(key) or self._store.state(key)
        if (clock := self._clocks.pop(key, None)) is not None:
            clock.cancel()
        new, news = states.end(state)
        if new != state:
            self._note(key, new, news)

    # -- checks that raise many things, each under a name of its own ---------------------------------------------------

    def own_keys(self, check: str) -> list[str]:
        """Of all that a check has raised as one of many."""
        start = check + OWNER
        return sorted(key for key in {*self._states, *self._changed, *self._store.checks()} if key.startswith(start))

    def own_states(self, check: str) -> list[State]:
        """Of all that a check has raised as one of many, once each has been opened."""
        start = check + OWNER
        return [state for key, state in self._states.items() if key.startswith(start)]

    def note(self, check: str) -> str | None:
        """What a check wants to know again, as it was last committed."""
        return self._store.meta(metakeys.OF_CHECK + check)

    def keep_note(self, check: str, note: str) -> None:
        """Made durable by the next `commit`, together with what it says is raised."""
        self._notes[check] = note

    def place(self, key: str) -> Position | None:
        """Up to where this check has read."""
        return self._places.get(key) or self._store.position(key)

    def places(self, check: str) -> dict[str, Position]:
        """Up to where a check that reads several files has read in each."""
        start = check + PLACE
        keys = {key for key in (*self._places, *self._store.checks()) if key.startswith(start)}
        found = {key[len(start) :]: self.place(key) for key in keys}
        return {name: place for name, place in found.items() if place is not None}

    def forget_places(self, keys: Collection[str]) -> None:
        """They are not needed any more. When the disk takes nothing they stay, which does no harm."""
        for key in keys:
            self._places.pop(key, None)
        try:
            with self._store.commit() as tx:
                for key in keys:
                    tx.forget(key)
        except sqlite3.Error as exc:
            log.error(f"the store cannot forget {', '.join(keys)}: {exc}")

    def judge(self, key: str, verdict: Verdict) -> bool:
        """Take a verdict; True when it changed something, which `commit` then makes durable."""
        state = self._states.get(key, QUIET)
        new, news = states.step(state, verdict, self._now(), self.flapping)
        if new == state and not news:
            return False
        self._states[key] = new
        self._note(key, new, news)
        self._set_clock(key)
        return True

    def say(self, key: str, verdict: Verdict) -> None:
        """Take a verdict that no line caused."""
        if not self.judge(key, verdict):
            return
        if self._alerts:
            self.commit()
        elif self._lazy is None or not self._lazy.pending:
            self._lazy = self._loop.call_later(LAZY_S, self.commit)

    def commit(self, places: Mapping[str, Position | None] | None = None) -> None:
        """Store it all together with these places; until that has worked nothing more may be read."""
        self._places |= {key: place for key, place in (places or {}).items() if place is not None}
        if not (self._places or self._changed or self._alerts or self._notes):
            return
        try:
            with self._store.commit() as tx:
                for _, alert in self._alerts:
                    tx.add_alert(alert, self._boot, self._loop.clock.elapsed())
                for key, state in self._changed.items():
                    tx.save_state(key, state)
                for key, place in self._places.items():
                    tx.save_position(key, place)
                for check, note in self._notes.items():
                    tx.save_note(check, note)
        except sqlite3.Error as exc:
            self._block(exc)
            return
        alerts, self._alerts = self._alerts, []
        for key, state in self._changed.items():
            if OWNER in key and state == QUIET:  # the like of it may never be seen again, so there is no end of names
                self._states.pop(key, None)
        self._changed, self._places, self._notes = {}, {}, {}
        for key, alert in alerts:
            log.info(f"{alert.level}: {alert.name} ({key})")
        if self._blocked:
            log.info("the store takes records again")
            self._blocked, self._retry_s = False, RETRY_S
            self.on_free()
        if alerts:
            self._on_owed()

    def _note(self, key: str, state: State, news: tuple[Announcement, ...]) -> None:
        at = self._loop.clock.now()
        self._changed[key] = state
        self._alerts += ((key, Alert(name=each.name, level=each.level, at=at, subject=each.subject)) for each in news)
        if len(self._alerts) > MAX_HELD:
            lost, alert = self._alerts.pop(0)
            log.error(f"{alert.level}: {alert.name} ({lost}) is lost: the store took nothing for too long")

    def _block(self, exc: sqlite3.Error) -> None:
        if not self._blocked:
            log.error(f"the store {self._store.path} takes nothing ({exc}); nothing is read until it does")
        self._blocked = True
        if self._retry is None or not self._retry.pending:
            self._retry = self._loop.call_later(self._retry_s, self.commit)
            self._retry_s = min(self._retry_s * 2, RETRY_MAX_S)

    def _save_all(self) -> None:
        """The store was damaged and a new one knows nothing: what is known here goes into it with the next commit."""
        self._places = {key: place for key, place in self.all_places().items() if place is not None} | self._places
        self._changed = {key: state for key, state in self._states.items() if state != QUIET} | self._changed
        self._loop.call_soon(self.commit)

    # -- time ----------------------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """The wall clock was set, or the machine slept: what is due may have changed."""
        for key in list(self._states):
            self._ring(key)

    def _set_clock(self, key: str) -> None:
        deadline = self._states.get(key, QUIET).deadline
        if deadline is None:
            return
        at = self._loop.clock.elapsed() + max(0.0, deadline.remaining_s(self._now()))
        clock = self._clocks.get(key)
        if clock is not None and clock.pending:
            if clock.at <= at:
                return  # it looks again when it fires; each match moving a timer would fill the loop with dead ones
            clock.cancel()
        self._clocks[key] = self._loop.call_at(at, lambda: self._ring(key))

    def _ring(self, key: str) -> None:
        """Do what is due by now; else see to it that we are woken then."""
        state = self._states.get(key, QUIET)
        new, news = states.expire(state, self._now())
        if new == state:
            self._set_clock(key)
            return
        self._states[key] = new
        self._clocks.pop(key, None)
        self._note(key, new, news)
        self._set_clock(key)
        self.commit()

    def _now(self) -> Now:
        clock = self._loop.clock
        return Now(boot=str(self._boot), elapsed_s=clock.elapsed(), wall=clock.now())


def _nothing() -> None:
    """Nobody waits for the store."""
