"""What a newcomer types first works, holds what it says, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

DEMO = [sys.executable, "-m", "vedette", "demo", "--port", "0"]


def left_over(directory: Path) -> list[str]:
    """Command lines of processes that mention the directory, and files in it."""
    found = [str(path) for path in directory.iterdir()]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes()
        except OSError:  # it ended while we looked
            continue
        if str(directory).encode() in words:
            found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_the_round_trip_holds_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([*DEMO, "--once"], capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.split()[0] for line in done.stdout.splitlines()]
    for step in ("raised", "marked", "mailed", "off", "counted"):
        assert step in steps
    assert left_over(tmp_path) == []


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, text=True, env=environment) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "Ctrl-C ends everything" in line:
                break
        assert left_over(tmp_path) != []
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
        assert demo.wait(60) == 0
    assert left_over(tmp_path) == []
