"""All the files that a pattern of names means, each followed from its start with a place of its own.

What is rotated is the affair of the file that it was: `app.log.1` is not read beside `app.log`. A file that was renamed
to another name that is meant goes on there. One that is gone is forgotten after a while.
"""

import os
import stat
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from itertools import chain, islice
from typing import Final

from vedette.agent import log
from vedette.agent.follow.events import Rule
from vedette.agent.follow.file import LINGER_S, FileSource, Read
from vedette.agent.follow.generation import Generation
from vedette.agent.follow.glob import Glob
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.position import Position
from vedette.agent.follow.rest import Awake
from vedette.agent.follow.rotation import ROTATED_END, is_rotated
from vedette.agent.loop import Loop, Timer
from vedette.errors import Unavailable

MAX_FILES: Final = 10_000
"""Followed for one pattern; those with the first names."""
STEP_FILES: Final = 32
STEP_BYTES: Final = 256 * 1024
STEP_S: Final = 0.005
"""Files of which more must be found out than what was added take longer."""
ADD_FILES: Final = 64
"""Opened in one go."""
LOOK_S: Final = 0.1
"""Directories are looked through no more often than that."""
LONG_LOOK_S: Final = 0.01
LOOK_SHARE: Final = 10
"""After a longer look this many times as long nobody looks: large directories may never rest."""
_INODE: Final = (1 << 64) - 1
PACKED: Final = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".lzma", ".Z", ".zip")


