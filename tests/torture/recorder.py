"""Every durable step that SQLite takes, in order: what a power cut can come between.

A file system layer of SQLite's own ("VFS") around the real one: each write, truncation, flush and deletion below one
directory is noted, then done as always. Source: sqlite.org/vfs.html; the structures are those of sqlite3.h.
"""

import _sqlite3
import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SQLITE_OK = 0
_POINTER = ctypes.c_void_p


@dataclass(frozen=True, slots=True)
class Write:
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    name: str


@dataclass(frozen=True, slots=True)
class Delete:
    name: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened outside the disk: `what` says it to whoever put it here."""

    what: Any


Event = Write | Truncate | Sync | Delete | Mark


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("iVersion", ctypes.c_int), ("szOsFile", ctypes.c_int), ("mxPathname", ctypes.c_int),
        ("pNext", _POINTER), ("zName", ctypes.c_char_p), ("pAppData", _POINTER),
        *((name, _POINTER) for name in (
            "xOpen", "xDelete", "xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose",
            "xRandomness", "xSleep", "xCurrentTime", "xGetLastError", "xCurrentTimeInt64", "xSetSystemCall",
            "xGetSystemCall", "xNextSystemCall",
        )),
    ]  # fmt: skip


class _Methods(ctypes.Structure):
    _fields_ = [
        ("iVersion", ctypes.c_int),
        *((name, _POINTER) for name in (
            "xClose", "xRead", "xWrite", "xTruncate", "xSync", "xFileSize", "xLock", "xUnlock", "xCheckReservedLock",
            "xFileControl", "xSectorSize", "xDeviceCharacteristics", "xShmMap", "xShmLock", "xShmBarrier",
            "xShmUnmap", "xFetch", "xUnfetch",
        )),
    ]  # fmt: skip


_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, _POINTER, _POINTER, ctypes.c_int, _POINTER)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, _POINTER, ctypes.c_int)
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, _POINTER, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, ctypes.c_int)


def available() -> bool:
    """Can the SQLite of this Python be reached?"""
    return hasattr(ctypes.CDLL(_sqlite3.__file__), "sqlite3_vfs_find")


class Recorder:
    """Notes what happens to the files in `directory`, while `recording`."""

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory)
        self.events: list[Event] = []
        self._lib = ctypes.CDLL(_sqlite3.__file__)
        self._lib.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        self._names: dict[int, str] = {}  # by the address of SQLite's file object
        self._tables: dict[int, tuple[_Methods, tuple[Any, ...]]] = {}  # by the address of the real methods

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Every connection that is opened in here is listened to; all must be closed in here too."""
        real = self._lib.sqlite3_vfs_find(None)
        mine = _Vfs()
        ctypes.memmove(ctypes.byref(mine), real, ctypes.sizeof(_Vfs))
        mine.pNext, mine.zName = None, b"recording"
        real_open, real_delete = _OPEN(mine.xOpen), _DELETE(mine.xDelete)

        def opened(vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
            code = real_open(vfs, name, file, flags, out)
            mine_too = self._mine(name)
            if code == SQLITE_OK and mine_too:
                self._names[file] = mine_too
                methods = ctypes.cast(file, ctypes.POINTER(_POINTER))
                methods[0] = ctypes.addressof(self._table(methods[0] or 0))
            return code

        def deleted(vfs: int, name: int, flush: int) -> int:
            code = real_delete(vfs, name, flush)
            if code == SQLITE_OK and (mine_too := self._mine(name)):
                self.events.append(Delete(mine_too))
            return code

        keep = (_OPEN(opened), _DELETE(deleted))
        mine.xOpen, mine.xDelete = (ctypes.cast(each, _POINTER).value for each in keep)
        assert self._lib.sqlite3_vfs_register(ctypes.byref(mine), 1) == SQLITE_OK
        try:
            yield
        finally:
            self._lib.sqlite3_vfs_unregister(ctypes.byref(mine))
            self._lib.sqlite3_vfs_register(real, 1)

    def _mine(self, name: int | None) -> str:
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        return Path(path).name if str(Path(path).parent) == self.directory else ""

    def _table(self, real: int) -> _Methods:
        """The real methods, with three of them noted first."""
        if real in self._tables:
            return self._tables[real][0]
        table = _Methods()
        ctypes.memmove(ctypes.byref(table), real, ctypes.sizeof(_Methods))
        real_write, real_truncate, real_sync = _WRITE(table.xWrite), _TRUNCATE(table.xTruncate), _SYNC(table.xSync)

        def write(file: int, data: int, size: int, offset: int) -> int:
            self.events.append(Write(self._names[file], offset, ctypes.string_at(data, size)))
            return int(real_write(file, data, size, offset))

        def truncate(file: int, size: int) -> int:
            self.events.append(Truncate(self._names[file], size))
            return int(real_truncate(file, size))

        def sync(file: int, flags: int) -> int:
            code = int(real_sync(file, flags))
            self.events.append(Sync(self._names[file]))
            return code

        keep = (_WRITE(write), _TRUNCATE(truncate), _SYNC(sync))
        table.xWrite, table.xTruncate, table.xSync = (ctypes.cast(each, _POINTER).value for each in keep)
        self._tables[real] = (table, keep)
        return table
