"""All patterns of one source over a block of whole lines, with the answer of each pattern on each line alone.

Probes are searched over the block as it is; a line is cut out only where one is found, and there the pattern itself
decides. A pattern whose probe is found nearly everywhere, or that has none, is asked line by line for a while, which
is cheaper then.
"""

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Final

from vedette.agent.follow.lines import finished
from vedette.agent.match.finders import Finder, PlainFinder
from vedette.agent.match.pattern import Pattern, Undecided
from vedette.agent.match.plan import Plan, make
from vedette.agent.match.probes import Probe

SLICE_BYTES: Final = 64 * 1024
"""Searched in one go; between two of them the caller can turn to something else."""
HOT_BYTES: Final = 300
"""A probe found more often than once in so many bytes costs more than asking the pattern about every line."""
HOT_SLICES: Final = 64
WORN_HEATS: Final = 2
"""Hot that often: another probe would be better."""


@dataclass(frozen=True, slots=True)
class Found:
    """A pattern (its place in the set) matches the line that begins at `start`; or that cannot be decided."""

    pattern: int
    start: int
    undecided: str = ""  # why


class Engine:
    """The patterns of one source. Knows nothing of files, checks or time; used by one thread."""

    def __init__(self, patterns: Sequence[Pattern], plan: Plan | None = None, finder: Finder | None = None) -> None:
        self.patterns = tuple(patterns)
        self._heats: Counter[int] = Counter()
        self.use(plan or make([each.text for each in patterns]), finder)

    def use(self, plan: Plan, finder: Finder | None = None) -> None:
        """Search in this way from now on. Does not change what is found."""
        self.plan = plan
        self._finder = finder or PlainFinder(plan.probes)
        self._hot: dict[int, int] = {}  # probes not worth searching, and for how many slices more
        self._heats.clear()

    @property
    def worn(self) -> frozenset[Probe]:
        """Probes that were found nearly everywhere, again and again."""
        return frozenset(self.plan.probes[index] for index, heats in self._heats.items() if heats >= WORN_HEATS)

    def scan(self, data: bytes, wanted: Set[int], *, once: bool = True) -> Iterator[Found | None]:
        """What matches in `data`, which is whole lines each with its newline; None after each bounded piece of work.

        Args:
            wanted: the patterns to ask.
            once: of each pattern only the first line that matches; what cannot be decided is told all the same.
        """
        left = set(wanted)
        start = 0
        while start < len(data) and left:
            end = _slice_end(data, start)
            for found in self._slice(data, start, end, left):
                if found is not None and not found.undecided and once:
                    left.discard(found.pattern)
                yield found
            start = end

    def _slice(self, data: bytes, start: int, end: int, left: set[int]) -> Iterator[Found | None]:
        plan = self.plan
        slow = left.intersection((*plan.loose, *(owner for probe in self._hot for owner in plan.owners[probe])))
        if slow:
            starts, lines = _cut(data, start, end)
            for index in sorted(slow):
                matches = self.patterns[index].matches
                for at, line in zip(starts, lines, strict=True):
                    try:
                        if matches(line):
                            yield Found(index, at)
                            if index not in left:
                                break
                    except Undecided as exc:
                        yield Found(index, at, str(exc))
                yield None
        quick = left - slow
        if quick:
            ignored = {probe for probe, owners in enumerate(plan.owners) if quick.isdisjoint(owners)}
            hits = self._finder.find(data, start, end, ignored)
            yield from self._confirmed(data, hits, quick, left)
            self._note_heat(hits, end - start)
        self._cool()
        yield None

    def _confirmed(self, data: bytes, hits: list[tuple[int, int]], quick: set[int], left: set[int]) -> Iterator[Found]:
        owners = self.plan.owners
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

    def count(self, data: bytes) -> int:
        """How many lines match any of the patterns; lines that cannot be decided do not count."""
        total = start = 0
        while start < len(data):
            end = _slice_end(data, start)
            total += self._count_slice(data, start, end)
            start = end
        return total

    def _count_slice(self, data: bytes, start: int, end: int) -> int:
        plan = self.plan
        slow = list(dict.fromkeys((*(o for probe in self._hot for o in plan.owners[probe]), *plan.loose)))
        if len(slow) == len(self.patterns):
            self._cool()
            return sum(1 for line in _lines(data, start, end) if self._any(slow, line))
        hits = self._finder.find(data, start, end, self._hot)
        self._note_heat(hits, end - start)
        self._cool()
        if not slow:
            return self._count_hits(data, hits)
        asked: dict[int, set[int]] = {}
        for to, probe in hits:
            asked.setdefault(data.rfind(b"\n", 0, to) + 1, set()).update(plan.owners[probe])
        starts, lines = _cut(data, start, end)
        return sum(
            1
            for at, line in zip(starts, lines, strict=True)
            if self._any(slow, line) or (at in asked and self._any(asked[at], line))
        )

    def _count_hits(self, data: bytes, hits: list[tuple[int, int]]) -> int:
        owners, patterns = self.plan.owners, self.patterns
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

    def _note_heat(self, hits: list[tuple[int, int]], size: int) -> None:
        if len(hits) * HOT_BYTES <= max(size, SLICE_BYTES // 4):
            return
        for probe, times in Counter(index for _, index in hits).items():
            if times * HOT_BYTES > max(size, SLICE_BYTES // 4):
                self._hot[probe] = HOT_SLICES
                self._heats[probe] += 1

    def _cool(self) -> None:
        for probe, slices in list(self._hot.items()):
            if slices:
                self._hot[probe] = slices - 1
            else:
                del self._hot[probe]


def _slice_end(data: bytes, start: int) -> int:
    """Behind the newline of a line, not much more than SLICE_BYTES further."""
    end = data.rfind(b"\n", start, start + SLICE_BYTES) + 1
    return end or data.find(b"\n", start) + 1


def _lines(data: bytes, start: int, end: int) -> list[bytes]:
    return [finished(line) for line in data[start : end - 1].split(b"\n")]


def _cut(data: bytes, start: int, end: int) -> tuple[list[int], list[bytes]]:
    """Where the lines begin, and the lines as they are looked at."""
    raw = data[start : end - 1].split(b"\n")
    starts = [start]
    for line in raw:
        starts.append(starts[-1] + len(line) + 1)
    return starts[:-1], [finished(line) for line in raw]
