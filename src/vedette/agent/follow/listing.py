"""What lies in a directory, read once for all who look into it while it does not change.

After thousands of logs of one directory were rotated, each of them is looked for among twice as many names.
"""

import os
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from vedette.agent.loop import Timer

if TYPE_CHECKING:
    from vedette.agent.follow.inotify import Inotify

MAX_ENTRIES: Final = 50_000
"""Looked at in one directory."""
MAX_KEPT: Final = 4
"""Directories that are remembered."""
KEEP_S: Final = 1.0
"""So long after the last question. While files are rotated one question follows the other."""
TICK_S: Final = 0.05
"""Changes so short after one another may have the same time: a kernel's tick is 1 to 10 ms."""
COARSE_TICK_S: Final = 3.0
"""The same where times are whole seconds, or every second one (vfat)."""
_SECOND_NS: Final = 10**9

Stamp = tuple[int, int, int, int]


class Listing:
    """The entries of one directory, as they were when it was read."""

    __slots__ = ("_by_inode", "_names", "directory")

    def __init__(self, directory: str) -> None:
        """Raises OSError."""
        self.directory = directory
        by_inode: list[tuple[int, str]] = []
        with os.scandir(directory) as entries:
            for entry in entries:
                by_inode.append((entry.inode(), entry.name))
                if len(by_inode) >= MAX_ENTRIES:
                    break
        by_inode.sort()
        self._by_inode = by_inode
        self._names = sorted(name for _, name in by_inode)

    def numbered(self, inode: int) -> Iterator[str]:
        """Names of the file with that number."""
        at = bisect_left(self._by_inode, (inode, ""))
        while at < len(self._by_inode) and self._by_inode[at][0] == inode:
            yield self._by_inode[at][1]
            at += 1

    def beginning(self, start: str) -> Iterator[str]:
        """Names that begin so."""
        at = bisect_left(self._names, start)
        while at < len(self._names) and self._names[at].startswith(start):
            yield self._names[at]
            at += 1


class Listings:
    """Remembers directories that have not changed since they were read.

    That is told by the time of their last change, where that was the same some ticks of the kernel's clock before they
    were read: any later change has another time. The wall clock may be wrong; it is compared with itself alone.
    """

    def __init__(self, inotify: "Inotify") -> None:
        self._inotify = inotify
        self._kept: dict[str, tuple[Stamp, float, Listing | None]] = {}  # what, since when, and if it is sure
        self._timer: Timer | None = None
        self._asked = False

    def beside(self, path: str) -> list[Listing]:
        """What lies beside `path`, and beside what it links to."""
        return [each for directory in directories(path) if (each := self._of(directory)) is not None]

    def _of(self, directory: str) -> Listing | None:
        try:
            status = os.stat(directory)  # noqa: PTH116
            now = self._inotify.loop.clock.elapsed()  # asked in between: what was changed before it is in the stamp
            stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            known, since, kept = self._kept.pop(directory, (None, now, None))
            if known != stamp:
                since, kept = now, None
            listing = kept or Listing(directory)
        except OSError:
            return None
        coarse = status.st_mtime_ns % _SECOND_NS == 0 and status.st_ctime_ns % _SECOND_NS == 0
        if (
            kept is None
            and now - since >= (COARSE_TICK_S if coarse else TICK_S)
            and not self._inotify.untold(directory)
        ):
            kept = listing
        self._kept[directory] = (stamp, since, kept)
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        if self._timer is None or not self._timer.pending:
            self._timer = self._inotify.loop.call_at(now + KEEP_S, self._forget)
        self._asked = True
        return listing

    def _forget(self) -> None:
        """Nobody asks any more: the memory is given back."""
        if self._asked:
            self._asked = False
            self._timer = self._inotify.loop.call_later(KEEP_S, self._forget)
        else:
            self._kept = {}


def directories(path: str) -> list[str]:
    """In which `path` lies, and what it links to."""
    paths = (path, os.path.realpath(path)) if os.path.islink(path) else (path,)  # noqa: PTH114
    return list(dict.fromkeys(os.path.dirname(each) or "." for each in paths))  # noqa: PTH120


def beside(path: str) -> list[Listing]:
    """What lies there now. Where much is asked: `Listings.beside`."""
    found = []
    for directory in directories(path):
        with suppress(OSError):
            found.append(Listing(directory))
    return found
