"""Reads sources for the checks on them: what a round of reading has found is committed in one transaction.

Alerts, states, and the positions behind the lines that caused them go together. Only then is more read. When the disk
takes nothing, nothing is read until it does.
"""

from collections.abc import Iterator, Set
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
from vedette.agent.follow.rest import Awake
from vedette.agent.host import Host
from vedette.agent.ledger import PLACE, Ledger
from vedette.agent.loop import Loop, Timer
from vedette.agent.match import Found
from vedette.agent.match.engines import Engines
from vedette.agent.match.fields import scan
from vedette.agent.states import Verdict
from vedette.clock import Clock

SAVE_S: Final = 5.0
"""Positions behind lines that meant nothing are saved this often; after a crash such lines are read once more."""
COOL_S: Final = 0.1
"""A source whose matches only restart clocks is read this often: each time costs a flush to the disk."""

MAX_APART: Final = 64
"""Commits with the places of some checks before one with all: after a crash so many places may have to be read from."""

TURN_S: Final = 0.005
"""One source is searched for so long before another has its turn."""
SEARCH_S: Final = 0.001
"""Nothing more is read so short before the end of a turn: what is searched then would wait, in memory, for the next."""
ROUND_S: Final = 0.02
"""All of them together for so long before timers and other checks have theirs."""

FEW: Final = 8
"""Checks on one source."""

Source = FileSource | CommandSource | ManySource


@dataclass(slots=True)
class _Reader:
    """A check and what it reads."""

    check: Check
    source: Source


class _Asked:
    """The checks on one source, and how lines are searched for them."""

    __slots__ = ("_heard_by", "_indexes", "checks", "engine", "names", "others")

    def __init__(self, checks: dict[str, Check], engines: Engines) -> None:
        about_lines = {key: check for key, check in checks.items() if _is_about_lines(check)}
        self.checks = checks
        self.names = list(about_lines)
        self.engine = engines.make([check.pattern for check in about_lines.values()])
        self.others = [check for key, check in checks.items() if key not in about_lines]
        self._heard_by: Set[str] = frozenset()
        self._indexes: Set[int] = frozenset()

    def indexes(self, keys: frozenset[str]) -> Set[int]:
        """Which patterns of the engine are those of these checks; they nearly always are the same as before."""
        if len(self.names) <= FEW:  # told as soon as remembered
            return {index for index, key in enumerate(self.names) if key in keys}
        if keys != self._heard_by:
            self._heard_by = keys
            self._indexes = frozenset(index for index, key in enumerate(self.names) if key in keys)
        return self._indexes


class _Search:
    """What a step of a source has brought is searched, in as many turns as it takes."""

    def __init__(self, reads: list[Read], asked: _Asked) -> None:
        self._asked, self._checks, self.engine = asked, asked.checks, asked.engine
        self.sample = reads[0].block.data
        self.keys = {key for read in reads for key in read.keys & asked.checks.keys()}
        self.verdicts: list[tuple[str, Verdict]] = []  # complete when `run` has said so
        self._work = self._all(reads)

    def run(self, clock: Clock, until_s: float) -> bool:
        """Search until all is found or the time is over; whether all is."""
        return all(clock.elapsed() < until_s for _ in self._work)

    def _all(self, reads: list[Read]) -> Iterator[None]:
        asked = self._asked
        for read in reads:
            found = self.engine.scan(read.block.data, asked.indexes(read.keys))
            yield from self._heard(read.block, asked.names, found)
            for check in asked.others:
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


def _places(keys: Set[str], source: Source) -> dict[str, Position | None]:
    """Up to where each of these checks has read, as the ledger knows it."""
    if isinstance(source, ManySource):
        return {key + PLACE + path: place for key in keys for path, place in source.places(key).items()}
    if isinstance(source, FileSource):
        return source.positions(keys)
    return {key: source.position(key) for key in keys}


