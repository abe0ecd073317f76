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
CLOSE_WRITE: Final = 0x8

DIRECTORY: Final = ATTRIB | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF | ONLYDIR
FILE: Final = MODIFY | ATTRIB | MOVE_SELF | DELETE_SELF

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
        self._complained = log.Limited(burst=3, clock=loop.clock)
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
                self._complained.write(log.WARN, "more changes of files than the kernel keeps; looking at all of them")
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
    """Calls `on_change` when the content of `path` or the meaning of its name may have changed; never misses one.

    May call once too often, so the callee looks at what is there. Calls come from the loop, never from a method here.
    """

    def __init__(self, inotify: Inotify, path: str, on_change: Callable[[], None]) -> None:
        self.path = path
        self._inotify = inotify
        self._on_change = on_change
        self._directories: dict[int, set[str]] = {}
        self._file: int | None = None
        self._extra: int | None = None  # the file that is held open, when it has another name by now
        self._poll: Timer | None = None
        self._stale = False
        self._refresh()

    def close(self) -> None:
        for wd in self._directories:
            self._inotify.remove(wd, self)
        if self._file is not None:
            self._inotify.remove(self._file, (self, "file"))
        if self._extra is not None:
            self._inotify.remove(self._extra, (self, "held"))
        self._directories, self._file, self._extra = {}, None, None
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None

    def refresh(self) -> None:
        """Look anew which directories matter, if the name may mean something else; call before looking at the path."""
        if self._stale:
            self._refresh()

    def hold(self, fd: int | None) -> None:
        """Go on telling of the content of an open file, whatever its name is now; None: not any more."""
        old, self._extra = self._extra, None
        if fd is not None:
            try:
                self._extra = self._inotify.add(f"/proc/self/fd/{fd}", FILE, (self, "held"), self._on_file)
            except OSError as exc:
                self._trouble(exc)
        if old is not None and old != self._extra:
            self._inotify.remove(old, (self, "held"))

    def _refresh(self) -> None:
        self._stale = False
        old = self._directories
        self._directories = {}
        trouble: OSError | None = None
        for directory, name in steps(self.path):
            try:
                wd = self._inotify.add(directory, DIRECTORY, self, self._on_directory)
            except OSError as exc:
                if exc.errno in (errno.ENOSPC, errno.ENOMEM, errno.EMFILE):
                    trouble = exc
                continue  # went away, or may not be read: the directory above tells when that changes
            self._directories.setdefault(wd, set()).add(name)
        for wd in old:
            if wd not in self._directories:
                self._inotify.remove(wd, self)
        old_file, self._file = self._file, None
        try:
            self._file = self._inotify.add(self.path, FILE, (self, "file"), self._on_file)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.ENOMEM, errno.EMFILE):
                trouble = exc
        if old_file is not None and old_file != self._file:
            self._inotify.remove(old_file, (self, "file"))
        if trouble is not None:
            self._trouble(trouble)
        elif self._inotify.untold(self.path):
            self._start_polling()
        elif self._poll is not None:
            self._poll.cancel()
            self._poll = None

    def _trouble(self, exc: OSError) -> None:
        self._inotify._complained.write(
            log.WARN,
            f"{self.path} cannot be watched ({exc.strerror}; see fs.inotify.max_user_watches),"
            " so it is looked at once a second",
        )
        self._start_polling()

    def _start_polling(self) -> None:
        if self._poll is None or not self._poll.pending:
            self._poll = self._inotify.loop.call_later(POLL_S, self._on_poll)

    def _on_poll(self) -> None:
        self._stale = True
        self._poll = self._inotify.loop.call_later(POLL_S, self._on_poll)
        self._on_change()

    def _on_directory(self, mask: int, name: str) -> None:
        if name and not any(name in names for names in self._directories.values()):
            return
        self._stale = True
        self._on_change()

    def _on_file(self, mask: int, name: str) -> None:
        if mask & ~MODIFY:
            self._stale = True
        self._on_change()


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
