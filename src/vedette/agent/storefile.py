"""The file of the store: its schema, how it is opened, and what happens to one that is damaged.

A file that is damaged, or lies where the disk cannot be read any more, is set aside for whoever wants to look, and a
new one begins. Only the daemon may do that: another process would pull the file away from under it, and the daemon
would go on writing where nobody looks.
"""

import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from vedette.agent import log
from vedette.errors import Unavailable
from vedette.wire import outgoing

VERSION: Final = 2
BUSY_S: Final = 10.0
MAX_ASIDE: Final = 3
"""Damaged files that are kept: a disk that goes on failing must not be filled by us."""
DAMAGED: Final = 3
"""Exit code of a child that met a damaged store, so that the daemon looks at it."""
ACCOUNT: Final = "account"
"""Key of the table meta: which account the numbers of the alerts belong to."""

_FIRST: Final = """
CREATE TABLE position (
    "check" TEXT PRIMARY KEY, path TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
    offset INTEGER NOT NULL, line INTEGER NOT NULL, head INTEGER NOT NULL, tail INTEGER NOT NULL,
    written_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE state ("check" TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE alert (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, subject TEXT NOT NULL, ok INTEGER NOT NULL,
    boot TEXT NOT NULL, elapsed_s REAL NOT NULL, wall_s REAL NOT NULL, size INTEGER NOT NULL,
    body TEXT NOT NULL, quarantined TEXT
);
CREATE TABLE gap (first INTEGER NOT NULL, last INTEGER NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID
"""
# Gaps are told to the server and then forgotten here; `dropped` is how many alerts each has cost. `told` in alert: it
# may have reached the server, so it must not change any more.
_ACCOUNTED: Final = """
ALTER TABLE alert ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gap ADD COLUMN account TEXT NOT NULL DEFAULT '';
ALTER TABLE gap ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
UPDATE gap SET dropped = last - first + 1
"""
_STEPS: Final = (_FIRST, _ACCOUNTED)
_IOERR_DATA: Final = sqlite3.SQLITE_IOERR | 32 << 8  # not named by Python 3.11; sqlite.org/rescode.html
_UNREADABLE: Final = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_CORRUPTFS, _IOERR_DATA})


class Damaged(Unavailable):
    """The store is damaged; the daemon sets it aside and begins a new one."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, made when missing (mode 0600), its schema brought up to date.

    Raises:
        Damaged: it is no store any more.
        Unavailable: a newer Vedette wrote it.
        sqlite3.Error, OSError: it cannot be opened now.
    """
    try:
        path.touch(mode=0o600)
        # isolation_level None: every statement is its own transaction unless we say BEGIN.
        db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, cached_statements=32)
        try:
            # Of a new file. With pages of 4096 bytes an alert writes half as much again to the flash.
            db.execute("PRAGMA page_size = 2048")
            db.execute("PRAGMA wal_autocheckpoint = 2000")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA cache_size = -256")  # KiB: the daemon reads little
            db.execute("PRAGMA journal_size_limit = 1048576")
            _migrate(db, path)
        except BaseException:
            db.close()
            raise
    except sqlite3.DatabaseError as exc:
        if is_damage(exc):
            raise Damaged(f"it is damaged ({exc})") from exc
        raise
    return db


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise Unavailable(
                f"the store {path} was written by a newer Vedette; install that one, or move the file away"
            )
        for step in _STEPS[version:]:
            for statement in step.split(";"):
                db.execute(statement)
        if version < VERSION:
            _begin_account(db, version)
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _begin_account(db: sqlite3.Connection, old_version: int) -> None:
    account = str(uuid4())
    db.execute("INSERT INTO meta VALUES (?, ?)", (ACCOUNT, account))
    db.execute("UPDATE gap SET account = ?", (account,))
    if old_version and (last := _last_sequence(db)):
        db.execute(
            "INSERT INTO gap (account, first, last, reason, at) VALUES (?, 1, ?, ?, '1970-01-01T00:00:00.000Z')",
            (account, last, "numbered before this account had a name"),
        )


def is_damage(exc: sqlite3.Error) -> bool:
    """Does the error mean that the file is broken, not only busy, full or out of reach?"""
    code = getattr(exc, "sqlite_errorcode", 0)  # errors of the Python module itself have none
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or code in _UNREADABLE


def is_unreadable(exc: sqlite3.Error) -> bool:
    """Is it the disk that does not give back what is in the file? It may do so when it is asked again."""
    return getattr(exc, "sqlite_errorcode", 0) in _UNREADABLE


def is_trouble(exc: sqlite3.Error) -> bool:
    """Is it damage, or the disk?"""
    return is_damage(exc) or getattr(exc, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
    )


def is_sound(db: sqlite3.Connection) -> bool:
    """Look at every page; takes time in proportion to the file."""
    try:
        return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as exc:
        return not is_damage(exc)


def replace_damaged(path: Path, why: str, now: datetime) -> None:
    """Set the file aside and begin a new one, with an account of its own and a note of what that has cost.

    Number 0 of the new account stands for all that was before it; where the old account can still be read, it is told
    that it ended. Nobody may have the file open.
    """
    account, last = _remains(path)
    reason, at = f"the store was damaged ({why})"[:500], outgoing.timestamp(now)
    fresh = _fresh(path)
    for suffix in ("-wal", "-shm", ""):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    with closing(connect(fresh)) as db:
        new = db.execute("SELECT value FROM meta WHERE key = ?", (ACCOUNT,)).fetchone()[0]
        ended = [(account, 1, last, reason, at)] if account and last else []
        db.executemany(
            "INSERT INTO gap (account, first, last, reason, at) VALUES (?, ?, ?, ?, ?)",
            [*ended, (new, 0, 0, reason, at)],
        )
    aside = _aside(path)
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    fresh.rename(path)
    log.error(f"the store {path} is damaged ({why}); it was set aside as {aside} and a new one begun")


def finish_replacing(path: Path) -> bool:
    """Go on where a power cut, or the disk, interrupted `replace_damaged`; whether that was so. Raises OSError."""
    if path.exists() or not _fresh(path).exists():
        return False
    _fresh(path).rename(path)
    return True


def _fresh(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _aside(path: Path) -> Path:
    """A free name beside it; the oldest of too many damaged files go."""
    known = sorted(
        (int(number), each)
        for each in path.parent.glob(f"{path.name}.damaged-*")
        if (number := each.name.rpartition("-")[2]).isdigit()
    )
    for _, old in known[: max(0, len(known) - MAX_ASIDE + 1)]:
        for suffix in ("-wal", "-shm", ""):
            old.with_name(old.name + suffix).unlink(missing_ok=True)
    return path.with_name(f"{path.name}.damaged-{known[-1][0] + 1 if known else 1}")


def _remains(path: Path) -> tuple[str, int]:
    """Account and last number of a damaged file, as far as they can still be read."""
    account, last = "", 0
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        with suppress(sqlite3.Error, TypeError):
            account = str(db.execute("SELECT value FROM meta WHERE key = ?", (ACCOUNT,)).fetchone()[0])
        last = _last_sequence(db)
    return account, last


def _last_sequence(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'alert'").fetchone()
    return int(row[0]) if row else 0
