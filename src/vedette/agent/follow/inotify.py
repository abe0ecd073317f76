"""Told by the kernel when a watched path changes: its content, or what its name means.

A name means something else when any part of it is renamed, linked, removed or created, or when a permission changes.
So each directory that is passed on the way to the file is watched for the one name that matters there, symbolic links
included, and the file itself for its content. What is missing is waited for in the directory that would hold it.
Where the kernel cannot tell (network file systems) or will not (limits), the path is looked at once a second.

Not `inotify_simple`: with `ctypes.util` and its subprocess machinery it costs 3 MB. Source: inotify(7), statfs(2).
"""

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from typing import Final

from vedette.agent import log
from vedette.agent.loop import Loop, Timer

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
EXCL_UNLINK: Final = 0x04000000

DIRECTORY: Final = ATTRIB | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF | ONLYDIR
FILE: Final = MODIFY | ATTRIB | MOVE_SELF | DELETE_SELF
ENTRIES: Final = FILE | CLOSE_WRITE | CREATE | DELETE | MOVED_FROM | MOVED_TO
"""Everything that changes what a directory of small files says."""

_LIMITS: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE})
POLL_S: Final = 1.0
MAX_LINKS: Final = 40  # as the kernel: path_resolution(7)
_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 64 * 1024

# Where changes can come from another machine, or from the kernel itself: statfs(2), linux/magic.h.
_UNTOLD: Final = frozenset({
    0x6969, 0x517B, 0xFF534D42, 0xFE534D42, 0x65735546, 0x01021997, 0x00C36400, 0x5346414F, 0x0BD00BD0, 0x9FA0,
    0x62656572, 0x47504653, 0x73757245, 0x564C, 0x01161970, 0x7461636F,
})  # fmt: skip

OnChange = Callable[[int, str], None]  # (mask, name within a directory or "")


