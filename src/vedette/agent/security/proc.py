"""Processes as /proc tells of them, below any root. What has gone meanwhile, or may not be seen, is left out or "".

Source: proc(5).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

DELETED: Final = " (deleted)"
MAX_BYTES: Final = 64 * 1024  # of one file of a process
_KERNEL_THREAD: Final = 0x0020_0000  # PF_KTHREAD of linux/sched.h, in field 9 of /proc/PID/stat


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process; pid and start name it for good within a boot."""

    pid: int
    parent: int
    comm: str  # its name, of which the kernel keeps 15 bytes
    start: int  # clock ticks since boot
    exe: str  # path of its executable, "" when it may not be seen; of a kernel thread too
    deleted: bool  # there is another file by that path now, or none
    kernel: bool  # a thread of the kernel

    @property
    def shown(self) -> str:
        """For people, as "nc (/usr/bin/nc, pid 812)"."""
        return f"{self.comm} ({self.exe}, pid {self.pid})" if self.exe else f"{self.comm} (pid {self.pid})"


class Proc:
    """/proc below `root`."""

    def __init__(self, root: Path) -> None:
        self._proc = root / "proc"
        self._etc = root / "etc"
        self._users: dict[int, str] | None = None

    def pids(self) -> list[int]:
        """Raises OSError: there is no /proc."""
        return sorted(int(each.name) for each in os.scandir(self._proc) if each.name.isdigit())

    def all(self) -> Iterator[Process]:
        """Raises OSError: there is no /proc."""
        for pid in self.pids():
            if (found := self.process(pid)) is not None:
                yield found

    def process(self, pid: int) -> Process | None:
        """None: it has ended."""
        head, _, rest = self.text(pid, "stat").rpartition(")")
        fields = rest.split()
        if len(fields) < 20 or fields[0] in "ZX":
            return None
        target = self.link(pid, "exe")
        return Process(
            pid=pid,
            parent=int(fields[1]),
            comm=head.partition("(")[2],
            start=int(fields[19]),
            exe=target.removesuffix(DELETED),
            deleted=target.endswith(DELETED),
            kernel=bool(int(fields[6]) & _KERNEL_THREAD),
        )

    def text(self, pid: int, name: str) -> str:
        try:
            with open(self._proc / str(pid) / name, "rb") as file:  # noqa: PTH123 - thousands of them
                return os.fsdecode(file.read(MAX_BYTES))
        except OSError:
            return ""

    def link(self, pid: int, name: str) -> str:
        try:
            return os.readlink(f"{self._proc}/{pid}/{name}")  # noqa: PTH115
        except OSError:
            return ""

    def uid(self, pid: int) -> int | None:
        """The effective one."""
        for line in self.text(pid, "status").splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[2])
        return None

    def user(self, uid: int | None) -> str:
        """For people: "root", or the number of whom there is no name."""
        if uid is None:
            return ""
        if self._users is None:
            self._users = {}
            try:
                lines = (self._etc / "passwd").read_text(errors="surrogateescape").splitlines()
            except OSError:
                lines = []
            for fields in (line.split(":") for line in lines):
                if len(fields) > 2 and fields[2].isdigit():
                    self._users.setdefault(int(fields[2]), fields[0])
        return self._users.get(uid, f"uid {uid}")

    def sockets(self) -> tuple[dict[int, list[int]], bool]:
        """The processes that hold each socket, by its inode; and whether all could be seen."""
        holders: dict[int, list[int]] = {}
        complete = True
        for pid in self.pids():
            directory = f"{self._proc}/{pid}/fd"
            try:
                names = os.listdir(directory)  # noqa: PTH208 - thousands of them
            except FileNotFoundError:
                continue
            except OSError:
                complete = False
                continue
            for name in names:
                try:
                    target = os.readlink(f"{directory}/{name}")  # noqa: PTH115
                except OSError:
                    continue
                if target.startswith("socket:["):
                    holders.setdefault(int(target[8:-1]), []).append(pid)
        return holders, complete

    def boot(self) -> str:
        """Names this boot; "" where there is none."""
        try:
            return (self._proc / "sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return ""

    def began(self, start: int) -> datetime | None:
        """When a process with this start time began."""
        for line in self._stat():
            if line.startswith("btime "):
                return datetime.fromtimestamp(int(line.split()[1]), UTC) + timedelta(seconds=start / ticks())
        return None

    def _stat(self) -> list[str]:
        try:
            return (self._proc / "stat").read_text().splitlines()
        except OSError:
            return []


def ticks() -> int:
    """Clock ticks of a second."""
    return os.sysconf("SC_CLK_TCK")
