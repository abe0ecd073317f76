"""Everything from SQLite to PostgreSQL, once: when a fleet has outgrown one file."""

# ruff: noqa: S608 - names of tables and columns come from our own schema

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from vedette.errors import Conflict, Invalid, Unavailable
from vedette.server.db.migrations import postgresql
from vedette.server.db.postgres_errors import is_trouble, sentence, told

if TYPE_CHECKING:
    from asyncpg import Connection

BATCH: Final = 2_000  # rows
CONNECT_S: Final = 10.0

Progress = Callable[[str, int, int], None]
"""Called with a table, how many of its rows are over, and how many it has."""


async def move(source: Path, url: str, progress: Progress) -> dict[str, int]:
    """Copy every row of the SQLite file `source` to the empty PostgreSQL database at `url`; how many, by table.

    In one transaction: all of it is there, counted, or none. Nobody may write to `source` meanwhile.

    Raises:
        Conflict: there is something in the database already.
        Invalid: not a URL, or a row that PostgreSQL cannot hold.
        Unavailable: one of the two cannot be had, or the counts differ.
    """
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_S)
    except ValueError as exc:
        raise Invalid("--to: not a URL of PostgreSQL; expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from exc
    except Exception as exc:
        if is_trouble(exc):
            raise Unavailable(f"--to: the database cannot be had: {sentence(exc)}") from exc
        raise
    try:
        with closing(_opened(source)) as old:
            await postgresql.migrate(connection)
            async with connection.transaction():
                return await _copy(old, connection, progress)
    except sqlite3.Error as exc:
        raise Unavailable(f"{source}: {exc}") from exc
    except Exception as exc:
        raise told(exc, "written") from exc
    finally:
        await connection.close(timeout=CONNECT_S)


def _opened(source: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)


async def _copy(old: sqlite3.Connection, new: "Connection[Any]", progress: Progress) -> dict[str, int]:
    tables = _tables(old)
    for table in tables:
        if await new.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{table}")'):
            raise Conflict(f"the database has rows in {table} already; move into an empty one")
    counts = {}
    await new.execute("ALTER TABLE device DISABLE TRIGGER USER")  # what they would write comes over as it is
    for table in tables:
        total: int = old.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
        columns = [row[1] for row in old.execute(f'PRAGMA table_info("{table}")')]
        done = 0
        progress(table, done, total)
        for rows in _batches(old, table, columns):
            await new.copy_records_to_table(table, records=rows, columns=columns)
            done += len(rows)
            progress(table, done, total)
        counts[table] = await new.fetchval(f'SELECT count(*) FROM "{table}"')
        if counts[table] != total:
            raise Unavailable(f"{table} has {total} rows, and {counts[table]} have come over: nothing was moved")
    await new.execute("ALTER TABLE device ENABLE TRIGGER USER")
    for table, column in await _numbered(new):
        await new.execute(
            f"SELECT setval(pg_get_serial_sequence('\"{table}\"', '{column}'),"
            f' coalesce((SELECT max("{column}") FROM "{table}"), 0) + 1, false)'
        )
    return counts


def _tables(old: sqlite3.Connection) -> list[str]:
    """The tables, each behind those it refers to."""
    order: TopologicalSorter[str] = TopologicalSorter()
    names = (
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    for (table,) in old.execute(names):
        referred = {row[2] for row in old.execute(f'PRAGMA foreign_key_list("{table}")')}
        order.add(table, *(referred - {table}))
    return list(order.static_order())


def _batches(old: sqlite3.Connection, table: str, columns: list[str]) -> Iterator[list[tuple[Any, ...]]]:
    names = ", ".join(f'"{column}"' for column in columns)
    cursor = old.execute(f'SELECT {names} FROM "{table}"')
    while rows := cursor.fetchmany(BATCH):
        yield rows


async def _numbered(new: "Connection[Any]") -> list[tuple[str, str]]:
    """Columns that number their rows by themselves."""
    rows = await new.fetch(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE is_identity = 'YES' AND table_schema = current_schema()"
    )
    return [(row[0], row[1]) for row in rows]
