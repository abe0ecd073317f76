"""What every dialect of the storage must keep."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest
from dialects import Gate, Opened

from vedette.errors import Busy, Conflict, Invalid, Unavailable
from vedette.server.db import SYSTEM, Database, Tx, UserScope, open_database, units


async def put(tx: Tx, name: str, value: str = "x") -> None:
    await tx.execute("INSERT INTO server_secret (name, value) VALUES (:name, :value)", name=name, value=value)


async def names(tx: Tx) -> list[str]:
    return [row["name"] for row in await tx.all("SELECT name FROM server_secret ORDER BY name")]


def test_what_is_written_is_read_after_reopening(opened: Opened) -> None:
    async def write(db: Database) -> None:
        await db.write(SYSTEM, put, "a")

    async def read(db: Database) -> None:
        assert await db.read(SYSTEM, names) == ["a"]

    opened.run(write)
    opened.run(read)


def test_a_unit_that_fails_undoes_itself_alone(opened: Opened) -> None:
    """Many units share a commit, and each is still all or nothing."""

    async def half(tx: Tx, name: str) -> None:
        await put(tx, name)
        raise Conflict("half way")

    async def doubled(tx: Tx) -> None:
        await put(tx, "half")
        await put(tx, "good0")

    async def test(db: Database) -> None:
        await db.write(SYSTEM, put, "good0")
        results = await asyncio.gather(
            *(db.write(SYSTEM, put if n % 2 else half, f"n{n}") for n in range(20)),
            db.write(SYSTEM, doubled),
            return_exceptions=True,
        )
        assert [isinstance(each, Conflict) for each in results[:20]] == [n % 2 == 0 for n in range(20)]
        assert type(results[20]).__name__ in {"IntegrityError", "UniqueViolationError"}
        assert await db.read(SYSTEM, names) == sorted(["good0", *(f"n{n}" for n in range(1, 20, 2))])

    opened.run(test)


def test_who_waits_with_the_same_work_is_served_by_one_call(opened: Opened) -> None:
    """Everyone gets an outcome of their own, a refusal too; and one whose item breaks the call breaks nobody else's."""
    calls: list[list[str]] = []

    async def put_all(tx: Tx, items: Sequence[str]) -> list[str | Exception]:
        calls.append(list(items))
        for item in items:
            await put(tx, item)
            if item == "broken":
                raise Conflict("broken")
        return [Invalid("refused") if item == "refused" else item.upper() for item in items]

    async def test(db: Database) -> None:
        gate = Gate(opened)

        async def together(*items: str) -> list[object]:
            first = asyncio.create_task(db.write(SYSTEM, gate.hold))
            tasks = [asyncio.create_task(db.write_together(SYSTEM, put_all, item)) for item in items]
            await asyncio.sleep(0)  # all of them stand in the queue
            gate.open()
            await first
            return list(await asyncio.gather(*tasks, return_exceptions=True))

        a, refused, b = await together("a", "refused", "b")
        assert (a, b) == ("A", "B")
        assert isinstance(refused, Invalid)
        assert calls == [["a", "refused", "b"]]
        gate.shut()
        c, broken, d = await together("c", "broken", "d")
        assert (c, d) == ("C", "D")
        assert isinstance(broken, Conflict)
        assert await db.read(SYSTEM, names) == ["a", "b", "c", "d", "refused"]

    opened.run(test)


def test_different_scopes_are_never_served_together(opened: Opened) -> None:
    async def tenants(tx: Tx, items: Sequence[str]) -> list[str | Exception]:
        tenant: str = await tx.value("SELECT CAST(:tenant AS text)")
        return [f"{tenant} {len(items)}" for _ in items]

    async def test(db: Database) -> None:
        scopes = [UserScope("t1", None), UserScope("t2", None), UserScope("t1", frozenset())]
        assert sorted(await asyncio.gather(*(db.write_together(each, tenants, "x") for each in scopes))) == [
            "t1 1",
            "t1 1",
            "t2 1",
        ]

    opened.run(test)


