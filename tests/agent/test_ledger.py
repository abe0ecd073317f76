"""What is raised gets stored: in its order, once, and also by a disk that takes nothing for a while."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from vedette.agent import ledger as ledger_module
from vedette.agent.follow.position import Position
from vedette.agent.ledger import Ledger, own_key
from vedette.agent.loop import Loop
from vedette.agent.problems import Problems
from vedette.agent.states import QUIET, Flapping, State, Verdict
from vedette.agent.store import Store
from vedette.clock import FakeClock
from vedette.model import Level, Subject

BOOT = uuid4()


class Stage:
    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.loop = Loop(self.clock)
        self.store = Store.open(path, clock=self.clock)
        self.store._db.execute("PRAGMA busy_timeout = 0")
        self.owed = 0
        self.freed = 0
        self.ledger = Ledger(loop=self.loop, store=self.store, boot=BOOT, on_owed=self._on_owed)
        self.ledger.on_free = self._on_free

    def _on_owed(self) -> None:
        self.owed += 1

    def _on_free(self) -> None:
        self.freed += 1

    def pass_time(self, seconds: float) -> None:
        """Let what is due happen."""
        self.clock.advance(seconds)
        self.loop.call_soon(self.loop.stop)
        self.loop.run()

    def levels(self) -> list[tuple[str, str]]:
        rows = self.store._db.execute(
            "SELECT json_extract(body, '$.subject.name'), json_extract(body, '$.level') FROM alert ORDER BY sequence"
        )
        return [(name, level) for name, level in rows]

    @contextmanager
    def disk_takes_nothing(self) -> Iterator[None]:
        """Somebody else holds the file for himself."""
        with closing(sqlite3.connect(self.store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "monitor.db")
    yield made
    made.store.close()
    made.loop.close()


def verdict(ok: bool, name: str = "x", *, expires_s: int = 0, flapping: str = "") -> Verdict:
    subject = Subject(name=name, type="t", status="s")
    return Verdict(ok=ok, name=f"{name} is bad", subject=subject, expires_s=expires_s, flapping_name=flapping)


def position(offset: int) -> Position:
    return Position(path="/log", device=1, inode=2, offset=offset, line=1, head=0, tail=0, written_ns=0)


def test_what_is_said_is_stored_at_once_and_the_uplink_told(stage: Stage) -> None:
    stage.ledger.open("t_x")
    stage.ledger.say("t_x", verdict(ok=False))
    assert stage.levels() == [("x", "CRITICAL")]
    assert (stage.owed, stage.store.state("t_x").raised) == (1, True)
    stage.ledger.say("t_x", verdict(ok=False))
    assert stage.owed == 1
    stage.ledger.say("t_x", verdict(ok=True))
    assert stage.levels() == [("x", "CRITICAL"), ("x", "OK")]
    assert stage.store.state("t_x") == QUIET


def test_while_the_disk_takes_nothing_all_is_kept_in_its_order_with_its_places(stage: Stage) -> None:
    for key in ("t_x", "t_y"):
        stage.ledger.open(key)
    with stage.disk_takes_nothing():
        stage.ledger.judge("t_x", verdict(ok=False))
        stage.ledger.commit({"t_x": position(10)})
        assert stage.ledger.blocked
        assert stage.ledger.place("t_x") == position(10)
        stage.ledger.say("t_y", verdict(ok=False, name="y"))
        stage.ledger.say("t_y", verdict(ok=True, name="y"))
        stage.pass_time(1.5)  # tried again, in vain
    assert (stage.owed, stage.freed) == (0, 0)
    stage.pass_time(60)
    assert stage.levels() == [("x", "CRITICAL"), ("y", "CRITICAL"), ("y", "OK")]
    assert stage.store.position("t_x") == position(10)
    assert (stage.owed, stage.freed, stage.ledger.blocked) == (1, 1, False)


def test_what_is_held_in_memory_is_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MAX_HELD", 10)
    stage.ledger.open("t_x")
    with stage.disk_takes_nothing():
        for number in range(51):
            stage.ledger.say("t_x", verdict(ok=bool(number % 2)))
    stage.pass_time(60)
    assert [level for _, level in stage.levels()] == ["OK", "CRITICAL"] * 5
    assert stage.store.state("t_x").raised


def test_a_check_that_ends_while_the_disk_takes_nothing_is_called_off_later(stage: Stage) -> None:
    stage.ledger.open("t_x")
    stage.ledger.say("t_x", verdict(ok=False))
    with stage.disk_takes_nothing():
        stage.ledger.end("t_x", forget=False)
    stage.pass_time(60)
    assert [level for _, level in stage.levels()] == ["CRITICAL", "OK"]
    assert stage.store.checks() == []


def test_a_check_and_what_its_program_raised_end_together_and_no_other(stage: Stage) -> None:
    """Though the name of one begins like that of another."""
    with stage.store.commit() as tx:
        for check, name in (("t_x", "left"), ("t_x", "right # x"), ("t_xy", "other")):
            subject = Subject(name=name, type="part", status="broken")
            tx.save_state(own_key(check, subject), State(raised=True, alert_name="Broken", subject=subject))
    assert stage.ledger.known() == {"t_x", "t_xy"}
    stage.ledger.end("t_x", forget=True)
    assert stage.levels() == [("left", "OK"), ("right # x", "OK")]
    assert stage.ledger.known() == {"t_xy"}


def test_clocks_run_and_go_on_after_a_restart(stage: Stage) -> None:
    stage.ledger.open("t_x")
    stage.ledger.say("t_x", verdict(ok=False, expires_s=60))
    stage.pass_time(59)
    assert len(stage.levels()) == 1
    again = Ledger(loop=stage.loop, store=stage.store, boot=BOOT, on_owed=lambda: None)
    stage.pass_time(2)
    again.open("t_x")  # the first one rang as well: both are this device's, one after the other
    assert [level for _, level in stage.levels()] == ["CRITICAL", "OK"]


def test_flapping_calms_down_by_the_clock_and_costs_no_flush_each_time(stage: Stage) -> None:
    stage.ledger.flapping = Flapping(changes=3, within_s=100)
    stage.ledger.open("t_x")
    for number in range(3):
        stage.ledger.say("t_x", verdict(ok=bool(number % 2), flapping="x goes up and down"))
    assert [level for _, level in stage.levels()] == ["CRITICAL", "OK", "CRITICAL"]
    changes = stage.store._db.total_changes
    for number in range(100):
        stage.ledger.say("t_x", verdict(ok=bool(number % 2), flapping="x goes up and down"))
    assert stage.store._db.total_changes == changes
    stage.pass_time(2)
    assert stage.store._db.total_changes > changes
    for _ in range(12):
        stage.pass_time(10)
    assert [level for _, level in stage.levels()] == ["CRITICAL", "OK", "CRITICAL", "OK"]


def test_levels_of_alerts_are_as_the_check_says(stage: Stage) -> None:
    stage.ledger.open("t_x")
    subject = Subject(name="x", type="t", status="s")
    stage.ledger.say("t_x", Verdict(ok=False, name="n", subject=subject, level=Level.WARNING))
    assert stage.levels() == [("x", "WARNING")]


def test_many_things_of_one_check_are_raised_called_off_and_noted_together_or_not_at_all(stage: Stage) -> None:
    problems = Problems(stage.ledger, "t_x", "t")
    with stage.disk_takes_nothing():
        problems.tell([verdict(ok=False, name="a"), verdict(ok=False, name="b")], {}, "first")
        assert problems.blocked
        assert problems.note() is None
    stage.pass_time(60)
    assert (stage.levels(), problems.note()) == ([("a", "CRITICAL"), ("b", "CRITICAL")], "first")
    problems.tell([verdict(ok=False, name="b"), verdict(ok=False, name="c")], {"a": "gone", "z": "never raised"}, None)
    assert stage.levels()[2:] == [("c", "CRITICAL"), ("a", "OK")]
    assert (problems.raised().keys(), problems.note()) == ({"b", "c"}, "first")


def test_what_is_over_stays_in_nobodys_memory(stage: Stage) -> None:
    """Names of findings have no end: addresses, paths."""
    problems = Problems(stage.ledger, "t_x", "t")
    for number in range(50):
        problems.tell([verdict(ok=False, name=f"n{number}", expires_s=number % 2 * 60)], {f"n{number - 1}": "gone"})
    stage.pass_time(61)
    assert len(stage.ledger._states) == 0
    assert len(stage.levels()) == 100


def test_events_of_before_are_called_off_when_their_time_is_over_though_nobody_looked(stage: Stage) -> None:
    Problems(stage.ledger, "t_x", "t").tell([verdict(ok=False, name="a", expires_s=60)], {}, "note")
    again = Ledger(loop=stage.loop, store=stage.store, boot=BOOT, on_owed=lambda: None)
    stage.clock.advance(61)
    assert Problems(again, "t_x", "t").raised() == {}
    assert stage.levels() == [("a", "CRITICAL"), ("a", "OK")]


def test_a_deleted_check_leaves_no_note(stage: Stage) -> None:
    problems = Problems(stage.ledger, "t_x", "t")
    problems.tell([], {}, "note")
    assert stage.ledger.known() == {"t_x"}
    stage.ledger.end("t_x", forget=False)
    assert problems.note() == "note"
    stage.ledger.end("t_x", forget=True)
    assert (problems.note(), stage.ledger.known()) == (None, set())
