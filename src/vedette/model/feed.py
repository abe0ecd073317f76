"""The feed of known vulnerabilities as it travels from the server to a device: what both must agree on.

A *stream* is an ecosystem with its release, in OSV's words: "Debian:12", "Alpine:v3.18", "PyPI". Its advisories are
spread over *buckets* by the hash of the package's name, so that a device reads only what its packages need, and a
bucket is one or more *blocks*, compressed and known by the hash of their bytes, so that it fetches only what changed.

- The *head*, JSON, is all that changes under its name: how many buckets, how old, the hash of the index.
- The *index* lists the blocks: 22 bytes each, in the order of buckets.
- A *block* is compressed lines `NAME TAB JSON list of advisories`, at most one of each package.
- A *pack*, on the disk of a device, is a head, its index, and those of its blocks that are there.
"""

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from vedette.errors import Invalid

FORMAT: Final = 1
MAX_BUCKETS: Final = 4096  # powers of two
MAX_BLOCKS: Final = 8192
MAX_BLOCK: Final = 128 * 1024  # bytes, compressed
MAX_EXPANDED: Final = 8 * 1024 * 1024  # bytes of a block
MAX_HEAD: Final = 4096  # bytes
MAX_PACK: Final = 256 * 1024 * 1024  # bytes
MAX_VERSION: Final = 255  # characters
STREAM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .:_+-]{0,99}")

LEVELS: Final = ("unrated", "low", "medium", "high", "critical")
"""How bad; a number in an advisory."""

_BEGINNING: Final = re.compile(rb"vedette feed ([0-9]{1,4}) ([0-9]{1,8}) ([0-9]{1,8})\n")
_ENTRY: Final = struct.Struct(">HI16s")
MAX_INDEX: Final = MAX_BLOCKS * _ENTRY.size
_PREFIX: Final = 16  # bits of a name's hash that are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """One vulnerability of one package."""

    id: str  # of the one it is best known by: the CVE where it has one
    aliases: tuple[str, ...] = ()
    level: int = 0  # of LEVELS
    published: str = ""  # a day, "2024-01-31"
    summary: str = ""
    # Affected is a version that one of these ranges holds, or that is listed. A range: whether its versions are
    # semantic ones and not the ecosystem's, and its events (introduced, fixed, last_affected, limit: the first letter).
    ranges: tuple[tuple[bool, tuple[tuple[str, str], ...]], ...] = ()
    versions: tuple[str, ...] = ()

    def dump(self) -> list[Any]:
        """As `json` writes it."""
        ranges = [[int(semantic), *(each for event in events for each in event)] for semantic, events in self.ranges]
        return [self.id, self.aliases, self.level, self.published, self.summary, ranges, self.versions]