class ManySource:
    """One pattern and the checks on it."""

    def __init__(
        self,
        pattern: str,
        loop: Loop,
        inotify: Inotify,
        context: int,
        on_ready: Callable[["ManySource"], None],
        rule: Rule | None = None,
        awake: Awake | None = None,
    ) -> None:
        self.pattern = pattern
        self._awake = awake or Awake()
        self._loop, self._inotify, self._context, self._rule = loop, inotify, context, rule
        self._on_ready = on_ready
        self._files: dict[str, FileSource] = {}
        self._ready: dict[str, None] = {}
        self._starts: dict[str, dict[str, Position]] = {}  # where checks stopped in files that are not followed yet
        self._to_add: list[str] = []  # files that are to be followed, the first one last
        self._held: dict[int, str] = {}  # while there are such: which file is open under which name
        self._known: dict[int, list[str]] | None = None  # meanwhile: under which names an inode number is known
        self._new: set[str] = set()  # files whose place is not in the store yet
        self._read: dict[str, set[str]] = {}  # for each check, files whose place may have changed
        self._gone: dict[str, float] = {}  # since when a followed file is missing
        self._awaited: set[str] = set()  # files of which older parts are there: without them those would be read again
        self._over: set[str] = set()  # files whose places can be forgotten
        self._news = False
        self._stale = True
        self._look_from = 0.0
        self._timers: dict[str, Timer] = {}
        self._complaints = log.Limited(burst=1, interval_s=3600, clock=loop.clock)
        self._glob = Glob(inotify, pattern, self._changed)
        self._on_file_ready = self._file_ready  # one object for all files

    def subscribe(self, key: str, places: Mapping[str, Position]) -> None:
        """From these places on, by path; in all other files from the start."""
        self._starts[key] = {path: place for path, place in places.items() if self._glob.means(path)}
        self._over |= places.keys() - self._starts[key].keys()
        self._read[key] = set()
        for path, file in self._files.items():
            self._subscribe(file, key, self._starts[key].pop(path, None))
        self._stale = True
        self._on_ready(self)

    def unsubscribe(self, key: str) -> None:
        self._starts.pop(key, None)
        self._read.pop(key, None)
        for file in self._files.values():
            file.unsubscribe(key)

    def close(self) -> None:
        self._glob.close()
        for timer in self._timers.values():
            timer.cancel()
        for file in self._files.values():
            file.close()
        self._files = {}

    def places(self, key: str) -> dict[str, Position]:
        """By path, those that may have changed since the last time."""
        read = self._read.get(key, set())
        found = {path: self._files[path].position(key) for path in read if path in self._files}
        read.clear()
        return {path: position for path, position in found.items() if position is not None}

    def save_all(self) -> None:
        """Nobody has kept the places."""
        for read in self._read.values():
            read.update(self._files)

    @property
    def news(self) -> bool:
        """Was a file found whose place is not in the store yet? Asked once."""
        news, self._news = self._news, False
        return news

    def take_over(self) -> set[str]:
        """Files that are gone for good, so that their places can be forgotten. Asked once."""
        over, self._over = self._over, set()
        return over

    @property
    def more(self) -> bool:
        return bool(self._ready or self._to_add) or (self._stale and "look" not in self._timers)

    def step(self) -> list[Read]:
        """A bounded piece of reading, in some of the files that have something."""
        if self._stale:
            self._look()
        if self._to_add and len(self._ready) < ADD_FILES:  # one that is opened takes more memory until it is read
            self._add_some()
        out: list[Read] = []
        size = 0
        clock = self._loop.clock
        over_s = clock.elapsed() + STEP_S
        for path in list(islice(self._ready, STEP_FILES)):
            del self._ready[path]
            file = self._files[path]
            reads = file.step()
            for read in reads:
                size += len(read.block.data)
                out.append(Read(keys=read.keys, block=replace(read.block, path=path)))
            for read_files in self._read.values():
                read_files.add(path)
            if path in self._new and any(file.position(key) is not None for key in self._read):
                self._new.discard(path)
                self._over.discard(path)
                self._news = True
            if file.more:
                self._ready[path] = None
            if size >= STEP_BYTES or clock.elapsed() >= over_s:
                break
        if not self._ready:
            self._ready = {}  # one that held many keeps its room for them
        return out

    # -- which files ---------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._stale = True
        self._on_ready(self)

    def _look(self) -> None:
        """Look which files there are, unless that was done just now: then a little later."""
        if "look" in self._timers:
            return
        now = self._loop.clock.elapsed()
        if now < self._look_from:
            self._timer("look", self._look_from, lambda: self._on_ready(self))
            return
        self._stale = False
        found = self._glob.found()
        known = {*found, *self._files, *(path for places in self._starts.values() for path in places)}
        parts = {path: whole for path in known if (whole := _part_of(path, known))}
        wanted = known - parts.keys()
        self._awaited = {parts[path] for path in found if path in parts}
        self._plan_to_add(wanted - self._files.keys(), {path for path, link in found.items() if link})
        wanted.intersection_update(found)
        wanted |= self._awaited
        for path in self._files:
            if path in wanted:
                self._gone.pop(path, None)
            else:
                self._gone.setdefault(path, now)
        self._timer_for_gone()
        took = self._loop.clock.elapsed() - now
        self._look_from = now + (LOOK_S if took < LONG_LOOK_S else took * LOOK_SHARE)

    def _plan_to_add(self, paths: set[str], links: set[str]) -> None:
        # Links last: one that leads to a file that is followed under its own name brings nothing.
        self._to_add = sorted(paths, reverse=True)
        self._to_add.sort(key=links.__contains__, reverse=True)
        self._held, self._known = {}, None
        if paths:
            for path, file in self._files.items():
                for device, inode in file.identities():
                    self._held[device << 64 | inode] = path

    def _add_some(self) -> None:
        """A bounded number of them; the others after whatever else there is to do."""
        added = 0
        while self._to_add and added < ADD_FILES:
            if len(self._files) >= MAX_FILES or self._glob.cut:
                self._complaints.write(
                    log.WARN, f"{self.pattern} means too much: no more than {len(self._files)} files are followed"
                )
            if len(self._files) >= MAX_FILES:
                self._to_add = []
                break
            added += self._add(self._to_add.pop())
        if not self._to_add:
            self._held, self._known = {}, None

    def _add(self, path: str) -> bool:
        """Follow it, unless it is followed under another name."""
        try:
            status = os.stat(path)  # noqa: PTH116
            identity: tuple[int, int] | None = (status.st_dev, status.st_ino)
            if stat.S_ISDIR(status.st_mode):
                return False
        except OSError:
            identity = None  # missing: what was read under this name may have been rotated
        moved: dict[str, Position] = {}
        if identity is not None:
            name = self._held.get(_number(identity))
            if name is not None and _identity(name) == identity:
                return False
            self._held[_number(identity)] = path
            if name is not None and name in self._files:
                moved = self._hand_over(self._files[name], identity, path)
        file = FileSource(path, self._loop, self._inotify, self._context, self._on_file_ready, self._rule, self._awake)
        for key, starts in self._starts.items():
            start = moved.get(key) or starts.get(path)
            if start is not None and (identity is None or start.inode != identity[1]) and self._has_moved(start):
                start = start.behind()  # it goes on under its new name; what is here came after it
            self._subscribe(file, key, start)
        for starts in self._starts.values():
            starts.pop(path, None)
        if moved:
            self._new.add(path)
        if identity is None and path not in self._awaited and not os.path.lexists(path):
            self._gone[path] = self._loop.clock.elapsed()
            self._timer_for_gone()
        self._files[path] = file
        self._ready[path] = None
        return True

    def _hand_over(self, file: FileSource, identity: tuple[int, int], path: str) -> dict[str, Position]:
        moved = file.hand_over(identity, path)
        if any(file.position(key) is not None for key in self._read):  # it has gone on with what has the name now
            for read in self._read.values():
                read.add(file.path)
        else:
            self._new.add(file.path)
            self._over.add(file.path)  # the place is kept under the new name; it must not be found under both
        return moved

    def _subscribe(self, file: FileSource, key: str, start: Position | None) -> None:
        if start is None or start.path != file.path:
            self._new.add(file.path)
        file.subscribe(key, start)

    def _has_moved(self, start: Position) -> bool:
        """Is the file at this place known under another name, since it was renamed before the last run ended?"""
        if self._known is None:
            self._known = {}
            places = ((place.inode, path) for places in self._starts.values() for path, place in places.items())
            held = ((number & _INODE, path) for number, path in self._held.items())
            ahead = ((entry.st_ino, path) for path in self._to_add if (entry := _lstat(path)) is not None)
            for inode, path in chain(places, held, ahead):
                self._known.setdefault(inode, []).append(path)
        return any(name != start.path and _is_at(name, start) for name in set(self._known.get(start.inode, ())))

    def _file_ready(self, file: FileSource) -> None:
        self._ready[file.path] = None
        self._on_ready(self)

    def _timer_for_gone(self) -> None:
        if self._gone and "gone" not in self._timers:
            self._timer("gone", min(self._gone.values()) + LINGER_S, self._forget)

    def _forget(self) -> None:
        """Files that have been missing for a while will not come back as what they were."""
        now = self._loop.clock.elapsed()
        for path, since in list(self._gone.items()):
            if now < since + LINGER_S:
                continue
            if path in self._ready:  # nobody has read it to its end yet, for the store takes nothing
                self._gone[path] = now
                continue
            del self._gone[path]
            self._files.pop(path).close()
            self._ready.pop(path, None)
            self._new.discard(path)
            for starts in self._starts.values():
                starts.pop(path, None)
            self._over.add(path)
        self._timer_for_gone()
        self._changed()

    def _timer(self, name: str, at: float, callback: Callable[[], None]) -> None:
        def fire() -> None:
            del self._timers[name]
            callback()

        self._timers[name] = self._loop.call_at(at, fire)


def _part_of(path: str, known: Set[str]) -> str:
    """Another file that is meant, of which it is an older part: of app.log.1, app.log-20260824; "" of none.

    What is packed is a part of itself.
    """
    if path.endswith(PACKED):
        return path
    if path[-1] not in ROTATED_END:
        return ""
    start = path.rfind("/") + 1
    for end in range(start + 1, len(path)):
        if path[end] in ".-" and path[:end] in known and is_rotated(path[start:], path[start:end]):
            return path[:end]
    return ""


def _number(identity: tuple[int, int]) -> int:
    """One small key for device and inode."""
    return identity[0] << 64 | identity[1]


def _is_at(path: str, place: Position) -> bool:
    """Is this the file of that place? Its number alone may have been given to a new file."""
    if place.offset == 0:
        return False  # no content to know it by
    try:
        found = Generation.open(path, 0)
    except (OSError, Unavailable):
        return False
    try:
        return found.inode == place.inode and found.is_at(place)
    finally:
        found.close()


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_dev, status.st_ino
