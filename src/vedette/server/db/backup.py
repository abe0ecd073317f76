"""A whole SQLite database into one file while servers work on it, and back. PostgreSQL has its own programs for it."""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from vedette.errors import Conflict, Invalid, Unavailable
from vedette.server.db.migrations import check_version

REPLACED: Final = ".replaced"  # what stood in the place of a restored database keeps this name behind its own
_BESIDE: Final = ("", "-wal", "-shm")


def backup(database: Path, target: Path) -> int:
    """Write all of `database` as it is at one moment to the new file `target` (mode 0600); its size in bytes.

    Nobody has to stop, and nobody waits. Until all of it is there and durable, `target` is not.

    Raises:
        Conflict: `target` is there already.
        Unavailable: the database cannot be read, or `target` not written.
    """
    if target.exists():
        raise Conflict(f"{target} is there already; name a new file")
    part = target.with_name(f".{target.name}.part")
    try:
        with suppress(FileNotFoundError):
            part.unlink()
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            connection.execute("VACUUM INTO ?", [str(part)])  # one snapshot, without what was deleted
        _check(part)
        _make_durable(part)
        part.rename(target)
        _make_durable(target.absolute().parent)
    except (sqlite3.Error, OSError) as exc:
        raise Unavailable(f"backup of {database} to {target}: {exc}") from exc
    finally:
        with suppress(OSError):
            part.unlink()
    return target.stat().st_size


def restore(source: Path, database: Path) -> None:
    """Put a copy of the backup `source` in the place of `database`, which nobody may have open.

    What stood there is kept beside it, as `database` with `.replaced`, until the next time.

    Raises:
        Invalid: `source` is no backup of ours, or of a newer Vedette.
        Unavailable: it cannot be read, or there is no room.
    """
    part = database.with_name(f".{database.name}.part")
    try:
        _check(source)
        shutil.copyfile(source, part)
        part.chmod(0o600)
        _make_durable(part)
        for suffix in _BESIDE:  # the log of the old one must never be read into the new one
            old = database.with_name(database.name + suffix)
            kept = database.with_name(database.name + REPLACED + suffix)
            with suppress(FileNotFoundError):
                kept.unlink()
            with suppress(FileNotFoundError):
                old.rename(kept)
        part.rename(database)
        _make_durable(database.absolute().parent)
    except (sqlite3.Error, OSError) as exc:
        raise Unavailable(f"restore of {source} to {database}: {exc}") from exc
    finally:
        with suppress(OSError):
            part.unlink()


def _check(path: Path) -> None:
    """Whether it is a whole database of ours."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            ours = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'server_secret'").fetchone()
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as exc:
        if isinstance(exc, sqlite3.OperationalError):
            raise
        raise Invalid(f"{path} is no backup of Vedette: {exc}") from exc
    if ours is None or version < 1:
        raise Invalid(f"{path} is no backup of Vedette")
    if found != "ok":
        raise Invalid(f"{path} is damaged: {found}")
    check_version(version)


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
