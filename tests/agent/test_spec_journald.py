"""With the real journald: its journal is rotated and vacuumed, and the monitor restarted; each entry is read once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ALONE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--")
PROGRAM = Path(__file__).with_name("beside_journald.py")
SEED = 1


@pytest.fixture(autouse=True, scope="module")
def real_journald() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start a journald of its own: rotation of a real journal is not tested")
    for tool in ("journalctl", "/lib/systemd/systemd-journald", "unshare"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing: rotation of a real journal is not tested")
    if subprocess.run([*ALONE, "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True).returncode:
        pytest.skip("this machine gives root no mounts of its own: rotation of a real journal is not tested")


def test_rotated_and_vacuumed_nothing_is_lost_or_doubled() -> None:
    done = subprocess.run([*ALONE, sys.executable, PROGRAM, str(SEED)], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["written"]) > 50
    assert told["read"] == told["written"]
