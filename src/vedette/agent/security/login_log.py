"""What was appended to a log since the last look, over rotation, truncation, and compression of what was rotated.

A place is known by the content before it, as everywhere in the agent (agent/follow/position.py): a file that differs
there is another one, whatever its inode number. Each look opens the file, reads, and closes it.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from io import BufferedIOBase, FileIO
from pathlib import Path
from typing import Final

from vedette.agent.follow.position import HEAD_BYTES, TAIL_BYTES, Position, checksum
from vedette.agent.follow.rotation import is_rotated

LOOK_BYTES: Final = 4 * 1024 * 1024
"""Read in one look; the next one goes on there."""
GZIP: Final = ".gz"

File = FileIO | BufferedIOBase
Places = tuple[Position, ...]
"""Where reading goes on; before it, the end of the generation that was read last, which may get some lines more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What one look brought."""

    parts: Sequence[tuple[bytes, int]] = ()  # whole lines, and when their file was last written (ns since 1970)
    places: Places  # behind them
    more: bool = False  # there is more than was read
    lost: str = ""  # what cannot be read any more; "" when all could


def here(path: Path, *, back: int = 0, record: int = 0) -> Places:
    """The end of what is there now, or so many bytes before: what comes later is news. Raises OSError.

    `record`: what the file consists of is so many bytes long; 0: of lines.
    """
    try:
        with closing(_open(path)) as file:
            size = os.fstat(file.fileno()).st_size
            start = max(0, size - (back or LOOK_BYTES))
            data = _at(file, start, size - start)
            if record:
                end = size - size % record
                place = max(0, end - back // record * record) if back else end
            elif back:
                place = start + data.find(b"\n") + 1 if start else 0
            else:
                place = start + data.rfind(b"\n") + 1
            return (_place(file, str(path), place),)
    except FileNotFoundError:
        return (nowhere(path),)


def nowhere(path: Path) -> Position:
    """There was no such file: all that will be in it is news."""
    nothing = checksum(b"")
    return Position(path=str(path), device=0, inode=0, offset=0, line=0, head=nothing, tail=nothing, written_ns=0)


def news(path: Path, places: Places, limit: int = LOOK_BYTES, *, record: int = 0) -> News:
    """What was written behind `places`, about `limit` bytes of it. Raises OSError: what is there cannot be read."""
    parts: list[tuple[bytes, int]] = []
    *before, place = places
    left: tuple[Position, ...] = ()
    lost = ""
    for old in before:  # a writer may have the rotated file open for a moment longer
        found = [each for _, each in sorted(_rotated(path)) if not each.name.endswith(GZIP) and _is_at(each, old)]
        for each in found[:1]:
            part, new, _ = _read(each, path, old.offset, limit, record, last=True)
            parts += part
            left = (new,)
    todo = _generations(path, place)
    if todo is None:
        lost = f"{path} was rotated or truncated, and what was written before that is not there any more"
        todo, place = [path], nowhere(path)
    for index, each in enumerate(todo):
        last = each == todo[-1]
        try:
            part, new, more = _read(each, path, 0 if index else place.offset, limit, record, last=last)
        except FileNotFoundError:
            continue
        except EOFError:
            lost = f"{each} is damaged, and the end of what was in it cannot be read"
            continue
        parts += part
        place = new
        if more or sum(len(data) for data, _ in parts) >= limit:
            return News(parts=parts, places=(*left, place), more=True, lost=lost)
        if not last:
            left = () if each.name.endswith(GZIP) else (new,)
    return News(parts=parts, places=(*left, place), lost=lost)


def _read(
    generation: Path, path: Path, offset: int, limit: int, record: int, *, last: bool
) -> tuple[list[tuple[bytes, int]], Position, bool]:
    """Lines or records from `offset` on, the place behind them, and whether there are more."""
    with closing(_open(generation)) as file:
        data = _at(file, offset, limit + 1)
        more = len(data) > limit
        whole = min(len(data), limit)
        whole = whole - whole % record if record else data.rfind(b"\n", 0, limit) + 1
        if more and not whole:
            whole = limit  # a line without an end
        if not last and not more:
            whole = len(data)  # nobody will end its last line
        part = [(data[:whole], os.fstat(file.fileno()).st_mtime_ns)] if whole else []
        return part, _place(file, str(path), offset + whole), more


def _generations(path: Path, place: Position) -> list[Path] | None:
    """The files to be read, oldest first, the first one from the place on; None: that one is not there any more."""
    if not place.inode or _is_at(path, place):
        return [path]
    found = [each for _, each in sorted(_rotated(path))]
    for index in reversed(range(len(found))):
        if _is_at(found[index], place):
            return [*found[index:], path]
    return None


def _is_at(path: Path, place: Position) -> bool:
    """Is that the file of the place?"""
    with suppress(FileNotFoundError, EOFError), closing(_open(path)) as file:
        return _fits(file, place)
    return False


def _rotated(path: Path) -> Iterator[tuple[int, Path]]:
    """Older generations, with when they were last written."""
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            name = entry.name.removesuffix(GZIP)
            if is_rotated(name, path.name) and entry.is_file(follow_symlinks=False):
                yield entry.stat(follow_symlinks=False).st_mtime_ns, Path(entry.path)


def _open(path: Path) -> File:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(f"{path} is no regular file")
    file = FileIO(fd)
    if not path.name.endswith(GZIP):
        return file
    from vedette.agent.security.unpacked import Unpacked

    return Unpacked(file)


def _at(file: File, offset: int, size: int) -> bytes:
    file.seek(offset)
    data = b""
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


def _fits(file: File, place: Position) -> bool:
    """Is that the file of the place, read up to there?"""
    if not place.offset:
        status = os.fstat(file.fileno())
        return (status.st_dev, status.st_ino) == (place.device, place.inode)
    head = _at(file, 0, place.head_bytes)
    tail = _at(file, place.offset - place.tail_bytes, place.tail_bytes)
    return (len(head), len(tail)) == (place.head_bytes, place.tail_bytes) and (checksum(head), checksum(tail)) == (
        place.head,
        place.tail,
    )


def _place(file: File, path: str, offset: int) -> Position:
    status = os.fstat(file.fileno())
    return Position(
        path=path, device=status.st_dev, inode=status.st_ino, offset=offset, line=0,
        head=checksum(_at(file, 0, min(HEAD_BYTES, offset))),
        tail=checksum(_at(file, max(0, offset - TAIL_BYTES), min(TAIL_BYTES, offset))),
        written_ns=status.st_mtime_ns,
    )  # fmt: skip
