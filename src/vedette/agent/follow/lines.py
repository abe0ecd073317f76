"""Bytes to lines, in bounded memory."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vedette.model import Line

MAX_LINE: Final = 16 * 1024
"""Bytes of a line that are looked at; the rest of a longer one is skipped and counted."""
MAX_CONTEXT_LINE: Final = 2 * 1024
"""Bytes of a line that go along as context: 60 of them and the matching one stay far below any server's limit."""


class Splitter:
    """Cuts a stream into lines. A line is handed out when its newline has come.

    A carriage return before the newline belongs to it. NUL bytes at the start of a line are no text but a hole that a
    power cut or a truncation left: they go, lest they fill the line.
    """

    __slots__ = ("_rest", "_rest_bytes", "cut")

    def __init__(self) -> None:
        self._rest = b""  # the unfinished line, as far as it is kept
        self._rest_bytes = 0  # its length in the stream
        self.cut = 0  # lines longer than MAX_LINE so far

    @property
    def pending(self) -> int:
        """Bytes of the unfinished line."""
        return self._rest_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes."""
        lines = data.split(b"\n")
        last = lines.pop()
        if lines and self._rest_bytes:
            lines[0] = _joined(self._rest, lines[0])
            self._rest, self._rest_bytes = b"", 0
        if last:
            self._rest = _joined(self._rest, last)
            self._rest_bytes += len(last)
        return [self._finished(line) for line in lines] if lines else lines

    def flush(self) -> list[bytes]:
        """The unfinished line, if any: no end of it will come."""
        rest, size = self._rest, self._rest_bytes
        self._rest, self._rest_bytes = b"", 0
        return [self._finished(rest)] if size else []

    def _finished(self, line: bytes) -> bytes:
        if line.startswith(b"\0"):
            line = line.lstrip(b"\0")
        if len(line) > MAX_LINE:
            self.cut += 1
            line = line[:MAX_LINE]
        return line[:-1] if line.endswith(b"\r") else line


def _joined(kept: bytes, more: bytes) -> bytes:
    """One byte more than MAX_LINE is kept, to know that there was more."""
    if len(kept) > MAX_LINE:
        return kept
    line = kept + more if kept else more
    if line.startswith(b"\0"):
        line = line.lstrip(b"\0") or b"\0"  # one stays, so that the line is not taken for none
    return line[: MAX_LINE + 1]


class Context:
    """The last lines of one file or stream, for what came before a match. Never more than `size`."""

    __slots__ = ("_lines",)

    def __init__(self, size: int) -> None:
        self._lines: deque[tuple[int, bytes]] = deque(maxlen=size)

    def add(self, first: int, lines: Sequence[bytes]) -> None:
        """Take in lines that were handled; `first` is the number of the first one."""
        size = self._lines.maxlen or 0
        skip = max(0, len(lines) - size)
        self._lines.extend((first + i, lines[i][:MAX_CONTEXT_LINE]) for i in range(skip, len(lines)))

    def lines(self) -> tuple[tuple[int, bytes], ...]:
        """What is kept now, oldest first: number and line."""
        return tuple(self._lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Lines that were read together, without their newlines."""

    lines: Sequence[bytes]
    first: int  # number of the first one
    context: tuple[tuple[int, bytes], ...]  # what came before them, see `Context.lines`

    def before(self, index: int, count: int) -> tuple[Line, ...]:
        """Up to `count` lines before the one at `index`, oldest first, from earlier reads too."""
        start = max(0, index - count)
        more = count - (index - start)
        earlier = self.context[-more:] if more > 0 else ()
        return (
            *(Line(number, text(line)) for number, line in earlier),
            *numbered(self.first + start, self.lines[start:index]),
        )

    def at(self, index: int) -> Line:
        return Line(self.first + index, text(self.lines[index]))

    def after(self, index: int, count: int) -> tuple[Line, ...]:
        """Up to `count` lines behind it, of those that are there."""
        return numbered(self.first + index + 1, self.lines[index + 1 : index + 1 + count])


def numbered(first: int, lines: Iterable[bytes]) -> tuple[Line, ...]:
    """Context lines with their numbers."""
    return tuple(Line(first + i, text(line[:MAX_CONTEXT_LINE])) for i, line in enumerate(lines))


def text(line: bytes) -> str:
    """As people read it: UTF-8, what is not that is U+FFFD; so is NUL, which many stores cannot hold."""
    return line.decode(errors="replace").replace("\0", "\ufffd")
