"""The dialect for fleets that outgrow one machine: PostgreSQL, by asyncpg.

As on SQLite, one writer in each process takes all units of work that wait, runs each in a savepoint, and commits them
together. Several processes may write at once: transactions are SERIALIZABLE, so a unit may read, decide and write as
if it were alone; what collides is run again, and after a few collisions alone (`LOCK TABLE`).
Reads are READ ONLY on one snapshot. docs/decisions/0011-postgresql.md has the reasons and what was measured.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeAlias, TypeVar, cast

import asyncpg

from vedette.errors import Busy, Invalid, Unavailable
from vedette.server.db import units
from vedette.server.db.core import Item, Kind, Promise, Row, Scope, Together, Work, bound, confine, kind_of
from vedette.server.db.hearing import Hearing
from vedette.server.db.macros import POSTGRESQL, check_common, expand, numbered
from vedette.server.db.migrations.postgresql import migrate
from vedette.server.db.postgres_errors import COLLISION, is_trouble, sentence, told
from vedette.server.db.postgres_notices import Notices, encoded
from vedette.server.db.units import MAX_GROUP, Unit, deal, together

P = ParamSpec("P")
T = TypeVar("T")

READERS: Final = 8  # connections at most; those idle for five minutes are closed
READ_S: Final = 20.0  # then a question is ended: there are few readers, and all wait for them
WRITE_S: Final = 30.0  # then a whole group is given up
LOCK_WAIT_S: Final = 10
CONNECT_S: Final = 10.0
CLOSE_S: Final = 5.0  # then whoever still reads is cut off
COLLISIONS: Final = 2  # with other processes, in a row; then a group runs alone
TRIES: Final = 6

_COMMON: Final = {
    "application_name": "vedette",
    "jit": "off",  # it costs more than all of our statements
    "standard_conforming_strings": "on",
    "idle_in_transaction_session_timeout": "60000",
    "lock_timeout": str(LOCK_WAIT_S * 1000),
}
_READER: Final = {
    **_COMMON,
    "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on",
}
_WRITER: Final = {
    **_COMMON,
    "default_transaction_isolation": "serializable",
    "synchronous_commit": "on",  # what is acknowledged is on the disk, whatever the database does for others
    "statement_timeout": str(int(WRITE_S * 1000)),
}

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[Any]

log = logging.getLogger(__name__)


@lru_cache(maxsize=4096)
def _ready(sql: str, kind: Kind) -> tuple[str, tuple[str, ...]]:
    return numbered(expand(confine(check_common(sql), kind), POSTGRESQL))


class _PostgresTx:
    """One transaction on one connection."""

    __slots__ = ("_bound", "_connection", "_kind", "announced")

    def __init__(self, connection: "Connection | PoolConnectionProxy[Any]", scope: Scope) -> None:
        self._connection = connection
        self._bound = bound(scope)
        self._kind = kind_of(scope)
        self.announced: list[tuple[str, tuple[str | None, ...]]] = []

    def _run(self, sql: str, params: Mapping[str, object]) -> tuple[str, list[object]]:
        text, names = _ready(sql, self._kind)
        values = {**params, **self._bound}
        return text, [values[name] for name in names]

    async def all(self, sql: str, **params: object) -> list[Row]:
        text, values = self._run(sql, params)
        return cast(list[Row], await self._connection.fetch(text, *values))  # a Record has what a Mapping has

    async def one(self, sql: str, **params: object) -> Row | None:
        text, values = self._run(sql, params)
        return cast(Row | None, await self._connection.fetchrow(text, *values))

    async def value(self, sql: str, **params: object) -> Any:
        text, values = self._run(sql, params)
        return await self._connection.fetchval(text, *values)

    async def execute(self, sql: str, **params: object) -> int:
        text, values = self._run(sql, params)
        count = (await self._connection.execute(text, *values)).rpartition(" ")[2]  # "INSERT 0 1", "UPDATE 3"
        return int(count) if count.isdigit() else -1

    async def many(self, sql: str, rows: Iterable[Mapping[str, object]]) -> None:
        text, names = _ready(sql, self._kind)
        values = [{**row, **self._bound} for row in rows]
        if values:
            await self._connection.executemany(text, [[each[name] for name in names] for each in values])

    def announce(self, topic: str, *words: str | None) -> None:
        self.announced.append((topic, words))


class PostgresDatabase:
    """See `core.Database`. Made by `open`, used in that event loop."""

    def __init__(self, url: str, pool: "asyncpg.Pool[Any]", schema: str) -> None:
        self._url = url
        self._pool = pool
        self._hearing = Hearing()
        self._notices = Notices(f"vedette_{schema}", self._hearing)
        self._writer: asyncpg.Connection[Any] | None = None
        self._queue: deque[Unit] = deque()
        self._work_waits = asyncio.Event()
        self._waiting = 0
        self._closed = False
        self._writing = asyncio.create_task(self._write_forever())
        self._listening = asyncio.create_task(self._notices.listen(partial(_connect, url, _READER)))

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect, and bring the schema up to date.

        Raises:
            Invalid: not a URL, or a schema newer than this program.
            Unavailable: the database cannot be had.
        """
        try:
            connection = await _connect(url, _COMMON)
            try:
                await migrate(connection)
                schema: str = await connection.fetchval("SELECT current_schema()")
            finally:
                await connection.close(timeout=CONNECT_S)
            pool = asyncpg.create_pool(
                url,
                min_size=1,
                max_size=READERS,
                timeout=CONNECT_S,
                statement_cache_size=512,
                server_settings={**_READER, "statement_timeout": str(int(READ_S * 1000))},
                reset=_nothing,
            )
            opened = cls(url, await pool, schema)
            try:
                async with asyncio.timeout(CONNECT_S):
                    await opened._notices.listening.wait()
            except BaseException:
                await opened.close()
                raise
            return opened
        except (ValueError, IndexError) as exc:  # asyncpg's words may hold a part of the password
            raise Invalid(
                "setting database: not a URL of PostgreSQL; expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE,"
                " with %40 and the like for what is special in a password"
            ) from exc
        except Exception as exc:
            if is_trouble(exc):
                raise Unavailable(f"the database cannot be had: {sentence(exc)}") from exc
            raise

    async def read(self, scope: Scope, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise Unavailable("the database is closed")
        try:
            async with asyncio.timeout(READ_S), self._pool.acquire() as connection, _transaction(connection):
                return await work(_PostgresTx(connection, scope), *args, **kwargs)
        except Exception as exc:
            raise told(exc, "read") from exc

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
        self._queue.append(Unit(scope, work, items, done))
        self._work_waits.set()

    def hear(self, topic: str, call: Callable[..., None], missed: Callable[[], None]) -> None:
        self._hearing.add(topic, call, missed)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._work_waits.set()
        await self._writing
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._drop_writer()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    # --- the writer --------------------------------------------------------------------------------------------------

    async def _write_forever(self) -> None:
        """Take all that waits, one commit for it, tell everybody, again."""
        while self._queue or not self._closed:
            if not self._queue:
                self._work_waits.clear()
                await self._work_waits.wait()
                continue
            group = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_GROUP))]
            try:
                async with asyncio.timeout(WRITE_S):
                    await self._write_group(group)
            except Exception as exc:  # the writer lives on: everybody in the group hears of it
                self._drop_writer()
                for unit in group:
                    unit.callbacks, unit.error = [], told(exc, "written")
            self._waiting -= len(group)
            for unit in group:
                unit.answer()

    async def _write_group(self, group: list[Unit]) -> None:
        """Write it in one transaction. One that collides with other processes, or whose connection was gone before
        it began, is written anew."""
        for attempt in range(TRIES):
            connection, is_new = await self._connected()
            for unit in group:
                unit.result, unit.error, unit.callbacks = None, None, []
            try:
                mode = "ROW EXCLUSIVE" if attempt < COLLISIONS else "EXCLUSIVE"
                await connection.execute(f"BEGIN; LOCK TABLE writer IN {mode} MODE")
            except Exception as exc:
                self._drop_writer()
                if is_new or not is_trouble(exc):
                    raise
                continue
            try:
                return await self._transact(connection, group)
            except COLLISION as exc:
                log.debug("%d changes collided with another process: %s", len(group), exc)
                await connection.execute("ROLLBACK")
        raise Busy("other servers change the same things all the time; try again in a few seconds")

    async def _transact(self, connection: "Connection", group: list[Unit]) -> None:
        announced: list[str] = []
        for bunch in together(group):
            await self._write_bunch(connection, bunch, announced)
        notices = self._notices.statements(announced)
        await connection.execute(notices + "COMMIT")

    async def _write_bunch(self, connection: "Connection", bunch: list[Unit], announced: list[str]) -> None:
        """Run what goes together; if it fails, undo it alone, and try one by one."""
        await connection.execute("SAVEPOINT unit")
        first = bunch[0]
        tx = _PostgresTx(connection, first.scope)
        try:
            if first.items is None:
                first.result = await first.work(tx)
            else:
                deal(bunch, await first.work(tx, [unit.items[0] for unit in bunch if unit.items]))
        except COLLISION:
            raise
        except Exception as exc:  # told to the caller, whatever it is: it must not end the writer
            await connection.execute("ROLLBACK TO unit; RELEASE unit")
            if len(bunch) == 1:
                first.error = told(exc, "written")
                return
            for unit in bunch:
                await self._write_bunch(connection, [unit], announced)
            return
        await connection.execute("RELEASE unit")
        first.callbacks = [partial(self._hearing.tell, topic, words) for topic, words in tx.announced]
        announced += (encoded(topic, words) for topic, words in tx.announced)

    async def _connected(self) -> "tuple[Connection, bool]":
        """The writer's connection, and whether it has just been made."""
        if self._writer is not None and not self._writer.is_closed():
            return self._writer, False
        self._writer = await _connect(self._url, _WRITER)
        return self._writer, True

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.terminate()
            self._writer = None


async def _connect(url: str, settings: Mapping[str, str]) -> "Connection":
    return await asyncpg.connect(url, timeout=CONNECT_S, statement_cache_size=512, server_settings=dict(settings))


@asynccontextmanager
async def _transaction(connection: "PoolConnectionProxy[Any]") -> AsyncIterator[None]:
    """One that has nothing to keep. Ended here, whatever happened: asyncpg would, but calls it an error."""
    await connection.execute("BEGIN")
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("ROLLBACK", timeout=CONNECT_S)


async def _nothing(connection: object) -> None:
    """What a connection needs before its next use: asyncpg has ended its transaction, and there is nothing else."""
