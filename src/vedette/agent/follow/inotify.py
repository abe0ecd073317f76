"""The kernel's word about files and directories.

Not `inotify_simple`: with `ctypes.util` and its subprocess machinery it costs 3 MB. Source: inotify(7), statfs(2).
"""

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from vedette.agent import libc, log
from vedette.agent.follow.listing import Listings
from vedette.agent.loop import Loop
from vedette.errors import Unavailable

if TYPE_CHECKING:
    from vedette.agent.follow.pathwatch import Way

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
UNMOUNT: Final = 0x2000
Q_OVERFLOW: Final = 0x4000
IGNORED: Final = 0x8000
ONLYDIR: Final = 0x01000000
DONT_FOLLOW: Final = 0x02000000
EXCL_UNLINK: Final = 0x04000000
MASK_ADD: Final = 0x20000000

PASSED: Final = ATTRIB | MOVE_SELF | DELETE_SELF
"""What happens to a file, a directory or a link itself; ATTRIB tells of a lost name too, while the file is open."""
FILE: Final = MODIFY | PASSED
ENTRIES: Final = FILE | CLOSE_WRITE | CREATE | DELETE | MOVED_FROM | MOVED_TO
"""Everything that changes what a directory of small files says."""

_EVENT: Final = struct.Struct("iIII")
_LONG: Final = struct.calcsize("l")
_READ_BYTES: Final = 64 * 1024

# Where changes can come from another machine, or from the kernel itself: statfs(2), linux/magic.h.
_UNTOLD: Final = frozenset({
    0x6969, 0x517B, 0xFF534D42, 0xFE534D42, 0x65735546, 0x01021997, 0x00C36400, 0x5346414F, 0x0BD00BD0, 0x9FA0,
    0x62656572, 0x47504653, 0x73757245, 0x564C, 0x01161970, 0x7461636F,
})  # fmt: skip


class Listener(Protocol):
    """Who watches something."""

    def wants(self, wd: int) -> int:
        """Which events of this watch matter; a mask."""
        ...

    def told(self, wd: int, mask: int, name: str) -> None:
        """Something happened there: to itself, or in a directory to `name`. May be more than is wanted."""
        ...


class Inotify:
    """One kernel queue. The kernel gives each file one watch; those who want it share it here.

    Raises:
        Unavailable: the kernel has no more queues for us.
    """

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        try:
            self._fd = libc.call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as exc:
            raise Unavailable(
                f"the kernel will tell of no changes of files ({exc.strerror});"
                " raise fs.inotify.max_user_instances or the limit of open files"
            ) from exc
        self._wanted: dict[int, Listener | tuple[Listener, ...]] = {}  # mostly one, which is to cost nothing
        self._calls: dict[object, _Call] = {}
        self.ways: dict[str, Way] = {}  # kept for `pathwatch`: there is one queue, and one way to a directory
        self.listings = Listings(self)  # for the same reason
        self.complained = log.Limited(burst=3, clock=loop.clock)
        loop.add_reader(self._fd, self._read)

    def close(self) -> None:
        self.loop.remove(self._fd)
        os.close(self._fd)

    def add(self, path: str, mask: int, owner: object, callback: Callable[[int, str], None]) -> int:
        """Call `callback(mask, name)` for what happens to what `path` names now, once for each `owner`.

        Raises OSError, for example when it does not exist.
        """
        call = self._calls.setdefault(owner, _Call())
        call.mask, call.callback = mask, callback
        return self.watch(path, mask, call)

    def watch(self, path: str, mask: int, listener: Listener) -> int:
        """Tell `listener` of what `path` names now; returns the number of the watch. Raises OSError."""
        wd = libc.call("inotify_add_watch", self._fd, os.fsencode(path), mask | EXCL_UNLINK | MASK_ADD)
        there = self._listeners(wd)
        if listener not in there:
            self._wanted[wd] = (*there, listener) if there else listener
        return wd

    def unwatch(self, wd: int, listener: Listener) -> None:
        """`listener` is not told of it any more."""
        there = self._listeners(wd)
        left = tuple(each for each in there if each is not listener)
        if left:
            self._wanted[wd] = left if len(left) > 1 else left[0]
        elif there:
            del self._wanted[wd]
            with suppress(OSError):  # the file went first: as good
                libc.call("inotify_rm_watch", self._fd, wd)

    def narrow(self, wd: int, path: str) -> None:
        """Be told of no more than is wanted now of what `path` names, if that is still what is watched."""
        together = 0
        for each in self._listeners(wd):
            together |= each.wants(wd)
        if not together:
            return
        with suppress(OSError):
            other = libc.call("inotify_add_watch", self._fd, os.fsencode(path), together | EXCL_UNLINK)
            if other not in self._wanted:
                libc.call("inotify_rm_watch", self._fd, other)

    def untold(self, path: str) -> bool:
        """Is `path` on a file system whose changes the kernel does not tell of?"""
        buffer = libc.Buffer()
        try:
            libc.call("statfs", os.fsencode(path), buffer)
        except OSError:
            return False
        return int.from_bytes(bytes(buffer)[:_LONG], "little") & 0xFFFFFFFF in _UNTOLD

    def _listeners(self, wd: int) -> tuple[Listener, ...]:
        there = self._wanted.get(wd, ())
        return there if isinstance(there, tuple) else (there,)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        told: dict[tuple[int, str], int] = {}  # many events for one name are one piece of news
        at = 0
        while at < len(data):
            wd, mask, _, size = _EVENT.unpack_from(data, at)
            at += _EVENT.size + size
            if mask & Q_OVERFLOW:
                self.complained.write(log.WARN, "more changes of files than the kernel keeps; looking at all of them")
                told = {(each, ""): told.get((each, ""), 0) | Q_OVERFLOW for each in self._wanted} | told
                continue
            name = os.fsdecode(data[at - size : at].partition(b"\0")[0]) if size else ""
            told[wd, name] = told.get((wd, name), 0) | mask
        for (wd, name), mask in told.items():
            for listener in self._listeners(wd):
                listener.told(wd, mask, name)
            if mask & IGNORED:
                self._wanted.pop(wd, None)


class _Call:
    """A listener that is a function."""

    __slots__ = ("callback", "mask")

    mask: int
    callback: Callable[[int, str], None]

    def wants(self, wd: int) -> int:
        return self.mask

    def told(self, wd: int, mask: int, name: str) -> None:
        self.callback(mask, name)