class Inotify:
    """One kernel queue. The kernel gives each file one watch; those who want it share it here."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._call(self._libc.inotify_init1, os.O_CLOEXEC | os.O_NONBLOCK)
        self._wanted: dict[int, dict[object, tuple[int, OnChange]]] = {}
        self.complained = log.Limited(burst=3, clock=loop.clock)
        loop.add_reader(self._fd, self._read)

    def close(self) -> None:
        self.loop.remove(self._fd)
        os.close(self._fd)

    def add(self, path: str, mask: int, owner: object, callback: OnChange) -> int:
        """Watch what `path` names now for `owner`. Raises OSError, for example when it does not exist."""
        wd = self._call(self._libc.inotify_add_watch, self._fd, os.fsencode(path), mask | EXCL_UNLINK)
        wanted = self._wanted.setdefault(wd, {})
        wanted[owner] = (mask, callback)
        together = 0
        for each, _ in wanted.values():
            together |= each
        if together != mask:
            self._call(self._libc.inotify_add_watch, self._fd, os.fsencode(path), together | EXCL_UNLINK)
        return wd

    def remove(self, wd: int, owner: object) -> None:
        wanted = self._wanted.get(wd)
        if wanted is None or wanted.pop(owner, None) is None or wanted:
            return
        del self._wanted[wd]
        self._libc.inotify_rm_watch(self._fd, wd)  # fails when the file went first: as good

    def untold(self, path: str) -> bool:
        """Is `path` on a file system whose changes the kernel does not tell of?"""
        buffer = ctypes.create_string_buffer(512)
        if self._libc.statfs(os.fsencode(path), buffer) != 0:
            return False
        return int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], "little") & 0xFFFFFFFF in _UNTOLD

    def _call(self, function: Callable[..., int], *args: object) -> int:
        result = function(*args)
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result

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
            name = os.fsdecode(data[at - size : at].partition(b"\0")[0])
            told[wd, name] = told.get((wd, name), 0) | mask
        for (wd, name), mask in told.items():
            for _, callback in list(self._wanted.get(wd, {}).values()):
                callback(mask, name)
            if mask & IGNORED:
                self._wanted.pop(wd, None)


class PathWatch:
    """Calls `on_change(modified)` when content or the meaning of the name `path` may have changed; never misses one.

    May call once too often, so the callee looks at what is there; `modified` tells that content was written.
    Calls come from the loop, never from a method here.
    """

    def __init__(self, inotify: Inotify, path: str, on_change: Callable[[bool], None], mask: int = FILE) -> None:
        self.path = path
        self._mask = mask  # what matters of the thing that the path names
        self._inotify = inotify
        self._on_change = on_change
        self._directories: dict[int, set[str]] = {}
        self._file: int | None = None  # what the name means now
        self._held: dict[int, int] = {}  # open descriptor: watch
        self._poll: Timer | None = None
        self._stale = True
        self.refresh()

    def close(self) -> None:
        for fd in list(self._held):
            self.release(fd)
        for wd in self._directories:
            self._inotify.remove(wd, self)
        if self._file is not None:
            self._inotify.remove(self._file, (self, "file"))
        self._directories, self._file = {}, None
        self._stop_polling()

    def refresh(self) -> None:
        """Look anew which directories matter, if the name may mean something else; call before looking at the path."""
        if not self._stale:
            return
        self._stale = False
        way: list[tuple[str, str]] = []
        for _ in range(8):  # what changes between our look and the watch goes unseen: look again until it stands still
            if way == (way := steps(self.path)):
                break
            trouble = self._watch(way)
        if trouble is not None:
            self._complain(trouble)
            self._start_polling()
        elif self._inotify.untold(self.path):
            self._start_polling()
        else:
            self._stop_polling()

    def hold(self, fd: int) -> None:
        """Tell of the content of this open file too, whatever its name is now, until `release`."""
        try:
            self._held[fd] = self._inotify.add(f"/proc/self/fd/{fd}", FILE, (self, fd), self._on_file)
        except OSError as exc:
            self._complain(exc)
            self._start_polling()

    def release(self, fd: int) -> None:
        """Before it is closed."""
        wd = self._held.pop(fd, None)
        if wd is not None:
            self._inotify.remove(wd, (self, fd))

    def _watch(self, way: list[tuple[str, str]]) -> OSError | None:
        """Watch exactly what is on the way; what the kernel will not do is returned."""
        old, self._directories = self._directories, {}
        trouble: OSError | None = None
        for directory, name in way:
            try:
                wd = self._inotify.add(directory, DIRECTORY, self, self._on_directory)
            except OSError as exc:  # else it went away, or may not be read: the directory above tells of a change
                trouble = exc if exc.errno in _LIMITS else trouble
                continue
            self._directories.setdefault(wd, set()).add(name)
        for wd in old:
            if wd not in self._directories:
                self._inotify.remove(wd, self)
        old_file, self._file = self._file, None
        try:
            self._file = self._inotify.add(self.path, self._mask, (self, "file"), self._on_file)
        except OSError as exc:
            trouble = exc if exc.errno in _LIMITS else trouble
        if old_file is not None and old_file != self._file:
            self._inotify.remove(old_file, (self, "file"))
        return trouble

    def _complain(self, exc: OSError) -> None:
        self._inotify.complained.write(
            log.WARN,
            f"{self.path} cannot be watched ({exc.strerror}; see fs.inotify.max_user_watches),"
            " so it is looked at once a second",
        )

    def _start_polling(self) -> None:
        if self._poll is None:
            self._poll = self._inotify.loop.call_later(POLL_S, self._on_poll)

    def _stop_polling(self) -> None:
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None

    def _on_poll(self) -> None:
        self._stale = True
        self._poll = self._inotify.loop.call_later(POLL_S, self._on_poll)
        self._on_change(False)

    def _on_directory(self, mask: int, name: str) -> None:
        if name and not any(name in names for names in self._directories.values()):
            return
        self._stale = True
        self._on_change(False)

    def _on_file(self, mask: int, name: str) -> None:
        if mask & ~MODIFY:
            self._stale = True
        self._on_change(bool(mask & MODIFY))


def steps(path: str) -> list[tuple[str, str]]:
    """Each (directory, name) that is looked up on the way to `path`, symbolic links followed, as far as it exists.

    Source: path_resolution(7).
    """
    out: list[tuple[str, str]] = []
    todo = [part for part in reversed(path.split("/")) if part]
    here, links = "/", 0
    while todo:
        name = todo.pop()
        if name == ".":
            continue
        if name == "..":
            here = os.path.dirname(here)  # noqa: PTH120  # `here` has no links in it
            continue
        out.append((here, name))
        there = f"{here.rstrip('/')}/{name}"
        try:
            target = os.readlink(there)  # noqa: PTH115
        except OSError as exc:
            if exc.errno != errno.EINVAL:  # not EINVAL: missing, or not to be seen; no way further
                return out
            here = there
            continue
        links += 1
        if links > MAX_LINKS:
            return out
        if target.startswith("/"):
            here = "/"
        todo += [part for part in reversed(target.split("/")) if part]
    return out
