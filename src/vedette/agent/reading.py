"""Reads sources for the checks on them: what a round of reading has found is committed in one transaction.

Alerts, states, and the positions behind the lines that caused them go together. Only then is more read. When the disk
takes nothing, nothing is read until it does.
"""

from dataclasses import dataclass
from typing import Final

from vedette.agent.checks import Check
from vedette.agent.follow.command import CommandSource
from vedette.agent.follow.file import FileSource
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.position import Position
from vedette.agent.host import Host
from vedette.agent.ledger import Ledger
from vedette.agent.loop import Loop, Timer

SAVE_S: Final = 5.0
"""Positions behind lines that meant nothing are saved this often; after a crash such lines are read once more."""
COOL_S: Final = 0.1
"""A source whose matches only restart clocks is read this often: each time costs a flush to the disk."""

Source = FileSource | CommandSource


@dataclass(slots=True)
class _Reader:
    """A check and what it reads."""

    check: Check
    source: Source


class Reading:
    """All checks that read lines."""

    def __init__(self, *, loop: Loop, host: Host, inotify: Inotify, ledger: Ledger) -> None:
        self._loop, self._host, self._inotify, self._ledger = loop, host, inotify, ledger
        self._readers: dict[str, _Reader] = {}
        self._sources: dict[str, Source] = {}
        self._ready: dict[Source, None] = {}
        self._cooling: dict[Source, bool] = {}  # True: it became ready while it cooled
        self._pump_planned = False
        self._dirty: set[str] = set()  # checks that have read on since their places were saved
        self._new: dict[Source, set[str]] = {}  # checks whose file has no place in the store yet
        self._saving: Timer | None = None
        ledger.on_free = self._plan_pump

    def start(self, check: Check, context: int) -> None:
        """Read for this check, or go on with its new settings; `context` lines are kept to be shown before a match."""
        key = check.key
        reader = self._readers.get(key)
        if reader is not None and reader.check.source == check.source:
            reader.check = check
            return
        self.stop(key)
        position = self._ledger.place(key)
        if position is not None and position.path != check.source:
            position = None
        source = self._sources.get(check.source)
        if source is None:
            source = self._open_source(check.source, context)
            self._sources[check.source] = source
        self._readers[key] = _Reader(check, source)
        if position is None and isinstance(source, FileSource):
            self._new.setdefault(source, set()).add(key)
        source.subscribe(key, position)

    def stop(self, key: str) -> None:
        """Read no more for this check, if it was read for; what was read stays read."""
        reader = self._readers.pop(key, None)
        if reader is None:
            return
        self._new.get(reader.source, set()).discard(key)
        self._dirty.discard(key)
        self._commit({key: reader.source.position(key)})
        reader.source.unsubscribe(key)
        name = reader.check.source
        if all(each.check.source != name for each in self._readers.values()):
            self._sources.pop(name).close()
            self._ready.pop(reader.source, None)
            self._cooling.pop(reader.source, None)
            self._new.pop(reader.source, None)

    def close(self) -> None:
        """Stop reading and save the places."""
        self._commit()
        for source in self._sources.values():
            source.close()
        self._sources, self._readers = {}, {}

    def _open_source(self, name: str, context: int) -> Source:
        if name.startswith("@"):
            return CommandSource(name[1:], self._host, context, self._on_ready)
        return FileSource(name, self._loop, self._inotify, context, self._on_ready)

    def _on_ready(self, source: Source) -> None:
        if source in self._cooling:
            self._cooling[source] = True
            return
        self._ready[source] = None
        self._plan_pump()

    def _plan_pump(self) -> None:
        if not self._pump_planned and not self._ledger.blocked:
            self._pump_planned = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """One bounded step of every source that has something, then one commit for all."""
        self._pump_planned = False
        if self._ledger.blocked:
            return
        ready, self._ready = self._ready, {}
        hot: set[Source] = set()
        changed = False
        for source in ready:
            for read in source.step():
                for key in read.keys:
                    reader = self._readers.get(key)
                    if reader is None:
                        continue
                    self._mark_dirty(key)
                    verdict = reader.check.see(read.block)
                    if verdict is not None:
                        changed |= self._ledger.judge(key, verdict)
                        hot.add(source)
        # A file found for the first time is noted at once, so that it is known by whatever name when we come back.
        found = [key for source in ready if source in self._new for key in self._new[source] if source.position(key)]
        if changed or found:
            for key in found:
                self._new.pop(self._readers[key].source, None)
            self._dirty.update(found)
            self._commit()
        for source in ready:
            if source.more:
                self._on_ready(source)
            elif source in hot:
                self._cool(source)

    def _cool(self, source: Source) -> None:
        self._cooling[source] = False

        def cooled() -> None:
            if self._cooling.pop(source, False):
                self._on_ready(source)

        self._loop.call_later(COOL_S, cooled)

    def _mark_dirty(self, key: str) -> None:
        self._dirty.add(key)
        if self._saving is None or not self._saving.pending:
            self._saving = self._loop.call_later(SAVE_S, self._commit)

    def _commit(self, places: dict[str, Position | None] | None = None) -> None:
        dirty, self._dirty = self._dirty, set()
        positions = {key: self._readers[key].source.position(key) for key in dirty if key in self._readers}
        self._ledger.commit(positions | (places or {}))