def test_what_is_announced_is_durable(opened: Opened) -> None:
    """What is told after the commit is seen by others; what failed is never told."""

    async def test(db: Database) -> None:
        told: list[str] = []
        looks: list[asyncio.Task[list[str]]] = []

        def tell(name: str) -> None:
            told.append(name)
            looks.append(asyncio.create_task(db.read(SYSTEM, names)))

        db.hear("told", tell, lambda: None)

        async def work(tx: Tx, name: str, fail: bool) -> None:
            tx.announce("told", name)
            await put(tx, name)
            if fail:
                raise Conflict

        await asyncio.gather(
            *(db.write(SYSTEM, work, name, name == "b") for name in "abc"), return_exceptions=True
        )  # fmt: skip
        assert told == ["a", "c"]
        assert await asyncio.gather(*looks) == [["a", "c"], ["a", "c"]]

    opened.run(test)


def test_a_caller_who_went_away_changes_nothing(opened: Opened) -> None:
    async def test(db: Database) -> None:
        task = asyncio.create_task(db.write(SYSTEM, put, "a"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await db.write(SYSTEM, put, "b")
        assert await db.read(SYSTEM, names) == ["a", "b"]

    opened.run(test)


def test_a_reader_sees_one_moment(opened: Opened) -> None:
    async def test(db: Database) -> None:
        seen, gate = threading.Event(), Gate(opened)

        async def look_twice(tx: Tx) -> tuple[list[str], list[str]]:
            first = await names(tx)
            seen.set()
            await gate.hold(tx)
            return first, await names(tx)

        await db.write(SYSTEM, put, "a")
        reading = asyncio.create_task(db.read(SYSTEM, look_twice))
        await asyncio.to_thread(seen.wait, 10)
        await db.write(SYSTEM, put, "b")
        gate.open()
        assert await reading == (["a"], ["a"])
        assert await db.read(SYSTEM, names) == ["a", "b"]

    opened.run(test)


def test_readers_cannot_write(opened: Opened) -> None:
    async def test(db: Database) -> None:
        with pytest.raises(Unavailable, match=r"read-?only"):
            await db.read(SYSTEM, put, "a")

    opened.run(test)


def test_a_full_queue_turns_callers_away(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MAX_WAITING", 3)

    async def test(db: Database) -> None:
        gate = Gate(opened)
        tasks = [asyncio.create_task(db.write(SYSTEM, gate.hold)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await db.write(SYSTEM, put, "a")
        gate.open()
        await asyncio.gather(*tasks)
        await db.write(SYSTEM, put, "a")

    opened.run(test)


def test_closed_means_closed(opened: Opened) -> None:
    async def test(db: Database) -> None:
        writing = asyncio.create_task(db.write(SYSTEM, put, "a"))
        await asyncio.sleep(0)
        await db.close()
        await writing  # what waited has been written
        with pytest.raises(Unavailable):
            await db.write(SYSTEM, put, "b")
        await db.close()

    async def again(db: Database) -> None:
        assert await db.read(SYSTEM, names) == ["a"]

    opened.run(test)
    opened.run(again)


@pytest.mark.parametrize("url", ["", "x", "mysql:///x", "sqlite://x", "sqlite:///"])
def test_other_urls_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        asyncio.run(open_database(url))
    assert "secret" not in str(refused.value)


WRITER = """
import asyncio, sys
from vedette.server.db import SYSTEM, open_database

async def put(tx, name):
    await tx.execute("INSERT INTO server_secret (name, value) VALUES (:name, 'x')", name=name)

async def main():
    db = await open_database(sys.argv[1])
    async def one(start):
        number = start
        while True:
            await db.write(SYSTEM, put, str(number))
            print(number, flush=True)
            number += 8
    await asyncio.gather(*map(one, range(8)))

asyncio.run(main())
"""


def test_kill_9_loses_nothing_that_was_acknowledged(opened: Opened) -> None:
    acknowledged: set[str] = set()
    with subprocess.Popen([sys.executable, "-c", WRITER, opened.url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            acknowledged.add(line.strip())
            if len(acknowledged) >= 200 and writer.poll() is None:
                os.kill(writer.pid, signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL

    async def test(db: Database) -> None:
        stored = set(await db.read(SYSTEM, names))
        assert acknowledged <= stored
        assert len(stored) <= len(acknowledged) + 8  # and nothing but what was under way

    opened.run(test)
