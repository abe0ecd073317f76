"""What must survive: positions, states, and alerts owed to the server. One SQLite file, one transaction for the three.

The daemon writes and the uplink child takes away; both through this class, in separate processes. A commit is on the
disk when it returns (write-ahead log, synchronous=FULL). Alerts are numbered 1, 2, 3 ... without holes, within the
account of this store. The store is bounded: what has to go is counted in `gap`, so that the server can be told what it
will never see.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from vedette.agent import log, metakeys, storebounds, storefile
from vedette.agent.follow.position import Position
from vedette.agent.storebounds import Limits
from vedette.agent.storetransaction import Transaction
from vedette.clock import PLAUSIBLE, Clock, SystemClock
from vedette.errors import Unavailable
from vedette.model import Alert, Gap
from vedette.wire import outgoing

if TYPE_CHECKING:
    from vedette.agent.states import State

CHECK_BYTES: Final = 8 * 1024 * 1024
"""A store up to this size is looked through when the daemon starts; it nearly always is much smaller."""
NO_ACCOUNT: Final = str(UUID(int=0))
AGE_EVERY_S: Final = 3600.0
"""How often it is looked for alerts that are too old."""
MAX_GAPS: Final = 1000
"""Beyond it neighbours become one: the server takes off what it has received in between."""
FULL_AND_CANCELLING: Final = "the store was full; CRITICAL and its OK cancel out"
FULL: Final = "the store was full"
TOO_OLD: Final = "older than ALERT_STORE_MAX_RECORD_AGE_S"
DROPPED: Final = "dropped"
"""Key of the table meta: how many alerts were given up and told to the server since."""
MANY_REASONS: Final = "several reasons, summed up for want of room"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """An alert the server has not confirmed; `body` is its JSON with the "origin" key."""

    sequence: int
    id: UUID
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the store holds; `dropped` counts what it gave up."""

    owed: int
    quarantined: int
    dropped: int


class _Guess:
    """Upper bounds of what is owed, so that the rows need not be counted for each new one."""

    __slots__ = ("bytes", "count")

    def __init__(self) -> None:
        self.count = self.bytes = 1 << 62  # unknown: count at the first chance

    def grow(self, size: int) -> None:
        self.count += 1
        self.bytes += size


