"""One advisory as the server keeps it, between what was imported and what devices get."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from vedette.model.feed import STREAM, Advisory, load

OSV: Final = "osv"
DEBIAN: Final = "debian"
"""Formats. Of a package of Debian's, what the tracker says counts before what others made of it."""

MAX_SUMMARY: Final = 160  # characters
MAX_LINE: Final = 64 * 1024  # bytes of one advisory
MAX_NAME: Final = 255  # characters of a package's name or an id


@dataclass(frozen=True, slots=True)
class Record:
    """An advisory of one package in one stream."""

    source: str  # the id of the document that it was in
    modified: str  # RFC 3339; empty: not known
    stream: str
    package: str
    advisory: Advisory

    def dump(self) -> bytes:
        """A line, without the stream: those of one stream are kept together."""
        return msgspec.json.encode([self.source, self.modified, self.package, self.advisory.dump()])


def load_record(stream: str, line: bytes) -> Record:
    source, modified, package, advisory = msgspec.json.decode(line)
    return Record(source, modified, stream, package, load(advisory))


def fits(record: Record) -> bool:
    """Whether the feed can hold it."""
    names = (record.package, record.advisory.id, record.source)
    return (
        STREAM.fullmatch(record.stream) is not None
        and all(0 < len(each) <= MAX_NAME and each.isprintable() for each in names)
        and len(record.dump()) <= MAX_LINE
    )


def summary(text: str) -> str:
    """The first line of what is said about it, cut, for a device to show."""
    line = " ".join(text.strip().partition("\n")[0].split())
    return line if len(line) <= MAX_SUMMARY else line[: MAX_SUMMARY - 3] + "..."


def best_known(names: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """The id that people know a vulnerability by, and the others: its CVE where it has just one."""
    first, *others = dict.fromkeys(names)
    numbers = cves((first, *others))
    if len(numbers) == 1 and numbers[0] != first:
        return numbers[0], (first, *(each for each in others if each != numbers[0]))
    return first, tuple(others)


def cves(names: Iterable[str]) -> Sequence[str]:
    return [each for each in names if each.startswith("CVE-")]


def day(text: Any) -> str:
    """Of a time as RFC 3339."""
    return text[:10] if isinstance(text, str) else ""
