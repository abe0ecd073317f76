"""Thousands of followed files, of which few are written at a time: the others rest, in little memory.

A file at rest is open and watched like any other. What was read of it is known by its place alone; what else is needed
to go on is read from the file again when it wakes.
"""

import struct
from collections.abc import Iterable
from typing import Final, Protocol

from vedette.agent.follow.position import Position

MAX_AWAKE: Final = 16
"""Files that were read last and do not rest, for they may be written again soon."""

_PLACE: Final = struct.Struct("=iQQQQIIq")
_IDENTITY: Final = struct.Struct("=4xQQ")  # of it


class Rest(bytes):
    """An open file that is read to its end: its descriptor and place, packed."""

    __slots__ = ()

    @classmethod
    def of(cls, fd: int, place: Position) -> "Rest":
        return cls(
            _PLACE.pack(
                fd, place.device, place.inode, place.offset, place.line, place.head, place.tail, place.written_ns
            )
        )

    @property
    def fd(self) -> int:
        return int(_PLACE.unpack(self)[0])

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode number."""
        device, inode = _IDENTITY.unpack_from(self)
        return device, inode

    def position(self, path: str) -> Position:
        """Behind all there is."""
        _, device, inode, offset, line, head, tail, written_ns = _PLACE.unpack(self)
        return Position(
            path=path, device=device, inode=inode, offset=offset, line=line, head=head, tail=tail, written_ns=written_ns
        )


class Sleeper(Protocol):
    def rest(self) -> None:
        """Give back memory, unless something is under way."""
        ...


class Awake:
    """Who does not rest: those that were read last, `limit` of them."""

    def __init__(self, limit: int = MAX_AWAKE) -> None:
        self._limit = limit
        self._awake: dict[Sleeper, None] = {}  # the one that was read first is first
        self._keys: tuple[str, ...] = ()

    def note(self, source: Sleeper) -> None:
        """It was read just now. Who was read longest ago rests."""
        self._awake.pop(source, None)
        self._awake[source] = None
        if len(self._awake) > self._limit:
            oldest = next(iter(self._awake))
            del self._awake[oldest]
            oldest.rest()

    def forget(self, source: Sleeper) -> None:
        """It is not read any more."""
        self._awake.pop(source, None)

    def shared(self, keys: Iterable[str]) -> tuple[str, ...]:
        """The same object for the same keys as the last time: the files of a pattern all have the same."""
        wanted = tuple(sorted(keys))
        if wanted != self._keys:
            self._keys = wanted
        return self._keys
