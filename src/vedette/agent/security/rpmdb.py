"""The packages in a database of rpm, read as data. Source: rpm's documentation of the header format.

Only the SQLite form (rpm 4.16 and later) is read; the older ones (Berkeley DB, ndb) are said to be unreadable.
"""

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from vedette.errors import Invalid, Unavailable

PLACES: Final = ("usr/lib/sysimage/rpm", "var/lib/rpm")
MAX_PACKAGES: Final = 50_000
MAX_HEADER: Final = 16 * 1024 * 1024  # bytes
_INTRO: Final = struct.Struct(">II")
_ENTRY: Final = struct.Struct(">IIII")
_NAME, _VERSION, _RELEASE, _EPOCH, _SOURCE = 1000, 1001, 1002, 1003, 1044
_INT32, _STRING = 4, 6


class Rpm(NamedTuple):
    """One package: `version` is [epoch:]version-release, `source` the name of its source package."""

    name: str
    version: str
    source: str


def database(root: Path) -> Path | None:
    """The database below `root`; None where rpm is not used.

    Raises:
        Invalid: it is of a form that is not read here.
    """
    for place in PLACES:
        if (root / place / "rpmdb.sqlite").is_file():
            return root / place / "rpmdb.sqlite"
    for place in PLACES:
        for name in ("Packages", "Packages.db"):
            if (root / place / name).is_file():
                raise Invalid(f"/{place}/{name}: rpm's older databases are not read; rpmdb --rebuilddb makes a new one")
    return None


def packages(path: Path) -> Iterator[Rpm]:
    """Raises Unavailable: the database cannot be read."""
    yield from filter(None, map(_package, headers(path)))


def headers(path: Path) -> Iterator[bytes]:
    """Of all packages, as they are kept. Raises Unavailable: the database cannot be read."""
    try:
        with closing(_opened(path)) as db:
            rows = db.execute("SELECT blob FROM Packages WHERE length(blob) <= ? LIMIT ?", (MAX_HEADER, MAX_PACKAGES))
            for (blob,) in rows:
                yield blob
    except sqlite3.Error as exc:
        raise Unavailable(f"{path}: {exc}") from exc


def _opened(path: Path) -> sqlite3.Connection:
    """Read-only; where even that wants to write beside the file (a write-ahead log), as it lies there."""
    for options in ("mode=ro", "mode=ro&immutable=1"):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, timeout=10)
        try:
            db.execute("SELECT 1 FROM Packages LIMIT 1").fetchall()
        except sqlite3.OperationalError:
            db.close()
        else:
            return db
    raise Unavailable(f"{path}: it cannot be read")


def _package(blob: bytes) -> Rpm | None:
    """The package of a header; None: it is damaged, or no package (a public key)."""
    try:
        count, size = _INTRO.unpack_from(blob)
        start = _INTRO.size + count * _ENTRY.size
        store = blob[start : start + size]
        values: dict[int, str] = {}
        for number in range(count):
            tag, kind, offset, _ = _ENTRY.unpack_from(blob, _INTRO.size + number * _ENTRY.size)
            if tag in {_NAME, _VERSION, _RELEASE, _SOURCE} and kind == _STRING:
                values[tag] = store[offset : store.index(b"\0", offset)].decode(errors="replace")
            elif tag == _EPOCH and kind == _INT32:
                values[tag] = str(struct.unpack_from(">I", store, offset)[0])
        name, evr = values[_NAME], f"{values[_VERSION]}-{values[_RELEASE]}"
    except (struct.error, ValueError, LookupError):
        return None
    if name == "gpg-pubkey":
        return None
    if values.get(_EPOCH, "0") != "0":
        evr = f"{values[_EPOCH]}:{evr}"
    # name-version-release.src.rpm
    return Rpm(name, evr, values.get(_SOURCE, "").removesuffix(".src.rpm").rsplit("-", 2)[0] or name)
