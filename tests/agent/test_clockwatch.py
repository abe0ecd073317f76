"""A clock that is set while the daemon runs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from vedette.agent.clockwatch import ClockWatch
from vedette.agent.ledger import Ledger
from vedette.agent.loop import Loop
from vedette.agent.states import Deadline, State
from vedette.agent.store import Store
from vedette.clock import FakeClock
from vedette.model import Level, Subject

THEN = datetime(2026, 8, 24, 12, tzinfo=UTC)


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(FakeClock(wall=datetime(1970, 1, 1, tzinfo=UTC), since_boot=20.0))
    yield loop
    loop.close()


def test_an_alert_of_the_last_boot_ends_when_the_clock_is_set(tmp_path: Path, loop: Loop) -> None:
    """The board starts in 1970: it waits. An hour's alert has been over for long, which shows once the clock is set."""
    assert isinstance(loop.clock, FakeClock)
    subject = Subject(name="log_a", type="log", status="S")
    deadline = Deadline(boot="another", elapsed_s=1.0, wall=THEN, span_s=3600)
    store = Store.open(tmp_path / "monitor.db", clock=loop.clock, owner=True)
    with store.commit() as tx:
        tx.save_state("log_a", State(raised=True, alert_name="bad a", subject=subject, deadline=deadline))
    owed: list[int] = []
    ledger = Ledger(loop=loop, store=store, boot=UUID(int=1), on_owed=lambda: owed.append(1))
    ledger.open("log_a")
    ledger.look_again()
    assert store.state("log_a").raised
    loop.clock.wall = THEN + timedelta(days=1)
    ledger.look_again()
    assert not store.state("log_a").raised
    (alert,) = store.owed(10, 1 << 20)
    assert f'"level": "{Level.OK}"' in alert.body
    assert owed == [1]
    store.close()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_watching_costs_one_descriptor_and_gives_it_back(loop: Loop) -> None:
    """That the kernel tells of a jump is not tried here: it would set the clock of this machine."""
    jumps: list[int] = []
    before = descriptors()
    watch = ClockWatch(loop, lambda: jumps.append(1))
    assert descriptors() == before + 1
    loop.call_at(loop.clock.elapsed(), loop.stop)
    loop.run()
    watch.close()
    watch.close()
    assert (descriptors(), jumps) == (before, [])
