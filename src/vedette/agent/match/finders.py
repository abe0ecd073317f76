"""Search blocks of bytes for probes: with Hyperscan where it is installed and a database is ready, else without."""

from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from pcre2 import LibraryError, _cy

from vedette.agent.match.pattern import compile_bytes, compile_text
from vedette.agent.match.probe import Probe

if TYPE_CHECKING:
    from mmap import mmap

    Searched = bytes | mmap

Hit = tuple[int, int]
"""Where in the block it ends, and which probe it is. It does not reach over a newline."""

_ANYWHERE: Final = _cy.create_match_context()
MACHINE_BYTES: Final = 16 * 1024
"""In so many bytes a text is found sooner by PCRE2's machine code, four times as fast as Python; so much must come
before it is compiled, which takes memory for each text."""
_machine_code: Final = lru_cache(maxsize=64)(compile_text)  # checks often have texts in common


class Finder(Protocol):
    @property
    def in_place(self) -> bool:
        """Can it search a mapped file? The others take bytes."""
        ...

    def find(self, data: "Searched", start: int, end: int, ignored: Container[int]) -> list[Hit]:
        """At least one hit in each line of data[start:end] that holds a probe, for each probe not `ignored`.

        Sorted; often several in one line.
        """
        ...


class PlainFinder:
    """One probe after the other: right for a few texts, and always there."""

    __slots__ = ("_caseless", "_first", "_machine_from", "_probes")
    in_place = False

    def __init__(self, probes: Sequence[Probe], first: int = 0, *, machine_from: int = MACHINE_BYTES) -> None:
        """The probes are numbered from `first` on. Machine code searches where there are `machine_from` bytes."""
        self._machine_from = machine_from
        self._probes = tuple(each.text if not each.outline else _Expression(each) for each in probes)
        self._first = first
        self._caseless = frozenset(index for index, each in enumerate(probes, first) if each.caseless)

    def find(self, data: "Searched", start: int, end: int, ignored: Container[int]) -> list[Hit]:
        assert isinstance(data, bytes)
        hits: list[Hit] = []
        lower: bytes | None = None
        machine = end - start >= self._machine_from
        for index, probe in enumerate(self._probes, self._first):
            if index in ignored:
                continue
            if isinstance(probe, _Expression):
                hits += ((to, index) for to in probe.ends(data, start, end))
            elif index in self._caseless:
                lower = data[start:end].lower() if lower is None else lower
                hits += ((to + start, index) for to in _ends(probe, lower, 0, end - start, machine=machine))
            else:
                hits += ((to, index) for to in _ends(probe, data, start, end, machine=machine))
        hits.sort()
        return hits


def _ends(text: bytes, data: bytes, start: int, end: int, *, machine: bool) -> Iterator[int]:
    """Where `text` ends, for each line that holds it."""
    code = _machine_code(text) if machine else None
    while start < end:
        if code is None:
            at = data.find(text, start, end)
            if at < 0:
                return
        else:
            match = _cy.match(code, data, end, start, _ANYWHERE, 0)[0]
            if match is None:
                return
            at = int(_cy.match_substring_span_bynumber(match, data, 0)[0])
        yield at + len(text)
        start = data.find(b"\n", at, end) + 1 or end


class _Expression:
    __slots__ = ("_code",)

    def __init__(self, probe: Probe) -> None:
        self._code = compile_bytes((b"(?i)" if probe.caseless else b"") + probe.expression())

    def ends(self, data: bytes, start: int, end: int) -> Iterator[int]:
        """Where it ends, once for each line that holds it."""
        while start < end:
            try:
                match = _cy.match(self._code, data, end, start, _ANYWHERE, 0)[0]
            except LibraryError:  # too costly: each line is for the whole pattern to decide
                at = start
            else:
                if match is None:
                    return
                at = int(_cy.match_substring_span_bynumber(match, data, 0)[1])
            yield at
            start = data.find(b"\n", at, end) + 1 or end


class FastFinder:
    """Hyperscan over the block in place; for one thread, as its scratch space is. Both come from `databases`.

    Hyperscan is asked for texts only. Outlines are searched by PCRE2: of expressions with classes or repeats Hyperscan
    misses some matches (docs/decisions/0009-matching.md).
    """

    def __init__(self, database: Any, scratch: Any = None, outlines: PlainFinder | None = None) -> None:
        self.database, self._scratch, self.outlines = database, scratch, outlines

    @property
    def in_place(self) -> bool:
        return self.outlines is None

    def find(self, data: "Searched", start: int, end: int, ignored: Container[int]) -> list[Hit]:
        hits: list[Hit] = []
        self.database.scan(memoryview(data)[start:end], match_event_handler=_keep, context=hits, scratch=self._scratch)
        if hits and ignored:
            hits = [each for each in hits if each[1] not in ignored]
        if start:
            hits = [(to + start, index) for to, index in hits]
        if self.outlines is not None:
            hits += self.outlines.find(data, start, end, ignored)
        hits.sort()
        return hits


def _keep(index: int, _from: int, to: int, _flags: int, hits: list[Hit]) -> None:
    hits.append((to, index))
