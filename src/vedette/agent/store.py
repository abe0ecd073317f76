"""What must survive: positions, states, and alerts owed to the server. One SQLite file, one transaction for the three.

The daemon writes and the uplink child takes away; both through this class, in separate processes. A commit is on the
disk when it returns (write-ahead log, synchronous=FULL). Alerts are numbered 1, 2, 3 ... without holes. The store is
bounded: what has to go is counted in `gap`, so that the server can be told what it will never see.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from vedette.agent import log, redact
from vedette.agent.follow.position import Position
from vedette.agent.states import QUIET, Deadline, State, Verdict
from vedette.clock import Clock, SystemClock
from vedette.errors import Unavailable
from vedette.model import Alert, Details, Level, Origin, Subject
from vedette.wire import outgoing

VERSION: Final = 1
BUSY_S: Final = 10.0
PLAUSIBLE: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""A wall clock before this was not set yet, so it says nothing about age."""

SCHEMA: Final = """
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
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is kept while the server cannot be reached."""

    count: int = 10_000
    bytes: int = 64 * 1024 * 1024
    age_s: float = 30 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """An alert the server has not confirmed; `body` is its JSON with the "origin" key."""

    sequence: int
    id: UUID
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Alerts given up by policy: numbers `first` to `last`, why, and when (RFC 3339)."""

    first: int
    last: int
    reason: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the store holds; `dropped` counts what it gave up."""

    owed: int
    quarantined: int
    dropped: int


class Transaction:
    """What is written together; only `Store.commit` makes one."""

    __slots__ = ("_added", "_store")

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._added = 0

    def save_position(self, check: str, position: Position) -> None:
        self._store._db.execute(
            "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                check, position.path, _signed(position.device), _signed(position.inode),
                position.offset, position.line, position.head, position.tail, position.written_ns,
            ),
        )  # fmt: skip

    def save_state(self, check: str, state: State) -> None:
        if state == QUIET:
            self._store._db.execute('DELETE FROM state WHERE "check" = ?', (check,))
        else:
            self._store._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (check, _dump_state(state)))

    def forget(self, check: str) -> None:
        """The check was deleted: its position and state go. Alerts that are owed stay owed."""
        for table in ("position", "state"):
            self._store._db.execute(f'DELETE FROM {table} WHERE "check" = ?', (check,))  # noqa: S608

    def add_alert(self, alert: Alert, boot: UUID, elapsed_s: float) -> int:
        """Owe the server this alert, with secrets made unreadable; returns its sequence number."""
        db, id = self._store._db, uuid4()
        alert = redact.alert(alert)
        subject = json.dumps([alert.subject.type, alert.subject.name])
        cursor = db.execute(
            "INSERT INTO alert (id, subject, ok, boot, elapsed_s, wall_s, size, body) VALUES (?, ?, ?, ?, ?, ?, 0, '')",
            (str(id), subject, alert.level is Level.OK, str(boot), elapsed_s, alert.at.timestamp()),
        )
        sequence = cursor.lastrowid
        assert sequence is not None
        origin = Origin(id=id, sequence=sequence, boot=boot, elapsed_s=elapsed_s)
        body = json.dumps(outgoing.alert(replace(alert, origin=origin), with_origin=True), ensure_ascii=False)
        body = body.encode(errors="replace").decode()  # a lone surrogate is no text
        db.execute("UPDATE alert SET body = ?, size = ? WHERE sequence = ?", (body, len(body.encode()), sequence))
        self._added += 1
        self._store._guess.grow(len(body.encode()))
        return sequence


class _Guess:
    """Upper bounds of what is owed, so that the rows need not be counted for each new one."""

    __slots__ = ("bytes", "count")

    def __init__(self) -> None:
        self.count = self.bytes = 1 << 62  # unknown: count at the first chance

    def grow(self, size: int) -> None:
        self.count += 1
        self.bytes += size


