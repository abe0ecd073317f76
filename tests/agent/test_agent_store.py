"""What the store promises: all or nothing, numbers without holes, bounds with an account of what they cost."""

import json
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.follow.position import Position
from vedette.agent.states import QUIET, Deadline, State
from vedette.agent.store import Store, boot_id
from vedette.agent.storebounds import Limits, ranges
from vedette.agent.storefile import Damaged
from vedette.clock import FakeClock
from vedette.errors import Unavailable
from vedette.model import Alert, Details, Level, Subject

BOOT = UUID(int=1)
PLACE = Position(path="/x", device=1, inode=(1 << 64) - 5, offset=10, line=2, head=3, tail=4, written_ns=5)
SUBJECT = Subject(name="log_a", type="log", status="LOGCONTAINS")
RAISED = State(
    raised=True,
    alert_name="é",
    subject=SUBJECT,
    deadline=Deadline(boot="b", elapsed_s=1.5, wall=datetime(2026, 1, 1, tzinfo=UTC)),
)


def alert(check: str = "a", level: Level = Level.CRITICAL, text: str = "", at: datetime | None = None) -> Alert:
    subject = Subject(name=f"log_{check}", type="log", status="S", details=Details(description=text))
    return Alert(name=f"bad {check}", level=level, at=at or datetime(2026, 1, 1, tzinfo=UTC), subject=subject)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    store = Store.open(tmp_path / "monitor.db", limits=Limits(count=10, bytes=100_000, age_s=86400), clock=clock)
    yield store
    store.close()


def owe(store: Store, *alerts: Alert) -> None:
    for each in alerts:
        with store.commit() as tx:
            tx.add_alert(each, BOOT, 5.0)


def sequences(store: Store) -> list[int]:
    return [each.sequence for each in store.owed(1000, 1 << 30)]


def test_what_went_in_comes_out_after_a_restart(store: Store) -> None:
    with store.commit() as tx:
        tx.save_position("log_a", PLACE)
        tx.save_state("log_a", RAISED)
        assert tx.add_alert(alert(text="bäd"), BOOT, 5.0) == 1
    again = Store.open(store.path)
    assert (again.position("log_a"), again.state("log_a")) == (PLACE, RAISED)
    (owed,) = again.owed(10, 10**6)
    body = json.loads(owed.body)
    assert body["origin"] == {
        "id": str(owed.id),
        "sequence": 1,
        "boot": str(BOOT),
        "elapsed_s": 5.0,
        "account": str(store.account),
    }
    assert again.account == store.account
    assert body["subject"]["details"]["description"] == "bäd"
    again.close()


