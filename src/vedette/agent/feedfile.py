"""Where a device keeps its feeds of known vulnerabilities, and what of them it wants.

The scanner of `cve` says what it wants, the uplink fetches it (`uplink/feed.py`), the scanner reads it.
"""

import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from vedette.agent import durable
from vedette.model.feed import MAX_PACK, STREAM, Pack

MAX_STREAMS: Final = 16
ARRIVED: Final = "arrived"
WANTED: Final = "wanted"
MAX_CHECKS: Final = 32
_OLD_S: Final = 40 * 86400  # a check that looks at all looks each month, so this one is gone
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


def say_wanted(directory: Path, check: str, wanted: Wanted) -> None:
    """Have these fetched, for this check. Raises OSError."""
    text = json.dumps({stream: _raw(wanted[stream]).hex() for stream in sorted(wanted)}).encode()
    path = directory / WANTED / f"{check}.json"
    if path.exists() and path.read_bytes() == text:
        os.utime(path)  # still so; a write would cost a flush to the disk
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.replace(path, text, 0o644)


def wanted(directory: Path, now: datetime) -> Wanted:
    """What the checks have said, all together; nothing where nobody asked, or not for long."""
    all_of_them: dict[str, frozenset[int]] = {}
    for path in sorted((directory / WANTED).glob("*.json"))[:MAX_CHECKS]:
        try:
            age_s = now.timestamp() - path.stat().st_mtime
        except OSError:
            continue
        for stream, prefixes in _said(path).items() if age_s < _OLD_S else ():
            all_of_them[stream] = all_of_them.get(stream, frozenset()) | prefixes
    return all_of_them


def _said(path: Path) -> Wanted:
    value = durable.read_json(path, _MAX_WANTED)
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
