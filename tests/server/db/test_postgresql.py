"""What only PostgreSQL can meet: several servers on it, and its being gone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from postgresql import Cluster, cluster

from vedette.errors import Invalid, Unavailable
from vedette.server.db import SYSTEM, Database, Tx, open_database, postgres
from vedette.server.db.migrations import MIGRATIONS

pytestmark = pytest.mark.anyio

DEADLINE_S = 30
ODD = 'it\'s \\ "quoted" \N{SNOWMAN}' * 20


async def put(tx: Tx, name: str, value: str = "x") -> None:
    await tx.execute("INSERT INTO server_secret (name, value) VALUES (:name, :value)", name=name, value=value)


async def names(tx: Tx) -> list[str]:
    return [row["name"] for row in await tx.all("SELECT name FROM server_secret ORDER BY name")]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - of things that have no event
            await asyncio.sleep(0.01)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(postgresql: Cluster) -> str:
    return postgresql.new_database()


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """One that a test may stop."""
    with cluster() as made:
        yield made


@asynccontextmanager
async def servers(url: str, count: int = 1) -> AsyncIterator[list[Database]]:
    """As many servers on one database; they start at the same moment."""
    opened = await asyncio.gather(*(open_database(url) for _ in range(count)))
    try:
        yield list(opened)
    finally:
        await asyncio.gather(*(each.close() for each in opened))


async def test_several_servers_may_start_at_once(url: str) -> None:
    async with servers(url, 4) as started:
        for number, each in enumerate(started):
            await each.write(SYSTEM, put, str(number))
        assert await started[0].read(SYSTEM, names) == ["0", "1", "2", "3"]


async def test_units_that_wait_share_a_commit(url: str) -> None:
    async def put_transaction(tx: Tx, name: str) -> None:
        await put(tx, name, str(await tx.value("SELECT CAST(pg_current_xact_id() AS text)")))

    async def transactions(tx: Tx) -> int:
        return int(await tx.value("SELECT count(DISTINCT value) FROM server_secret"))

    async with servers(url) as (db,):
        await asyncio.gather(*(db.write(SYSTEM, put_transaction, str(number)) for number in range(100)))
        assert await db.read(SYSTEM, transactions) <= 2
        assert len(await db.read(SYSTEM, names)) == 100


async def test_two_servers_that_read_decide_and_write_lose_nothing(url: str) -> None:
    """Each unit may count on what it has read, as if there were no other server."""

    async def more(tx: Tx) -> None:
        value = int(await tx.value("SELECT value FROM server_secret WHERE name = 'sum'"))
        await tx.execute("UPDATE server_secret SET value = :value WHERE name = 'sum'", value=str(value + 1))

    async def only_once(tx: Tx, name: str) -> bool:
        if await tx.value("SELECT count(*) FROM server_secret WHERE name {like} 'once%'"):
            return False
        await put(tx, f"once by {name}")
        return True

    async def many(db: Database) -> None:
        for _ in range(25):
            await db.write(SYSTEM, more)

    async with servers(url, 2) as both:
        await both[0].write(SYSTEM, put, "sum", "0")
        await asyncio.gather(*(many(each) for each in both for _ in range(2)))
        tried = [each.write(SYSTEM, only_once, f"{index} {n}") for index, each in enumerate(both) for n in range(10)]
        assert sum(await asyncio.gather(*tried)) == 1

        async def total(tx: Tx) -> str:
            return str(await tx.value("SELECT value FROM server_secret WHERE name = 'sum'"))

        assert await both[1].read(SYSTEM, total) == "100"


async def test_what_is_announced_is_heard_by_every_server_once(url: str) -> None:
    async def tell(tx: Tx, word: str, fail: bool = False) -> None:
        tx.announce("topic", word, None, 'it\'s \\ "quoted" \N{SNOWMAN}' * 20)
        tx.announce("unknown", word)
        if fail:
            raise Invalid

    heard: list[list[str]] = [[], []]
    async with servers(url, 2) as both:
        for index, each in enumerate(both):

            def call(word: str, nothing: None, text: str, index: int = index) -> None:
                assert (nothing, text) == (None, ODD)
                heard[index].append(word)

            each.hear("topic", call, lambda: None)
        await both[0].write(SYSTEM, tell, "first")
        words = [str(number) for number in range(50)]
        results = await asyncio.gather(
            *(both[1].write(SYSTEM, tell, word, word == "13") for word in words), return_exceptions=True
        )
        assert [isinstance(each, Invalid) for each in results] == [word == "13" for word in words]
        expected = ["first", *(word for word in words if word != "13")]
        await until(lambda: min(map(len, heard)) >= len(expected))
        assert heard == [expected, expected]


async def test_a_notification_of_somebody_else_harms_nobody(url: str, postgresql: Cluster) -> None:
    heard: list[str] = []
    async with servers(url, 2) as (db, other):
        db.hear("topic", heard.append, lambda: None)
        schema = url.rpartition("=")[2]
        for text in ("", "x", "{}", "[1]", '["me", 5]', '["me", ["topic"]]', "[" * 5000):
            await asyncio.to_thread(postgresql.sql, f"SELECT pg_notify('vedette_{schema}', '{text}')")

        async def tell(tx: Tx) -> None:
            tx.announce("topic", "good")

        await other.write(SYSTEM, tell)
        await until(lambda: heard)
        assert heard == ["good"]


def test_a_database_that_is_gone_and_back(own_cluster: Cluster) -> None:
    """Whoever asks meanwhile hears so at once; nothing that was acknowledged is lost; the server lives on."""
    acknowledged: list[str] = []
    missed: list[None] = []

    async def write_on(db: Database, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                await db.write(SYSTEM, put, f"{number:06}")
                acknowledged.append(f"{number:06}")
            except Unavailable:
                await asyncio.sleep(0.01)

    async def story() -> None:
        async with servers(own_cluster.new_database()) as (db,):
            db.hear("topic", lambda: None, lambda: missed.append(None))
            stop = asyncio.Event()
            writing = asyncio.create_task(write_on(db, stop))
            await until(lambda: len(acknowledged) > 20)
            await asyncio.to_thread(own_cluster.stop)
            with pytest.raises(Unavailable, match="cannot be written now"):
                await db.write(SYSTEM, put, "not now")
            with pytest.raises(Unavailable, match="cannot be read now"):
                await db.read(SYSTEM, names)
            before = len(acknowledged)
            await asyncio.to_thread(own_cluster.start)
            await until(lambda: len(acknowledged) > before + 20)
            await until(lambda: missed)
            stop.set()
            await writing
            assert set(acknowledged) <= set(await db.read(SYSTEM, names))

    asyncio.run(story())


async def test_a_connection_that_was_cut_is_made_anew(url: str, postgresql: Cluster) -> None:
    """A restart between two changes is nobody's trouble."""
    async with servers(url) as (db,):
        await db.write(SYSTEM, put, "a")
        await db.read(SYSTEM, names)
        await asyncio.to_thread(
            postgresql.sql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
        await db.write(SYSTEM, put, "b")
        assert await db.read(SYSTEM, names) == ["a", "b"]


async def test_a_full_disk_says_so_and_recovers(url: str) -> None:
    told: list[str] = []

    async def full(tx: Tx) -> None:
        await tx.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$"
        )
        await tx.execute(
            "CREATE TRIGGER full_disk BEFORE INSERT ON server_secret FOR EACH ROW EXECUTE FUNCTION full_disk()"
        )

    async def empty(tx: Tx) -> None:
        await tx.execute("DROP TRIGGER full_disk ON server_secret")

    async def put_and_tell(tx: Tx, name: str) -> None:
        tx.announce("told", name)
        await put(tx, name)

    async with servers(url) as (db,):
        db.hear("told", told.append, lambda: None)
        await db.write(SYSTEM, full)
        with pytest.raises(Unavailable, match="No space left on device"):
            await db.write(SYSTEM, put_and_tell, "a")
        await db.write(SYSTEM, empty)
        await db.write(SYSTEM, put_and_tell, "b")
        assert (told, await db.read(SYSTEM, names)) == (["b"], ["b"])


