"""Reads sources for the checks on them: what a round of reading has found is committed in one transaction.

Alerts, states, and the positions behind the lines that caused them go together. Only then is more read. When the disk
takes nothing, nothing is read until it does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vedette.agent.checks import Check
from vedette.agent.follow.command import CommandSource
from vedette.agent.follow.events import Rule
from vedette.agent.follow.file import FileSource, Read
from vedette.agent.follow.glob import is_pattern
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.journal import JournalSource, plain
from vedette.agent.follow.lines import Block
from vedette.agent.follow.many import ManySource
from vedette.agent.follow.position import Position
from vedette.agent.host import Host
from vedette.agent.ledger import PLACE, Ledger
from vedette.agent.loop import Loop, Timer
from vedette.agent.match import Engine, Found
from vedette.agent.match.engines import Engines
from vedette.agent.match.fields import scan
from vedette.agent.states import Verdict
from vedette.clock import Clock

SAVE_S: Final = 5.0
"""Positions behind lines that meant nothing are saved this often; after a crash such lines are read once more."""
COOL_S: Final = 0.1
"""A source whose matches only restart clocks is read this often: each time costs a flush to the disk."""

TURN_S: Final = 0.01
"""One source is searched for so long before another has its turn."""
ROUND_S: Final = 0.02
"""All of them together for so long before timers and other checks have theirs."""

Source = FileSource | CommandSource | ManySource


@dataclass(slots=True)
class _Reader:
    """A check and what it reads."""

    check: Check
    source: Source


class _Search:
    """What a step of a source has brought is searched, in as many turns as it takes."""

    def __init__(self, reads: list[Read], checks: dict[str, Check], engine: Engine) -> None:
        self._checks, self.engine = checks, engine
        self.sample = reads[0].block.data
        self.keys = {key for read in reads for key in read.keys if key in checks}
        self.verdicts: list[tuple[str, Verdict]] = []  # complete when `run` has said so
        self._work = self._all(reads)

    def run(self, clock: Clock, until_s: float) -> bool:
        """Search until all is found or the time is over; whether all is."""
        return all(clock.elapsed() < until_s for _ in self._work)

    def _all(self, reads: list[Read]) -> Iterator[None]:
        names = [key for key, check in self._checks.items() if _is_about_lines(check)]
        others = [check for check in self._checks.values() if not _is_about_lines(check)]
        for read in reads:
            wanted = {index for index, key in enumerate(names) if key in read.keys}
            yield from self._heard(read.block, names, self.engine.scan(read.block.data, wanted))
            for check in others:
                if check.key in read.keys:
                    yield from self._heard(read.block, [check.key], scan(read.block, check.pattern, check.field))

    def _heard(self, block: Block, names: list[str], search: Iterator[Found | None]) -> Iterator[None]:
        for found in search:
            if found is None:
                yield
                continue
            key = names[found.pattern]
            if found.undecided:
                self._checks[key].undecided(block, found.start, found.undecided)
                yield
            else:
                self.verdicts.append((key, self._checks[key].verdict(block, found.start)))


def _name(check: Check) -> tuple[str, Rule | None, str]:
    """Checks of the same name share a source. One that reads the journal goes on at a place of its own."""
    own = check.source.startswith("@") and plain(check.source[1:]) is not None
    return check.source, check.events, check.key if own else ""


def _is_about_lines(check: Check) -> bool:
    """Is its pattern asked about lines as they are? Then it is searched together with all others that are."""
    return check.events is None and check.field is None


def _places(key: str, source: Source) -> dict[str, Position | None]:
    """Up to where the check has read, as the ledger knows it."""
    if isinstance(source, ManySource):
        return {key + PLACE + path: place for path, place in source.places(key).items()}
    return {key: source.position(key)}


class Reading:
    """All checks that read lines."""

    def __init__(self, *, loop: Loop, host: Host, inotify: Inotify, ledger: Ledger, engines: Engines) -> None:
        self._loop, self._host, self._inotify, self._ledger, self._makes = loop, host, inotify, ledger, engines
        self._readers: dict[str, _Reader] = {}
        self._sources: dict[tuple[str, Rule | None, str], Source] = {}
        self._engines: dict[Source, tuple[dict[str, Check], Engine]] = {}
        self._searches: dict[Source, _Search] = {}  # under way; the source is not read on meanwhile
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
        name = _name(check)
        if reader is not None and _name(reader.check) == name:
            reader.check = check
            self._drop_engine(reader.source)
            return
        self.stop(key)
        position = self._ledger.place(key)
        if position is not None and position.path != check.source and not check.source.startswith("@"):
            position = None
        source = self._sources.get(name)
        if source is None:
            source = self._open_source(check, context, one=position is not None)
            self._sources[name] = source
        self._readers[key] = _Reader(check, source)
        self._drop_engine(source)
        if isinstance(source, ManySource):
            source.subscribe(key, self._ledger.places(key))
            return
        if position is None and isinstance(source, FileSource):
            self._new.setdefault(source, set()).add(key)
        source.subscribe(key, position)

    def stop(self, key: str) -> None:
        """Read no more for this check, if it was read for; what was read stays read."""
        reader = self._readers.get(key)
        if reader is None:
            return
        if reader.source in self._searches:  # its place is behind what is searched
            self._finish(reader.source)
        del self._readers[key]
        self._drop_engine(reader.source)
        self._new.get(reader.source, set()).discard(key)
        self._dirty.discard(key)
        self._commit(_places(key, reader.source))
        reader.source.unsubscribe(key)
        if all(each.source is not reader.source for each in self._readers.values()):
            self._sources.pop(_name(reader.check)).close()
            self._ready.pop(reader.source, None)
            self._cooling.pop(reader.source, None)
            self._new.pop(reader.source, None)

    def close(self) -> None:
        """Stop reading and save the places. What is still searched is read again next time."""
        self._commit()
        self._searches = {}
        for source in self._sources.values():
            source.close()
        self._sources, self._readers = {}, {}

    def _open_source(self, check: Check, context: int, *, one: bool) -> Source:
        name = check.source
        if not one and is_pattern(name):
            return ManySource(name, self._loop, self._inotify, context, self._on_ready, check.events)
        if check.events is None and name.startswith("@") and (words := plain(name[1:])) is not None:
            return JournalSource(name[1:], words, self._host, self._inotify, context, self._on_ready)
        if name.startswith("@"):
            return CommandSource(name[1:], self._host, context, self._on_ready, check.events)
        return FileSource(name, self._loop, self._inotify, context, self._on_ready, check.events)

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
        """A bounded turn of every source that has something, then one commit for all."""
        self._pump_planned = False
        if self._ledger.blocked:
            return
        clock = self._loop.clock
        over_s = clock.elapsed() + ROUND_S
        ready, self._ready = self._ready, {}
        handled: list[Source] = []
        hot: set[Source] = set()
        changed = False
        for source in ready:
            now = clock.elapsed()
            if now >= over_s:  # the rest is first in the next round
                self._ready[source] = None
                continue
            handled.append(source)
            search = self._searches.pop(source, None) or self._begin(source)
            if search is None:
                continue
            if not search.run(clock, now + TURN_S):
                self._searches[source] = search
                continue
            some, news = self._judge(search)
            changed |= news
            if some:
                hot.add(source)
        # A file found for the first time is noted at once, so that it is known by whatever name when we come back.
        found = [
            key
            for source in handled
            if source in self._new and source not in self._searches
            for key in self._new[source]
            if _places(key, source)[key]
        ]
        found += (
            key
            for source in handled
            if isinstance(source, ManySource) and source not in self._searches and source.news
            for key, reader in self._readers.items()
            if reader.source is source
        )
        if changed or found:
            for key in found:
                self._new.pop(self._readers[key].source, None)
            self._dirty.update(found)
            self._commit()
        for source in handled:
            if source in self._searches or source.more:
                self._on_ready(source)
            elif source in hot:
                self._cool(source)
            if isinstance(source, ManySource) and source not in self._searches:
                self._forget_over(source)
        if self._ready:
            self._plan_pump()

    def _begin(self, source: Source) -> _Search | None:
        """Take a step of the source; None when it has brought nothing."""
        reads = source.step()
        if not reads:
            return None
        if source not in self._engines:
            checks = {key: each.check for key, each in self._readers.items() if each.source is source}
            self._engines[source] = (
                checks,
                self._makes.make([each.pattern for each in checks.values() if _is_about_lines(each)]),
            )
        checks, engine = self._engines[source]
        return _Search(reads, checks, engine)

    def _drop_engine(self, source: Source) -> None:
        """The checks on this source are others now."""
        if source in self._engines:
            self._makes.drop(self._engines.pop(source)[1])

    def _finish(self, source: Source) -> None:
        """Search what is left of a step, however long it takes."""
        search = self._searches.pop(source)
        while not search.run(self._loop.clock, float("inf")):
            pass
        self._judge(search)

    def _judge(self, search: _Search) -> tuple[bool, bool]:
        """What was found goes to the ledger: whether something was, and whether that changed anything."""
        self._makes.tend(search.engine, search.sample)
        self._mark_dirty(search.keys)
        judged = [self._ledger.judge(key, verdict) for key, verdict in search.verdicts if key in self._readers]
        return bool(judged), any(judged)

    def _forget_over(self, source: ManySource) -> None:
        if over := source.take_over():
            keys = [key for key, reader in self._readers.items() if reader.source is source]
            self._ledger.forget_places([key + PLACE + path for key in keys for path in over])

    def _cool(self, source: Source) -> None:
        self._cooling[source] = False

        def cooled() -> None:
            if self._cooling.pop(source, False):
                self._on_ready(source)

        self._loop.call_later(COOL_S, cooled)

    def _mark_dirty(self, keys: set[str]) -> None:
        self._dirty |= keys
        if self._saving is None or not self._saving.pending:
            self._saving = self._loop.call_later(SAVE_S, self._commit)

    def _commit(self, places: dict[str, Position | None] | None = None) -> None:
        # The place of one that is searched for is behind what is searched: not yet.
        busy: set[str] = set().union(*(search.keys for search in self._searches.values()))
        dirty, self._dirty = self._dirty - busy, self._dirty & busy
        positions: dict[str, Position | None] = {}
        for key in dirty & self._readers.keys():
            positions |= _places(key, self._readers[key].source)
        self._ledger.commit(positions | (places or {}))
