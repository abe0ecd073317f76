"""What is kept of a file, in a line of text: enough to tell cheaply that nothing changed, and what did change.

The content is its SHA-256, and is read only where size, times or inode are others than before, or when its turn comes.
"""

import base64
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from vedette.agent.security.walk import Entry
from vedette.clock import PLAUSIBLE
from vedette.errors import Unavailable

MAX_BYTES: Final = 1 << 30
"""Of a file whose content is read; a larger one is known by its size and times alone."""
UNKNOWN: Final = "?"
"""In place of a content that was not read."""
_BLOCK: Final = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """One file, link, directory or device. Times are nanoseconds since 1970; of a directory neither times nor size."""

    mode: int  # as in `stat`, with the type
    uid: int
    gid: int
    size: int
    inode: int
    modified: int
    changed: int  # of the inode: content, mode, owner or name
    capabilities: str = ""  # in the words of getcap, where somebody asked
    packaged: bool = False  # a package brought it
    content: str = UNKNOWN  # SHA-256 in base64; where a link points; "" of what has none

    def text(self) -> str:
        """One line; `parse` makes the same of it."""
        return (
            f"{self.mode:o} {self.uid} {self.gid} {self.size} {self.inode} {self.modified:x} {self.changed:x}"
            f" {'p' if self.packaged else '-'} {self.capabilities.replace(' ', '~') or '-'} {self.content}"
        )

    @classmethod
    def parse(cls, text: str) -> "FileState":
        """Raises ValueError."""
        mode, uid, gid, size, inode, modified, changed, packaged, capabilities, content = text.split(" ", 9)
        return cls(
            mode=int(mode, 8), uid=int(uid), gid=int(gid), size=int(size), inode=int(inode),
            modified=int(modified, 16), changed=int(changed, 16), packaged=packaged == "p",
            capabilities="" if capabilities == "-" else capabilities.replace("~", " "), content=content,
        )  # fmt: skip

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    def untouched(self, other: "FileState") -> bool:
        """Is it the other one by all that is known without reading?"""
        return self._outside() == other._outside()

    def same(self, other: "FileState") -> bool:
        """Is it as good as the other one: the same content, rights and owner, whatever its times and place on disk?"""
        if UNKNOWN in {self.content, other.content}:
            return self._rights() == other._rights() and (self.size, self.modified) == (other.size, other.modified)
        return self.identity() == other.identity()

    def has_rights_of(self, other: "FileState") -> bool:
        """The same mode, owner and capabilities."""
        return self._rights() == other._rights()

    def identity(self) -> str:
        """What `same` compares, as a text."""
        content = self.content if self.content != UNKNOWN else f"{self.size} {self.modified:x}"
        return " ".join(map(str, (*self._rights(), content)))

    def _rights(self) -> tuple[int | str, ...]:
        return (self.mode, self.uid, self.gid, self.capabilities)

    def _outside(self) -> tuple[int | str, ...]:
        return (*self._rights(), self.size, self.inode, self.modified, self.changed)

    @property
    def since(self) -> datetime | None:
        """When it became so, as far as the file system knows."""
        return moment(self.changed)


def of(entry: Entry) -> FileState:
    """All but the content. A directory changes its times with each file in it, so these are left out."""
    found = entry.stat
    if stat.S_ISDIR(found.st_mode):
        return FileState(
            mode=found.st_mode, uid=found.st_uid, gid=found.st_gid, size=0, inode=0, modified=0, changed=0, content=""
        )
    return FileState(
        mode=found.st_mode, uid=found.st_uid, gid=found.st_gid, size=found.st_size, inode=found.st_ino,
        modified=found.st_mtime_ns, changed=found.st_ctime_ns, content=UNKNOWN if stat.S_ISREG(found.st_mode) else "",
    )  # fmt: skip


def digests(entry: Entry, names: Iterable[str], late: Callable[[], bool]) -> dict[str, bytes]:
    """Read the file once for several hashes, named as `hashlib` does.

    Raises:
        OSError: it cannot be read, or is not worth it.
        Unavailable: it became too late meanwhile.
    """
    if entry.stat.st_size > MAX_BYTES:
        raise OSError(0, f"larger than {MAX_BYTES >> 30} GiB")
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names}
    fd = entry.open()
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "no file any more")
        buffer = bytearray(min(_BLOCK, entry.stat.st_size + 1))
        view, left = memoryview(buffer), MAX_BYTES
        while left > 0 and (count := os.readv(fd, [buffer])):
            for each in hashes.values():
                each.update(view[:count])
            left -= count
            if count == len(buffer) and late():
                raise Unavailable("There was no time to read it to its end")
    finally:
        os.close(fd)
    return {name: each.digest() for name, each in hashes.items()}


def content(sha256: bytes) -> str:
    return base64.b64encode(sha256).decode().rstrip("=")


def moment(nanoseconds: int) -> datetime | None:
    """None where a clock that was not set yet wrote it down, or nobody did."""
    try:
        time = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return time if time >= PLAUSIBLE else None
