"""When a child is started for the server. What it does then is tested in uplink/, both together with the daemon."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vedette.agent.courier import CRASH_WAIT_S, Courier
from vedette.agent.follow.inotify import Inotify
from vedette.agent.host import Host
from vedette.agent.loop import Loop
from vedette.agent.metakeys import CONFIG, CONFIG_SENT, TERMS
from vedette.agent.paths import Paths
from vedette.agent.settings import Settings
from vedette.agent.store import Store
from vedette.clock import FakeClock


class Desk:
    """A courier whose children do nothing: the test ends them by hand."""

    def __init__(self, root: Path) -> None:
        self.clock = FakeClock()
        self.loop = Loop(self.clock)
        self.children: list[Any] = []
        self.outputs: list[Any] = []
        self.rung = self.applied = 0
        paths = Paths(root)
        paths.mender_conf.parent.mkdir(parents=True)
        paths.mender_conf.write_text("{}")
        self.store = Store.open(paths.store, clock=self.clock)
        self.inotify = Inotify(self.loop)
        self.courier = Courier(
            loop=self.loop,
            host=cast(Host, self),
            inotify=self.inotify,
            store=self.store,
            paths=paths,
            settings=Settings(confpush_interval=0),
            on_apply=self._apply,
        )

    def start_child(self, _name: str, _args: list[str], on_output: object, on_end: object) -> object:
        self.children.append(on_end)
        self.outputs.append(on_output)
        return SimpleNamespace(send=self._ring, close_input=lambda: None)

    def _apply(self) -> None:
        self.applied += 1

    def _ring(self, _data: bytes) -> None:
        self.rung += 1

    def end_child(self, *, after_s: float, says: str = "") -> None:
        self.clock.advance(after_s)
        if says:
            self.outputs[-1](says.encode())
        self.children[-1](0)
        self.pass_time(0)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.loop.call_soon(self.loop.stop)
        self.loop.run()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    made.courier.start()
    yield made
    made.courier.stop()
    made.store.close()
    made.loop.close()


def test_nothing_to_tell_starts_no_further_child(desk: Desk) -> None:
    desk.end_child(after_s=CRASH_WAIT_S + 1)
    desk.pass_time(3600)
    assert len(desk.children) == 1


def test_checks_that_changed_when_the_child_was_about_to_go_are_told_by_the_next(desk: Desk) -> None:
    """The bell reached a child that no longer listened, and nothing was owed: they were told ten minutes later."""
    desk.store.set_meta(CONFIG, "[]")
    desk.courier.ring()
    assert desk.rung == 1
    desk.end_child(after_s=CRASH_WAIT_S + 1)
    assert len(desk.children) == 2


def test_a_server_that_refuses_the_report_is_not_asked_for_ever(desk: Desk) -> None:
    desk.store.set_meta(CONFIG, "[]")
    desk.courier.ring()
    desk.end_child(after_s=CRASH_WAIT_S + 1)
    desk.end_child(after_s=CRASH_WAIT_S + 1)
    desk.pass_time(3600)
    assert len(desk.children) == 2


def test_what_was_told_in_time_needs_no_child(desk: Desk) -> None:
    desk.store.set_meta(CONFIG, "[]")
    desk.courier.ring()
    desk.store.set_meta(CONFIG_SENT, "[]")
    desk.end_child(after_s=CRASH_WAIT_S + 1)
    assert len(desk.children) == 1


def test_another_interval_counts_from_when_it_is_set(desk: Desk) -> None:
    """It was taken once, at the start of the daemon."""
    desk.end_child(after_s=CRASH_WAIT_S + 1)
    desk.courier.apply(Settings(confpush_interval=600))
    desk.pass_time(599)
    assert len(desk.children) == 1
    desk.pass_time(2)
    assert len(desk.children) == 2
    desk.courier.apply(Settings(confpush_interval=10**6))
    desk.end_child(after_s=CRASH_WAIT_S + 1)
    desk.pass_time(3600)
    assert len(desk.children) == 2


def test_a_store_that_cannot_be_written_costs_the_change_and_not_the_daemon(desk: Desk) -> None:
    """The settings change while the disk is full: the daemon ended there."""
    desk.store._db.execute("PRAGMA query_only = ON")
    desk.courier.apply(Settings(send_alert_max_interval_s=7))
    desk.store._db.execute("PRAGMA query_only = OFF")
    desk.courier.apply(Settings(send_alert_max_interval_s=9))
    assert json.loads(desk.store.meta(TERMS) or "")[-1] == 9


def test_the_server_is_asked_for_deployments_when_the_child_said(desk: Desk) -> None:
    desk.end_child(after_s=1, says='{"ask_in_s": 700.0}\n')
    desk.pass_time(699)
    assert len(desk.children) == 1
    desk.pass_time(2)
    assert len(desk.children) == 2
    desk.end_child(after_s=1)
    desk.pass_time(10_000)
    assert len(desk.children) == 2, "this one has not said when"


def test_another_child_in_between_makes_it_later(desk: Desk) -> None:
    desk.end_child(after_s=1, says='{"ask_in_s": 700.0}\n')
    desk.pass_time(600)
    desk.courier.ring()
    desk.end_child(after_s=1, says='{"ask_in_s": 700.0}\n')
    desk.pass_time(600)
    assert len(desk.children) == 2
    desk.pass_time(101)
    assert len(desk.children) == 3


def test_what_is_to_be_applied_is_told_at_once(desk: Desk) -> None:
    desk.outputs[-1](b'{"apply": 1.0}\n')
    assert desk.applied == 1
    desk.end_child(after_s=1, says='{"retry_in_s": 3.0}\n')
    desk.pass_time(4)
    assert (desk.applied, len(desk.children)) == (1, 2)
