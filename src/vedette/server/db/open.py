"""A database by its URL."""

from pathlib import Path

from vedette.errors import Invalid
from vedette.server.db.core import Database
from vedette.server.db.sqlite import SqliteDatabase


def open_database(url: str) -> Database:
    """Open and bring up to date the database at `url`: `sqlite:///relative.db` or `sqlite:////absolute.db`.

    Raises:
        Invalid: not such a URL, or a schema newer than this program.
        Unavailable: the file cannot be opened or is locked.
    """
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or not path:
        kind = url.partition(":")[0][:20]  # not the whole URL: it may hold a password
        raise Invalid(f"setting database: {kind!r} is no database of ours; expected sqlite:///PATH")
    return SqliteDatabase(Path(path))
