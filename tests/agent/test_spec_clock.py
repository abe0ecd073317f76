"""Clocks that jump, with the real daemon: the wall clock is faked, the time since the boot is another namespace's."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from real_device import DEADLINE_S, Device, wait_until

LATER_S = 2000
EXPIRES_S = 1000
SLEPT = ("unshare", "--time", f"--boottime={LATER_S}", f"--monotonic={LATER_S}", "--fork", "--kill-child", "--")
FAKES = (*Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), *Path("/usr/lib").glob("faketime/libfaketime.so.1"))


@contextmanager
def running(device: Device, before: tuple[str, ...] = (), **environment: str) -> Iterator[None]:
    """The daemon, started by other words than usual."""
    device.paths.pid_file.unlink(missing_ok=True)
    command = [*before, sys.executable, "-m", "vedette.agent", "--root", str(device.paths.root)]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        wait_until(device.paths.pid_file.exists, "the daemon to start")
        yield
    finally:
        os.kill(int(device.paths.pid_file.read_text()), 15)
        assert process.wait(DEADLINE_S) == 0


def raised(device: Device, log: Path) -> None:
    """One check is raised for a while, and the daemon is gone."""
    log.write_text("bad\n")
    device.check("app", "bad", log, expires=EXPIRES_S)
    device.start()
    device.wait_for(1)
    device.kill()


def test_what_ran_out_in_another_uptime_is_called_off(device: Device, tmp_path: Path) -> None:
    """The machine slept: its time since the boot went on, and the wall clock was not set since."""
    if subprocess.run([*SLEPT, "true"], capture_output=True).returncode:
        pytest.skip("this machine or user has no namespaces of time: a sleep of the machine is not tested")
    raised(device, tmp_path / "app.log")
    with running(device, SLEPT):
        device.wait_for(2)
    assert device.levels() == ["CRITICAL", "OK"]


@pytest.mark.parametrize("jump", ["+2d", "-2d", "@1970-01-01 00:00:10"])
def test_a_jump_of_the_wall_clock_calls_nothing_off(device: Device, tmp_path: Path, jump: str) -> None:
    """Within one boot the time since it began decides."""
    if not FAKES:
        pytest.skip("libfaketime is not installed: jumps of the wall clock are not tested with the real daemon")
    log = tmp_path / "app.log"
    raised(device, log)
    device.check("end", "end", log)
    with log.open("a") as file:
        file.write("end\n")
    with running(device, LD_PRELOAD=str(FAKES[0]), FAKETIME=jump, FAKETIME_DONT_FAKE_MONOTONIC="1"):
        (end,) = device.wait_for(1, "end")
    assert device.levels("app") == ["CRITICAL"]
    assert end["timestamp"] != device.alerts("app")[0]["timestamp"]
    assert end["timestamp"][:10] != device.alerts("app")[0]["timestamp"][:10], "the clock was not faked"
