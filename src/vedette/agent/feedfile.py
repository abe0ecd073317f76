"""Where a device keeps its feeds of known vulnerabilities, and what of them it wants.

The scanner of `cve` says what it wants, the uplink fetches it (`uplink/feed.py`), the scanner reads it.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from vedette.agent import durable
from vedette.model.feed import MAX_PACK, STREAM, Pack

MAX_STREAMS: Final = 16
ARRIVED: Final = "arrived"
_WANTED: Final = "wanted.json"
_MAX_WANTED: Final = 4 * 1024 * 1024  # bytes

Wanted = Mapping[str, frozenset[int]]
"""By stream: the prefixes (model/feed.py) of the names of the packages that are there."""


def directory(state: Path) -> Path:
    """Where the feeds are, below the monitor's state."""
    return state / "feed"


def path(directory: Path, stream: str) -> Path:
    """The pack of a stream. Its name may hold blanks and colons, but no slash."""
    return directory / f"{stream.replace(' ', '_')}.feed"


def open_pack(file: BinaryIO) -> Pack:
    """The pack in a file, read as it is asked for. Raises Invalid: it is none."""

    def read(offset: int, size: int) -> bytes:
        return os.pread(file.fileno(), min(size, MAX_PACK), offset)

    return Pack(read)


def say_wanted(directory: Path, wanted: Wanted) -> None:
    """Have these fetched. Raises OSError."""
    text = json.dumps({stream: _raw(wanted[stream]).hex() for stream in sorted(wanted)}).encode()
    if (directory / _WANTED).exists() and (directory / _WANTED).read_bytes() == text:
        return  # a write costs a flush to the disk
    directory.mkdir(parents=True, exist_ok=True)
    durable.replace(directory / _WANTED, text, 0o644)


def wanted(directory: Path) -> Wanted:
    """What was last said; nothing where nobody asked."""
    value = durable.read_json(directory / _WANTED, _MAX_WANTED)
    try:
        return {
            stream: frozenset(int.from_bytes(raw[at : at + 2]) for at in range(0, len(raw), 2))
            for stream, text in list(value.items())[:MAX_STREAMS]
            if STREAM.fullmatch(stream) and len(raw := bytes.fromhex(text)) % 2 == 0
        }
    except (AttributeError, ValueError, TypeError):
        return {}


def say_arrived(directory: Path) -> None:
    """There is something new: the check that watches this file looks again. Raises OSError."""
    durable.replace(directory / ARRIVED, b"", 0o644)


def _raw(prefixes: Iterable[int]) -> bytes:
    return b"".join(each.to_bytes(2) for each in sorted(prefixes))
