"""How far a check has read in a file, in a form that still means something after a restart."""

from binascii import crc32
from dataclasses import dataclass, replace
from typing import Final

HEAD_BYTES: Final = 256
TAIL_BYTES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Just behind the last line that was handled.

    A device and inode number name a file only while it exists; they are used again. So checksums of what stood at the
    start and just before the offset go along: a file that differs there is another one.
    """

    path: str  # as the check names it
    device: int
    inode: int
    offset: int  # bytes
    line: int  # lines before the offset
    head: int  # CRC-32 of the first min(HEAD_BYTES, offset) bytes
    tail: int  # CRC-32 of the last min(TAIL_BYTES, offset) bytes before the offset
    written_ns: int  # last write to the file when it was read: what was written later and rotated is not read yet

    @property
    def head_bytes(self) -> int:
        return min(HEAD_BYTES, self.offset)

    @property
    def tail_bytes(self) -> int:
        return min(TAIL_BYTES, self.offset)

    def behind(self) -> "Position":
        """Nothing of this file, and from its start all that was written later under its name."""
        return replace(self, inode=0, offset=0, line=0, head=checksum(b""), tail=checksum(b""))


def checksum(data: bytes) -> int:
    return crc32(data)
