"""What a log was called before and after: its older generations beside it, and which of them comes next."""

import os
import re
from typing import Final

from vedette.agent.follow.generation import Generation

MAX_SIBLINGS: Final = 10_000
"""Looked at in one directory."""

# app.log.1, app.log-20260824: rotated, and not compressed since
_ROTATED: Final = re.compile(r"[.-]\d[\d.T_-]*")
ROTATED_END: Final = "0123456789.T_-"
"""With one of these ends every name of an older generation."""
_SHORT_NUMBER: Final = re.compile(r"[.-](\d{1,4})")


def siblings(path: str) -> list[os.DirEntry[str]]:
    """What lies beside `path`, and beside what it links to."""
    out: list[os.DirEntry[str]] = []
    for directory in dict.fromkeys((os.path.dirname(path), os.path.dirname(os.path.realpath(path)))):  # noqa: PTH120
        try:
            with os.scandir(directory or ".") as entries:
                for entry in entries:
                    out.append(entry)
                    if len(out) >= MAX_SIBLINGS:
                        return out
        except OSError:
            continue
    return out


def is_rotated(name: str, base: str) -> bool:
    """Could `name` be an older generation of `base`: base.1, base-20260824, not compressed?"""
    return name.startswith(base) and _ROTATED.fullmatch(name[len(base) :]) is not None


def rotated(path: str) -> list[tuple[os.stat_result, str, int | None]]:
    """The older generations of `path` that are there: status, path, and the short number at its end if it has one."""
    base = os.path.basename(path)  # noqa: PTH119
    found: list[tuple[os.stat_result, str, int | None]] = []
    for entry in siblings(path):
        try:
            if is_rotated(entry.name, base) and entry.is_file(follow_symlinks=False):
                short = _SHORT_NUMBER.fullmatch(entry.name[len(base) :])
                found.append((entry.stat(follow_symlinks=False), entry.path, int(short[1]) if short else None))
        except OSError:
            continue  # gone just then
    return found


def oldest_since(path: str, written_ns: int, *, inode: int | None = None) -> str | None:
    """The oldest generation that was still written after that time, or then if it has that inode number; or None."""
    younger = [
        each
        for each in rotated(path)
        if each[0].st_mtime_ns > written_ns or (each[0].st_ino == inode and each[0].st_mtime_ns == written_ns)
    ]
    return min(younger, key=lambda each: (each[0].st_mtime_ns, -(each[2] or 0)))[1] if younger else None


def next_generation(path: str, now: Generation) -> str | None:
    """What was renamed away after `now` and before today's file, oldest first; None when that is all.

    By number where both have one (base.1 is younger than base.2), else by the time of the last write.
    """
    found = rotated(path)
    mine = next((each for each in found if (each[0].st_dev, each[0].st_ino) == (now.device, now.inode)), None)
    if mine is None or mine[2] is None:
        return oldest_since(path, os.fstat(now.fd).st_mtime_ns)
    younger = [each for each in found if each[2] is not None and each[2] < mine[2]]
    return max(younger, key=lambda each: each[2] or 0)[1] if younger else None