def load(value: list[Any]) -> Advisory:
    """An advisory from what `dump` gave. Raises TypeError, ValueError or LookupError for what it never gives."""
    name, aliases, level, published, summary, ranges, versions = value
    return Advisory(
        id=name,
        aliases=tuple(aliases),
        level=int(level),
        published=published,
        summary=summary,
        ranges=tuple((bool(each[0]), tuple(zip(each[1::2], each[2::2], strict=True))) for each in ranges),
        versions=tuple(versions),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a stream is now."""

    stream: str
    imported: str  # when the server last took in advisories of it, RFC 3339
    newest: str  # when the newest of them was last changed, RFC 3339; empty: not known
    advisories: int
    buckets: int  # a power of two
    index: str  # the hash of the index

    def dump(self) -> bytes:
        """The same bytes each time."""
        return json.dumps({"format": FORMAT, **asdict(self)}, separators=(",", ":"), sort_keys=True).encode()


def load_head(text: bytes) -> Head:
    """Raises Invalid: no head, or one of a later format."""
    try:
        value = json.loads(text)
        if value.pop("format") != FORMAT:
            raise Invalid("the feed is of another format: update this program")
        head = Head(**value)
        size = head.buckets
        if not (1 <= size <= MAX_BUCKETS and size & (size - 1) == 0 and STREAM.fullmatch(head.stream)):
            raise ValueError
        bytes.fromhex(head.index)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise Invalid("this is no head of a feed") from exc
    return head


def digest(content: bytes) -> str:
    """What a block or an index is known by."""
    return hashlib.sha256(content).hexdigest()[:32]


def prefix(name: str) -> int:
    """Of a package's name, what tells its bucket."""
    return int.from_bytes(hashlib.sha256(name.encode(errors="replace")).digest()[: _PREFIX // 8])


def bucket(prefix: int, buckets: int) -> int:
    """Where a package with this prefix is."""
    return prefix * buckets >> _PREFIX


@dataclass(frozen=True, slots=True)
class Entry:
    """One block in an index."""

    bucket: int
    size: int  # bytes
    hash: str


def dump_index(entries: Iterable[Entry]) -> bytes:
    return b"".join(_ENTRY.pack(each.bucket, each.size, bytes.fromhex(each.hash)) for each in entries)


def load_index(content: bytes) -> list[Entry]:
    """Raises Invalid: no index."""
    if len(content) % _ENTRY.size or len(content) > MAX_INDEX:
        raise Invalid("this is no index of a feed")
    entries = [Entry(place, size, hash.hex()) for place, size, hash in _ENTRY.iter_unpack(content)]
    if any(each.size > MAX_BLOCK for each in entries) or sum(each.size for each in entries) > MAX_PACK:
        raise Invalid("the feed is larger than a feed may be")
    return entries


def dump_block(packages: Mapping[str, Sequence[Advisory]]) -> bytes:
    """The same bytes each time for the same advisories in the same order."""
    lines = []
    for name in sorted(packages):
        advisories = [each.dump() for each in packages[name]]
        text = json.dumps(advisories, separators=(",", ":"), ensure_ascii=False)
        lines.append(f"{name}\t{text}\n".encode(errors="replace"))
    return zlib.compress(b"".join(lines), 9)


def expand(block: bytes) -> bytes:
    """The lines of a block. Raises Invalid: it is none, or too large."""
    try:
        inflate = zlib.decompressobj()
        lines = inflate.decompress(block, MAX_EXPANDED)
    except zlib.error as exc:
        raise Invalid("a block of the feed is damaged") from exc
    if not inflate.eof:
        raise Invalid("a block of the feed is damaged or too large")
    return lines


def find(lines: bytes, name: str) -> list[Advisory]:
    """The advisories of a package in the lines of a block. Raises Invalid: they are damaged."""
    wanted = name.encode(errors="replace") + b"\t"
    start = 0 if lines.startswith(wanted) else lines.find(b"\n" + wanted) + 1
    if start == 0 and not lines.startswith(wanted):
        return []
    end = lines.find(b"\n", start)
    try:
        return [load(each) for each in json.loads(lines[start + len(wanted) : end])]
    except (ValueError, TypeError, LookupError, RecursionError) as exc:
        raise Invalid(f"the feed is damaged at {name}") from exc


# --- packs -----------------------------------------------------------------------------------------------------------


def pack(head: bytes, index: bytes, blocks: Mapping[str, bytes]) -> Iterator[bytes]:
    """A file, in pieces, with those blocks of the index that are in `blocks`, by hash."""
    entries = load_index(index)
    present = bytearray((len(entries) + 7) // 8)
    for number, entry in enumerate(entries):
        if entry.hash in blocks:
            present[number >> 3] |= 1 << (number & 7)
    yield b"vedette feed %d %d %d\n" % (FORMAT, len(head), len(index)) + head + index + bytes(present)
    for entry in entries:
        if entry.hash in blocks:
            yield blocks[entry.hash]


class Pack:
    """A pack that lies somewhere.

    Args:
        read: gives so many bytes from this offset on, or fewer at the end.
    Raises:
        Invalid: it is no pack, or a damaged one.
    """

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        found = _BEGINNING.match(read(0, 64))
        if found is None or int(found[1]) != FORMAT or int(found[2]) > MAX_HEAD or int(found[3]) > MAX_INDEX:
            raise Invalid("this is no feed of known vulnerabilities, or one of another format")
        start, head, index = found.end(), int(found[2]), int(found[3])
        self.head_text = read(start, head)
        self.head = load_head(self.head_text)
        self.index = read(start + head, index)
        if digest(self.index) != self.head.index:
            raise Invalid("the feed of known vulnerabilities is damaged")
        self.entries = load_index(self.index)
        present = read(start + head + index, (len(self.entries) + 7) // 8)
        offset = start + head + index + len(present)
        self._offsets: dict[int, int] = {}  # by the number of the entry
        self._of_bucket: dict[int, list[int]] = {}
        for number, entry in enumerate(self.entries):
            self._of_bucket.setdefault(entry.bucket, []).append(number)
            if number >> 3 < len(present) and present[number >> 3] >> (number & 7) & 1:
                self._offsets[number] = offset
                offset += entry.size
        self._last = (-1, b"")  # number and lines of the block that was read last

    def blocks(self) -> Iterator[tuple[str, bytes]]:
        """The blocks that are there and undamaged, by hash."""
        for number, offset in self._offsets.items():
            entry = self.entries[number]
            content = self._read(offset, entry.size)
            if digest(content) == entry.hash:
                yield entry.hash, content

    def holds(self, name: str) -> bool:
        """Whether what is known of a package is there, be it nothing."""
        return all(number in self._offsets for number in self._numbers(name))

    def find(self, name: str) -> Iterator[Advisory]:
        """The advisories of a package that `holds` says are there. Quick for names in the order of `prefix`.

        Raises:
            Invalid: they are damaged.
        """
        for number in self._numbers(name):
            if number != self._last[0]:
                content = self._read(self._offsets[number], self.entries[number].size)
                if digest(content) != self.entries[number].hash:
                    raise Invalid("the feed of known vulnerabilities is damaged")
                self._last = number, expand(content)
            yield from find(self._last[1], name)

    def _numbers(self, name: str) -> list[int]:
        return self._of_bucket.get(bucket(prefix(name), self.head.buckets), [])
