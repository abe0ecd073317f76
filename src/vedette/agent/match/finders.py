"""Search blocks of bytes for probes: with Hyperscan where it is installed and a database is ready, else without."""

from collections.abc import Callable, Container
from typing import Any, Final, Protocol

from pcre2 import LibraryError, _cy

from vedette.agent.match.pattern import compile_bytes
from vedette.agent.match.probes import Probe

Hit = tuple[int, int]
"""Where in the block it ends, and which probe it is. It does not reach over a newline."""

_ANYWHERE: Final = _cy.create_match_context()


class Finder(Protocol):
    def find(self, data: bytes, start: int, end: int, ignored: Container[int]) -> list[Hit]:
        """At least one hit in each line of data[start:end] that holds a probe, for each probe not `ignored`.

        Sorted; often several in one line.
        """
        ...


class PlainFinder:
    """One probe after the other: right for a few texts, and always there."""

    def __init__(self, probes: tuple[Probe, ...]) -> None:
        self._searches: list[Callable[[bytes, int, int], int]] = [
            _Expression(each).search if each.outline or each.caseless else _Text(each.text).search for each in probes
        ]

    def find(self, data: bytes, start: int, end: int, ignored: Container[int]) -> list[Hit]:
        hits: list[Hit] = []
        for index, search in enumerate(self._searches):
            if index in ignored:
                continue
            at = search(data, start, end)
            while at >= 0:
                hits.append((at, index))
                newline = data.find(b"\n", at, end)
                at = search(data, newline + 1, end) if newline >= 0 else -1
        if len(self._searches) > 1:
            hits.sort()
        return hits


class _Text:
    __slots__ = ("_text",)

    def __init__(self, text: bytes) -> None:
        self._text = text

    def search(self, data: bytes, start: int, end: int) -> int:
        at = data.find(self._text, start, end)
        return at if at < 0 else at + len(self._text)


class _Expression:
    __slots__ = ("_code",)

    def __init__(self, probe: Probe) -> None:
        self._code = compile_bytes((b"(?i)" if probe.caseless else b"") + probe.expression())

    def search(self, data: bytes, start: int, end: int) -> int:
        try:
            match = _cy.match(self._code, data, end, start, _ANYWHERE, 0)[0]
        except LibraryError:  # too costly here: go on with the next line, and let the whole pattern decide on this one
            return start
        return -1 if match is None else int(_cy.match_substring_span_bynumber(match, data, 0)[1])


class FastFinder:
    """Hyperscan over the block in place. The database comes from `database`."""

    def __init__(self, database: Any) -> None:
        self._scan = database.scan

    def find(self, data: bytes, start: int, end: int, ignored: Container[int]) -> list[Hit]:
        hits: list[Hit] = []
        append = hits.append

        def all_(index: int, _from: int, to: int, _flags: int, _context: object) -> None:
            append((to, index))

        def some(index: int, _from: int, to: int, _flags: int, _context: object) -> None:
            if index not in ignored:
                append((to, index))

        self._scan(memoryview(data)[start:end], match_event_handler=some if ignored else all_)
        hits.sort()
        return [(to + start, index) for to, index in hits] if start else hits