class Store:
    """One open connection. Not for several threads.

    `redact` takes the secrets out of each alert. `on_renewed` is called when the file was found damaged and a new one,
    which knows nothing, has taken its place.
    """

    __slots__ = (
        "_aged_at",
        "_ahead",
        "_broken",
        "_clock",
        "_db",
        "_guess",
        "_in_commit",
        "_newest",
        "_owner",
        "account",
        "limits",
        "on_renewed",
        "path",
        "redact",
    )  # fmt: skip

    def __init__(
        self, db: sqlite3.Connection, path: Path, limits: Limits, clock: Clock, *, owner: bool = False
    ) -> None:
        self._clock = clock
        self._in_commit = False
        self._owner = owner
        self._broken = ""  # why the file is of no use, while none can take its place
        self.path = path
        self.limits = limits
        self.redact: Callable[[Alert], Alert] = _redact
        self.on_renewed: Callable[[], None] | None = None
        self._use(db)

    def _use(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._guess = _Guess()
        self._aged_at = -AGE_EVERY_S
        self._ahead: list[int] = []  # numbers that overtake others, see `owed`
        self._newest = -1
        found = db.execute("SELECT value FROM meta WHERE key = ?", (storefile.ACCOUNT,)).fetchone()
        self.account = UUID(found[0] if found else NO_ACCOUNT)

    @classmethod
    def open(
        cls, path: Path, *, limits: Limits | None = None, clock: Clock | None = None, owner: bool = False
    ) -> "Store":
        """Open the store, made when missing (readable by its owner only).

        Args:
            owner: it is ours (the daemon's): a damaged file is set aside and replaced, now or whenever it is found out.
        Raises:
            Unavailable: it cannot be opened, or a newer Vedette wrote it, or (Damaged) it is damaged and not ours.
        """
        clock = clock or SystemClock()
        try:
            # A link to a partition where the directory has not been made yet leads nowhere.
            path.parent.resolve().mkdir(parents=True, exist_ok=True, mode=0o700)
            if owner:
                storefile.finish_replacing(path)
            try:
                store = cls(storefile.connect(path), path, limits or Limits(), clock, owner=owner)
                if owner and path.stat().st_size <= CHECK_BYTES and not storefile.is_sound(store._db):
                    store.close()
                    raise storefile.Damaged("its pages do not fit together")
            except (storefile.Damaged, sqlite3.DatabaseError, ValueError) as exc:
                if isinstance(exc, sqlite3.Error) and not storefile.is_damage(exc):
                    raise
                if not owner:
                    raise storefile.Damaged(f"the store {path} cannot be used: {exc}") from exc
                storefile.replace_damaged(path, str(exc), clock.now())
                store = cls(storefile.connect(path), path, limits or Limits(), clock, owner=owner)
        except (sqlite3.Error, OSError) as exc:
            raise Unavailable(f"the store {path} cannot be opened: {exc}") from exc
        return store

    def close(self) -> None:
        self._db.close()

    def shrink(self) -> None:
        """Give back the memory of pages that were read; the next ones are read again."""
        with suppress(sqlite3.Error):
            self._db.execute("PRAGMA shrink_memory")

    def look_for_damage(self) -> None:
        """Look at all of the file; if it is damaged, begin a new one. For the owner, when somebody saw damage."""
        if self._broken or not storefile.is_sound(self._db):
            self._renew(self._broken or "somebody could not read it")

    def _renew(self, why: str) -> None:
        """Set the file aside and begin a new one.

        Raises:
            sqlite3.OperationalError: that cannot be now, as on a disk that is gone; whoever comes next tries it again.
        """
        with suppress(sqlite3.Error):
            self._db.close()
        self._broken = why
        try:
            if not storefile.finish_replacing(self.path):
                storefile.replace_damaged(self.path, why, self._clock.now())
            self._use(storefile.connect(self.path))
        except (OSError, sqlite3.Error, Unavailable, ValueError) as exc:
            raise sqlite3.OperationalError(f"{why}, and it cannot be replaced: {exc}") from exc
        self._broken = ""
        if self.on_renewed is not None:
            self.on_renewed()

    def _meet(self, exc: sqlite3.Error) -> None:
        """After an error: if it is damage, begin a new file. What could not be read once is not damage yet."""
        if storefile.is_damage(exc) and not (storefile.is_unreadable(exc) and storefile.is_sound(self._db)):
            self._renew(str(exc))

    # -- the daemon's side ---------------------------------------------------------------------------------------

    @contextmanager
    def commit(self) -> Iterator[Transaction]:
        """One transaction: on the disk when the block ends, not begun when it raises.

        Raises:
            sqlite3.Error: the disk is full or broken; nothing of this block was stored.
        """
        assert not self._in_commit, "commit inside a commit"
        if self._broken:
            self._renew(self._broken)
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
        except sqlite3.DatabaseError as exc:
            if self._owner and storefile.is_damage(exc):
                self._meet(exc)  # what was to be stored is tried again by whoever holds it
            raise
        finally:
            self._in_commit = False

    def position(self, check: str) -> Position | None:
        found = self._rows(
            'SELECT path, device, inode, offset, line, head, tail, written_ns FROM position WHERE "check" = ?', check
        )
        if not found:
            return None
        path, device, inode, offset, line, head, tail, written_ns = found[0]
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

    def state(self, check: str) -> "State":
        from vedette.agent import staterecord

        found = self._rows('SELECT body FROM state WHERE "check" = ?', check)
        return staterecord.load(found[0][0] if found else None)

    def checks(self) -> list[str]:
        """Every check of which something is remembered."""
        rows = self._rows(
            'SELECT "check" FROM position UNION SELECT "check" FROM state'
            " UNION SELECT substr(key, length(?) + 1) FROM meta WHERE key GLOB ? || '*' ORDER BY 1",
            metakeys.OF_CHECK,
            metakeys.OF_CHECK,
        )
        return [row[0] for row in rows]

    def _rows(self, sql: str, *arguments: str) -> list[tuple[Any, ...]]:
        """What is there; of a file that turns out to be damaged, if it is ours, what is in the one that replaces it.

        While none can replace it, that is nothing either: whoever asks knows more than a new file would.
        """
        try:
            return self._db.execute(sql, arguments).fetchall()
        except sqlite3.DatabaseError as exc:
            if not self._owner or self._in_commit or not (self._broken or storefile.is_trouble(exc)):
                raise
            known, error = bool(self._broken), exc
        try:
            self._renew(self._broken) if known else self._meet(error)
            return self._db.execute(sql, arguments).fetchall()
        except sqlite3.DatabaseError as exc:
            if not known:
                log.error(f"the store {self.path} cannot be read: {exc}; going on as if it were empty")
            return []

    def forget(self, check: str) -> None:
        with self.commit() as tx:
            tx.forget(check)

    def give_up_old(self) -> None:
        """Drop what is older than its limit now, not at the next chance."""
        if self._too_old():
            with self.commit():
                self._drop(self._too_old(), TOO_OLD)

    def owed_sequences(self) -> list[int]:
        """Numbers of the alerts that the server has not got and will be sent, oldest first."""
        return [row[0] for row in self._db.execute("SELECT sequence FROM alert WHERE quarantined IS NULL ORDER BY 1")]

    # -- the uplink's side ---------------------------------------------------------------------------------------

    def owed(self, limit: int, max_bytes: int) -> list[Owed]:
        """What to send next: at most `limit` alerts, together at most `max_bytes` (but always one, if any).

        Oldest first; but what is wrong now does not wait behind a long history: subjects whose newest alert is not OK
        come first, those with the shortest story before the others. The alerts of one subject keep their order.
        """
        numbers = self._in_turn(limit)
        found = {}
        rows = self._db.execute(
            f"SELECT sequence, id, body, size FROM alert WHERE sequence IN ({','.join('?' * len(numbers))})",  # noqa: S608
            numbers,
        )
        for sequence, id, body, size in rows:
            found[sequence] = (Owed(sequence=sequence, id=UUID(id), body=body), size)
        out: list[Owed] = []
        total = 0
        for number in numbers:
            if number not in found:  # given up since
                continue
            each, size = found[number]
            total += size
            if out and total > max_bytes:
                break
            out.append(each)
        return out

    def _in_turn(self, limit: int) -> list[int]:
        oldest = "SELECT sequence FROM alert WHERE quarantined IS NULL ORDER BY sequence LIMIT ?"
        first = [row[0] for row in self._db.execute(oldest, (limit + len(self._ahead) + 1,))]
        if len(first) <= limit or limit == 1:
            return first[:limit]
        newest = self._db.execute("SELECT max(sequence) FROM alert").fetchone()[0]
        if newest != self._newest:
            self._newest, self._ahead = newest, self._overtaking()
        ahead = self._ahead[:limit]
        passed = set(self._ahead)
        return (ahead + [each for each in first if each not in passed])[:limit]

    def _overtaking(self) -> list[int]:
        """The alerts of all subjects that are wrong now, in the order in which they are sent before all others."""
        stories: dict[str, list[int]] = {}
        wrong: dict[str, bool] = {}
        rows = "SELECT sequence, subject, ok FROM alert WHERE quarantined IS NULL ORDER BY sequence"
        for sequence, subject, ok in self._db.execute(rows):
            stories.setdefault(subject, []).append(sequence)
            wrong[subject] = not ok
        first = sorted((story for subject, story in stories.items() if wrong[subject]), key=len)
        return [each for story in first for each in story]

    def take(self, limit: int, max_bytes: int) -> list[Owed]:
        """Like `owed`, for sending: from now on these records do not change.

        Those made before the clock of this boot was set get their true time, counted back from now. If it still is not
        set they keep the time they have: sent again with another one, the server would take them for others.
        """
        batch = self.owed(limit, max_bytes)
        if not batch:
            return batch
        odd = self._db.execute(
            "SELECT sequence, boot, elapsed_s, body FROM alert WHERE told = 0 AND wall_s < ?"
            " AND sequence BETWEEN ? AND ?",
            (PLAUSIBLE.timestamp(), min(each.sequence for each in batch), max(each.sequence for each in batch)),
        ).fetchall()
        odd = [row for row in odd if any(row[0] == each.sequence for each in batch)]
        if not odd:
            return batch
        now, elapsed_s, boot = self._clock.now(), self._clock.elapsed(), boot_id()
        mended: dict[int, str] = {}
        with self.commit():
            for sequence, its_boot, its_elapsed_s, body in odd:
                if now >= PLAUSIBLE and its_boot == boot:
                    at = now - timedelta(seconds=elapsed_s - its_elapsed_s)
                    mended[sequence] = json.dumps(
                        json.loads(body) | {"timestamp": outgoing.timestamp(at)}, ensure_ascii=False
                    )
                    self._db.execute(
                        "UPDATE alert SET body = ?, wall_s = ? WHERE sequence = ?",
                        (mended[sequence], at.timestamp(), sequence),
                    )
                self._db.execute("UPDATE alert SET told = 1 WHERE sequence = ?", (sequence,))
        return [replace(each, body=mended.get(each.sequence, each.body)) for each in batch]

    def delivered(self, sequences: Iterable[int]) -> None:
        """The server has stored these: they are no longer owed."""
        gone = set(sequences)
        with self.commit():
            self._db.executemany("DELETE FROM alert WHERE sequence = ?", ((each,) for each in gone))
        self._ahead = [each for each in self._ahead if each not in gone]

    def quarantine(self, sequence: int, why: str) -> None:
        """The server will never take this one: kept and counted, not sent again."""
        with self.commit():
            self._db.execute("UPDATE alert SET quarantined = ? WHERE sequence = ?", (why, sequence))
            self._note_gap(sequence, sequence, f"put aside: {why}", dropped=0)
        self._ahead = [each for each in self._ahead if each != sequence]

    def counts(self) -> Counts:
        owed, quarantined = self._db.execute(
            "SELECT count(*) FILTER (WHERE quarantined IS NULL), count(quarantined) FROM alert"
        ).fetchone()
        dropped = self._db.execute("SELECT coalesce(sum(dropped), 0) FROM gap").fetchone()[0]
        return Counts(owed=owed, quarantined=quarantined, dropped=dropped + int(self.meta(DROPPED) or 0))

    def gaps(self) -> list[Gap]:
        """What the server has not been told of yet that it will never see, oldest first."""
        rows = self._db.execute("SELECT account, first, last, reason, at FROM gap ORDER BY rowid")
        return [
            Gap(account=UUID(account), first=first, last=last, reason=reason, at=datetime.fromisoformat(at))
            for account, first, last, reason, at in rows
        ]

    def gaps_told(self, gaps: Iterable[Gap]) -> None:
        """The server knows of these; one that has grown since is told again."""
        with self.commit():
            for gap in gaps:
                gone = self._db.execute(
                    "DELETE FROM gap WHERE account = ? AND first = ? AND last = ? AND at = ? RETURNING dropped",
                    (str(gap.account), gap.first, gap.last, outgoing.timestamp(gap.at)),
                ).fetchall()
                dropped = sum(row[0] for row in gone)
                if dropped:
                    self._put(DROPPED, str(int(self.meta(DROPPED) or 0) + dropped))

    def begin_elsewhere(self) -> None:
        """Another server takes over: what is not owed any more it will never see."""
        with self.commit():
            last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'alert'").fetchone()
            owed = self._db.execute("SELECT min(sequence) FROM alert WHERE quarantined IS NULL").fetchone()[0]
            end = owed - 1 if owed else last[0] if last else 0
            if end > 0:
                self._note_gap(1, end, "came to an end with the server that this device had before", dropped=0)

    def meta(self, key: str) -> str | None:
        found = self._rows("SELECT value FROM meta WHERE key = ?", key)
        return found[0][0] if found else None

    def metas(self, prefix: str) -> dict[str, str]:
        """All of which the key begins so; `prefix` holds no wildcards of GLOB."""
        return dict(self._db.execute("SELECT key, value FROM meta WHERE key GLOB ? || '*'", (prefix,)))

    def drop_metas(self, keys: Iterable[str]) -> None:
        with self.commit():
            self._db.executemany("DELETE FROM meta WHERE key = ?", ((key,) for key in keys))

    def set_meta(self, key: str, value: str) -> None:
        with self.commit():
            self._put(key, value)

    def _put(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # -- bounds --------------------------------------------------------------------------------------------------

    def _enforce_limits(self) -> None:
        """Inside a transaction: give up what is too old, then what is too much."""
        full = self._guess.count > self.limits.count or self._guess.bytes > self.limits.bytes
        elapsed = self._clock.elapsed()
        if full or elapsed - self._aged_at >= AGE_EVERY_S:
            self._aged_at = elapsed
            self._drop(self._too_old(), TOO_OLD)
        if not full:
            return
        count, size = storebounds.totals(self._db)
        if count > self.limits.count or size > self.limits.bytes:
            self._drop(storebounds.cancelling(self._db, self.limits, count, size), FULL_AND_CANCELLING)
            count, size = storebounds.totals(self._db)
        if count > self.limits.count or size > self.limits.bytes:
            self._drop(storebounds.oldest(self._db, self.limits, count, size), FULL)
            count, size = storebounds.totals(self._db)
        self._guess.count, self._guess.bytes = count, size

    def _too_old(self) -> list[int]:
        return storebounds.too_old(self._db, self.limits, boot_id(), self._clock)

    def _drop(self, sequences: list[int], reason: str) -> None:
        if not sequences:
            return
        self._db.executemany("DELETE FROM alert WHERE sequence = ?", ((each,) for each in sequences))
        for first, last in storebounds.ranges(sequences):
            self._note_gap(first, last, reason, dropped=last - first + 1)
        log.warn(f"{len(sequences)} alerts that could not be sent were given up: {reason}")

    def _note_gap(self, first: int, last: int, reason: str, *, dropped: int) -> None:
        """Inside a transaction. A gap that goes on is one gap, not one for each alert."""
        db, account = self._db, str(self.account)
        at = outgoing.timestamp(self._clock.now())
        grown = db.execute(
            "UPDATE gap SET last = ?, dropped = dropped + ?, at = ? WHERE rowid ="
            " (SELECT max(rowid) FROM gap WHERE account = ? AND last = ? AND reason = ?)",
            (last, dropped, at, account, first - 1, reason),
        )
        if grown.rowcount:
            return
        db.execute(
            "INSERT INTO gap (account, first, last, reason, at, dropped) VALUES (?, ?, ?, ?, ?, ?)",
            (account, first, last, reason, at, dropped),
        )
        if db.execute("SELECT count(*) FROM gap").fetchone()[0] > MAX_GAPS:
            mine = "SELECT rowid, first, last, dropped FROM gap WHERE account = ? AND first > 0 ORDER BY first LIMIT 2"
            (one, start, end, few), (other, _, further, more) = db.execute(mine, (account,)).fetchall()
            db.execute("DELETE FROM gap WHERE rowid = ?", (other,))
            db.execute(
                "UPDATE gap SET first = ?, last = ?, dropped = ?, reason = ?, at = ? WHERE rowid = ?",
                (start, max(end, further), few + more, MANY_REASONS, at, one),
            )


def _redact(alert: Alert) -> Alert:
    from vedette.agent import redact  # not by the uplink, which adds no alert

    return redact.alert(alert)


def boot_id() -> str:
    """Names this boot of the machine. Source: random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _unsigned(value: int) -> int:
    return value + (1 << 64) if value < 0 else value
