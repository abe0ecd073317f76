"""All that is in some directories, told one by one: no link is followed, and what was not seen is said.

Directories are opened by their descriptors, so that nobody who renames them meanwhile leads the walk elsewhere. Names
are texts as `os.fsdecode` makes them: what is no UTF-8 survives, and is made safe where it is shown.
"""

import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vedette.agent.security import mounts
from vedette.agent.security.mounts import Mount
from vedette.agent.security.patterns import Patterns
from vedette.clock import Clock

MAX_DEPTH: Final = 100
"""Of directories within one another; each holds two descriptors open."""
MAX_LINKS: Final = 40  # as the kernel: path_resolution(7)
_ASK_EVERY: Final = 256  # entries between two looks at the clock
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_DIRECTORY: Final = _OPEN | os.O_DIRECTORY


class Entry:
    """One name in a directory. Only good until the next one is asked for."""

    __slots__ = ("_parent", "directory", "name", "stat")

    def __init__(self, parent: int, directory: str, name: str, found: os.stat_result) -> None:
        self._parent = parent
        self.directory, self.name, self.stat = directory, name, found

    @property
    def path(self) -> str:
        """On the device, absolute."""
        return join(self.directory, self.name)

    def open(self) -> int:
        """A descriptor to read the file from, without a new time of access where that is allowed. Raises OSError."""
        name = self.name or "."
        try:
            return os.open(name, _OPEN | os.O_NOATIME, dir_fd=self._parent)
        except PermissionError:
            return os.open(name, _OPEN, dir_fd=self._parent)

    def target(self) -> str:
        """Of a symbolic link. Raises OSError."""
        return os.readlink(self.name, dir_fd=self._parent)

    def attribute(self, name: str) -> bytes:
        """An extended attribute, b"" where there is none. Raises OSError."""
        try:
            return os.getxattr(f"/proc/self/fd/{self._parent}/{self.name}", name, follow_symlinks=False)
        except OSError as exc:
            if exc.errno in {61, 95}:  # ENODATA, EOPNOTSUPP
                return b""
            raise


