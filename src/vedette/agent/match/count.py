"""How many lines of files match any of a set of patterns? On all processors, without cutting the files into lines."""

import mmap
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vedette.agent.follow.lines import Splitter
from vedette.agent.match import databases
from vedette.agent.match.engine import Engine
from vedette.agent.match.finders import FastFinder
from vedette.agent.match.pattern import Pattern
from vedette.agent.match.plan import Plan
from vedette.clock import SystemClock

if TYPE_CHECKING:
    from vedette.agent.match.finders import Searched

STRETCH_BYTES: Final = 4 << 20
"""Of a file, given to one thread."""
READ_BYTES: Final = 256 * 1024
"""Read and searched in one go: what is read is still in the processor's cache when it is searched."""
RESTS_S: Final = 2.0
"""A file that was not written for so long is searched where it lies."""
SAMPLES: Final = 16
SAMPLE_BYTES: Final = 16 * 1024
MAX_THREADS: Final = 16


class Counter:
    """Counts lines. `directory` keeps the compiled patterns for the next time; None: they are not kept."""

    def __init__(self, patterns: Sequence[Pattern], directory: Path | None) -> None:
        self._patterns = patterns
        self._texts = [each.text for each in patterns]
        self._directory = directory
        self._prepared = False
        self._compiled: tuple[Plan, FastFinder] | None = None

    def file(self, fd: int) -> int:
        """Lines of an open file that match; a last line without newline is one. Raises OSError."""
        status = os.fstat(fd)
        size = status.st_size
        if not stat.S_ISREG(status.st_mode) or size == 0:  # a pipe, or a file of /proc
            return self._stream(fd)
        self._prepare(partial(_sample, fd, size))
        mapped = self._mapped(fd, status)
        stretches = _Shared(iter(range(0, size, STRETCH_BYTES)))
        count = min(len(os.sched_getaffinity(0)), MAX_THREADS, -(-size // STRETCH_BYTES))
        workers = [_Worker(self._engine(), fd, size, stretches, mapped) for _ in range(count)]
        for each in workers[1:]:
            each.start()
        workers[0].run()
        for each in workers[1:]:
            each.join()
        for each in workers:
            if each.error is not None:
                raise each.error
        return sum(each.total for each in workers)

    def _stream(self, fd: int) -> int:
        splitter, total = Splitter(), 0
        engine: Engine | None = None
        while True:
            data = os.read(fd, READ_BYTES)
            whole = splitter.feed(data) if data else splitter.flush()
            if whole:
                if engine is None:
                    self._prepare(partial(bytes, whole))
                    engine = self._engine()
                total += engine.count(whole, len(whole))
            if not data:
                return total

    def _prepare(self, sample: Callable[[], bytes]) -> None:
        """See to it that there is a database. `sample` gives some of the log."""
        if self._prepared or self._directory is None:
            return
        self._prepared = True
        self._compiled = databases.load(self._directory, self._texts)
        if self._compiled is None and databases.available():
            try:
                databases.compile_(self._directory, self._texts, sample(), frozenset())
            except OSError:  # not ours to write: as without
                return
            self._compiled = databases.load(self._directory, self._texts)

    def _mapped(self, fd: int, status: os.stat_result) -> mmap.mmap | None:
        """The file in memory, where Hyperscan searches it without its being read; None: it is to be read.

        Whoever looks into a mapped file that is truncated is killed. Who is writing a log now may do that, and where
        that is not known for sure nothing is mapped.
        """
        if self._compiled is None or SystemClock().now().timestamp() - status.st_mtime < RESTS_S:
            return None
        try:
            return mmap.mmap(fd, status.st_size, prot=mmap.PROT_READ)
        except (OSError, ValueError):
            return None

    def _engine(self) -> Engine:
        """For one thread."""
        if self._compiled is None:
            return Engine(self._patterns)
        plan, finder = self._compiled
        return Engine(self._patterns, plan, databases.again(finder))


class _Shared:
    """Handed out piece by piece, each once."""

    def __init__(self, pieces: Iterator[int]) -> None:
        self._pieces = pieces
        self._lock = threading.Lock()

    def next(self) -> int | None:
        with self._lock:
            return next(self._pieces, None)


class _Worker(threading.Thread):
    def __init__(self, engine: Engine, fd: int, size: int, stretches: _Shared, mapped: mmap.mmap | None) -> None:
        super().__init__(daemon=True)
        self._engine, self._fd, self._size, self._stretches, self._mapped = engine, fd, size, stretches, mapped
        self.total = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while (at := self._stretches.next()) is not None:
                for data, start, end in self._lines(at, min(at + STRETCH_BYTES, self._size)):
                    self.total += self._engine.count(data, end, start)
        except Exception as exc:
            self.error = exc

    def _lines(self, at: int, stop: int) -> "Iterator[tuple[Searched, int, int]]":
        """The lines that begin in these bytes of the file: where they are, and where in that they begin and end."""
        if at:
            at = _first_line(self._fd, at, stop)
        while at < stop:
            data, base = (os.pread(self._fd, READ_BYTES, at), at) if self._mapped is None else (self._mapped, 0)
            start = at - base
            end = data.rfind(b"\n", start, start + READ_BYTES) + 1
            if base + end > stop:
                end = data.find(b"\n", stop - base - 1) + 1
            if end:
                yield data, start, end
                at = base + end
                continue
            line, at = _long_line(self._fd, at)
            if not line:  # it was made shorter meanwhile
                return
            yield line, 0, len(line)


def _first_line(fd: int, at: int, stop: int) -> int:
    """Where the first line at or behind `at` begins, if before `stop`."""
    at -= 1  # a newline there is the end of the line before
    while at < stop and (data := os.pread(fd, READ_BYTES, at)):
        if end := data.find(b"\n") + 1:
            return at + end
        at += len(data)
    return stop


def _long_line(fd: int, at: int) -> tuple[bytes, int]:
    """One that ends in no single read, or at the end of the file; and where the next one begins."""
    splitter = Splitter()
    while data := os.pread(fd, READ_BYTES, at):
        end = data.find(b"\n") + 1 or len(data)
        at += end
        if line := splitter.feed(data[:end]):
            return line, at
    return splitter.flush(), at


def _sample(fd: int, size: int) -> bytes:
    """Some of the file, taken all over it."""
    step = max(size // SAMPLES, SAMPLE_BYTES)
    return b"\n".join(os.pread(fd, SAMPLE_BYTES, at) for at in range(0, size, step))