async def test_a_question_that_takes_too_long_is_ended(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "READ_S", 0.3)

    async def ask(tx: Tx) -> None:
        await tx.value("SELECT CAST(pg_sleep(60) AS text)")

    async with servers(url) as (db,), asyncio.timeout(DEADLINE_S):
        asked = [db.read(SYSTEM, ask) for _ in range(2 * postgres.READERS)]
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(answer, Unavailable)
        assert await db.read(SYSTEM, names) == []


async def test_what_the_database_cannot_hold_is_refused(url: str) -> None:
    async def long_name(tx: Tx) -> None:
        digits = "".join(f"{number * number:x}" for number in range(3000))  # nothing that shrinks
        await put(tx, digits)

    async with servers(url) as (db,):
        with pytest.raises(Invalid, match="NUL"):
            await db.write(SYSTEM, put, "a\0b")
        with pytest.raises(Invalid, match="too long"):
            await db.write(SYSTEM, long_name)
        await db.write(SYSTEM, put, "fine")


async def test_a_lock_of_somebody_else_is_not_waited_for_forever(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres._WRITER, "lock_timeout", "200")
    async with servers(url) as (db,):
        other = await asyncpg.connect(url)
        try:
            async with other.transaction():
                await other.execute("LOCK TABLE writer IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(Unavailable, match="lock"):
                    await db.write(SYSTEM, put, "a")
            await db.write(SYSTEM, put, "b")
        finally:
            await other.close()


async def test_a_schema_of_the_future_is_refused(url: str) -> None:
    async with servers(url) as (db,):

        async def age(tx: Tx) -> None:
            await tx.execute("UPDATE schema_version SET version = 99")

        await db.write(SYSTEM, age)
    with pytest.raises(Invalid, match=f"99; this Vedette knows {len(MIGRATIONS)}"):
        await open_database(url)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda url: url.replace("host=/", "host=/nowhere/"), Unavailable),
        (lambda url: url.replace("/postgres?", "/not_there?"), Unavailable),
        (lambda url: "postgresql://me:secret@127.0.0.1:1/x", Unavailable),
        (lambda url: "postgresql://me:secret@host.invalid/x", Unavailable),
        (lambda url: "postgresql://me:secret@127.0.0.1:port/x", Invalid),
        (lambda url: "postgresql://me:secret@127.0.0.1:1/x?sslmode=perhaps", Invalid),
        (lambda url: "postgresql://me:it:is@secret@[/x", Invalid),
        (lambda url: "postgresql://,/x", Invalid),
    ],
)
async def test_what_cannot_be_reached_is_said_without_the_password(
    url: str, change: Callable[[str], str], error: type[Exception]
) -> None:
    with pytest.raises(error) as refused:
        await open_database(change(url))
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
