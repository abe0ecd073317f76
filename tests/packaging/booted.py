"""A Debian root that is booted: the real systemd is process 1 of namespaces of its own, with bus and journal."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEADLINE_S = 60.0
ALONE = ("unshare", "--fork", "--pid", "--mount", "--cgroup", "--ipc", "--uts", "--net", "--kill-child", "--")
BOOT = """\
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 none sys/fs/cgroup
for each in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs $each; done
chmod 1777 tmp
for each in null zero full random urandom tty; do touch dev/$each; mount --bind /dev/$each dev/$each; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mkdir -p .outside
pivot_root . .outside
umount -l /.outside
exec env -i container=vedette-test PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \\
    /lib/systemd/systemd --system --show-status=0
"""


class System:
    """One life of a machine, from boot to halt."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen([*ALONE, "sh", "-c", BOOT, "sh", root], stdin=subprocess.DEVNULL)
        self.first = ""
        self.until(self._is_up, "systemd to have booted")

    def run(self, *words: str) -> str:
        """What the command prints, and nothing more of it: it may fail."""
        enter = ("nsenter", "--target", self.first, "--all", "--", *words)
        return subprocess.run(enter, capture_output=True, text=True, timeout=DEADLINE_S).stdout

    def until(self, true: Callable[[], object], what: str) -> None:
        end = time.monotonic() + DEADLINE_S
        while not true():
            assert time.monotonic() < end, f"waited {DEADLINE_S} s in vain for {what}\n{self.said()}"
            time.sleep(0.05)

    def said(self) -> str:
        """The monitor's log of this boot."""
        return self.run("journalctl", "-b", "-u", "mender-monitor", "--no-pager") if self.first else ""

    def halt(self) -> None:
        """As an orderly shutdown; after it no process is left."""
        self.run("systemctl", "poweroff")
        self.process.wait(DEADLINE_S)

    def _is_up(self) -> bool:
        assert self.process.poll() is None, "it ended while it booted"
        pid = self.process.pid
        (self.first,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split() or ("",)
        if not self.first or Path(f"/proc/{self.first}/comm").read_text().strip() != "systemd":
            return False
        return self.run("systemctl", "is-system-running").strip() in ("running", "degraded")


@contextmanager
def booted(root: Path) -> Iterator[System]:
    """Skips, with the reason, where that cannot be."""
    if shutil.which("nsenter") is None:
        pytest.skip("nsenter is missing: nothing is tested on a booted system")
    mounts = (
        'set -e; mount --make-rprivate /; mount -t sysfs -o ro sysfs "$1/sys"; mount -t cgroup2 none "$1/sys/fs/cgroup"'
    )
    if subprocess.run([*ALONE, "sh", "-c", mounts, "sh", root], capture_output=True).returncode:
        pytest.skip("this machine gives root no control groups of its own: nothing is tested on a booted system")
    system = System(root)
    try:
        yield system
    finally:
        if system.process.poll() is None:
            system.process.kill()
            system.process.wait(DEADLINE_S)