class Walk:
    """Goes through `starts` below `root`; iterate over it once, then read what it says of itself."""

    def __init__(
        self,
        root: Path,
        starts: Sequence[str],
        *,
        exclude: Sequence[str],
        clock: Clock,
        until: float = math.inf,
        leave: Callable[[Mount], bool] = lambda mount: False,
    ) -> None:
        """
        Args:
            until: by `clock.elapsed()`, when to stop.
            leave: mounts not to go into, besides those of the kernel and of other machines, unless a start lies there.
        """
        self._root, self._clock, self._until = root, clock, until
        self._patterns, self._exclude = list(exclude), Patterns(exclude)
        table = mounts.read(root)
        self._known = table is not None
        self._mounts = table or {}
        self._barriers = {
            each.point: each for each in self._mounts.values() if each.pseudo or each.remote or leave(each)
        }
        self.starts = self._distinct(starts)
        """Without links, and none within another, unless something lies between them that is not gone into."""
        self.partial = False
        self.left: list[str] = []
        """Mount points where `leave` said so."""
        self._unseen: dict[str, str] = {}
        self._count = 0

    @property
    def unseen(self) -> list[str]:
        """What could not be looked at, each "PLACE: why"."""
        return [f"{place}: {why}" for place, why in self._unseen.items()]

    def seen(self) -> dict[str, Any]:
        """For `Seen`, after the walk."""
        found = {"starts": self.starts, "exclude": self._patterns, "unseen": self._unseen, "left": self.left}
        return {name: sorted(each) for name, each in found.items()}  # directories tell their names in any order

    def __iter__(self) -> Iterator[Entry]:
        for start in self.starts:
            if self.partial:
                return
            yield from self._start(start)

    def covers(self, path: str) -> bool:
        """Would this path have been told, were it there? Asked after the walk."""
        return (
            any(within(path, start) for start in self.starts)
            and not self._exclude.match(path)
            and not self.hidden(path)
        )

    def hidden(self, path: str) -> bool:
        """Is it where the walk could not look?"""
        place = max((len(each) for each in (*self._unseen, *self.left) if within(path, each)), default=-1)
        start = max((len(each) for each in self.starts if within(path, each)), default=-1)
        return place >= max(start, 0)  # one may start behind what is not entered

    def _distinct(self, starts: Sequence[str]) -> list[str]:
        """Each start as it is called without links, the links on the way, and what is mounted out of a walk's reach."""
        found = dict.fromkeys(each for start in starts for each in self._resolved(start))
        remote = [point for point, mount in self._barriers.items() if mount.remote]
        for point in self._mounts.keys() - self._barriers.keys():
            if any(within(point, each) for each in found) and not any(within(point, each) for each in remote):
                found[point] = None
        return [each for each in found if not any(self._is_seen_from(other, each) for other in found)]

    def _is_seen_from(self, start: str, path: str) -> bool:
        if start == path or not within(path, start):
            return False
        return not any(within(path, point) and within(point, start) for point in self._barriers)

    def _resolved(self, path: str) -> list[str]:
        """The path without links below `root`, and before it each link that it leads through."""
        links: list[str] = []
        waiting = [part for part in path.split("/") if part][::-1]
        at = "/"
        while waiting:
            part = waiting.pop()
            if part in {".", ".."}:
                at = (at.rpartition("/")[0] or "/") if part == ".." else at
                continue
            here = join(at, part)
            try:
                target = str(Path(f"{self._root}{here}").readlink())
            except OSError:  # no link, or nothing at all
                at = here
                continue
            links.append(here)
            if len(links) > MAX_LINKS:  # they lead round in a circle
                return links
            at = "/" if target.startswith("/") else at
            waiting += [each for each in target.split("/") if each][::-1]
        return [*links, at]

    def _start(self, path: str) -> Iterator[Entry]:
        """The start itself, and all below it."""
        if self._exclude.match(path):
            return
        parts = [part for part in path.split("/") if part]
        parent = -1
        try:
            parent = os.open(self._root, _DIRECTORY & ~os.O_NOFOLLOW)
            for part in parts[:-1]:
                below = os.open(part, _DIRECTORY, dir_fd=parent)
                os.close(parent)
                parent = below
            name = parts[-1] if parts else "."
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            directory = "/" + "/".join(parts[:-1])
            yield Entry(parent, directory, name if parts else "", found)
            if stat.S_ISDIR(found.st_mode):
                yield from self._tree(os.open(name, _DIRECTORY, dir_fd=parent), path)
        except (FileNotFoundError, NotADirectoryError):
            pass  # it is no fault that there is nothing
        except OSError as exc:
            self._not_seen(path, exc)
        finally:
            if parent >= 0:
                os.close(parent)

    def _tree(self, top: int, path: str) -> Iterator[Entry]:
        """What is below the directory `path`; closes its descriptor `top`."""
        levels: list[_Level] = []
        try:
            levels.append(_Level(top, path))
            device = os.fstat(top).st_dev
            while levels:
                level = levels[-1]
                try:
                    for found in level.entries:
                        self._count += 1
                        if self._count % _ASK_EVERY == 0 and self._clock.elapsed() > self._until:
                            self.partial = True
                            return
                        is_directory = found.is_dir(follow_symlinks=False)
                        if is_directory and self._stops(join(level.path, found.name)):
                            continue
                        if self._exclude and self._exclude.match(join(level.path, found.name)):
                            continue
                        entry = self._entry(level, found)
                        if entry is None:
                            continue
                        yield entry
                        if is_directory:
                            below = self._enter(level, found.name, device, len(levels))
                            if below is not None:
                                levels.append(below)
                                break
                    else:
                        levels.pop().close()
                except OSError as exc:  # the rest of this directory
                    self._not_seen(level.path, exc)
                    levels.pop().close()
        finally:
            for level in levels:
                level.close()

    def _entry(self, level: "_Level", found: os.DirEntry[str]) -> Entry | None:
        """Raises OSError: nothing of this directory can be looked at."""
        try:
            return Entry(level.fd, level.path, found.name, found.stat(follow_symlinks=False))
        except FileNotFoundError:
            return None
        except OSError as exc:
            os.stat(".", dir_fd=level.fd)  # is it this name alone?
            self._not_seen(join(level.path, found.name), exc)
            return None

    def _enter(self, level: "_Level", name: str, device: int, depth: int) -> "_Level | None":
        path = join(level.path, name)
        try:
            if depth >= MAX_DEPTH:
                raise OSError(0, f"more than {MAX_DEPTH} directories within one another")
            if not self._known and os.stat(name, dir_fd=level.fd, follow_symlinks=False).st_dev != device:
                raise OSError(0, "another file system, and the system does not tell which")
            return _Level(os.open(name, _DIRECTORY, dir_fd=level.fd), path)
        except (FileNotFoundError, NotADirectoryError):
            pass  # gone, or something else by now
        except OSError as exc:
            self._not_seen(path, exc)
        return None

    def _stops(self, path: str) -> bool:
        """Is something mounted there that is not gone into?"""
        mount = self._barriers.get(path)
        if mount is None or path in self.starts:
            return False
        if mount.remote:
            self._unseen[path] = f"mounted from elsewhere ({mount.type})"
        elif not mount.pseudo:
            self.left.append(path)
        return True

    def _not_seen(self, path: str, exc: OSError) -> None:
        self._unseen.setdefault(path, exc.strerror or str(exc))


class Seen:
    """What an earlier walk could see: what is elsewhere is not new, it is only seen for the first time."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._starts, self._exclude = told.get("starts", ()), Patterns(told.get("exclude", ()))
        self._unseen = told.get("unseen", ())

    def covers(self, path: str) -> bool:
        """Would it have been told?"""
        return (
            any(within(path, start) for start in self._starts)
            and not self._exclude.match(path)
            and not any(within(path, place) for place in self._unseen)
        )


class _Level:
    """An open directory, partly told."""

    __slots__ = ("entries", "fd", "path")

    def __init__(self, fd: int, path: str) -> None:
        self.fd, self.path = fd, path
        try:
            self.entries = os.scandir(fd)
        except OSError:
            os.close(fd)
            raise

    def close(self) -> None:
        self.entries.close()
        os.close(self.fd)


def join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory != "/" else f"/{name}"


def within(path: str, place: str) -> bool:
    """Is it that place, or below it?"""
    return path == place or path.startswith(place if place == "/" else place + "/")
