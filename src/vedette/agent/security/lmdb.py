"""Reads one value from an LMDB file, which a Mender client keeps its state in. Nothing is locked and nothing written.

A writer never changes pages that the last commit uses, so what one read of the whole file holds is what was committed
last or the time before. Source: lmdb.h and the description of pages in mdb.c of OpenLDAP, version 1 of the format.
"""

import os
import struct
from pathlib import Path
from typing import Final

from vedette.errors import Invalid

MAX_BYTES: Final = 4 * 1024 * 1024
MAGIC: Final = 0xBEEFC0DE
PAGE: Final = 4096
_BRANCH, _LEAF, _BIG = 0x01, 0x02, 0x01
_MAX_PAGES: Final = MAX_BYTES // PAGE


def value(path: Path, key: bytes) -> bytes | None:
    """What is kept under `key`; None when there is no such key. Raises Invalid: it is no such file; OSError."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise Invalid(f"{path} is larger than {MAX_BYTES} bytes, which no state of a client is")
        data = file.read(MAX_BYTES)
    try:
        return find(data, key)
    except Invalid as exc:
        raise Invalid(f"{path} {exc}") from None


def find(data: bytes, key: bytes) -> bytes | None:
    """The same in what such a file holds."""
    try:
        return _Tree(data).find(key)
    except (struct.error, IndexError, OverflowError, RecursionError):
        raise Invalid("is no LMDB file, or damaged") from None


class _Tree:
    """The main database of the last commit. Numbers of pages are as wide as the machine's words."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        for self._word, self._head in (("Q", 16), ("I", 12)):
            if struct.unpack_from("<I", data, self._head)[0] == MAGIC:
                break
        else:
            raise struct.error
        width = struct.calcsize(f"<{self._word}")
        # Both first pages describe a commit: two numbers, the address and the size of the map, then two databases.
        database = 8 + 5 * width
        root = self._head + 8 + 2 * width + 2 * database - width
        newest = max((0, PAGE), key=lambda page: self._number(page + root + 2 * width))
        self._root = self._number(newest + root)
        self._looked_at = 0  # pages: damage can lead in circles

    def _number(self, at: int) -> int:
        return int(struct.unpack_from(f"<{self._word}", self._data, at)[0])

    def find(self, key: bytes) -> bytes | None:
        if self._root == (1 << 8 * struct.calcsize(f"<{self._word}")) - 1:  # it is empty
            return None
        return self._in_page(self._root, key)

    def _in_page(self, page: int, key: bytes) -> bytes | None:
        start = page * PAGE
        flags, lower = struct.unpack_from("<HH", self._data, start + self._head - 6)
        self._looked_at += 1
        if self._looked_at > _MAX_PAGES:
            raise struct.error
        for index in range((lower - self._head) // 2):
            (offset,) = struct.unpack_from("<H", self._data, start + self._head + 2 * index)
            low, high, more, length = struct.unpack_from("<HHHH", self._data, start + offset)
            name_at = start + offset + 8
            if flags & _BRANCH:
                found = self._in_page(low | high << 16 | more << 32, key)
                if found is not None:
                    return found
            elif flags & _LEAF and self._data[name_at : name_at + length] == key:
                at, size = name_at + length, low | high << 16
                if more & _BIG:
                    at = self._number(at) * PAGE + self._head
                return self._data[at : at + size]
        return None
