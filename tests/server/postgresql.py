"""A real PostgreSQL for tests: one cluster for all of them, an empty database for each that asks."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import asyncpg
import pytest

ON_SQLITE = pytest.mark.skipif(
    os.environ.get("TEST_DATABASE") == "postgresql", reason="looks into the file of SQLite; runs without TEST_DATABASE"
)
NAMES = ("postgres", "nobody")  # PostgreSQL refuses to run as root


@dataclass
class Cluster:
    """A running PostgreSQL that nobody else has, reached through a socket in a directory."""

    binaries: Path
    path: Path
    user: str | None  # whom it runs as; None: whoever runs the tests
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def url(self) -> str:
        return f"postgresql://vedette@/postgres?host={self.path}"

    def new_database(self) -> str:
        """The URL of an empty one: a schema, which is quicker made than a database and as good."""
        name = f"test{next(self.numbers)}"
        self.sql(f"CREATE SCHEMA {name}")
        return f"{self.url}&search_path={name}"

    def sql(self, statement: str) -> list[asyncpg.Record]:
        """Ask it directly. In a thread of its own, for the one that asks may have a running event loop."""

        async def ask() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.url)
            try:
                found: list[asyncpg.Record] = await connection.fetch(statement)
                return found
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, ask()).result()

    def start(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.path),
            "fsync": "off",  # no test cuts the power of the database
            "max_connections": "60",
            "shared_buffers": "32MB",
            "autovacuum": "off",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._control("start", "-o", options, "-l", str(self.path / "log"))

    def stop(self) -> None:
        """At once, and with it all of its connections."""
        self._control("stop", "-m", "immediate")

    def _control(self, action: str, *options: str) -> None:
        self.run("pg_ctl", action, "-D", str(self.path / "data"), "-w", "-t", "30", *options)

    def run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's own programs, as the user it runs as."""
        as_user: Sequence[str] = ()
        if self.user is not None:
            person = pwd.getpwnam(self.user)
            as_user = ("setpriv", f"--reuid={person.pw_uid}", f"--regid={person.pw_gid}", "--clear-groups")
        done = subprocess.run(
            [*as_user, str(self.binaries / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.path,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}"


def binaries() -> Path | None:
    """Where PostgreSQL's programs are; None: it is not installed."""
    found = [Path(each).parent for each in [shutil.which("initdb")] if each]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((each for each in found if (each / "initdb").exists() and (each / "pg_ctl").exists()), None)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Make one, start it, and remove it; skips the test where PostgreSQL is not installed."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: sudo apt-get install postgresql")
    path = Path(tempfile.mkdtemp(prefix="vedette-pg-"))  # short: the socket's path has 107 characters at most
    user = None
    if os.geteuid() == 0:
        user = next(name for name in NAMES if name in {each.pw_name for each in pwd.getpwall()})
        person = pwd.getpwnam(user)
        os.chown(path, person.pw_uid, person.pw_gid)
    made = Cluster(programs, path, user)
    try:
        # A language whose order is not that of the bytes, as most databases have: ours must not depend on it.
        order = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
        made.run("initdb", "-D", str(path / "data"), "-U", "vedette", "-A", "trust", "-E", "UTF8", "-N", *order)
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(path)
