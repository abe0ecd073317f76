"""What every dialect of the storage must keep; here asked of SQLite."""

import asyncio
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from vedette.errors import Busy, Conflict, Invalid, Unavailable
from vedette.server.db import SYSTEM, DeviceScope, Tx, UserScope, open_database, sqlite
from vedette.server.db.core import bound, confine, kind_of
from vedette.server.db.sqlite import SqliteDatabase


def run(path: Path, test: Callable[[SqliteDatabase], Awaitable[None]]) -> None:
    """Run `test` on a fresh or existing database, closed at the end."""

    async def main() -> None:
        db = open_database(f"sqlite:///{path}")
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "v.db"


def test_what_is_written_is_read_after_reopening(path: Path) -> None:
    async def write(db: SqliteDatabase) -> None:
        await db.write(SYSTEM, put, "a")

    async def read(db: SqliteDatabase) -> None:
        assert await db.read(SYSTEM, names) == ["a"]

    run(path, write)
    run(path, read)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_unit_that_fails_undoes_itself_alone(path: Path) -> None:
    """Many units share a commit, and each is still all or nothing."""

    async def half(tx: Tx, name: str) -> None:
        await put(tx, name)
        raise Conflict("half way")

    async def doubled(tx: Tx) -> None:
        await put(tx, "half")
        await put(tx, "good0")

    async def test(db: SqliteDatabase) -> None:
        await db.write(SYSTEM, put, "good0")
        results = await asyncio.gather(
            *(db.write(SYSTEM, put if n % 2 else half, f"n{n}") for n in range(20)),
            db.write(SYSTEM, doubled),
            return_exceptions=True,
        )
        assert [isinstance(each, Conflict) for each in results[:20]] == [n % 2 == 0 for n in range(20)]
        assert isinstance(results[20], sqlite3.IntegrityError)
        assert await db.read(SYSTEM, names) == sorted(["good0", *(f"n{n}" for n in range(1, 20, 2))])

    run(path, test)


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


def test_who_waits_with_the_same_work_is_served_by_one_call(path: Path) -> None:
    """Everyone gets an outcome of their own, a refusal too; and one whose item breaks the call breaks nobody else's."""
    calls: list[list[str]] = []

    async def put_all(tx: Tx, items: Sequence[str]) -> list[str | Exception]:
        calls.append(list(items))
        for item in items:
            await put(tx, item)
            if item == "broken":
                raise Conflict("broken")
        return [Invalid("refused") if item == "refused" else item.upper() for item in items]

    async def test(db: SqliteDatabase) -> None:
        gate = threading.Event()

        async def hold(tx: Tx) -> None:
            gate.wait(10)

        async def together(*items: str) -> list[object]:
            first = asyncio.create_task(db.write(SYSTEM, hold))
            tasks = [asyncio.create_task(db.write_together(SYSTEM, put_all, item)) for item in items]
            await asyncio.sleep(0)  # all of them stand in the queue
            gate.set()
            await first
            return list(await asyncio.gather(*tasks, return_exceptions=True))

        a, refused, b = await together("a", "refused", "b")
        assert (a, b) == ("A", "B")
        assert isinstance(refused, Invalid)
        assert calls == [["a", "refused", "b"]]
        gate.clear()
        c, broken, d = await together("c", "broken", "d")
        assert (c, d) == ("C", "D")
        assert isinstance(broken, Conflict)
        assert await db.read(SYSTEM, names) == ["a", "b", "c", "d", "refused"]

    run(path, test)


def test_different_scopes_are_never_served_together(path: Path) -> None:
    async def tenants(tx: Tx, items: Sequence[str]) -> list[str | Exception]:
        tenant: str = await tx.value("SELECT :tenant")
        return [f"{tenant} {len(items)}" for _ in items]

    async def test(db: SqliteDatabase) -> None:
        scopes = [UserScope("t1", None), UserScope("t2", None), UserScope("t1", frozenset())]
        assert sorted(await asyncio.gather(*(db.write_together(each, tenants, "x") for each in scopes))) == [
            "t1 1",
            "t1 1",
            "t2 1",
        ]

    run(path, test)