class Store:
    """One open connection. Not for several threads."""

    __slots__ = ("_clock", "_db", "_guess", "_in_commit", "limits", "path")

    def __init__(self, db: sqlite3.Connection, path: Path, limits: Limits, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._guess = _Guess()
        self._in_commit = False
        self.path = path
        self.limits = limits

    @classmethod
    def open(cls, path: Path, *, limits: Limits | None = None, clock: Clock | None = None) -> "Store":
        """Open the store, made when missing (readable by its owner only). A damaged file is set aside and replaced.

        Raises:
            Unavailable: it cannot be opened, or a newer Vedette wrote it.
        """
        clock = clock or SystemClock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                db = _connect(path)
            except sqlite3.DatabaseError as exc:
                if isinstance(exc, sqlite3.OperationalError) and not _is_damage(exc):
                    raise
                db = _replace_damaged(path, exc)
        except (sqlite3.Error, OSError) as exc:
            raise Unavailable(f"the store {path} cannot be opened: {exc}") from exc
        return cls(db, path, limits or Limits(), clock)

    def close(self) -> None:
        self._db.close()

    # -- the daemon's side ---------------------------------------------------------------------------------------

    @contextmanager
    def commit(self) -> Iterator[Transaction]:
        """One transaction: on the disk when the block ends, not begun when it raises.

        Raises:
            sqlite3.Error: the disk is full or broken; nothing of this block was stored.
        """
        assert not self._in_commit, "commit inside a commit"
        self._in_commit = True
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                tx = Transaction(self)
                yield tx
                if tx._added:
                    self._enforce_limits()
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
        finally:
            self._in_commit = False

    def position(self, check: str) -> Position | None:
        row = self._db.execute(
            'SELECT path, device, inode, offset, line, head, tail, written_ns FROM position WHERE "check" = ?', (check,)
        ).fetchone()
        if row is None:
            return None
        path, device, inode, offset, line, head, tail, written_ns = row
        return Position(
            path=path,
            device=_unsigned(device),
            inode=_unsigned(inode),
            offset=offset,
            line=line,
            head=head,
            tail=tail,
            written_ns=written_ns,
        )

    def state(self, check: str) -> State:
        row = self._db.execute('SELECT body FROM state WHERE "check" = ?', (check,)).fetchone()
        return QUIET if row is None else _load_state(row[0])

    def checks(self) -> list[str]:
        """Every check of which something is remembered."""
        rows = self._db.execute('SELECT "check" FROM position UNION SELECT "check" FROM state ORDER BY 1')
        return [row[0] for row in rows]

    def forget(self, check: str) -> None:
        with self.commit() as tx:
            tx.forget(check)

    # -- the uplink's side ---------------------------------------------------------------------------------------

    def owed(self, limit: int, max_bytes: int) -> list[Owed]:
        """The oldest alerts to send: at most `limit`, together at most `max_bytes` (but always one, if any)."""
        out: list[Owed] = []
        total = 0
        rows = self._db.execute(
            "SELECT sequence, id, body, size FROM alert WHERE quarantined IS NULL ORDER BY sequence LIMIT ?", (limit,)
        )
        for sequence, id, body, size in rows:
            total += size
            if out and total > max_bytes:
                break
            out.append(Owed(sequence=sequence, id=UUID(id), body=body))
        return out

    def delivered(self, sequences: Iterable[int]) -> None:
        """The server has stored these: they are no longer owed."""
        with self.commit():
            self._db.executemany("DELETE FROM alert WHERE sequence = ?", ((each,) for each in sequences))

    def quarantine(self, sequence: int, why: str) -> None:
        """The server will never take this one: kept and counted, not sent again."""
        with self.commit():
            self._db.execute("UPDATE alert SET quarantined = ? WHERE sequence = ?", (why, sequence))

    def counts(self) -> Counts:
        owed, quarantined = self._db.execute(
            "SELECT count(*) FILTER (WHERE quarantined IS NULL), count(quarantined) FROM alert"
        ).fetchone()
        dropped = self._db.execute("SELECT coalesce(sum(last - first + 1), 0) FROM gap").fetchone()[0]
        return Counts(owed=owed, quarantined=quarantined, dropped=dropped)

    def gaps(self) -> list[Gap]:
        """What was given up, oldest first."""
        rows = self._db.execute("SELECT first, last, reason, at FROM gap ORDER BY first, last")
        return [Gap(first=first, last=last, reason=reason, at=at) for first, last, reason, at in rows]

    def meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def set_meta(self, key: str, value: str) -> None:
        with self.commit():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # -- bounds --------------------------------------------------------------------------------------------------

    def _enforce_limits(self) -> None:
        """Inside a transaction: give up what is too old, then what is too much."""
        if self._guess.count <= self.limits.count and self._guess.bytes <= self.limits.bytes:
            return
        self._drop(self._too_old(), "older than ALERT_STORE_MAX_RECORD_AGE_S")
        count, size = self._totals()
        if count > self.limits.count or size > self.limits.bytes:
            self._drop(self._cancelling(count, size), "the store was full; CRITICAL and its OK cancel out")
            count, size = self._totals()
        if count > self.limits.count or size > self.limits.bytes:
            self._drop(self._oldest(count, size), "the store was full")
            count, size = self._totals()
        self._guess.count, self._guess.bytes = count, size

    def _totals(self) -> tuple[int, int]:
        count, size = self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM alert").fetchone()
        return count, size

    def _too_old(self) -> list[int]:
        now, elapsed = self._clock.now(), self._clock.elapsed()
        if now < PLAUSIBLE:
            return []
        rows = self._db.execute(
            "SELECT sequence FROM alert WHERE wall_s >= ? AND wall_s < ? AND NOT (boot = ? AND elapsed_s >= ?)",
            (PLAUSIBLE.timestamp(), now.timestamp() - self.limits.age_s, boot_id(), elapsed - self.limits.age_s),
        )
        return [row[0] for row in rows]

    def _cancelling(self, count: int, size: int) -> list[int]:
        """CRITICALs whose subject's next record is an OK, with that OK: leaving both out changes no state."""
        rows = self._db.execute(
            "SELECT a.sequence, b.sequence, a.size + b.size FROM alert a JOIN alert b ON b.sequence ="
            " (SELECT min(sequence) FROM alert WHERE subject = a.subject AND sequence > a.sequence)"
            " WHERE a.ok = 0 AND b.ok = 1 AND a.quarantined IS NULL AND b.quarantined IS NULL ORDER BY a.sequence"
        )
        gone: list[int] = []
        for first, second, both in rows:
            if count <= self.limits.count and size <= self.limits.bytes:
                break
            gone += (first, second)
            count, size = count - 2, size - both
        return gone

    def _oldest(self, count: int, size: int) -> list[int]:
        gone: list[int] = []
        for sequence, each in self._db.execute("SELECT sequence, size FROM alert ORDER BY sequence"):
            if count <= self.limits.count and size <= self.limits.bytes:
                break
            gone.append(sequence)
            count, size = count - 1, size - each
        return gone

    def _drop(self, sequences: list[int], reason: str) -> None:
        if not sequences:
            return
        at = outgoing.timestamp(self._clock.now())
        self._db.executemany("DELETE FROM alert WHERE sequence = ?", ((each,) for each in sequences))
        for first, last in ranges(sequences):
            self._db.execute("INSERT INTO gap VALUES (?, ?, ?, ?)", (first, last, reason, at))
        log.warn(f"{len(sequences)} alerts that could not be sent were given up: {reason}")


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as contiguous ranges: 1 2 3 7 is (1, 3), (7, 7)."""
    out: list[tuple[int, int]] = []
    for each in sorted(numbers):
        if out and out[-1][1] + 1 == each:
            out[-1] = (out[-1][0], each)
        else:
            out.append((each, each))
    return out


def boot_id() -> str:
    """Names this boot of the machine. Source: random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _connect(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    # isolation_level None: every statement is its own transaction unless we say BEGIN.
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, cached_statements=32)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -256")  # KiB: the daemon reads little
        db.execute("PRAGMA journal_size_limit = 1048576")
        _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise Unavailable(
                f"the store {path} was written by a newer Vedette; install that one, or move the file away"
            )
        if version == 0:
            for statement in SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _is_damage(exc: sqlite3.Error) -> bool:
    return exc.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _replace_damaged(path: Path, why: Exception) -> sqlite3.Connection:
    """Set the file aside for whoever wants to look, and go on with a new one that continues the numbering."""
    last = _last_sequence(path)
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    log.error(f"the store {path} is damaged ({why}); it was set aside as {aside} and a new one begun")
    db = _connect(path)
    if last:
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('alert', ?)", (last,))
    return db


def _last_sequence(path: Path) -> int:
    with suppress(sqlite3.Error):
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'alert'").fetchone()
            return int(row[0]) if row else 0
        finally:
            db.close()
    return 0


def _dump_state(state: State) -> str:
    table: dict[str, object] = {
        "raised": state.raised,
        "alert_name": state.alert_name,
        "subject": state.subject and [state.subject.name, state.subject.type, state.subject.status],
        "deadline": state.deadline and _dump_moment(state.deadline),
    }
    if state.changes:
        table["changes"] = [_dump_moment(each) for each in state.changes]
    if state.flapping is not None:
        verdict = state.flapping
        table["flapping"] = {
            "ok": verdict.ok,
            "name": verdict.name,
            "subject": [verdict.subject.name, verdict.subject.type, verdict.subject.status],
            "description": verdict.subject.details.description if verdict.subject.details else "",
            "level": verdict.level.value,
            "expires_s": verdict.expires_s,
            "flapping_name": verdict.flapping_name,
        }
    return json.dumps(table)


def _load_state(body: str) -> State:
    table = json.loads(body)
    flapping = table.get("flapping")
    return State(
        raised=table.get("raised", True),
        alert_name=table["alert_name"],
        subject=table["subject"] and _subject(table["subject"]),
        deadline=table["deadline"] and _load_moment(table["deadline"]),
        changes=tuple(_load_moment(each) for each in table.get("changes", ())),
        flapping=flapping
        and Verdict(
            ok=flapping["ok"],
            name=flapping["name"],
            subject=_subject(flapping["subject"], flapping["description"]),
            level=Level(flapping["level"]),
            expires_s=flapping["expires_s"],
            flapping_name=flapping["flapping_name"],
        ),
    )


def _subject(fields: list[str], description: str = "") -> Subject:
    name, type_, status = fields
    return Subject(
        name=name, type=type_, status=status, details=Details(description=description) if description else None
    )


def _dump_moment(moment: Deadline) -> list[str | float]:
    return [moment.boot, moment.elapsed_s, moment.wall.isoformat()]


def _load_moment(fields: list[str]) -> Deadline:
    boot, elapsed_s, wall = fields
    return Deadline(boot=boot, elapsed_s=float(elapsed_s), wall=datetime.fromisoformat(wall))


def _signed(value: int) -> int:
    """SQLite has signed 64-bit integers, the kernel unsigned inode numbers."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _unsigned(value: int) -> int:
    return value + (1 << 64) if value < 0 else value
