"""`vedette backup`, `vedette restore` and `vedette migrate`: what happens to the database as a whole."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from vedette.errors import Invalid
from vedette.server.db import open_database
from vedette.server.db.backup import REPLACED, backup, restore
from vedette.server.runtime import data_directory
from vedette.server.settings import Settings

_OWN_PROGRAMS = "PostgreSQL has its own programs for this, pg_dump and pg_restore: docs/server.md"


def add_to(add: Callable[[str, str, object], argparse.ArgumentParser]) -> list[argparse.ArgumentParser]:
    """Describe the commands; `add` makes a parser of a name, a text and what runs. Those that need the settings."""
    saved = add("backup", "copy the database into one file, while the server runs", _backup)
    saved.add_argument("file", type=Path, metavar="FILE", help="a new file")
    restored = add("restore", "put a backup in the place of the database; no server may run", _restore)
    restored.add_argument("file", type=Path, metavar="FILE", help="what `vedette backup` has written")
    moved = add("migrate", "move everything from SQLite to an empty PostgreSQL database; no server may run", _move)
    moved.add_argument("--from", dest="source", required=True, metavar="URL", help="sqlite:////PATH/vedette.db")
    moved.add_argument("--to", dest="target", required=True, metavar="URL", help="postgresql://USER@HOST/DATABASE")
    return [saved, restored]


async def _backup(settings: Settings, options: argparse.Namespace) -> None:
    size = await asyncio.to_thread(backup, _file(settings.database_url, _OWN_PROGRAMS), options.file)
    print(f"{options.file}: {size / 2**20:,.1f} MiB")


async def _restore(settings: Settings, options: argparse.Namespace) -> None:
    database = _file(settings.database_url, _OWN_PROGRAMS)
    with data_directory(database.absolute().parent):
        before = database.exists()
        await asyncio.to_thread(restore, options.file, database)
    print(f"{database}: restored" + (f"; what was there is in {database.name}{REPLACED}" if before else ""))


async def _move(settings: Settings, options: argparse.Namespace) -> None:
    from vedette.server.db.move import move

    source = _file(options.source, "--from: only SQLite can be moved from; expected sqlite:////PATH/vedette.db")
    if not source.is_file():
        raise Invalid(f"--from: there is no file {source}")
    if options.target.partition("://")[0] not in {"postgresql", "postgres"}:
        raise Invalid("--to: only PostgreSQL can be moved to; expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    with data_directory(source.absolute().parent):
        await (await open_database(options.source)).close()  # brings its schema up to date
        counts = await move(source, options.target, _show if sys.stderr.isatty() else _silent)
    print(f"moved {sum(counts.values()):,} rows of {len(counts)} tables; all counts agree")
    for table, count in counts.items():
        if count:
            print(f"{count:>12,}  {table}")


def _show(table: str, done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{table}: {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)


def _silent(table: str, done: int, total: int) -> None:
    """Nobody watches."""


def _file(url: str, otherwise: str) -> Path:
    """The file of a SQLite database.

    Raises:
        Invalid: `otherwise`; it is no SQLite database.
    """
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite" or not path:
        raise Invalid(otherwise)
    return Path(path)
