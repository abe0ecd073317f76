"""What rpm says of the files of its packages. Source: rpm's documentation of the header format and of its tags."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vedette.agent.security import rpmdb
from vedette.errors import Unavailable

_NAME, _VERSION, _RELEASE, _INSTALLED = 1000, 1001, 1002, 1008
_MODES, _DIGESTS, _LINKS, _FLAGS, _ALGORITHM = 1030, 1035, 1036, 1037, 5011
_INDEXES, _NAMES, _DIRECTORIES = 1116, 1117, 1118
_TAGS: Final = frozenset({
    _NAME, _VERSION, _RELEASE, _INSTALLED, _MODES, _DIGESTS, _LINKS, _FLAGS, _ALGORITHM, _INDEXES, _NAMES, _DIRECTORIES
})  # fmt: skip
_INTRO: Final = struct.Struct(">II")
_ENTRY: Final = struct.Struct(">IIII")
_NUMBERS: Final = {3: "H", 4: "I"}  # types of 16 and 32 bits
_TEXTS: Final = frozenset({6, 8, 9})
_CONFIGURATION, _GHOST = 1, 1 << 6  # of a file's flags
ALGORITHMS: Final = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RpmFile:
    """One file; `mode` with its type."""

    path: str
    package: str
    version: str
    installed: int  # seconds since 1970
    mode: int
    algorithm: str
    digest: bytes
    link: str
    configuration: bool


def files(root: Path) -> Iterator[RpmFile]:
    """All files of all packages; none where rpm is not used, or its database cannot be read."""
    try:
        path = rpmdb.database(root)
        if path is not None:
            for blob in rpmdb.headers(path):
                yield from _files(blob)
    except Unavailable:
        return


def changed(root: Path) -> int:
    """When the database was last written, in nanoseconds; 0: there is none."""
    try:
        path = rpmdb.database(root)
        found = [path, path.with_name(f"{path.name}-wal")] if path is not None else []
        return max((each.stat().st_mtime_ns for each in found if each.exists()), default=0)
    except (Unavailable, OSError):
        return 0


def _files(blob: bytes) -> Iterator[RpmFile]:
    try:
        values = _values(blob)
        names, indexes = values[_NAMES], values[_INDEXES]
        version = f"{values[_VERSION][0]}-{values[_RELEASE][0]}"
        algorithm = ALGORITHMS.get(values.get(_ALGORITHM, [1])[0], "")
        for at, name in enumerate(names):
            flags = values[_FLAGS][at]
            if not flags & _GHOST:  # such a file is only named, not brought
                yield RpmFile(
                    path=values[_DIRECTORIES][indexes[at]] + name, package=values[_NAME][0], version=version,
                    installed=values[_INSTALLED][0], mode=values[_MODES][at], algorithm=algorithm,
                    digest=bytes.fromhex(values[_DIGESTS][at]), link=values[_LINKS][at],
                    configuration=bool(flags & _CONFIGURATION),
                )  # fmt: skip
    except (struct.error, ValueError, LookupError):  # damaged, or a package without files
        return


def _values(blob: bytes) -> dict[int, list[Any]]:
    count, size = _INTRO.unpack_from(blob)
    start = _INTRO.size + count * _ENTRY.size
    store = blob[start : start + size]
    values: dict[int, list[Any]] = {}
    for number in range(count):
        tag, kind, offset, length = _ENTRY.unpack_from(blob, _INTRO.size + number * _ENTRY.size)
        if tag not in _TAGS:
            continue
        if kind in _NUMBERS:
            values[tag] = list(struct.unpack_from(f">{length}{_NUMBERS[kind]}", store, offset))
        elif kind in _TEXTS:
            texts = store[offset:].split(b"\0", length)[:length]
            values[tag] = [text.decode("utf-8", "surrogateescape") for text in texts]
    return values
