"""Which files a pattern of names means, and word from the kernel when that may have changed.

`*`, `?` and `[...]` as a shell takes them, in any part of the path; no `**`, no braces, and a name that begins with a
dot only where the pattern does. Each directory that is looked into is watched first, so nothing that appears is missed.
"""

import os
import re
from collections.abc import Callable
from fnmatch import translate
from typing import Final

from vedette.agent.follow.inotify import (
    ATTRIB,
    CREATE,
    DELETE,
    DELETE_SELF,
    MOVE_SELF,
    MOVED_FROM,
    MOVED_TO,
    Inotify,
)
from vedette.agent.follow.pathwatch import PathWatch

MAX_DIRECTORIES: Final = 1000
"""Looked into for one pattern."""
NAMES: Final = ATTRIB | CREATE | DELETE | DELETE_SELF | MOVE_SELF | MOVED_FROM | MOVED_TO
_MAGIC: Final = re.compile(r"[*?[]")


def is_pattern(path: str) -> bool:
    """Does it mean several files? A file of that very name is just that file."""
    return path.startswith("/") and _MAGIC.search(path) is not None and not os.path.lexists(path)


class Glob:
    """One pattern. `on_change` comes from the loop, also when nothing that matters has changed."""

    def __init__(self, inotify: Inotify, pattern: str, on_change: Callable[[], None]) -> None:
        parts = [part for part in pattern.split("/") if part]
        first = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
        self._base = "/" + "/".join(parts[:first])
        self._parts = [(part, re.compile(translate(part)) if _MAGIC.search(part) else None) for part in parts[first:]]
        self._inotify = inotify
        self._on_change = on_change
        self._watches: dict[str, PathWatch] = {}
        self.cut = False
        """There are more directories than are looked into."""

    def close(self) -> None:
        for watch in self._watches.values():
            watch.close()
        self._watches = {}

    def means(self, path: str) -> bool:
        """Would a file of this path be found?"""
        base = self._base.rstrip("/") + "/"
        names = path[len(base) :].split("/")
        return (
            path.startswith(base)
            and len(names) == len(self._parts)
            and all(
                name == part if regex is None else _fits(name, part, regex)
                for name, (part, regex) in zip(names, self._parts, strict=True)
            )
        )

    def found(self) -> dict[str, bool]:
        """What there is now, sorted, what is no file among it; and whether it is a link."""
        old, self._watches = self._watches, {}
        self.cut = False
        here = {self._base: False}
        for part, regex in self._parts:
            there: dict[str, bool] = {}
            for directory in here:
                if len(self._watches) >= MAX_DIRECTORIES:
                    self.cut = True
                    break
                self._watch(directory, old)
                start = directory.rstrip("/") + "/"
                there.update((start + name, link) for name, link in _names(directory, part, regex))
            here = there
        for watch in old.values():
            watch.close()
        return dict(sorted(here.items()))

    def _watch(self, directory: str, old: dict[str, PathWatch]) -> None:
        watch = old.pop(directory, None)
        if watch is None:
            watch = PathWatch(self._inotify, directory, lambda modified: self._on_change(), NAMES)
        else:
            watch.refresh()
        self._watches[directory] = watch


def _names(directory: str, part: str, regex: re.Pattern[str] | None) -> list[tuple[str, bool]]:
    """And whether each is a link."""
    if regex is None:
        path = f"{directory}/{part}"
        return [(part, os.path.islink(path))] if os.path.lexists(path) else []  # noqa: PTH114
    try:
        with os.scandir(directory) as entries:
            return [(entry.name, entry.is_symlink()) for entry in entries if _fits(entry.name, part, regex)]
    except OSError:  # no directory, or gone: the watch tells when that changes
        return []


def _fits(name: str, part: str, regex: re.Pattern[str]) -> bool:
    # A name that is no text could not be told to anybody.
    return (not name.startswith(".") or part.startswith(".")) and regex.match(name) is not None and _is_text(name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
