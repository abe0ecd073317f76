"""The embedded dialect: SQLite in WAL mode, one writer thread with group commit, a few reader threads.

Durable means fsynced: `synchronous=FULL` (costs 5 % with group commit, docs/decisions/0004-storage.md).
A unit of work is a coroutine that awaits only its Tx; nothing in `_SqliteTx` really waits, so a database thread runs
it to its end in one step. The same code runs on a dialect that does wait.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from vedette.clock import SystemClock
from vedette.errors import Busy, Unavailable
from vedette.server.db import units
from vedette.server.db.core import Item, Kind, Promise, Row, Scope, Together, Work, bound, confine, kind_of
from vedette.server.db.hearing import Hearing
from vedette.server.db.macros import SQLITE, check_common, expand, numbered
from vedette.server.db.migrations import migrate
from vedette.server.db.regex import register
from vedette.server.db.units import MAX_GROUP, Unit, deal, together

P = ParamSpec("P")
T = TypeVar("T")

READERS: Final = 4
LOCK_WAIT_S: Final = 10
READ_S: Final = 20.0  # then a question is ended: there are few readers, and all wait for them
READ_STEPS: Final = 50_000  # of the database's machine between two looks at the clock; about a millisecond
CHECKPOINT_PAGES: Final = 4096  # 16 MiB of log: pages that change often are written back once for many changes
WRITER_CACHE_KIB: Final = 16 * 1024


@lru_cache(maxsize=4096)
def _ready(sql: str, kind: Kind) -> tuple[str, Callable[[Mapping[str, object]], list[object]]]:
    """The statement as SQLite takes it, and what picks the values of its parameters, in their order.

    By number: for each name SQLite would look along the list of all, each time.
    """
    text, names = numbered(expand(confine(check_common(sql), kind), SQLITE), "?")
    return text, lambda params: [params[name] for name in names]


class _SqliteTx:
    """One transaction on one connection. Its methods are coroutines that never suspend."""

    __slots__ = ("_bound", "_connection", "_hearing", "_kind", "callbacks")

    def __init__(self, connection: sqlite3.Connection, scope: Scope, hearing: Hearing) -> None:
        self._connection = connection
        self._hearing = hearing
        self._bound = bound(scope)
        self._kind = kind_of(scope)
        self.callbacks: list[Callable[[], None]] = []

    def _run(self, sql: str, params: Mapping[str, object]) -> sqlite3.Cursor:
        text, pick = _ready(sql, self._kind)
        return self._connection.execute(text, pick({**params, **self._bound}))

    async def all(self, sql: str, **params: object) -> list[Row]:
        return self._run(sql, params).fetchall()

    async def one(self, sql: str, **params: object) -> Row | None:
        row: Row | None = self._run(sql, params).fetchone()
        return row

    async def value(self, sql: str, **params: object) -> Any:
        row = self._run(sql, params).fetchone()
        return None if row is None else row[0]

    async def execute(self, sql: str, **params: object) -> int:
        return self._run(sql, params).rowcount

    async def many(self, sql: str, rows: Iterable[Mapping[str, object]]) -> None:
        text, pick = _ready(sql, self._kind)
        self._connection.executemany(text, (pick({**row, **self._bound}) for row in rows))

    def announce(self, topic: str, *words: str | None) -> None:
        self.callbacks.append(partial(self._hearing.tell, topic, words))  # there is one process


class SqliteDatabase:
    """See `core.Database`. Opened in the thread that will run the event loop, or before there is one."""

    def __init__(self, path: Path) -> None:
        """Open `path`, making it (mode 0600) and its schema when missing."""
        self._path = path
        self._clock = SystemClock()
        self._hearing = Hearing()
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._writer = self._connect()
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            self._writer.execute(f"PRAGMA cache_size=-{WRITER_CACHE_KIB}")
            migrate(self._writer)
        except (sqlite3.Error, OSError) as exc:
            raise Unavailable(f"database {path}: {exc}") from exc
        self._queue: queue.SimpleQueue[list[Unit] | None] = queue.SimpleQueue()
        self._arriving: list[Unit] = []
        self._loop: asyncio.AbstractEventLoop  # of those that wait; set by the first of them
        self._waiting = 0
        self._closed = False
        self._local = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="db-reader")
        self._thread = threading.Thread(target=self._write_forever, name="db-writer", daemon=True)
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False, cached_statements=512
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        register(connection)
        return connection

    async def read(self, scope: Scope, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def run() -> T:
            connection = self._reader()
            deadline = self._clock.elapsed() + READ_S
            connection.set_progress_handler(lambda: self._clock.elapsed() > deadline, READ_STEPS)
            connection.execute("BEGIN")
            try:
                return _drive(work(_SqliteTx(connection, scope, self._hearing), *args, **kwargs))
            finally:
                connection.execute("ROLLBACK")

        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, run)
        except sqlite3.DatabaseError as exc:
            if _is_trouble(exc):
                raise Unavailable(f"the database cannot be read now: {exc}") from exc
            raise

    async def write(self, scope: Scope, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._wait(scope, lambda tx: work(tx, *args, **kwargs), None)
        return result

    async def write_together(self, scope: Scope, work: Together[Item, T], item: Item) -> T:
        result: T = await self._wait(scope, work, [item])
        return result

    def submit_together(self, scope: Scope, work: Together[Item, Any], item: Item, done: Promise) -> None:
        self._submit(scope, work, [item], done)

    async def _wait(self, scope: Scope, work: Callable[..., Coroutine[Any, Any, Any]], items: list[Any] | None) -> Any:
        done = asyncio.get_running_loop().create_future()
        self._submit(scope, work, items, done)
        return await done

    def _submit(
        self,
        scope: Scope,
        work: Callable[..., Coroutine[Any, Any, Any]],
        items: list[Any] | None,
        done: Promise,
    ) -> None:
        """Stand in line for the writer."""
        if self._closed:
            raise Unavailable("the database is closed")
        if self._waiting >= units.MAX_WAITING:
            raise Busy("too many changes are waiting for the database; try again in a few seconds")
        self._waiting += 1
        if not self._arriving:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._hand_over)
        self._arriving.append(Unit(scope, work, items, done))

    def _hand_over(self) -> None:
        """Give the writer what has come in one turn of the event loop. At the end of the turn, not one by one: the
        writer would wake at the first, and the two would fight for the interpreter's lock until the last is there."""
        self._queue.put(self._arriving)
        self._arriving = []

    def hear(self, topic: str, call: Callable[..., None], missed: Callable[[], None]) -> None:
        self._hearing.add(topic, call, missed)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._arriving:
            self._hand_over()
        self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self._readers.shutdown(wait=True)
        for connection in (*self._reader_connections, self._writer):
            connection.close()

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
            self._reader_connections.append(connection)
        return connection

    def _write_forever(self) -> None:
        """The writer thread: take all that waits, one commit for it, tell everybody, again."""
        last = False
        while not last:
            arrived = self._queue.get()
            waiting: list[Unit] = []
            while arrived is not None:
                waiting += arrived
                try:
                    arrived = self._queue.get_nowait()
                except queue.Empty:
                    break
            last = arrived is None
            for start in range(0, len(waiting), MAX_GROUP):
                group = waiting[start : start + MAX_GROUP]
                self._write_group(group)
                self._tell(group)

    def _write_group(self, group: list[Unit]) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for bunch in together(group):
                self._write_bunch(bunch)
            self._writer.execute("COMMIT")
        except Exception as exc:  # the writer lives on: everybody in the group hears of it
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            for unit in group:
                unit.callbacks = []
                unit.error = Unavailable(f"the database cannot be written now: {exc}")

    def _write_bunch(self, bunch: list[Unit]) -> None:
        """Run what goes together; if it fails, undo it alone, and try one by one."""
        self._writer.execute("SAVEPOINT unit")
        first = bunch[0]
        tx = _SqliteTx(self._writer, first.scope, self._hearing)
        try:
            if first.items is None:
                first.result = _drive(first.work(tx))
            else:
                deal(bunch, _drive(first.work(tx, [unit.items[0] for unit in bunch if unit.items])))
        except Exception as exc:  # told to the caller, whatever it is: it must not end the writer
            if not self._writer.in_transaction:  # disk full and the like end the whole transaction
                raise
            self._writer.execute("ROLLBACK TO unit")
            self._writer.execute("RELEASE unit")
            if len(bunch) == 1:
                first.error = exc
                return
            for unit in bunch:
                self._write_bunch([unit])
            return
        first.callbacks = tx.callbacks
        self._writer.execute("RELEASE unit")

    def _tell(self, group: list[Unit]) -> None:
        """Answer a whole group with one wake-up of its event loop."""

        def answer() -> None:
            for unit in group:
                self._waiting -= 1
                unit.error = None if unit.error is None else _told(unit.error)
                unit.answer()

        try:
            self._loop.call_soon_threadsafe(answer)
        except RuntimeError:  # the loop is gone, and with it everyone who waited
            return


def _is_trouble(error: BaseException) -> bool:
    """Whether it is the database that fails (locked, full, damaged), and not the program that asks it wrongly."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def _told(error: BaseException) -> BaseException:
    """What a caller hears: our own errors as they are; trouble with the database as Unavailable."""
    if _is_trouble(error):
        return Unavailable(f"the database cannot be written now: {error}")
    return error


def _drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise RuntimeError("a unit of work may await its transaction only")
