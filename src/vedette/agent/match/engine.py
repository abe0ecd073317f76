"""All patterns of one source over a block of whole lines, with the answer of each pattern on each line alone.

Probes are searched over the block as it is; a line is cut out only where one is found, and there the pattern itself
decides. A pattern whose probe is found nearly everywhere, or that has none, is asked line by line for a while, which
is cheaper then.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from vedette.agent.follow.lines import MAX_LINE, finished
from vedette.agent.match.finders import Finder, Hit, PlainFinder
from vedette.agent.match.pattern import Pattern, Undecided
from vedette.agent.match.plan import Plan, make
from vedette.agent.match.probe import Probe

if TYPE_CHECKING:
    from vedette.agent.match.finders import Searched

SLICE_BYTES: Final = 64 * 1024
"""Searched in one go where each line is looked at; between two of them the caller can turn to something else."""
QUICK_BYTES: Final = 256 * 1024
"""The same where only texts are searched for, and where nobody waits for a turn."""
HOT_BYTES: Final = 300
"""A probe found more often than once in so many bytes costs more than asking the pattern about every line."""
FEW_LEFT: Final = 4
"""So few texts are found one after the other sooner than with others that are found everywhere."""
HOT_SLICES: Final = 64
WORN_HEATS: Final = 2
"""Hot that often: another probe would be better."""


@dataclass(frozen=True, slots=True)
class Found:
    """A pattern (its place in the set) matches the line that begins at `start`; or that cannot be decided."""

    pattern: int
    start: int
    undecided: str = ""  # why


class _Way:
    """How it is searched, and what is known of how well."""

    __slots__ = ("_finder", "_plain", "heats", "hot", "owners", "plan")

    def __init__(self, plan: Plan, finder: Finder) -> None:
        self.plan, self.owners, self._finder = plan, plan.owners, finder
        self._plain = PlainFinder(plan.probes) if plan.literal else finder
        self.hot: dict[int, int] = {}  # probes not worth searching, and for how many slices more
        self.heats: dict[int, int] = {}  # how often each became hot

    @property
    def in_place(self) -> bool:
        """Can what lies in a mapped file be searched there?"""
        return not self.hot and self._finder.in_place

    def find(self, data: "Searched", start: int, end: int, ignored: Collection[int]) -> list[Hit]:
        """Of all probes but those `ignored`, which cost time nevertheless where the finder looks for all at once."""
        few = ignored and len(self.plan.probes) - len(ignored) <= FEW_LEFT
        return (self._plain if few else self._finder).find(data, start, end, ignored)

    def slow(self) -> list[int]:
        """Patterns to be asked about every line now, those that match most first."""
        return list(dict.fromkeys((*(owner for probe in self.hot for owner in self.owners[probe]), *self.plan.loose)))

    def note(self, hits: list[tuple[int, int]], size: int) -> None:
        """So many hits in a slice of so many bytes."""
        size = max(size, SLICE_BYTES // 4)
        if len(hits) * HOT_BYTES > size:
            for probe, times in Counter(index for _, index in hits).items():
                if times * HOT_BYTES > size:
                    self.hot[probe] = HOT_SLICES
                    self.heats[probe] = self.heats.get(probe, 0) + 1

    def cool(self) -> None:
        """A slice is done."""
        for probe, slices in list(self.hot.items()):
            if slices:
                self.hot[probe] = slices - 1
            else:
                del self.hot[probe]


class Engine:
    """The patterns of one source. Knows nothing of files, checks or time; used by one thread."""

    __slots__ = ("_way", "patterns")

    def __init__(self, patterns: Sequence[Pattern], plan: Plan | None = None, finder: Finder | None = None) -> None:
        self.patterns = tuple(patterns)
        self.use(plan or make([each.text for each in patterns]), finder)

    def use(self, plan: Plan, finder: Finder | None = None) -> None:
        """Search in this way from now on. Does not change what is found, also in a scan under way."""
        self._way = _Way(plan, finder or PlainFinder(plan.probes))

    @property
    def plan(self) -> Plan:
        return self._way.plan

    @property
    def worn(self) -> frozenset[Probe]:
        """Probes that were found nearly everywhere, again and again."""
        way = self._way
        return frozenset(way.plan.probes[index] for index, heats in way.heats.items() if heats >= WORN_HEATS)

    def scan(self, data: bytes, wanted: Set[int], *, once: bool = True) -> Iterator[Found | None]:
        """What matches in `data`, which is whole lines each with its newline; None after each bounded piece of work.

        Args:
            wanted: the patterns to ask.
            once: of each pattern only the first line that matches; what cannot be decided is told all the same.
        """
        left = set(wanted)
        start = 0
        while start < len(data) and left:
            quick = len(data) - start <= QUICK_BYTES and not self._way.slow()
            end = len(data) if quick else _slice_end(data, start)
            for found in self._slice(data, start, end, left):
                if found is not None and not found.undecided and once:
                    left.discard(found.pattern)
                yield found
            start = end

    def _slice(self, data: bytes, start: int, end: int, left: set[int]) -> Iterator[Found | None]:
        way = self._way
        slow = left.intersection(way.slow())
        quick = left - slow
        if slow:
            starts, lines = _starts(data, start, end), _cut(data, start, end)
            for index in sorted(slow):
                yield from self._by_line(index, starts, lines, left)
                yield None
        if quick:
            ignored: set[int] = set()
            if len(quick) < len(self.patterns):
                ignored = {probe for probe, owners in enumerate(way.owners) if quick.isdisjoint(owners)}
            hits = way.find(data, start, end, ignored)
            way.note(hits, end - start)
            yield from self._confirmed(data, hits, way.owners, quick, left)
        way.cool()
        yield None

    def _by_line(self, index: int, starts: list[int], lines: list[bytes], left: set[int]) -> Iterator[Found]:
        matches = self.patterns[index].matches
        for start, line in zip(starts, lines, strict=True):
            try:
                if matches(line):
                    yield Found(index, start)
                    if index not in left:
                        return
            except Undecided as exc:
                yield Found(index, start, str(exc))

    def _confirmed(
        self, data: bytes, hits: list[tuple[int, int]], owners: Sequence[Sequence[int]], quick: set[int], left: set[int]
    ) -> Iterator[Found]:
        line_start = line_end = -1
        line = b""
        asked: set[int] = set()
        for to, probe in hits:
            if to > line_end:
                line_start, line_end = data.rfind(b"\n", 0, to) + 1, data.find(b"\n", to)
                line = finished(data[line_start:line_end])
                asked.clear()
            for index in owners[probe]:
                if index in asked or index not in quick or index not in left:
                    continue
                asked.add(index)
                try:
                    if self.patterns[index].matches(line):
                        yield Found(index, line_start)
                except Undecided as exc:
                    yield Found(index, line_start, str(exc))

    def count(self, data: "Searched", end: int, start: int = 0) -> int:
        """How many lines of data[start:end], which is whole lines, match any of the patterns.

        Lines that cannot be decided do not count.
        """
        total = 0
        while start < end:
            following = end if end - start <= QUICK_BYTES else _slice_end(data, start)
            if isinstance(data, bytes) or self._way.in_place:
                total += self._count_slice(data, start, following)
            else:
                total += self._count_slice(data[start:following], 0, following - start)
            start = following
        return total

    def _count_slice(self, data: "Searched", start: int, end: int) -> int:
        way = self._way
        slow = way.slow()
        hits: list[tuple[int, int]] = []
        if len(slow) < len(self.patterns):
            hits = way.find(data, start, end, way.hot)
            way.note(hits, end - start)
        way.cool()
        if not slow:
            return self._count_hits(data, hits, way.owners)
        asked: dict[int, set[int]] = {}
        for to, probe in hits:
            asked.setdefault(data.rfind(b"\n", 0, to) + 1, set()).update(way.owners[probe])
        total = self._count_matching(slow, data[start:end])
        for at, owners in asked.items():
            line = finished(data[at : data.find(b"\n", at)])
            if self._any(owners.difference(slow), line) and not self._any(slow, line):
                total += 1
        return total

    def _count_matching(self, indexes: Sequence[int], block: bytes) -> int:
        """How many lines match any of these patterns, of which each is asked about every line."""
        total = 0
        todo = list(indexes)
        if block.isascii() and not _any_long(block):
            for index in indexes:
                struck = self.patterns[index].strike(block) if block else None
                if struck is not None:
                    block = struck[0]
                    total += struck[1]
                    todo.remove(index)
        if not (todo and block):
            return total
        left = lines = _cut(block, 0, len(block))
        for index in todo:
            left = self.patterns[index].misses(left)
        return total + len(lines) - len(left)

    def _count_hits(self, data: "Searched", hits: list[tuple[int, int]], owners: Sequence[Sequence[int]]) -> int:
        patterns = self.patterns
        total = 0
        counted = -1  # end of the last line that was counted
        line_end = -1
        line = b""
        asked: set[int] = set()
        for to, probe in hits:
            if to <= counted:
                continue
            if to > line_end:
                line_start, line_end = data.rfind(b"\n", 0, to) + 1, data.find(b"\n", to)
                line = finished(data[line_start:line_end])
                asked.clear()
            for index in owners[probe]:
                if index in asked:
                    continue
                asked.add(index)
                try:
                    if patterns[index].matches(line):
                        total += 1
                        counted = line_end
                        break
                except Undecided:
                    pass
        return total

    def _any(self, indexes: Sequence[int] | Set[int], line: bytes) -> bool:
        for index in indexes:
            try:
                if self.patterns[index].matches(line):
                    return True
            except Undecided:
                pass
        return False


def _slice_end(data: "Searched", start: int) -> int:
    """Behind the newline of a line, not much more than SLICE_BYTES further."""
    end = data.rfind(b"\n", start, start + SLICE_BYTES) + 1
    return end or data.find(b"\n", start) + 1


def _any_long(block: bytes) -> bool:
    """Is there a line that is not looked at to its end?"""
    at = 0
    while len(block) - at > MAX_LINE:
        following = block.rfind(b"\n", at, at + MAX_LINE + 1) + 1
        if not following:
            return True
        at = following
    return False


def _cut(data: bytes, start: int, end: int) -> list[bytes]:
    """The lines as they are looked at."""
    block = data[start : end - 1]
    lines = block.split(b"\n")
    if b"\r" in block or b"\0" in block or max(map(len, lines)) > MAX_LINE:
        lines = [finished(line) for line in lines]
    return lines


def _starts(data: bytes, start: int, end: int) -> list[int]:
    """Where they begin."""
    lengths = map(len, data[start : end - 1].split(b"\n")[:-1])
    return list(accumulate(lengths, lambda at, length: at + length + 1, initial=start))
