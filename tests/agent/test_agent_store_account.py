"""What the store owes stays true: whose turn it is, what time it was, what was given up, and a disk that breaks."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_device import Device, wait_until

from vedette.agent import store as store_module
from vedette.agent import storefile
from vedette.agent.states import QUIET, State
from vedette.agent.store import Store, boot_id
from vedette.agent.storebounds import Limits
from vedette.clock import FakeClock
from vedette.model import Alert, Details, Level, Subject

BOOT = UUID(int=1)
NOON = datetime(2026, 8, 24, 12, tzinfo=UTC)
UNSET = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


def alert(check: str, level: Level = Level.CRITICAL, at: datetime = NOON, status: str = "S") -> Alert:
    return Alert(name=check, level=level, at=at, subject=Subject(name=f"log_{check}", type="log", status=status))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(wall=NOON)


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    store = Store.open(tmp_path / "monitor.db", clock=clock, owner=True)
    yield store
    store.close()


def owe(store: Store, *alerts: Alert, boot: UUID = BOOT, elapsed_s: float = 5.0) -> None:
    with store.commit() as tx:
        for each in alerts:
            tx.add_alert(each, boot, elapsed_s)


def in_turn(store: Store, batch: int = 3) -> list[int]:
    """The numbers in the order in which they are delivered."""
    out: list[int] = []
    while taken := store.take(batch, 1 << 20):
        out += (each.sequence for each in taken)
        store.delivered(each.sequence for each in taken)
    return out


# -- whose turn it is ---------------------------------------------------------------------------------------------


def test_what_is_wrong_now_does_not_wait_behind_a_history(store: Store) -> None:
    history = [alert("old", Level.CRITICAL if number % 2 else Level.OK) for number in range(1, 11)]
    owe(store, *history, alert("new"))
    assert in_turn(store) == [11, *range(1, 11)]


def test_the_shorter_story_first(store: Store) -> None:
    owe(store, alert("restless"), alert("restless", Level.OK), alert("restless"), alert("a"), alert("b", Level.OK))
    assert in_turn(store, 2) == [4, 1, 2, 3, 5]


def test_a_backlog_that_fits_keeps_its_order(store: Store) -> None:
    owe(store, alert("old", Level.OK), alert("new"))
    assert in_turn(store) == [1, 2]


records = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.booleans()), max_size=30)


@given(records, st.integers(1, 5))
def test_all_of_it_goes_once_and_each_subject_keeps_its_order(story: list[tuple[str, bool, bool]], batch: int) -> None:
    """Records come and go in any order: (subject, OK, a batch is delivered first)."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        store = Store.open(Path(directory) / "monitor.db", clock=FakeClock(wall=NOON))
        store._db.execute("PRAGMA synchronous = OFF")  # only for speed
        sent: list[int] = []
        subjects: dict[int, str] = {}
        for number, (subject, ok, deliver) in enumerate(story, start=1):
            if deliver:
                taken = [each.sequence for each in store.take(batch, 1 << 20)]
                store.delivered(taken)
                sent += taken
            owe(store, alert(subject, Level.OK if ok else Level.CRITICAL))
            subjects[number] = subject
        sent += in_turn(store, batch)
        store.close()
    assert sorted(sent) == list(range(1, len(story) + 1))
    for subject in "abcd":
        mine = [number for number in sent if subjects[number] == subject]
        assert mine == sorted(mine)


# -- what time it was ---------------------------------------------------------------------------------------------


def test_a_record_from_before_the_clock_was_set_gets_its_true_time(store: Store, clock: FakeClock) -> None:
    owe(store, alert("a", at=UNSET), boot=UUID(boot_id()), elapsed_s=clock.elapsed() - 90)
    (taken,) = store.take(10, 1 << 20)
    assert json.loads(taken.body)["timestamp"] == "2026-08-24T11:58:30.000Z"
    assert store.owed(10, 1 << 20) == [taken]


