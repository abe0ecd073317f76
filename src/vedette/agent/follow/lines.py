"""Bytes to whole lines, in bounded memory. Lines are cut out of a block only where somebody looks at one."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vedette.model import Line

MAX_LINE: Final = 16 * 1024
"""Bytes of a line that are looked at; the rest of a longer one is skipped."""
MAX_CONTEXT_LINE: Final = 2 * 1024
"""Bytes of a line that go along as context: 60 of them and the matching one stay far below any server's limit."""
MAX_CONTEXT: Final = 128 * 1024
"""Bytes that are kept for context as they were read; of more, only what can be shown."""


def finished(line: bytes) -> bytes:
    """A line as it is looked at; `line` comes without its newline.

    A carriage return before the newline belongs to it. NUL bytes at the start of a line are no text but a hole that a
    power cut or a truncation left: they go, lest they fill the line.
    """
    if line.startswith(b"\0"):
        line = line.lstrip(b"\0")
    if len(line) > MAX_LINE:
        line = line[:MAX_LINE]
    return line[:-1] if line.endswith(b"\r") else line


class Splitter:
    """Cuts a stream behind newlines: what is handed out are whole lines, uncut and each with its newline."""

    __slots__ = ("_rest", "_rest_bytes")

    def __init__(self) -> None:
        self._rest = b""  # the unfinished line, as far as it is kept
        self._rest_bytes = 0  # its length in the stream

    @property
    def pending(self) -> int:
        """Bytes of the unfinished line."""
        return self._rest_bytes

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes. Of one that began earlier, what nobody looks at may be missing."""
        end = data.rfind(b"\n") + 1
        if end:
            whole = data if end == len(data) else data[:end]
            if self._rest_bytes:
                first = data.find(b"\n")
                whole = _joined(self._rest, data[:first]) + whole[first:]
                self._rest, self._rest_bytes = b"", 0
        else:
            whole = b""
        if end < len(data):
            last = data[end:]
            self._rest = _joined(self._rest, last)
            self._rest_bytes += len(last)
        return whole

    def flush(self) -> bytes:
        """The unfinished line, if any, finished: no end of it will come."""
        rest, size = self._rest, self._rest_bytes
        self._rest, self._rest_bytes = b"", 0
        return rest + b"\n" if size else b""


def _joined(kept: bytes, more: bytes) -> bytes:
    """One byte more than MAX_LINE is kept, to know that there was more."""
    if len(kept) > MAX_LINE:
        return kept
    line = kept + more if kept else more
    if line.startswith(b"\0"):
        line = line.lstrip(b"\0") or b"\0"  # one stays, so that the line is not taken for none
    return line[: MAX_LINE + 1]


class Context:
    """The last `size` lines of one file or stream, for what came before a match.

    Kept as they were read: nearly nobody ever looks at them, so they are cut into lines only where a match wants them.
    """

    __slots__ = ("_size", "data")

    def __init__(self, size: int) -> None:
        self._size = size
        self.data = b""
        """What is kept now: whole lines, each with its newline."""

    def add(self, data: bytes) -> None:
        """Take in whole lines that were handed out."""
        start = _start_of_last(data, len(data), self._size)
        if start == 0 and self.data:
            data = self.data + data
            start = _start_of_last(data, len(data), self._size)
        kept = data[start:]
        if len(kept) > MAX_CONTEXT:
            # One byte more than is shown, lest the last one that is shown be taken for the end of the line.
            kept = b"".join(line.lstrip(b"\0")[: MAX_CONTEXT_LINE + 1] + b"\n" for line in kept.split(b"\n")[:-1])
        self.data = kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Lines that were read together. One is named by where it begins in `data`.

    With `events`, what is named is an event of several lines (see `events.py`), and `data` is whole events.
    """

    data: bytes  # whole lines, each with its newline
    first: int  # number of the first one
    context: bytes  # the lines right before them, see `Context`
    events: tuple[int, ...] = ()  # where each event begins; none: each line is for itself
    path: str = ""  # the file, where a source has several

    @property
    def lines(self) -> list[bytes]:
        """All of them, as they are looked at."""
        return [finished(line) for line in self.data.split(b"\n")[:-1]]

    def number(self, start: int) -> int:
        """The number of the line that begins there."""
        return self.first + self.data.count(b"\n", 0, start)

    def line(self, start: int) -> bytes:
        """That line; of an event all of them, with newlines between."""
        whole = self.data[start : self._end(start)]
        return b"\n".join(map(finished, whole.split(b"\n"))) if self.events else finished(whole)

    def starts(self) -> Sequence[int]:
        """Where each line, or event, begins."""
        if self.events:
            return self.events
        out, at = [], 0
        while at < len(self.data):
            out.append(at)
            at = self.data.find(b"\n", at) + 1
        return out

    def before(self, start: int, count: int) -> tuple[Line, ...]:
        """Up to `count` lines before that one, oldest first, from earlier reads too."""
        here = _last_lines(self.data, start, count)
        more = count - len(here)
        lines = [*_last_lines(self.context, len(self.context), more), *here]
        first = self.number(start) - len(lines)
        return tuple(Line(first + i, text(line)) for i, line in enumerate(lines))

    def at(self, start: int) -> Line:
        return Line(self.number(start), text(self.line(start)[:MAX_LINE]))

    def after(self, start: int, count: int) -> tuple[Line, ...]:
        """Up to `count` lines behind it, of those that are there."""
        out: list[Line] = []
        start = self._end(start) + 1
        number = self.number(start)
        while len(out) < count and start < len(self.data):
            end = self.data.find(b"\n", start)
            out.append(Line(number, text(finished(self.data[start:end])[:MAX_CONTEXT_LINE])))
            number, start = number + 1, end + 1
        return tuple(out)

    def _end(self, start: int) -> int:
        """Before the newline that ends what begins there."""
        if not self.events:
            return self.data.find(b"\n", start)
        following = bisect_right(self.events, start)
        return (self.events[following] if following < len(self.events) else len(self.data)) - 1


def _last_lines(data: bytes, end: int, count: int) -> list[bytes]:
    """Up to `count` lines before `end`, where a line begins; as context."""
    out: list[bytes] = []
    while len(out) < count and end > 0:
        start = data.rfind(b"\n", 0, end - 1) + 1
        out.append(finished(data[start : end - 1])[:MAX_CONTEXT_LINE])
        end = start
    out.reverse()
    return out


def _start_of_last(data: bytes, end: int, count: int) -> int:
    """Where the last `count` lines before `end` begin, where a line begins; 0 when there are no more than that."""
    while count and end > 0:
        end = data.rfind(b"\n", 0, end - 1) + 1
        count -= 1
    return end


def text(line: bytes) -> str:
    """As people read it: UTF-8, what is not that is U+FFFD; so is NUL, which many stores cannot hold."""
    return line.decode(errors="replace").replace("\0", "\ufffd")
