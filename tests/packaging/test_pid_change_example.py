"""The example `pid-change` that the mission's line runs: what it prints when a program has another process id."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "packaging/examples/pid-change"
SHELLS = [shell for shell in ("sh", "bash", "dash", "busybox") if shutil.which(shell)]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of a name that no other process has."""
    sleep = shutil.which("sleep")
    assert sleep is not None
    path = tmp_path / f"sleep{os.getpid() % 1_000_000:06}"
    if Path(sleep).resolve().name != "sleep":
        pytest.skip("sleep is part of another program here, which goes by its name")
    shutil.copy(sleep, path)
    return path


@pytest.fixture(params=SHELLS)
def watching(request: pytest.FixtureRequest, program: Path) -> Iterator[subprocess.Popen[bytes]]:
    shell = [request.param, "sh"] if request.param == "busybox" else [request.param]
    with subprocess.Popen(
        [*shell, SCRIPT, "no-such-program", program.name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PID_CHANGE_INTERVAL": "0.05"},
        start_new_session=True,
    ) as process:
        yield process
        os.killpg(process.pid, 9)


def test_a_restart_is_a_line(watching: subprocess.Popen[bytes], program: Path) -> None:
    """However long it takes the script to look: the program is restarted until it has been seen twice."""
    assert watching.stdout is not None
    os.set_blocking(watching.stdout.fileno(), False)
    pids, printed = [], ""
    for _ in range(200):
        with subprocess.Popen([program, "60"]) as running:
            pids.append(running.pid)
            try:
                running.wait(0.3)
            except subprocess.TimeoutExpired:
                running.kill()
        with suppress(BlockingIOError):
            printed += os.read(watching.stdout.fileno(), 4096).decode()
        if printed:
            break
    first = printed.splitlines()[0]
    words = first.split()
    assert first == f"PID changed: {program.name} was {words[4].rstrip(',')}, is {words[6]}"
    assert int(words[4].rstrip(",")) in pids
    assert int(words[6]) in pids
    assert pids.index(int(words[4].rstrip(","))) < pids.index(int(words[6]))