def test_what_may_have_been_sent_never_changes(store: Store, clock: FakeClock) -> None:
    """The server knows a record by its time and id: with another time it would be another one."""
    clock.wall = UNSET
    owe(store, alert("a", at=UNSET), boot=UUID(boot_id()), elapsed_s=clock.elapsed())
    first = store.take(10, 1 << 20)
    clock.wall = NOON
    assert store.take(10, 1 << 20) == first
    assert json.loads(first[0].body)["timestamp"].startswith("1970")


def test_of_another_boot_nobody_knows(store: Store) -> None:
    owe(store, alert("a", at=UNSET))
    (taken,) = store.take(10, 1 << 20)
    assert json.loads(taken.body)["timestamp"].startswith("1970")


# -- what was given up --------------------------------------------------------------------------------------------


def test_a_gap_that_goes_on_is_one(store: Store) -> None:
    store.limits = Limits(count=2)
    for number in range(8):
        store._guess.count = 1 << 62
        owe(store, alert(f"c{number}"))
    (gap,) = store.gaps()
    assert (gap.account, gap.first, gap.last) == (store.account, 1, 6)
    assert store.counts().dropped == 6


def test_a_gap_that_grew_while_it_was_told_is_told_again(store: Store, clock: FakeClock) -> None:
    store.limits = Limits(count=2)
    owe(store, *(alert(f"c{number}") for number in range(3)))
    told = store.gaps()
    owe(store, alert("more"))
    store.gaps_told(told)
    assert [(gap.first, gap.last) for gap in store.gaps()] == [(1, 2)]
    store.gaps_told(store.gaps())
    assert (store.gaps(), store.counts().dropped) == ([], 2)


def test_gaps_are_bounded_and_still_cover_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_GAPS", 3)
    for number in range(2, 40, 2):
        owe(store, alert("a"), alert("a"))
        store.quarantine(number, f"reason {number}")
    gaps = store.gaps()
    assert len(gaps) <= 3
    covered = {number for gap in gaps for number in range(gap.first, gap.last + 1)}
    assert set(range(2, 40, 2)) <= covered


def test_an_ok_that_closes_two_is_kept(store: Store) -> None:
    """Down, then up and down, then up: the last OK closes both, so leaving out the last two would leave one open."""
    store.limits = Limits(count=2)
    flapping = replace(alert("s", status="flapping"), name="s going up and down")
    owe(store, alert("s"), flapping, alert("s", Level.OK))
    assert [each.sequence for each in store.owed(10, 1 << 20)] == [2, 3]


def test_what_is_too_old_goes_though_there_is_room(store: Store, clock: FakeClock) -> None:
    store.limits = Limits(age_s=86400)
    owe(store, alert("a", at=clock.now()))
    clock.advance(2 * 86400)
    owe(store, alert("b", at=clock.now()))
    assert [each.sequence for each in store.owed(10, 1 << 20)] == [2]
    assert store.gaps()[0].reason == store_module.TOO_OLD


# -- a disk that breaks -------------------------------------------------------------------------------------------


def corrupt(path: Path) -> None:
    """Every page but the first, so that it shows only when it is used."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


def test_a_store_that_breaks_is_replaced_and_says_what_it_cost(store: Store) -> None:
    renewed: list[int] = []
    store.on_renewed = lambda: renewed.append(1)
    old = store.account
    owe(store, *(alert(f"c{number}") for number in range(5)))
    corrupt(store.path)
    again = Store.open(store.path.parent / "other.db")  # so that nothing of the old file is in anybody's memory
    again.close()
    store._db.execute("PRAGMA shrink_memory")
    with pytest.raises(sqlite3.DatabaseError):
        owe(store, alert("d"))
    assert renewed == [1]
    owe(store, alert("d"))
    assert store.account != old
    assert [each.sequence for each in store.owed(10, 1 << 20)] == [1]
    assert (store.account, 0, 0) in [(gap.account, gap.first, gap.last) for gap in store.gaps()]


def test_a_store_too_large_to_be_looked_through_may_be_damaged_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the daemon would die of it at each start, for ever."""
    monkeypatch.setattr(store_module, "CHECK_BYTES", 0)
    path = tmp_path / "monitor.db"
    with closing(Store.open(path, owner=True)) as store, store.commit() as tx:
        tx.save_state("log_a", State(raised=True, alert_name="a", subject=alert("a").subject))
        account = store.account
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = db.execute("PRAGMA page_size").fetchone()[0]
        page = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'state'").fetchone()[0]
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    with closing(Store.open(path, owner=True)) as store:
        assert store.state("log_a") == QUIET
        assert store.checks() == []
        assert store.account != account
        assert (store.account, 0, 0) in [(gap.account, gap.first, gap.last) for gap in store.gaps()]


