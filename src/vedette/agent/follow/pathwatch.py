"""Told when a path changes: its content, or what its name means.

A name means something else when any part of it is renamed, linked, removed or created, or when a permission changes.
So all that is passed on the way to the file is watched, each directory and link for what happens to itself, and the
file for its content. Only what is missing, or may not be looked at, is waited for in the directory that would hold it:
whatever else is done in a directory wakes nobody. Paths of one directory share the way there.
Where the kernel cannot tell (network file systems) or will not (limits), the path is looked at once a second.
Source: inotify(7).
"""

import errno
import os
from collections.abc import Callable
from typing import Final

from vedette.agent import log
from vedette.agent.follow.inotify import (
    ATTRIB,
    CREATE,
    DONT_FOLLOW,
    FILE,
    MODIFY,
    MOVED_TO,
    ONLYDIR,
    PASSED,
    Q_OVERFLOW,
    UNMOUNT,
    Inotify,
)
from vedette.agent.follow.listing import Listing
from vedette.agent.loop import Timer

AWAITED: Final = ATTRIB | MOVED_TO | CREATE
"""What brings a name into a directory, or makes it accessible."""
POLL_S: Final = 1.0
MAX_LINKS: Final = 40  # as the kernel: path_resolution(7)
_LIMITS: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE})


class Way:
    """All that is passed on the way to `path`, itself included, for everybody who comes along."""

    __slots__ = ("_awaited", "_inotify", "_passed", "_stale", "_wanted", "path", "trouble", "users")

    def __init__(self, inotify: Inotify, path: str) -> None:
        self.path = path
        self.users: dict[PathWatch, None] = {}  # in the order in which they came
        self.trouble: OSError | None = None  # what the kernel will not do
        self._inotify = inotify
        self._passed: set[int] = set()
        self._awaited: dict[int, tuple[str, set[str]]] = {}  # directory: its path, and the names that are missing there
        self._wanted: set[str] = set()  # names that users miss in `path`
        self._stale = True

    @staticmethod
    def to(inotify: Inotify, path: str, user: "PathWatch") -> "Way":
        """The one that all users share."""
        way = inotify.ways.get(path)
        if way is None:
            way = inotify.ways[path] = Way(inotify, path)
        way.users[user] = None
        return way

    def leave(self, user: "PathWatch") -> None:
        """Closed when nobody is left on it."""
        self.users.pop(user, None)
        if not self.users:
            self._inotify.ways.pop(self.path, None)
            self._close()

    def _close(self) -> None:
        for wd in self._passed | self._awaited.keys():
            self._inotify.unwatch(wd, self)
        self._passed, self._awaited = set(), {}

    def wants(self, wd: int) -> int:
        return (PASSED if wd in self._passed else 0) | (AWAITED if wd in self._awaited else 0)

    def told(self, wd: int, mask: int, name: str) -> None:
        if name and name not in self._awaited.get(wd, ("", ()))[1]:
            return
        if not name and not mask & (PASSED | UNMOUNT | Q_OVERFLOW):
            return
        self._stale = True
        for user in list(self.users):
            user.way_changed()

    def refresh(self) -> None:
        """Look anew what is passed, if that may have changed."""
        if not self._stale:
            return
        self._stale = False
        way: list[tuple[str, str]] = []
        for _ in range(8):  # what changes between our look and the watch goes unseen: look again until it stands still
            if way == (way := steps(self.path)):
                break
            self._watch(way)

    def miss(self, name: str) -> bool:
        """Tell when there is `name` in `path`; True when that was so before, so that nothing can have been missed."""
        if name in self._wanted:
            return True
        self._wanted.add(name)
        self._await(self.path, name)
        return False

    def found(self, name: str) -> None:
        """It is there."""
        if name in self._wanted:
            self._wanted.discard(name)
            for wd, (path, names) in list(self._awaited.items()):
                if path == self.path and name in names:
                    names.discard(name)
                    if not names:
                        self._await_no_more(wd, path)

    def _watch(self, way: list[tuple[str, str]]) -> None:
        old_passed, self._passed = self._passed, set()
        old_awaited, self._awaited = self._awaited, {}
        self.trouble = None
        for directory, name in way:
            try:
                path = f"{directory.rstrip('/')}/{name}"
                self._passed.add(self._inotify.watch(path, PASSED | DONT_FOLLOW, self))
            except OSError as exc:  # missing, or not to be looked at
                self._note(exc)
                self._await(directory, name)
        for name in self._wanted:
            self._await(self.path, name)
        for wd in old_passed | old_awaited.keys():
            if wd not in self._passed and wd not in self._awaited:
                self._inotify.unwatch(wd, self)
            elif wd in old_awaited and wd not in self._awaited:
                self._inotify.narrow(wd, old_awaited[wd][0])

    def _await(self, directory: str, name: str) -> None:
        try:
            wd = self._inotify.watch(directory, AWAITED | ONLYDIR, self)
        except OSError as exc:  # it went away, or may not be read either: what is above tells of a change
            self._note(exc)
            return
        self._awaited.setdefault(wd, (directory, set()))[1].add(name)

    def _await_no_more(self, wd: int, path: str) -> None:
        del self._awaited[wd]
        if wd in self._passed:
            self._inotify.narrow(wd, path)
        else:
            self._inotify.unwatch(wd, self)

    def _note(self, exc: OSError) -> None:
        if exc.errno in _LIMITS:
            self.trouble = exc