def test_all_or_nothing(store: Store) -> None:
    def fail_half_way() -> None:
        with store.commit() as tx:
            tx.save_position("log_a", PLACE)
            tx.save_state("log_a", RAISED)
            tx.add_alert(alert(), BOOT, 5.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert (store.position("log_a"), store.state("log_a"), sequences(store)) == (None, QUIET, [])
    owe(store, alert())
    assert sequences(store) == [1]  # no number was lost


def test_numbers_go_on_after_delivery(store: Store) -> None:
    owe(store, alert(), alert())
    store.delivered([1, 2])
    owe(store, alert())
    assert sequences(store) == [3]


def test_forgetting_a_check_keeps_its_alerts(store: Store) -> None:
    with store.commit() as tx:
        tx.save_position("log_a", PLACE)
        tx.save_state("log_b", RAISED)
        tx.add_alert(alert(), BOOT, 5.0)
    assert store.checks() == ["log_a", "log_b"]
    store.forget("log_a")
    assert store.checks() == ["log_b"]
    assert sequences(store) == [1]


def test_batches_are_bounded_but_never_empty(store: Store) -> None:
    owe(store, *(alert(text="x" * 1000) for _ in range(3)))
    assert [each.sequence for each in store.owed(10, 1)] == [1]
    assert [each.sequence for each in store.owed(10, 3500)] == [1, 2]
    assert [each.sequence for each in store.owed(2, 10**6)] == [1, 2]


def test_a_quarantined_alert_is_kept_and_counted_but_not_owed(store: Store) -> None:
    owe(store, alert(), alert())
    store.quarantine(1, "the server says 400")
    assert sequences(store) == [2]
    counts = store.counts()
    assert (counts.owed, counts.quarantined, counts.dropped) == (1, 1, 0)


def test_full_pairs_that_cancel_out_go_first(store: Store) -> None:
    owe(store, alert("a"), alert("b"), alert("b", Level.OK), *(alert(f"c{n}") for n in range(8)))
    assert sequences(store) == [1, *range(4, 12)]
    (gap,) = store.gaps()
    assert (gap.first, gap.last) == (2, 3)
    assert "cancel out" in gap.reason


def test_full_without_pairs_the_oldest_go(store: Store) -> None:
    owe(store, *(alert(f"c{n}") for n in range(12)))
    assert sequences(store) == list(range(3, 13))
    assert store.counts().dropped == 2


def test_full_in_bytes_too(store: Store) -> None:
    owe(store, *(alert(f"c{n}", text="x" * 30_000) for n in range(4)))
    assert sequences(store) == [2, 3, 4]


def test_what_is_too_old_goes(store: Store, clock: FakeClock) -> None:
    owe(store, alert())
    clock.advance(2 * 86400)
    store._guess.count = 1 << 62  # as after a restart: counted with the next alert
    owe(store, alert(at=clock.now()))
    assert sequences(store) == [2]


def test_a_wall_clock_that_was_not_set_yet_makes_nothing_old(store: Store, clock: FakeClock) -> None:
    owe(store, alert(at=datetime(1970, 1, 1, tzinfo=UTC)))
    with store.commit() as tx:  # of this boot, a minute ago, before the wall clock was set right
        tx.add_alert(alert(at=datetime(2021, 1, 1, tzinfo=UTC)), UUID(boot_id()), clock.elapsed() - 60)
    store._guess.count = 1 << 62
    owe(store, alert(at=clock.now()))
    assert sequences(store) == [1, 2, 3]


def test_small_strings(store: Store) -> None:
    assert store.meta("uplink.failures") is None
    store.set_meta("uplink.failures", "1")
    store.set_meta("uplink.failures", "2")
    assert store.meta("uplink.failures") == "2"


def test_only_its_owner_may_read_it(store: Store) -> None:
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    Store.open(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(Unavailable, match="newer Vedette"):
        Store.open(path)


@pytest.mark.parametrize("damage", ["garbage", "middle"])
def test_a_damaged_store_is_set_aside_and_replaced(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "monitor.db"
    store = Store.open(path)
    owe(store, *(alert(text="x" * 500) for _ in range(40)))
    store.close()
    content = bytearray(path.read_bytes())
    content[: 4096 if damage == "middle" else len(content)] = b"\xa5" * (4096 if damage == "middle" else len(content))
    path.write_bytes(content)
    with pytest.raises(Damaged, match="is damaged"):
        Store.open(path)  # only its owner may replace it: the daemon would go on writing into the file that was moved
    store = Store.open(path, clock=FakeClock(), owner=True)
    owe(store, alert())
    assert len(store.owed(10, 10**6)) == 1
    assert (tmp_path / "monitor.db.damaged-1").read_bytes() == bytes(content)
    store.close()


def test_what_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be opened"):
        Store.open(tmp_path / "file" / "monitor.db")


def test_daemon_and_child_share_it(store: Store) -> None:
    """Another process delivers while this one adds: nobody is refused, nothing is lost."""
    code = (
        "import sys; from pathlib import Path; from vedette.agent.store import Store\n"
        "store = Store.open(Path(sys.argv[1])); done = 0\n"
        "while done < 100:\n"
        "    owed = [each.sequence for each in store.owed(10, 10**6)]\n"
        "    store.delivered(owed); done += len(owed)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(store.path)])
    store.limits = Limits()
    owe(store, *(alert(f"c{n}") for n in range(100)))
    assert child.wait(30) == 0
    assert sequences(store) == []


@given(st.sets(st.integers(1, 40)))
def test_ranges_cover_exactly_their_numbers(numbers: set[int]) -> None:
    found = ranges(numbers)
    assert {n for first, last in found for n in range(first, last + 1)} == numbers
    assert all(second[0] > first[1] + 1 for first, second in pairwise(found))