def test_after_commit_means_durable(path: Path) -> None:
    """What is told after the commit is seen by another process; what failed is never told."""

    async def test(db: SqliteDatabase) -> None:
        told: list[tuple[str, bool]] = []

        def tell(name: str) -> None:
            with sqlite3.connect(path) as other:
                found = other.execute("SELECT 1 FROM server_secret WHERE name = ?", [name]).fetchone()
            other.close()
            told.append((name, found is not None))

        async def work(tx: Tx, name: str, fail: bool) -> None:
            tx.after_commit(lambda: tell(name))
            await put(tx, name)
            if fail:
                raise Conflict

        await asyncio.gather(
            *(db.write(SYSTEM, work, name, name == "b") for name in "abc"), return_exceptions=True
        )  # fmt: skip
        assert told == [("a", True), ("c", True)]

    run(path, test)


def test_a_caller_who_went_away_changes_nothing(path: Path) -> None:
    async def test(db: SqliteDatabase) -> None:
        task = asyncio.create_task(db.write(SYSTEM, put, "a"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await db.write(SYSTEM, put, "b")
        assert await db.read(SYSTEM, names) == ["a", "b"]
        assert db._waiting == 0

    run(path, test)


def test_a_reader_sees_one_moment(path: Path) -> None:
    async def test(db: SqliteDatabase) -> None:
        seen, written = threading.Event(), threading.Event()

        async def look_twice(tx: Tx) -> tuple[list[str], list[str]]:
            first = await names(tx)
            seen.set()
            assert written.wait(10)
            return first, await names(tx)

        await db.write(SYSTEM, put, "a")
        reading = asyncio.create_task(db.read(SYSTEM, look_twice))
        await asyncio.to_thread(seen.wait, 10)
        await db.write(SYSTEM, put, "b")
        written.set()
        assert await reading == (["a"], ["a"])
        assert await db.read(SYSTEM, names) == ["a", "b"]

    run(path, test)


def test_readers_cannot_write(path: Path) -> None:
    async def test(db: SqliteDatabase) -> None:
        with pytest.raises(Unavailable, match="readonly"):
            await db.read(SYSTEM, put, "a")

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


def test_a_full_queue_turns_callers_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAITING", 3)

    async def test(db: SqliteDatabase) -> None:
        gate = threading.Event()

        async def hold(tx: Tx) -> None:
            gate.wait(10)

        tasks = [asyncio.create_task(db.write(SYSTEM, hold)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await db.write(SYSTEM, put, "a")
        gate.set()
        await asyncio.gather(*tasks)
        await db.write(SYSTEM, put, "a")

    run(path, test)


def test_closed_means_closed(path: Path) -> None:
    async def test(db: SqliteDatabase) -> None:
        writing = asyncio.create_task(db.write(SYSTEM, put, "a"))
        await asyncio.sleep(0)
        await db.close()
        await writing  # what waited has been written
        with pytest.raises(Unavailable):
            await db.write(SYSTEM, put, "b")
        await db.close()

    run(path, test)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT name FROM server_secret").fetchall() == [("a",)]
    other.close()


# --- trouble ---------------------------------------------------------------------------------------------------------


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
        tx.after_commit(lambda: told.append(name))
        await put(tx, name, value)

    async def test(db: SqliteDatabase) -> None:
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
        open_database(f"sqlite:///{path}")
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
        open_database(f"sqlite:///{path}/x.db")


@pytest.mark.parametrize("url", ["", "x", "mysql:///x", "sqlite://x", "sqlite:///", "postgres://u:secret@h/d"])
def test_other_urls_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        open_database(url)
    assert "secret" not in str(refused.value)


def test_a_schema_of_the_future_is_refused(path: Path) -> None:
    async def nothing(db: SqliteDatabase) -> None:
        return

    run(path, nothing)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version=99")
    other.close()
    with pytest.raises(Invalid, match="99"):
        open_database(f"sqlite:///{path}")


WRITER = """
import asyncio, sys
from vedette.server.db import SYSTEM, open_database

async def put(tx, name):
    await tx.execute("INSERT INTO server_secret (name, value) VALUES (:name, 'x')", name=name)

async def main():
    db = open_database("sqlite:///" + sys.argv[1])
    async def one(start):
        number = start
        while True:
            await db.write(SYSTEM, put, str(number))
            print(number, flush=True)
            number += 8
    await asyncio.gather(*map(one, range(8)))

asyncio.run(main())
"""


def test_kill_9_loses_nothing_that_was_acknowledged(path: Path) -> None:
    acknowledged: set[str] = set()
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            acknowledged.add(line.strip())
            if len(acknowledged) >= 200 and writer.poll() is None:
                os.kill(writer.pid, signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL

    async def test(db: SqliteDatabase) -> None:
        stored = set(await db.read(SYSTEM, names))
        assert acknowledged <= stored
        assert len(stored) <= len(acknowledged) + 8  # and nothing but what was under way

    run(path, test)


# --- who reaches what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("tenant", "SELECT * FROM tenant"),
        ("tenant", "SELECT * FROM user WHERE id = :id"),
        ("tenant", "SELECT * FROM alert WHERE tenant = :tenant"),
        ("groups", "SELECT * FROM device WHERE tenant = :tenant"),
        ("tenant", "UPDATE device SET status = 'x' WHERE tenant = :tenant AND id = :id"),
        ("tenant", "DELETE FROM Device WHERE tenant = :tenant"),
        ("tenant", "SELECT 1 FROM user JOIN delivery WHERE user.tenant = :tenant"),
        ("device", "SELECT * FROM alert WHERE tenant = :tenant"),
        ("tenant", "SELECT * FROM user, alert WHERE user.tenant = :tenant"),
        ("tenant", "SELECT * FROM user AS u, alert WHERE u.tenant = :tenant"),
        ("tenant", "INSERT INTO device (tenant, id) SELECT :tenant, device FROM alert"),
        ("device", "SELECT * FROM device"),
        ("device", "UPDATE device SET status = 'x' WHERE tenant = :tenant AND id = :device_id"),
    ],
)
def test_a_statement_that_could_reach_too_far_cannot_run(kind: Any, sql: str) -> None:
    with pytest.raises(RuntimeError):
        confine(sql, kind)


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("system", "SELECT * FROM alert"),
        ("tenant", "SELECT * FROM user WHERE tenant = :tenant"),
        ("tenant", "SELECT * FROM device WHERE {visible}"),
        ("groups", "SELECT * FROM alert JOIN device ON device.id = alert.device WHERE {visible}"),
        ("tenant", "INSERT INTO device (tenant) VALUES (:tenant)"),
        ("device", "SELECT * FROM alert WHERE tenant = :tenant AND device = :device"),
        ("device", "SELECT * FROM tenant WHERE id = :tenant"),
    ],
)
def test_a_statement_within_its_scope_runs(kind: Any, sql: str) -> None:
    assert "{visible}" not in confine(sql, kind)


DEVICES = [("t1", "d1", "north"), ("t1", "d2", "south"), ("t1", "d3", None), ("t2", "d4", "north")]


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        (UserScope("t1", None), ["d1", "d2", "d3"]),
        (UserScope("t1", frozenset({"north"})), ["d1"]),
        (UserScope("t1", frozenset({"north", "south"})), ["d1", "d2"]),
        (UserScope("t1"), []),
        (UserScope("t3", None), []),
        (UserScope("t2", frozenset({"north", "') OR 1 --"})), ["d4"]),
        (SYSTEM, ["d1", "d2", "d3", "d4"]),
        (DeviceScope("t1", "d2"), ["d2"]),
        (DeviceScope("t2", "d2"), []),
    ],
)
def test_what_a_scope_sees(path: Path, scope: Any, seen: list[str]) -> None:
    async def fill(tx: Tx) -> None:
        for tenant in ("t1", "t2"):
            await tx.execute("INSERT INTO tenant (id, name, token, created_at) VALUES (:id, :id, :id, 0)", id=tenant)
        await tx.many(
            "INSERT INTO device (tenant, id, identity, identity_hash, status, group_name, created_at, updated_at)"
            " VALUES (:t, :d, '{}', :d, 'accepted', :g, 0, 0)",
            [{"t": tenant, "d": device, "g": group} for tenant, device, group in DEVICES],
        )

    async def look(tx: Tx) -> list[str]:
        where = {"system": "1", "device": "tenant = :tenant AND id = :device"}.get(kind_of(scope), "{visible}")
        return [row["id"] for row in await tx.all(f"SELECT id FROM device WHERE {where} ORDER BY id")]

    async def test(db: SqliteDatabase) -> None:
        await db.write(SYSTEM, fill)
        assert await db.read(scope, look) == seen

    run(path, test)


def test_nobody_can_bind_another_tenant(path: Path) -> None:
    """A parameter called tenant never wins over the scope."""

    async def cheat(tx: Tx) -> Any:
        return await tx.value("SELECT :tenant", tenant="t2")

    async def test(db: SqliteDatabase) -> None:
        assert await db.read(UserScope("t1", None), cheat) == "t1"

    run(path, test)
    assert json.loads(str(bound(UserScope("t", frozenset("ba")))["groups"])) == ["a", "b"]
