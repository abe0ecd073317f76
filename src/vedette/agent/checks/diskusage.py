"""How full is a file system, in bytes or in files? Only asks; as `df` counts.

A file system on a network may not answer at all, and the thread that asks then waits for ever. So each question has a
thread of its own, and the loop only hears of its end.
"""

import _thread
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vedette.agent.checkfiles import CheckFile
from vedette.agent.checks.timing import Ticker, seconds
from vedette.agent.checks.told import told
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict
from vedette.errors import Invalid
from vedette.model import ConfiguredCheck, Details, Subject

if TYPE_CHECKING:
    from vedette.agent.checks import World
    from vedette.agent.loop import Loop, Timer

DEFAULT_PERCENT: Final = 80
SPACE: Final = "space"
INODES: Final = "inodes"
CALM_PERCENT: Final = 1
"""Called off when it has fallen this far below the threshold, so that one that wavers there does not ring each time."""
_NAMES: Final = {
    SPACE: ("disk", "DISKUSAGE_USAGE_WARNING", "Disk storage has grown to fill more than {}% of the disk '{}'"),
    INODES: ("inodes", "DISKUSAGE_INODES_WARNING", "Files have grown to take more than {}% of the inodes of '{}'"),
}
UNKNOWN_STATUS: Final = "DISKUSAGE_UNKNOWN"

Say = Callable[[Verdict], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What `statvfs` tells, in blocks or in inodes."""

    used: int
    free: int  # for those who are not root

    @property
    def percent(self) -> float:
        """Of what is not kept for root, which is what `df` shows (rounded up). Source: GNU coreutils, df."""
        return 100.0 * self.used / (self.used + self.free) if self.used + self.free else 0.0

    def exceeds(self, percent: float) -> bool:
        """More than so much; with 100: nothing is left."""
        return self.percent > percent or (percent >= 100 and not self.free and bool(self.used))


def measure(path: bytes, of: str) -> Usage:
    """Ask the file system. May wait for ever. Raises OSError: there is none of this name."""
    found = os.statvfs(path)
    if of == INODES:
        return Usage(used=found.f_files - found.f_ffree, free=found.f_favail)
    return Usage(used=found.f_blocks - found.f_bfree, free=found.f_bavail)


class DiskUsageCheck:
    """A check of the subsystem "diskusage"; `file` holds its variables DISKUSAGE_*."""

    def __init__(self, file: CheckFile, settings: Settings) -> None:
        values = file.values
        self.key = file.stem
        self._file_name = file.name + ".sh"
        self.path = values.get("DISKUSAGE_NAME", "")
        if not self.path.startswith("/"):
            raise Invalid(f"DISKUSAGE_NAME {self.path!r} is no absolute path; name a mount point, or any file on it")
        self.percent = _percent(values.get("DISKUSAGE_THRESHOLD", ""))
        self.of = values.get("DISKUSAGE_OF", "") or SPACE
        if self.of not in _NAMES:
            raise Invalid(f"DISKUSAGE_OF {self.of!r} is neither {SPACE} nor {INODES}")
        self.every_s = seconds(values, "CHECK_INTERVAL", settings.default_check_interval_s)
        self.limit_s = seconds(values, "CHECK_TIME_LIMIT", settings.default_check_time_limit_s)
        self._ticker: Ticker | None = None
        self._question: _Question | None = None
        self._limit: Timer | None = None
        self._trouble = ""  # the name of what was said to be wrong

    def start(self, world: "World", say: Say) -> None:
        """Ask from time to time; `say` is told each time what came out."""
        self.stop()
        self._world, self._say = world, say
        self._ticker = Ticker(world.loop, self.every_s, self._ask)

    def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.close()
            self._ticker = None
        if self._limit is not None:
            self._limit.cancel()

    def configured(self) -> ConfiguredCheck:
        settings = told(path=self.path, threshold_percent=self.percent, of=self.of, every_seconds=self.every_s)
        return ConfiguredCheck(name=self._file_name, kind="diskusage", settings=settings)

    def _ask(self) -> None:
        if self._question is not None:
            return  # the last one still waits for its answer
        self._limit = self._world.loop.call_later(self.limit_s, self._too_long)
        path = self.path.encode("utf-8", "surrogateescape")
        try:
            self._question = _Question(self._world.loop, lambda: measure(path, self.of), self._on_answer)
        except (OSError, RuntimeError) as exc:  # no descriptor, no thread: that says nothing about the disk
            self._limit.cancel()
            self._question = None
            from vedette.agent import log

            log.warn(f"{self.key}: the disk {self.path!r} cannot be looked at now: {exc}")

    def _on_answer(self, answer: "Usage | OSError") -> None:
        self._question = None
        if self._ticker is None:
            return
        if self._limit is not None:
            self._limit.cancel()
        if isinstance(answer, OSError):
            self._unknown(answer.strerror or str(answer))
            return
        type_, status, name = _NAMES[self.of]
        name = name.format(self.percent, self.path)
        least = self.percent - CALM_PERCENT if self._trouble == name else self.percent
        ok = not answer.exceeds(least)
        self._tell(ok, name, type_, status, f"{self.path} is at {answer.percent:.1f}% of its {self.of}")

    def _too_long(self) -> None:
        self._unknown(f"no answer within {self.limit_s} s")

    def _unknown(self, why: str) -> None:
        name = f"Disk usage of '{self.path}' cannot be measured"
        self._tell(False, name, _NAMES[self.of][0], UNKNOWN_STATUS, f"{self.path}: {why}")

    def _tell(self, ok: bool, name: str, type_: str, status: str, description: str) -> None:
        subject = Subject(name=self.path, type=type_, status=status, details=Details(description=description))
        if not ok and self._trouble and self._trouble != name:  # another trouble than before: that one is over
            self._say(Verdict(ok=True, name=self._trouble, subject=subject))
        self._trouble = "" if ok else name
        self._say(Verdict(ok=ok, name=name, subject=subject))


class _Question:
    """One call of a function that may never return, in a thread; the answer comes in the loop."""

    def __init__(self, loop: "Loop", ask: Callable[[], Usage], on_answer: Callable[["Usage | OSError"], None]) -> None:
        self._loop, self._ask, self._on_answer = loop, ask, on_answer
        self._answer: Usage | OSError | None = None
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        loop.add_reader(self._bell, self._answered)
        try:
            _thread.start_new_thread(self._run, ())
        except BaseException:
            self._close()
            raise

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        except OSError as exc:
            self._answer = exc
        os.eventfd_write(self._bell, 1)

    def _answered(self) -> None:
        self._close()
        assert self._answer is not None
        self._on_answer(self._answer)

    def _close(self) -> None:
        self._loop.remove(self._bell)
        os.close(self._bell)


def _percent(given: str) -> int:
    if not given:
        return DEFAULT_PERCENT
    number = given.removesuffix("%")
    if not (number.isascii() and number.isdigit() and len(number) <= 3 and 1 <= int(number) <= 100):
        raise Invalid(f"DISKUSAGE_THRESHOLD {given!r} is not a whole number from 1 to 100")
    return int(number)
