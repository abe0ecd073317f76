"""What only SQLite can meet: files, disks, locks."""

import asyncio
import resource
import signal
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from vedette.errors import Invalid, Unavailable
from vedette.server.db import SYSTEM, Tx, open_database, sqlite
from vedette.server.db.sqlite import SqliteDatabase


def run(path: Path, test: Callable[[SqliteDatabase], Awaitable[None]]) -> None:
    """Run `test` on a fresh or existing database, closed at the end."""

    async def main() -> None:
        db = await open_database(f"sqlite:///{path}")
        assert isinstance(db, SqliteDatabase)
        try:
            await test(db)
        finally:
            await db.close()

    asyncio.run(main())


async def put(tx: Tx, name: str, value: str = "x") -> None:
    await tx.execute("INSERT INTO server_secret (name, value) VALUES (:name, :value)", name=name, value=value)


async def names(tx: Tx) -> list[str]:
    return [row["name"] for row in await tx.all("SELECT name FROM server_secret ORDER BY name")]


async def closed(url: str) -> None:
    """Open a database and close it."""
    await (await open_database(url)).close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "v.db"


def test_the_file_is_nobody_elses(path: Path) -> None:
    asyncio.run(closed(f"sqlite:///{path}"))
    assert path.stat().st_mode & 0o777 == 0o600


def test_units_that_wait_share_a_commit(path: Path) -> None:
    """The reason for the one writer: a hundred writes do not cost a hundred fsyncs."""

    async def test(db: SqliteDatabase) -> None:
        commits: list[str] = []
        gate = threading.Event()

        async def hold(tx: Tx) -> None:
            gate.wait(10)

        db._writer.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        first = asyncio.create_task(db.write(SYSTEM, hold))
        others = [asyncio.create_task(db.write(SYSTEM, put, f"n{number}")) for number in range(100)]
        await asyncio.sleep(0)  # all of them stand in the queue
        gate.set()
        await asyncio.gather(first, *others)
        assert len(commits) <= 2
        assert len(await db.read(SYSTEM, names)) == 100

    run(path, test)


def test_a_unit_of_work_may_not_wait_for_anything_else(path: Path) -> None:
    async def wait(tx: Tx) -> None:
        await put(tx, "a")
        await asyncio.sleep(0)

    async def test(db: SqliteDatabase) -> None:
        with pytest.raises(RuntimeError, match="may await its transaction only"):
            await db.write(SYSTEM, wait)
        assert await db.read(SYSTEM, names) == []

    run(path, test)


def test_a_full_database_says_so_and_recovers(path: Path) -> None:
    async def test(db: SqliteDatabase) -> None:
        pages = db._writer.execute("PRAGMA page_count").fetchone()[0]
        db._writer.execute(f"PRAGMA max_page_count={pages + 4}")
        await db.write(SYSTEM, put, "before")
        results = await asyncio.gather(
            db.write(SYSTEM, put, "small"), db.write(SYSTEM, put, "big", "x" * 100_000), return_exceptions=True
        )
        assert isinstance(results[1], Unavailable)
        assert "full" in str(results[1])
        known = await db.read(SYSTEM, names)
        # Whoever was told it is written finds it; whoever was told it is not, does not.
        assert known == ["before"] + ["small"] * (results[0] is None)
        db._writer.execute("PRAGMA max_page_count=1073741823")
        await db.write(SYSTEM, put, "big", "x" * 100_000)
        assert "big" in await db.read(SYSTEM, names)

    run(path, test)


def test_a_full_disk_says_so_and_recovers(path: Path) -> None:
    """The limit of the size of files stands for the disk: write() fails, here with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    told: list[str] = []

    async def put_and_tell(tx: Tx, name: str, value: str) -> None:
        tx.announce("told", name)
        await put(tx, name, value)

    async def test(db: SqliteDatabase) -> None:
        db.hear("told", told.append, lambda: None)
        await db.write(SYSTEM, put, "before")
        size = max(each.stat().st_size for each in path.parent.iterdir())
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, before[1]))
            with pytest.raises(Unavailable):
                await db.write(SYSTEM, put_and_tell, "big", "x" * 1_000_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert await db.read(SYSTEM, names) == ["before"]
        assert told == []
        await db.write(SYSTEM, put_and_tell, "big", "x" * 1_000_000)
        assert told == ["big"]
        assert await db.read(SYSTEM, names) == ["before", "big"]

    try:
        run(path, test)
    finally:
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_database_that_another_server_holds_says_so_and_recovers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOCK_WAIT_S", 0.1)

    async def test(db: SqliteDatabase) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await db.write(SYSTEM, put, "a")
        assert await db.read(SYSTEM, names) == []  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        await db.write(SYSTEM, put, "a")
        assert await db.read(SYSTEM, names) == ["a"]

    run(path, test)


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be looked at " * 30, b"SQLite format 3\0 torn"]
)
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Unavailable, match=str(path)):
        asyncio.run(closed(f"sqlite:///{path}"))
    assert path.read_bytes() == content


def test_a_damaged_database_says_so(path: Path) -> None:
    """Not as a bug of the program: a disk that loses data is somebody's to look after."""

    async def fill(db: SqliteDatabase) -> None:
        for number in range(200):
            await db.write(SYSTEM, put, f"{number:03}", "x" * 2000)

    async def use(db: SqliteDatabase) -> None:
        with pytest.raises(Unavailable, match="cannot be read now: database disk image is malformed"):
            await db.read(SYSTEM, names)
        with pytest.raises(Unavailable, match="cannot be written now"):
            await asyncio.gather(*(db.write(SYSTEM, put, f"{number:03}-", "x" * 2000) for number in range(200)))

    run(path, fill)
    whole = path.read_bytes()
    with sqlite3.connect(path) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name LIKE 'sqlite_autoindex_server%'")
    size = int.from_bytes(whole[16:18])
    start = (page[0] - 1) * size
    path.write_bytes(whole[:start] + b"\xff" * size + whole[start + size :])
    run(path, use)


def test_a_question_that_takes_too_long_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that wait behind it are answered."""
    monkeypatch.setattr(sqlite, "READ_S", 0.2)
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    async def test(db: SqliteDatabase) -> None:
        async def ask(tx: Tx) -> None:
            await tx.value(endless)

        asked = [asyncio.create_task(db.read(SYSTEM, ask)) for _ in range(2 * sqlite.READERS)]
        async with asyncio.timeout(30):
            assert await db.read(SYSTEM, names) == []
            for answer in await asyncio.gather(*asked, return_exceptions=True):
                assert isinstance(answer, Unavailable)

    run(path, test)


def test_a_directory_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(Unavailable):
        asyncio.run(closed(f"sqlite:///{path}/x.db"))


def test_a_schema_of_the_future_is_refused(path: Path) -> None:
    async def nothing(db: SqliteDatabase) -> None:
        return

    run(path, nothing)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version=99")
    other.close()
    with pytest.raises(Invalid, match="99"):
        asyncio.run(closed(f"sqlite:///{path}"))