class Reading:
    """All checks that read lines."""

    def __init__(self, *, loop: Loop, host: Host, inotify: Inotify, ledger: Ledger, engines: Engines) -> None:
        self._loop, self._host, self._inotify, self._ledger, self._makes = loop, host, inotify, ledger, engines
        self._awake = Awake()
        self._readers: dict[str, _Reader] = {}
        self._sources: dict[tuple[str, Rule | None, str], Source] = {}
        self._asked: dict[Source, _Asked] = {}
        self._searches: dict[Source, _Search] = {}  # under way; the source is not read on meanwhile
        self._ready: dict[Source, None] = {}
        self._onward: dict[Source, None] = {}  # those that had their turn and need another
        self._cooling: dict[Source, bool] = {}  # True: it became ready while it cooled
        self._pump_planned = False
        self._dirty: set[str] = set()  # checks that have read on since their places were saved
        self._places: dict[str, Position | None] = {}  # those that go with the next commit, whatever is read meanwhile
        self._apart = 0  # commits since all places were saved
        self._new: dict[Source, set[str]] = {}  # checks whose file has no place in the store yet
        self._saving: Timer | None = None
        ledger.on_free = self._plan_pump
        ledger.all_places = self._all_places

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
        self._places |= _places({key}, reader.source)
        self._commit()
        reader.source.unsubscribe(key)
        if all(each.source is not reader.source for each in self._readers.values()):
            self._sources.pop(_name(reader.check)).close()
            self._ready.pop(reader.source, None)
            self._onward.pop(reader.source, None)
            self._cooling.pop(reader.source, None)
            self._new.pop(reader.source, None)

    def close(self) -> None:
        """Stop reading and save the places. What is still searched is read again next time."""
        for source in self._new.keys() - self._searches.keys():  # stopped so soon that it was not looked for
            self._find(source)
        self._save()
        self._searches = {}
        for source in self._sources.values():
            source.close()
        self._sources, self._readers = {}, {}

    def _open_source(self, check: Check, context: int, *, one: bool) -> Source:
        name = check.source
        if not one and is_pattern(name):
            return ManySource(name, self._loop, self._inotify, context, self._on_ready, check.events, self._awake)
        if check.events is None and name.startswith("@") and (words := plain(name[1:])) is not None:
            return JournalSource(name[1:], words, self._host, self._inotify, context, self._on_ready)
        if name.startswith("@"):
            return CommandSource(name[1:], self._host, context, self._on_ready, check.events)
        return FileSource(name, self._loop, self._inotify, context, self._on_ready, check.events, self._awake)

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
        # What has come just now is before what is read on anyway.
        ready, self._ready, self._onward = self._ready | self._onward, {}, {}
        handled: list[Source] = []
        hot: set[Source] = set()
        changed = False
        for source in ready:
            now = clock.elapsed()
            if now >= over_s:  # the rest is first in the next round
                self._ready[source] = None
                continue
            handled.append(source)
            some, news = self._turn(source, now + TURN_S)
            changed |= news
            if some:
                hot.add(source)
        self._note_new(handled)
        if changed or self._places:
            self._commit()
        for source in handled:
            if source in self._searches or source.more:
                self._onward[source] = None
            elif source in hot:
                self._cool(source)
            if isinstance(source, ManySource) and source not in self._searches:
                self._forget_over(source)
        if self._ready or self._onward:
            self._plan_pump()

    def _turn(self, source: Source, until_s: float) -> tuple[bool, bool]:
        """Read and search one source for so long, or until there is something to announce: see `_judge`."""
        clock = self._loop.clock
        some = changed = False
        while True:
            search = self._searches.pop(source, None) or self._begin(source)
            if search is not None:
                if not search.run(clock, until_s):
                    self._searches[source] = search
                    break
                found, news = self._judge(search, source)
                some, changed = some or found, changed or news
            if not source.more or self._ledger.announces or clock.elapsed() >= until_s - SEARCH_S:
                break
        return some, changed

    def _find(self, source: Source) -> None:
        """Note where reading of a new file begins: we may be stopped while its first lines are searched."""
        if isinstance(source, FileSource):
            source.find()
            places = _places(self._new[source], source)
            self._places |= {key: place for key, place in places.items() if place is not None}

    def _note_new(self, handled: list[Source]) -> None:
        """A file found for the first time is noted at once, so that it is known by whatever name when we come back."""
        for source in handled:
            if source in self._searches:
                continue
            if isinstance(source, ManySource):
                if source.news:
                    keys = {key for key, reader in self._readers.items() if reader.source is source}
                    self._places |= _places(keys, source)
            elif source in self._new:
                places = {key: place for key, place in _places(self._new[source], source).items() if place is not None}
                self._places |= places
                self._new[source] -= places.keys()
                if not self._new[source]:
                    del self._new[source]

    def _begin(self, source: Source) -> _Search | None:
        """Take a step of the source; None when it has brought nothing."""
        if source in self._new:
            self._find(source)
        reads = source.step()
        if not reads:
            return None
        asked = self._asked.get(source)
        if asked is None:
            checks = {key: each.check for key, each in self._readers.items() if each.source is source}
            asked = self._asked[source] = _Asked(checks, self._makes)
        return _Search(reads, asked)

    def _drop_engine(self, source: Source) -> None:
        """The checks on this source are others now."""
        if source in self._asked:
            self._makes.drop(self._asked.pop(source).engine)

    def _finish(self, source: Source) -> None:
        """Search what is left of a step, however long it takes."""
        search = self._searches.pop(source)
        while not search.run(self._loop.clock, float("inf")):
            pass
        self._judge(search, source)

    def _judge(self, search: _Search, source: Source) -> tuple[bool, bool]:
        """What was found goes to the ledger: whether something was, and whether that changed anything.

        Then the place behind it goes with the next commit. The other checks have found nothing up to there: their
        places can wait.
        """
        self._makes.tend(search.engine, search.sample)
        verdicts = [(key, verdict) for key, verdict in search.verdicts if key in self._readers]
        changed = {key for key, verdict in verdicts if self._ledger.judge(key, verdict)}
        if changed:
            self._places |= _places(changed, source)
        self._mark_dirty(search.keys)
        return bool(verdicts), bool(changed)

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
            self._saving = self._loop.call_later(SAVE_S, self._save)

    def _save(self) -> None:
        """Commit with the places of all checks."""
        self._apart = 0
        # The place of one that is searched for is behind what is searched: not yet.
        busy: set[str] = set().union(*(search.keys for search in self._searches.values()))
        dirty, self._dirty = self._dirty - busy, self._dirty & busy
        of_source: dict[Source, set[str]] = {}
        for key in dirty & self._readers.keys():
            of_source.setdefault(self._readers[key].source, set()).add(key)
        for source, keys in of_source.items():
            self._places |= _places(keys, source)
        self._commit()

    def _all_places(self) -> dict[str, Position | None]:
        """The store has lost them. Those that are searched for come with what is found."""
        out: dict[str, Position | None] = {}
        for key, reader in self._readers.items():
            if reader.source not in self._searches:
                if isinstance(reader.source, ManySource):
                    reader.source.save_all()
                out |= _places({key}, reader.source)
        return out

    def _commit(self) -> None:
        self._apart += 1
        if self._apart > MAX_APART:
            self._save()
            return
        places, self._places = self._places, {}
        self._ledger.commit(places)
