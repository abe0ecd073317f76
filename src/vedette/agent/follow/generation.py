"""One open file, read line by line from a place: one generation of a log that is rotated."""

import errno
import os
import stat
from dataclasses import replace
from typing import Final

from vedette.agent.follow.events import Assembler, Rule
from vedette.agent.follow.lines import Block, Context, Splitter
from vedette.agent.follow.position import HEAD_BYTES, TAIL_BYTES, Position, checksum
from vedette.errors import Unavailable

BLOCK_BYTES: Final = 256 * 1024
"""Read in one go, where there is so much."""
PEEK_BYTES: Final = 4 * 1024
"""Where the end of a line is looked for, so that what is read ends there."""
FIRST_BYTES: Final = 32 * 1024
"""Read in one go first: for the few lines that mostly there are, BLOCK_BYTES of memory would be mapped and unmapped."""
CONTEXT_BYTES: Final = 64 * 1024
"""How far back a file is read at most for the lines before the first match."""
FIRST_CONTEXT_BYTES: Final = 4 * 1024
RESERVED: Final = 64
"""Descriptors that are left for all but followed files: the store, directories, commands and the uplink."""


class Generation:
    """A file held open. Reading it knows nothing of its name.

    What was read is remembered by its first bytes and those just before the place: a file where they differ was
    truncated and written anew, though it may have grown beyond the place again.
    """

    __slots__ = (
        "_asking", "_assembler", "_context", "_context_size", "_head", "_held", "_lost", "_over", "_read_at", "_recent",
        "_rule", "_seen", "_splitter", "_tail", "_whole", "device", "fd", "inode", "line", "offset",
    )  # fmt: skip

    def __init__(self, fd: int, device: int, inode: int, context_size: int, rule: Rule | None = None) -> None:
        self.fd, self.device, self.inode = fd, device, inode
        self._context_size = context_size
        self._rule = rule  # what is handed out are the events of this rule; None: lines
        self.restart()

    @classmethod
    def open(cls, path: str, context_size: int, rule: Rule | None = None) -> "Generation":
        """Open from its start. Raises OSError, or Unavailable for what is no regular file."""
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  # to open a device or a pipe is to use it
            raise Unavailable("is no regular file")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise Unavailable("is no regular file")
        if fd >= os.sysconf("SC_OPEN_MAX") - RESERVED:
            os.close(fd)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return cls(fd, status.st_dev, status.st_ino, context_size, rule)

    @classmethod
    def woken(cls, fd: int, place: Position, context_size: int, rule: Rule | None = None) -> "Generation":
        """The file goes on from where it came to `rest`."""
        woken = cls(fd, place.device, place.inode, context_size, rule)
        if woken.is_at(place):
            woken.resume(place)
            woken._seen = (place.offset, place.written_ns)
        else:
            woken._lost = place
        return woken

    def rest(self) -> Position | None:
        """All that need be known when nothing is under way; None when something is."""
        if self._lost or self._over or self._held or self._splitter.pending or self._seen is None:
            return None
        if self._seen[0] != self.offset:
            return None
        place = self.position("")
        return place if place.written_ns == self._seen[1] else None

    def restart(self) -> None:
        """From the first byte."""
        self.offset = self.line = 0  # behind the last whole line that was handed out
        self._tail = b""  # the bytes before `offset`
        self._read_at = 0
        self._asking = FIRST_BYTES  # how much is read in one go
        self._head = self._recent = b""  # the first bytes, and those before `_read_at`
        self._seen: tuple[int, int] | None = None  # size and mtime when all was read
        self._splitter = Splitter()
        self._assembler = Assembler(self._rule) if self._rule is not None else None
        self._whole = 0  # behind the last whole line that was read
        self._held = 0  # bytes before that in the file, of the event that has not ended
        self._over = False  # nobody has continued it for so long that it has
        self._context: Context | None = None  # read from the file when it is needed
        self._lost: Position | None = None  # what was read before was truncated meanwhile: up to where it was read

    def close(self) -> None:
        os.close(self.fd)

    def is_at(self, position: Position) -> bool:
        """Does the content agree with what `position` remembers of it?"""
        size = os.fstat(self.fd).st_size
        if size < position.offset:
            return False
        head = os.pread(self.fd, position.head_bytes, 0)
        tail = os.pread(self.fd, position.tail_bytes, position.offset - position.tail_bytes)
        return checksum(head) == position.head and checksum(tail) == position.tail

    def resume(self, position: Position) -> None:
        """Go on there; `is_at` has said that it fits."""
        self.restart()
        self.offset = self._read_at = self._whole = position.offset
        self.line = position.line
        self._head = os.pread(self.fd, position.head_bytes, 0)
        self._tail = self._recent = os.pread(self.fd, position.tail_bytes, position.offset - position.tail_bytes)

    def position(self, path: str) -> Position:
        if self._lost is not None:
            return replace(self._lost, path=path)
        return Position(
            path=path, device=self.device, inode=self.inode, offset=self.offset, line=self.line,
            head=checksum(self._head[: self.offset]), tail=checksum(self._tail),
            written_ns=os.fstat(self.fd).st_mtime_ns,
        )  # fmt: skip

    def replaced(self) -> bool:
        """Was the content truncated, or written anew, since it was read?"""
        return (
            self._lost is not None
            or os.fstat(self.fd).st_size < self._read_at
            or os.pread(self.fd, len(self._head), 0) != self._head
            or os.pread(self.fd, len(self._recent), self._read_at - len(self._recent)) != self._recent
        )

    def stamp(self) -> tuple[int, int]:
        """Size and time of the last write."""
        status = os.fstat(self.fd)
        return status.st_size, status.st_mtime_ns

    def touched(self) -> bool:
        """All was read, nothing was added, and still it was written since: perhaps the same content anew."""
        size, written = self.stamp()
        return self._seen is not None and self._seen[0] == size and self._seen[1] != written

    @property
    def seen_ns(self) -> int:
        """Time of the last write when all was read; 0: it was not yet."""
        if self._lost is not None:
            return self._lost.written_ns
        return self._seen[1] if self._seen is not None else 0

    def note_time(self) -> None:
        """All is read: remember when that was written."""
        stamp = self.stamp()
        self._seen = stamp if stamp[0] == self._read_at else None

    def read(self) -> Block | None:
        """The next lines, at most BLOCK_BYTES (perhaps none yet whole); None at the end of the file."""
        asking = self._asking if self._asking < BLOCK_BYTES else self._whole_lines()
        data = os.pread(self.fd, asking, self._read_at)
        if not data:
            return self._end_event() if self._over else None
        if self._context is None:
            self._context = self._earlier()
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
        end = data.rfind(b"\n") + 1
        if len(data) < asking:
            self._asking = FIRST_BYTES
        else:
            self._asking = BLOCK_BYTES
            data = data[:end] or data  # there is more: the line that is cut here is read as a whole with it
        if end:
            self._tail = (self._recent + data[max(0, end - TAIL_BYTES) : end])[-TAIL_BYTES:]
            self.offset = self._read_at + end
        self._over = False
        self._recent = (self._recent + data[-TAIL_BYTES:])[-TAIL_BYTES:]
        self._read_at += len(data)
        lines = self._splitter.feed(data)
        return self._block(lines) if self._assembler is None else self._ended(lines, self._assembler)

    def _whole_lines(self) -> int:
        """How many bytes, of BLOCK_BYTES, end with a line: what is read need not be copied then to cut it there."""
        start = BLOCK_BYTES - PEEK_BYTES
        end = os.pread(self.fd, PEEK_BYTES, self._read_at + start).rfind(b"\n") + 1
        return start + end if end else BLOCK_BYTES

    @property
    def holding(self) -> int | None:
        """How far the event has come that is held back; None when there is none."""
        return self._whole if self._held else None

    def end_event(self) -> None:
        """Nobody continues the event: when all is read, `read` hands it out."""
        self._over = True

    def _ended(self, lines: bytes, assembler: Assembler) -> Block:
        """The events that these lines, the last that were read, show to have ended."""
        if not lines:
            return self._block(b"")
        added, self._whole = self.offset - self._whole, self.offset
        events, starts = assembler.feed(lines)
        if not events:
            self._held += added
        else:  # of the first line some bytes may be missing, of the others not
            self._held = added if assembler.held == len(lines) else assembler.held
        return self._handed_out(self._whole - self._held, events, starts)

    def _end_event(self) -> Block | None:
        self._over = False
        if self._assembler is None or not self._held:
            return None
        self._held = 0
        return self._handed_out(self._whole, *self._assembler.flush())

    def _handed_out(self, offset: int, events: bytes, starts: tuple[int, ...]) -> Block:
        self.offset = offset
        size = min(TAIL_BYTES, offset)
        self._tail = os.pread(self.fd, size, offset - size)
        return self._block(events, starts)

    def flush(self) -> Block | None:
        """The last line without a newline, if any: nothing more will come."""
        line = self._splitter.flush()
        self.offset = self._whole = self._read_at
        self._tail = self._recent
        starts: tuple[int, ...] = ()
        if self._assembler is not None:
            line, starts = self._assembler.feed(line)
            last, _ = self._assembler.flush()
            starts = (*starts, len(line)) if last else starts
            line += last
            self._held = 0
        return self._block(line, starts) if line else None

    def _block(self, lines: bytes, events: tuple[int, ...] = ()) -> Block:
        context = self._context or self._earlier()
        block = Block(data=lines, first=self.line + 1, context=context.data, events=events)
        self.line += lines.count(b"\n")
        context.add(lines)
        self._context = context
        return block

    def _earlier(self) -> Context:
        """The lines before the place, as they stand in the file."""
        context, size = Context(self._context_size), FIRST_CONTEXT_BYTES
        while self._context_size and self.line:
            start = max(0, self.offset - size)
            lines = os.pread(self.fd, self.offset - start, start)
            if start:
                lines = lines[lines.find(b"\n") + 1 :]  # begins somewhere in a line
            if start == 0 or size >= CONTEXT_BYTES or lines.count(b"\n") >= self._context_size:
                lines = lines[: lines.rfind(b"\n") + 1]
                for _ in range(lines.count(b"\n") - self.line):  # one that had no newline when it was counted
                    lines = lines[lines.find(b"\n") + 1 :]
                context.add(lines)
                break
            size *= 4
        return context
