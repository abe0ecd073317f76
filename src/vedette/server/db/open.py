"""A database by its URL."""

from pathlib import Path

from vedette.errors import Invalid
from vedette.server.db.core import Database
from vedette.server.db.sqlite import SqliteDatabase


async def open_database(url: str) -> Database:
    """Open and bring up to date the database at `url`.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://[user[:password]@]host[:port]/database`
            with what libpq takes behind a question mark, as `sslmode`.
    Raises:
        Invalid: not such a URL, or a schema newer than this program.
        Unavailable: the database cannot be had, or is locked.
    """
    scheme, separator, path = url.partition("://")
    if separator and scheme in {"postgresql", "postgres"}:
        from vedette.server.db.postgres import PostgresDatabase  # not in the memory of who does without

        return await PostgresDatabase.open(url)
    if scheme != "sqlite" or not path.startswith("/") or not path[1:]:
        kind = url.partition(":")[0][:20]  # not the whole URL: it may hold a password
        raise Invalid(
            f"setting database: {kind!r} is no database of ours; expected sqlite:///PATH or postgresql://HOST/NAME"
        )
    return SqliteDatabase(Path(path[1:]))