def test_an_interrupted_replacement_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(storefile.Damaged):
        Store.open(path)
    Store.open(path, owner=True).close()
    path.rename(tmp_path / "monitor.db.new")  # as a power cut between the two renames leaves it
    store = Store.open(path, owner=True)
    assert [gap.first for gap in store.gaps()] == [0]
    store.close()


def test_damaged_files_do_not_fill_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    for _ in range(6):
        path.write_bytes(b"garbage" * 1000)
        Store.open(path, owner=True).close()
    aside = sorted(each.name for each in tmp_path.glob("*.damaged-*"))
    assert aside == [f"monitor.db.damaged-{number}" for number in (4, 5, 6)]


def test_an_old_store_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    with sqlite3.connect(path) as db:
        db.executescript(storefile._FIRST + "; PRAGMA user_version = 1")
        row = (str(BOOT), "s", 0, str(BOOT), 1.0, NOON.timestamp(), 2, "{}")
        for _ in range(2):
            db.execute(
                "INSERT INTO alert (id, subject, ok, boot, elapsed_s, wall_s, size, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row,
            )  # fmt: skip
        db.execute("INSERT INTO gap VALUES (1, 1, 'x', '2026-01-01T00:00:00.000Z')")
    store = Store.open(path, owner=True)
    assert [each.sequence for each in store.owed(10, 1000)] == [1, 2]
    assert store.counts().dropped == 1
    assert {gap.account for gap in store.gaps()} == {store.account}
    owe(store, alert("a"))
    store.close()


def test_a_daemon_whose_store_breaks_is_not_deaf(device: Device, tmp_path: Path) -> None:
    """It goes on with a new one, and what was raised is not raised again."""
    log = tmp_path / "app.log"
    for name in ("one", "two"):
        device.check(name, name, log)
    device.start()
    with log.open("a") as file:
        file.write("one\n")
    device.wait_for(1)
    corrupt(device.paths.store)
    with log.open("a") as file:
        file.write("two\n")
    wait_until(lambda: "was set aside" in device.log(), "the damage to be found")
    alerts = device.wait_for(1, "two")
    assert device.stop() == 0
    assert list(device.paths.state_dir.glob("monitor.db.damaged-1"))
    device.start()
    with log.open("a") as file:
        file.write("one\ntwo\n")
    device.caught_up(log, "one")
    assert device.levels() == ["CRITICAL"]
    assert alerts[0]["origin"]["sequence"] == 1


def test_a_state_directory_on_another_partition(device: Device, tmp_path: Path) -> None:
    """A read-only root has a link, perhaps to where nothing has been made yet."""
    device.paths.state_dir.parent.mkdir(parents=True)
    device.paths.state_dir.symlink_to(tmp_path / "data" / "monitor")
    log = tmp_path / "app.log"
    log.write_text("bad\n")
    device.check("app", "bad", log)
    device.start()
    device.wait_for(1)
    assert (tmp_path / "data" / "monitor" / "monitor.db").exists()


def test_details_are_kept_whole(store: Store) -> None:
    subject = Subject(name="log_a", type="log", status="S", details=Details(description="é \ud800"))
    owe(store, Alert(name="n", level=Level.OK, at=NOON + timedelta(0), subject=subject))
    assert json.loads(store.take(1, 1)[0].body)["subject"]["details"]["description"] == "é ?"
