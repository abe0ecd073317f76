"""The schema, forward only: every file here is applied once, in order, each in one transaction.

A file is never edited after a release; tests migrate from every released schema, with data.
They are written for SQLite, with `TEXT`, `INTEGER` and `BIGINT` columns; `postgresql.py` reads them its own way.
What one dialect alone takes, as triggers, is in NAME.sqlite.sql or NAME.postgresql.sql, directly after NAME.sql.
"""

import sqlite3
from importlib.resources import files
from typing import Final

from vedette.errors import Invalid
from vedette.server.db.macros import SQLITE, expand

MIGRATIONS: Final = (
    "0001_first.sql",
    "0002_gaps.sql",
    "0003_accounts.sql",
    "0004_access.sql",
    "0005_deployments.sql",
    "0006_big_fleets.sql",
    "0007_forgetting.sql",
    "0008_feed.sql",
    "0009_configuration_layers.sql",
    "0010_acknowledgements.sql",
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date.

    Raises:
        Invalid: the database was written by a newer Vedette.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        check_version(version)
        for number, name in enumerate(MIGRATIONS[version:], start=version + 1):
            for statement in statements(name, "sqlite"):
                connection.execute(expand(statement, SQLITE))
            connection.execute(f"PRAGMA user_version={number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def check_version(version: int) -> None:
    """Raises Invalid where the database was written by a newer Vedette."""
    if version > len(MIGRATIONS):
        raise Invalid(f"the database has schema {version}; this Vedette knows {len(MIGRATIONS)}: use the newer one")


def statements(name: str, dialect: str) -> list[str]:
    """The statements of a migration; in ours a semicolon at the end of a line ends one."""
    parts = (files(__package__).joinpath(each) for each in (name, name.replace(".sql", f".{dialect}.sql")))
    script = "".join(part.read_text("utf-8") for part in parts if part.is_file())
    return [part.strip() for part in script.split(";\n") if part.strip()]
