"""Makes what runs agree with what is configured. What the checks say goes to the ledger; how lines are read is
the affair of `reading`.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast
from uuid import UUID

from vedette.agent import checkfiles, log, metakeys, security
from vedette.agent.checkfiles import CheckFile, Problem
from vedette.agent.checks import Check, Watch, World, build, is_watch
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.pathwatch import PathWatch
from vedette.agent.host import Host
from vedette.agent.ledger import Ledger
from vedette.agent.loop import Loop
from vedette.agent.match.engines import Engines
from vedette.agent.paths import Paths
from vedette.agent.problems import Problems
from vedette.agent.reading import Reading
from vedette.agent.settings import Settings
from vedette.agent.states import Flapping, Verdict
from vedette.agent.store import Store
from vedette.errors import Invalid
from vedette.wire import outgoing

if TYPE_CHECKING:
    from vedette.agent.security.scans import Scans


@dataclass(slots=True)
class _Running:
    """A check at work."""

    check: Check | Watch
    file: CheckFile


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
        self._on_owed = on_owed
        self._ledger = Ledger(loop=loop, store=store, boot=boot, on_owed=on_owed)
        engines = Engines(host, store.path.parent / "patterns")
        self._reading = Reading(loop=loop, host=host, inotify=inotify, ledger=self._ledger, engines=engines)
        self._settings = Settings()
        self._running: dict[str, _Running] = {}
        self._broken: dict[str, str] = {}  # checks that cannot run, and the sentence that was logged
        self._config: str | None = None
        self._bell: PathWatch | None = None
        self._made_scans: Scans | None = None

    @property
    def summary(self) -> str:
        """What it does, for the log and for systemd."""
        return f"watching {len(self._running)} check{'' if len(self._running) == 1 else 's'}"

    def configure(self, paths: Paths, settings: Settings, deleted: Iterable[str] = ()) -> None:
        """Make what runs agree with what is configured now; `deleted` were removed since the last time."""
        if self._bell is None:
            self._bell = PathWatch(self._inotify, str(paths.bell), self._on_bell)
        rebuild = settings != self._settings
        self._settings = settings
        self._ledger.flapping = Flapping(
            changes=settings.flapping_count_threshold,
            within_s=min(settings.flapping_interval, settings.alert_log_max_age),
        )
        world = World(
            loop=self._loop,
            host=self._host,
            paths=paths,
            settings=settings,
            inotify=self._inotify,
            problems=partial(Problems, self._ledger),
            scans=self._scans,
        )
        for key in deleted:
            self._end(key, forget=True)
        wanted: dict[str, CheckFile] = {}
        broken: dict[str, str] = {}
        for each in checkfiles.enabled(paths):
            if isinstance(each, Problem):
                broken[each.stem] = each.sentence
            else:
                wanted[each.stem] = each
        there = checkfiles.stems(paths) | wanted.keys() | broken.keys()
        for key in {*self._running, *self._ledger.known()} - wanted.keys() - broken.keys():
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
                self._start(check, file, world)
        self._complain(broken)
        self._report()

    def _scans(self) -> "Scans":
        if self._made_scans is None:
            from vedette.agent.security.scans import Scans  # for a device that has such checks

            self._made_scans = Scans(self._loop, self._host)
        return self._made_scans

    def look_again(self) -> None:
        """The wall clock was set, or the machine slept."""
        self._ledger.look_again()

    def _on_bell(self, modified: bool) -> None:
        """Somebody else has put an alert into the store."""
        if self._bell is not None:
            self._bell.refresh()
            self._on_owed()

    def close(self) -> None:
        """Stop looking and save the places. Raises and sends nothing."""
        for key, running in list(self._running.items()):
            if is_watch(running.check):
                self._stop(key)
        self._reading.close()
        self._running = {}
        if self._bell is not None:
            self._bell.close()

    def _start(self, check: Check | Watch, file: CheckFile, world: World) -> None:
        """Run a check, or go on with its new settings."""
        key = check.key
        self._ledger.open(key)
        if is_watch(check):
            self._stop(key)
            self._running[key] = _Running(check, file)
            check.start(world, self._listener(key, check))
        else:
            self._running[key] = _Running(check, file)
            self._reading.start(cast(Check, check), self._settings.default_log_lines_before)

    def _listener(self, key: str, watch: Watch) -> Callable[[Verdict], None]:
        def say(verdict: Verdict) -> None:
            running = self._running.get(key)
            if running is not None and running.check is watch:  # what comes after its end counts no more
                self._ledger.say(key, verdict)

        return say

    def _stop(self, key: str) -> None:
        """Stop looking; what is raised stays raised, what was read stays read."""
        running = self._running.get(key)
        if running is None:
            return
        if is_watch(running.check):
            running.check.stop()
        else:
            self._reading.stop(key)
        del self._running[key]

    def _end(self, key: str, *, forget: bool) -> None:
        self._stop(key)
        self._ledger.end(key, forget=forget)
        if forget and (self._store.path.parent / "security").exists():
            from vedette.agent.security.shelf import Shelf  # for this moment only

            Shelf(self._store.path.parent, key).clear()

    def _complain(self, broken: dict[str, str]) -> None:
        for key, sentence in broken.items():
            if self._broken.get(key) != sentence:
                log.error(f"the check {key} is skipped: {sentence}")
            self._ledger.open(key)  # its clock goes on
            if key.partition("_")[0] in security.KINDS:  # programs of one's own keep what they raise themselves
                for own in self._ledger.own_keys(key):
                    self._ledger.open(own)
        self._broken = broken

    def _report(self) -> None:
        """What the server is told of the checks; it is sent when it has changed."""
        checks = [outgoing.configured_check(each.check.configured()) for _, each in sorted(self._running.items())]
        config = json.dumps(checks, ensure_ascii=False).encode(errors="replace").decode()
        if config == self._config:
            return
        try:
            if self._store.meta(metakeys.CONFIG) != config:
                self._store.set_meta(metakeys.CONFIG, config)
                self._on_owed()
            self._config = config
        except sqlite3.Error as exc:
            log.error(f"the store takes nothing: {exc}")
        log.info(self.summary)
