"""Wires sources, checks, states and the store together. Decides nothing: each part does what it alone knows.

What a round of reading has found is committed in one transaction: alerts, states, and the positions behind the lines
that caused them. Only then is more read. When the disk takes nothing, nothing is read until it does.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from vedette.agent import checkfiles, log, states
from vedette.agent.checkfiles import CheckFile, Problem
from vedette.agent.checks import Check, build
from vedette.agent.follow.command import CommandSource
from vedette.agent.follow.file import FileSource
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.position import Position
from vedette.agent.host import Host
from vedette.agent.loop import Loop, Timer
from vedette.agent.paths import Paths
from vedette.agent.settings import Settings
from vedette.agent.states import QUIET, Now, State, Verdict
from vedette.agent.store import Store
from vedette.errors import Invalid
from vedette.model import Alert, Details, Level, Subject
from vedette.wire import outgoing

SAVE_S: Final = 5.0
"""Positions behind lines that meant nothing are saved this often; after a crash such lines are read once more."""
COOL_S: Final = 0.1
"""A source whose matches only restart clocks is read this often: each time costs a flush to the disk."""
RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 60.0

CONFIG_KEY: Final = "report.config"

Source = FileSource | CommandSource


@dataclass(slots=True)
class _Running:
    """A check at work."""

    check: Check
    file: CheckFile
    source: Source


@dataclass(frozen=True, slots=True)
class _Effect:
    """What is to be committed for one check."""

    key: str
    state: State
    alert: Alert | None


class Runner:
    """All checks of this device. `on_owed` is called when there is something new for the server."""

    def __init__(
        self,
        *,
        loop: Loop,
        host: Host,
        inotify: Inotify,
        store: Store,
        boot: UUID,
        on_owed: Callable[[], None],
    ) -> None:
        self._loop, self._host, self._inotify, self._store = loop, host, inotify, store
        self._boot = boot
        self._on_owed = on_owed
        self._settings = Settings()
        self._running: dict[str, _Running] = {}
        self._broken: dict[str, str] = {}  # checks that cannot run, and the sentence that was logged
        self._sources: dict[str, Source] = {}
        self._states: dict[str, State] = {}
        self._expiries: dict[str, Timer] = {}
        self._ready: dict[Source, None] = {}
        self._cooling: dict[Source, bool] = {}  # True: it became ready while it cooled
        self._pump_planned = False
        self._dirty: set[str] = set()
        self._new: dict[Source, set[str]] = {}  # checks whose file has no place in the store yet
        self._saved: dict[str, Position | None] = {}
        self._saving: Timer | None = None
        self._unsaved: list[_Effect] = []
        self._places: dict[str, Position | None] = {}  # of checks that ended since the last commit
        self._retry: Timer | None = None
        self._retry_s = RETRY_S
        self._blocked = False
        self._config: str | None = None

    # -- configuration -------------------------------------------------------------------------------------------

    def configure(self, paths: Paths, settings: Settings, deleted: Iterable[str] = ()) -> None:
        """Make what runs agree with what is configured now; `deleted` were removed since the last time."""
        rebuild = settings != self._settings
        self._settings = settings
        for key in deleted:
            self._end(key, forget=True)
        wanted: dict[str, CheckFile] = {}
        broken: dict[str, str] = {}
        for each in checkfiles.enabled(paths):
            if isinstance(each, Problem):
                broken[each.stem] = each.sentence
            else:
                wanted[each.stem] = each
        there = {each.stem for each in checkfiles.available(paths)} | wanted.keys() | broken.keys()
        for key in {*self._running, *self._states, *self._store.checks()} - wanted.keys() - broken.keys():
            self._end(key, forget=key not in there)
        for key in self._running.keys() & broken.keys():
            self._stop(key)
        for key, file in wanted.items():
            running = self._running.get(key)
            if running is not None and running.file.values == file.values and not rebuild:
                continue
            try:
                check = build(file, settings)
            except Invalid as exc:
                broken[key] = str(exc)
                self._stop(key)
            else:
                self._start(check, file)
        self._complain(broken)
        self._report()

    def _start(self, check: Check, file: CheckFile) -> None:
        """Run a check, or go on with its new settings."""
        key = check.key
        running = self._running.get(key)
        if running is not None and running.check.source == check.source:
            running.check, running.file = check, file
            return
        self._stop(key)
        if key not in self._states:
            self._states[key] = self._store.state(key)
            self._expire(key)  # first of all what ran out while nobody looked
        position = self._store.position(key)
        if position is not None and position.path != check.source:
            position = None
        source = self._sources.get(check.source)
        if source is None:
            source = self._open_source(check.source)
            self._sources[check.source] = source
        self._running[key] = _Running(check, file, source)
        self._saved[key] = position
        if position is None and isinstance(source, FileSource):
            self._new.setdefault(source, set()).add(key)
        source.subscribe(key, position)

    def _open_source(self, name: str) -> Source:
        context = self._settings.default_log_lines_before
        if name.startswith("@"):
            return CommandSource(name[1:], self._host, context, self._on_ready)
        return FileSource(name, self._loop, self._inotify, context, self._on_ready)

    def _stop(self, key: str) -> None:
        """Stop looking; what is raised stays raised, what was read stays read."""
        running = self._running.pop(key, None)
        if running is None:
            return
        self._new.get(running.source, set()).discard(key)
        self._dirty.add(key)
        self._commit([], {key: running.source.position(key)})
        running.source.unsubscribe(key)
        name = running.check.source
        if all(each.check.source != name for each in self._running.values()):
            self._sources.pop(name).close()
            self._ready.pop(running.source, None)
            self._cooling.pop(running.source, None)
            self._new.pop(running.source, None)

    def _end(self, key: str, *, forget: bool) -> None:
        """The check was switched off (its place is kept for when it is switched on again) or deleted."""
        self._stop(key)
        state = self._states.pop(key, None) or self._store.state(key)
        timer = self._expiries.pop(key, None)
        if timer is not None:
            timer.cancel()
        new, level = states.end(state)
        if level is not None:
            self._commit([_Effect(key, new, self._ok(state, "check disabled"))])
        if forget:
            self._saved.pop(key, None)
            try:
                self._store.forget(key)
            except sqlite3.Error as exc:
                log.error(f"the store cannot forget {key}: {exc}")

    def _complain(self, broken: dict[str, str]) -> None:
        for key, sentence in broken.items():
            if self._broken.get(key) != sentence:
                log.error(f"the check {key} is skipped: {sentence}")
            if key not in self._states:  # its clock goes on
                self._states[key] = self._store.state(key)
                self._expire(key)
        self._broken = broken

    def _report(self) -> None:
        """What the server is told of the checks; it is sent when it has changed."""
        checks = [outgoing.configured_check(each.check.configured()) for _, each in sorted(self._running.items())]
        config = json.dumps(checks, ensure_ascii=False).encode(errors="replace").decode()
        if config == self._config:
            return
        try:
            if self._store.meta(CONFIG_KEY) != config:
                self._store.set_meta(CONFIG_KEY, config)
                self._on_owed()
            self._config = config
        except sqlite3.Error as exc:
            log.error(f"the store takes nothing: {exc}")
        log.info(f"watching {len(self._running)} checks")

    @property
    def count(self) -> int:
        return len(self._running)

    # -- reading -------------------------------------------------------------------------------------------------

    def _on_ready(self, source: Source) -> None:
        if source in self._cooling:
            self._cooling[source] = True
            return
        self._ready[source] = None
        self._plan_pump()

    def _plan_pump(self) -> None:
        if not self._pump_planned and not self._blocked:
            self._pump_planned = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """One bounded step of every source that has something, then one commit for all."""
        self._pump_planned = False
        if self._blocked:
            return
        ready, self._ready = self._ready, {}
        effects: dict[str, _Effect] = {}
        hot: set[Source] = set()
        for source in ready:
            for read in source.step():
                for key in read.keys:
                    running = self._running.get(key)
                    if running is None:
                        continue
                    self._mark_dirty(key)
                    verdict = running.check.see(read.block)
                    if verdict is not None:
                        self._judge(key, verdict, effects)
                        hot.add(source)
        # A file found for the first time is noted at once, so that it is known by whatever name when we come back.
        found = [key for source in ready if source in self._new for key in self._new[source] if source.position(key)]
        if effects or found:
            for key in found:
                self._new.pop(self._running[key].source, None)
            self._dirty.update(found)
            self._commit(list(effects.values()))
        for source in ready:
            if source.more:
                self._on_ready(source)
            elif source in hot:
                self._cool(source)

    def _judge(self, key: str, verdict: Verdict, effects: dict[str, _Effect]) -> None:
        state = self._states.get(key, QUIET)
        now = self._now()
        new, level = states.step(state, verdict, now)
        if new == state and level is None:
            return
        self._states[key] = new
        alert = None
        if level is not None:
            alert = Alert(name=verdict.name, level=level, at=now.wall, subject=verdict.subject)
        elif key in effects:
            alert = effects[key].alert
        effects[key] = _Effect(key, new, alert)
        self._set_expiry(key)

    def _cool(self, source: Source) -> None:
        self._cooling[source] = False

        def cooled() -> None:
            if self._cooling.pop(source, False):
                self._on_ready(source)

        self._loop.call_later(COOL_S, cooled)

    # -- time ----------------------------------------------------------------------------------------------------

    def _set_expiry(self, key: str) -> None:
        deadline = self._states.get(key, QUIET).deadline
        if deadline is None:
            return
        at = self._loop.clock.elapsed() + max(0.0, deadline.remaining_s(self._now()))
        timer = self._expiries.get(key)
        if timer is not None and timer.pending:
            if timer.at <= at:
                return  # it looks again when it fires; each match moving a timer would fill the loop with dead ones
            timer.cancel()
        self._expiries[key] = self._loop.call_at(at, lambda: self._expire(key))

    def _expire(self, key: str) -> None:
        """Call it off if its time is over; else see to it that we are woken then."""
        state = self._states.get(key, QUIET)
        new, level = states.expire(state, self._now())
        if level is None:
            self._set_expiry(key)
            return
        self._states[key] = new
        self._expiries.pop(key, None)
        self._commit([_Effect(key, new, self._ok(state, "no match within its expiration time"))])

    def _ok(self, state: State, description: str) -> Alert:
        assert state.subject is not None
        subject = Subject(
            name=state.subject.name,
            type=state.subject.type,
            status=state.subject.status,
            details=Details(description=description),
        )
        return Alert(name=state.alert_name, level=Level.OK, at=self._now().wall, subject=subject)

    def _now(self) -> Now:
        clock = self._loop.clock
        return Now(boot=str(self._boot), elapsed_s=clock.elapsed(), wall=clock.now())

    # -- storing -------------------------------------------------------------------------------------------------

    def _mark_dirty(self, key: str) -> None:
        self._dirty.add(key)
        if self._saving is None or not self._saving.pending:
            self._saving = self._loop.call_later(SAVE_S, lambda: self._commit([]))

    def _commit(self, effects: list[_Effect], places: dict[str, Position | None] | None = None) -> None:
        """Store it all together with the places of all that was read; until that has worked nothing more is read."""
        self._unsaved += effects
        self._places |= places or {}
        positions = self._positions() | self._places
        changed = {key: each for key, each in positions.items() if each is not None and each != self._saved.get(key)}
        if not changed and not self._unsaved:
            self._dirty.clear()
            self._places.clear()
            return
        try:
            with self._store.commit() as tx:
                for effect in self._unsaved:
                    tx.save_state(effect.key, effect.state)
                    if effect.alert is not None:
                        tx.add_alert(effect.alert, self._boot, self._loop.clock.elapsed())
                for key, position in changed.items():
                    tx.save_position(key, position)
        except sqlite3.Error as exc:
            if not self._blocked:
                log.error(f"the store {self._store.path} takes nothing ({exc}); nothing is read until it does")
            self._blocked = True
            if self._retry is None or not self._retry.pending:
                self._retry = self._loop.call_later(self._retry_s, lambda: self._commit([]))
                self._retry_s = min(self._retry_s * 2, RETRY_MAX_S)
            return
        owed = any(effect.alert is not None for effect in self._unsaved)
        for effect in self._unsaved:
            if effect.alert is not None:
                log.info(f"{effect.alert.level}: {effect.alert.name} ({effect.key})")
        self._unsaved, self._places = [], {}
        self._saved |= changed
        self._dirty.clear()
        if self._blocked:
            log.info("the store takes records again")
            self._blocked, self._retry_s = False, RETRY_S
            self._plan_pump()
        if owed:
            self._on_owed()

    def _positions(self) -> dict[str, Position | None]:
        return {
            key: self._running[key].source.position(key) for key in self._dirty if key in self._running
        }  # fmt: skip

    def close(self) -> None:
        """Stop reading and save the places. Raises and sends nothing."""
        self._commit([])
        for source in self._sources.values():
            source.close()
        self._sources, self._running = {}, {}