class PathWatch:
    """Calls `on_change(modified)` when content or the meaning of the name `path` may have changed; never misses one.

    May call once too often, so the callee looks at what is there; `modified` tells that content was written.
    Calls come from the loop, never from a method here.
    """

    __slots__ = ("_file", "_held", "_inotify", "_mask", "_on_change", "_poll", "_stale", "_way", "path")

    def __init__(self, inotify: Inotify, path: str, on_change: Callable[[bool], None], mask: int = FILE) -> None:
        self.path = path
        self._mask = mask  # what matters of the thing that the path names
        self._inotify = inotify
        self._on_change = on_change
        self._way: Way | None = None
        self._file: int | None = None  # what the name means now
        self._held: tuple[int, ...] = ()  # in turn: an open descriptor, and its watch
        self._poll: Timer | None = None
        self._stale = True
        self.refresh()

    def close(self) -> None:
        for fd in self._held[::2]:
            self.release(fd)
        file, self._file = self._file, None
        if file is not None:
            self._inotify.unwatch(file, self)
        if self._way is not None:
            self._go(None)
        self._stop_polling()

    def refresh(self) -> None:
        """Look anew what the name means, if that may have changed; call before looking at the path."""
        if not self._stale:
            return
        self._stale = False
        trouble: OSError | None = None
        for _ in range(8):  # until it stands still
            link = os.path.islink(self.path)  # noqa: PTH114
            way = self._go(self.path if link else os.path.dirname(self.path) or "/")  # noqa: PTH120
            assert way is not None
            way.refresh()
            missing = self._watch_file()
            trouble = way.trouble or (missing if missing is not None and missing.errno in _LIMITS else None)
            if missing is None or link:
                way.found(os.path.basename(self.path))  # noqa: PTH119
                if link == os.path.islink(self.path):  # noqa: PTH114
                    break
            elif way.miss(os.path.basename(self.path)):  # noqa: PTH119
                break
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
            wd = self._inotify.watch(f"/proc/self/fd/{fd}", FILE, self)
            self._held += (fd, self._file if wd == self._file and self._file is not None else wd)  # one object
        except OSError as exc:
            self._complain(exc)
            self._start_polling()

    def release(self, fd: int) -> None:
        """Before it is closed."""
        for at in range(0, len(self._held), 2):
            if self._held[at] == fd:
                wd = self._held[at + 1]
                self._held = self._held[:at] + self._held[at + 2 :]
                self._drop(wd)
                return

    def wants(self, wd: int) -> int:
        return (self._mask if wd == self._file else 0) | (FILE if wd in self._held[1::2] else 0)

    def told(self, wd: int, mask: int, name: str) -> None:
        if not name and mask & ~MODIFY:
            self._stale = True
        self._on_change(bool(mask & MODIFY))

    def way_changed(self) -> None:
        """The name may mean something else."""
        self._stale = True
        self._on_change(False)

    def _go(self, path: str | None) -> Way | None:
        """Be on the way to `path`, and no other."""
        old = self._way
        if old is None or old.path != path:
            self._way = None if path is None else Way.to(self._inotify, path, self)
            if old is not None:
                old.found(os.path.basename(self.path))  # noqa: PTH119
                old.leave(self)
        return self._way

    def _watch_file(self) -> OSError | None:
        """Watch what the name means now; returns why that cannot be."""
        old, self._file = self._file, None
        try:
            self._file = self._inotify.watch(self.path, self._mask, self)
        except OSError as exc:
            return exc
        finally:
            if old is not None and old != self._file:
                self._drop(old)
        return None

    def _drop(self, wd: int) -> None:
        if wd != self._file and wd not in self._held[1::2]:
            self._inotify.unwatch(wd, self)

    def warn(self, sentence: str) -> None:
        """Of what happens to thousands of paths together: said of a few of them."""
        self._inotify.complained.write(log.WARN, sentence)

    def beside(self) -> list[Listing]:
        """What lies beside the path, and beside what it links to."""
        return self._inotify.listings.beside(self.path)

    def _complain(self, exc: OSError) -> None:
        self.warn(
            f"{self.path} cannot be watched ({exc.strerror}; see fs.inotify.max_user_watches),"
            " so it is looked at once a second"
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
