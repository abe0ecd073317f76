"""A disk that does not give back what was written: the monitor goes on, with another file, and says what that cost."""

import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from real_device import Device
from test_agent_store import PLACE, RAISED, alert, owe, sequences
from test_globs import append

from vedette.agent.states import QUIET
from vedette.agent.store import Store
from vedette.clock import FakeClock


def broken(path: Path) -> list[tuple[int, int]]:
    """From now on nothing can be read through the descriptors of the file that are open here; what they were."""
    names = {str(path), f"{path}-wal"}
    out = []
    blind = os.open("/dev/null", os.O_WRONLY)
    for entry in list(Path("/proc/self/fd").iterdir()):
        if entry.is_symlink() and str(entry.readlink()) in names:
            out.append((int(entry.name), os.dup(int(entry.name))))
            os.dup2(blind, int(entry.name))
    os.close(blind)
    assert out
    return out


def mended(was: list[tuple[int, int]]) -> None:
    for fd, kept in was:
        os.dup2(kept, fd)
        os.close(kept)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "state" / "monitor.db", owner=True, clock=FakeClock())
    owe(store, *(alert(text="x" * 500) for _ in range(40)))
    with store.commit() as tx:
        tx.save_state("log_a", RAISED)
        tx.save_position("log_a", PLACE)
    store.shrink()
    yield store
    store.close()


@contextmanager
def renewed(store: Store) -> Iterator[None]:
    account, calls = store.account, []
    store.on_renewed = lambda: calls.append(1)
    yield
    assert calls == [1]
    assert store.account != account
    assert {(gap.account, gap.first, gap.last) for gap in store.gaps()} == {(account, 1, 40), (store.account, 0, 0)}
    assert all("disk I/O error" in gap.reason for gap in store.gaps())
    assert store.path.with_name("monitor.db.damaged-1").exists()
    owe(store, alert())
    assert sequences(store) == [1]


def test_what_cannot_be_read_is_set_aside(store: Store) -> None:
    with renewed(store):
        broken(store.path)
        assert store.state("log_a") == QUIET


def test_found_out_while_something_is_stored(store: Store) -> None:
    with renewed(store):
        broken(store.path)
        with pytest.raises(sqlite3.Error):
            owe(store, alert())


def test_what_can_be_read_when_it_is_asked_again_stays(store: Store) -> None:
    was = broken(store.path)
    store._db.set_trace_callback(lambda sql: mended(was) if "quick_check" in sql else None)
    assert store.state("log_a") == RAISED
    assert len(sequences(store)) == 40
    assert not list(store.path.parent.glob("*.damaged-*"))


def test_a_disk_that_is_gone_may_come_back(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing can take the place of the store then: it is said once, what is asked is not known, nothing is stored."""
    with renewed(store):
        away = store.path.parent.with_name("away")
        broken(store.path)
        store.path.parent.rename(away)
        for _ in range(3):
            assert store.position("log_a") is None
            assert store.checks() == []
            with pytest.raises(sqlite3.Error, match="cannot be replaced"):
                owe(store, alert())
        away.rename(store.path.parent)
        assert capfd.readouterr().err.count("cannot be read") == 1
        with store.commit():
            pass


DAEMON = """
import signal, sys
from pathlib import Path
from test_store_unreadable import broken
from vedette.agent import daemon
from vedette.agent.paths import Paths
root = Path(sys.argv[1])
signal.signal(signal.SIGUSR1, lambda *_: broken(Paths(root).store))
sys.exit(daemon.run(root))
"""


def test_the_daemon_goes_on(device: Device, tmp_path: Path) -> None:
    """It ended with a traceback, and at its next start again, for ever."""
    log = tmp_path / "app.log"
    device.check("one", "one", log)
    device.command = (sys.executable, "-c", DAEMON, str(device.paths.root))
    device.environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    device.start()
    append(log, "one\n")
    device.wait_for(1)
    assert device.process is not None
    device.process.send_signal(signal.SIGUSR1)
    device.check("two", "two", log)  # its state is looked up
    append(log, "two\n")
    device.wait_for(1, "two")
    append(log, "one\n")
    device.caught_up(log, "one")
    assert device.levels() == ["CRITICAL"]
    assert "was set aside" in device.log()
    assert device.stop() == 0
