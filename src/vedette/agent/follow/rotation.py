"""What a log was called before and after: its older generations beside it, and which of them comes next."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from vedette.agent.follow.listing import Listing

if TYPE_CHECKING:  # a scan of logins wants the names only
    from vedette.agent.follow.generation import Generation

# app.log.1, app.log-20260824: rotated, and not compressed since
_ROTATED: Final = re.compile(r"[.-]\d[\d.T_-]*")
ROTATED_END: Final = "0123456789.T_-"
"""With one of these ends every name of an older generation."""
_SHORT_NUMBER: Final = re.compile(r"[.-](\d{1,4})")


def is_rotated(name: str, base: str) -> bool:
    """Could `name` be an older generation of `base`: base.1, base-20260824, not compressed?"""
    return name.startswith(base) and _ROTATED.fullmatch(name[len(base) :]) is not None


def older_names(path: str, beside: Iterable[Listing]) -> Iterator[str]:
    """Paths of what could be older generations of `path`, among what lies beside it."""
    base = os.path.basename(path)  # noqa: PTH119
    for listing in beside:
        for start in (base + ".", base + "-"):
            for name in listing.beginning(start):
                if is_rotated(name, base):
                    yield os.path.join(listing.directory, name)  # noqa: PTH118


def rotated(path: str, beside: Iterable[Listing]) -> list[tuple[os.stat_result, str, int | None]]:
    """The older generations of `path` that are there: status, path, and the short number at its end if it has one."""
    base = os.path.basename(path)  # noqa: PTH119
    found: list[tuple[os.stat_result, str, int | None]] = []
    for each in older_names(path, beside):
        try:
            status = os.lstat(each)
        except OSError:
            continue  # gone just then
        if stat.S_ISREG(status.st_mode):
            short = _SHORT_NUMBER.fullmatch(os.path.basename(each)[len(base) :])  # noqa: PTH119
            found.append((status, each, int(short[1]) if short else None))
    return found


def oldest_since(path: str, beside: Iterable[Listing], written_ns: int, *, inode: int | None = None) -> str | None:
    """The oldest generation that was still written after that time, or then if it has that inode number; or None."""
    younger = [
        each
        for each in rotated(path, beside)
        if each[0].st_mtime_ns > written_ns or (each[0].st_ino == inode and each[0].st_mtime_ns == written_ns)
    ]
    return min(younger, key=lambda each: (each[0].st_mtime_ns, -(each[2] or 0)))[1] if younger else None


def next_generation(path: str, beside: Iterable[Listing], now: "Generation") -> str | None:
    """What was renamed away after `now` and before today's file, oldest first; None when that is all.

    By number where both have one (base.1 is younger than base.2), else by the time of the last write.
    """
    found = rotated(path, beside)
    mine = next((each for each in found if (each[0].st_dev, each[0].st_ino) == (now.device, now.inode)), None)
    if mine is None or mine[2] is None:
        return oldest_since(path, beside, os.fstat(now.fd).st_mtime_ns)
    younger = [each for each in found if each[2] is not None and each[2] < mine[2]]
    return max(younger, key=lambda each: each[2] or 0)[1] if younger else None
