"""How many lines of files match any of a set of patterns? On all processors, without cutting the files into lines."""

import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from vedette.agent.follow.lines import Splitter
from vedette.agent.match import databases
from vedette.agent.match.engine import Engine
from vedette.agent.match.finders import FastFinder
from vedette.agent.match.pattern import Pattern
from vedette.agent.match.plan import Plan, make

STRETCH_BYTES: Final = 4 << 20
"""Of a file, given to one thread."""
READ_BYTES: Final = 256 * 1024
"""Read and searched in one go: what is read is still in the processor's cache when it is searched."""
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
        self._alone: Plan | None = None  # one text is searched for, which is done as soon without Hyperscan

    def file(self, fd: int) -> int:
        """Lines of an open file that match; a last line without newline is one. Raises OSError."""
        status = os.fstat(fd)
        size = status.st_size
        if not stat.S_ISREG(status.st_mode) or size == 0:  # a pipe, or a file of /proc
            return self._stream(fd)
        self._prepare(partial(_sample, fd, size))
        stretches = _Shared(iter(range(0, size, STRETCH_BYTES)))
        count = min(len(os.sched_getaffinity(0)), MAX_THREADS, -(-size // STRETCH_BYTES))
        workers = [_Worker(self._engine(), fd, size, stretches) for _ in range(count)]
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
        if len(self._texts) == 1:
            plan = make(self._texts, sample())
            if plan.literal and len(plan.probes) == 1:
                self._alone = plan
                return
        self._compiled = databases.load(self._directory, self._texts)
        if self._compiled is None and databases.available():
            try:
                databases.compile_(self._directory, self._texts, sample(), frozenset())
            except OSError:  # not ours to write: as without
                return
            self._compiled = databases.load(self._directory, self._texts)

    def _engine(self) -> Engine:
        """For one thread."""
        if self._compiled is None:
            return Engine(self._patterns, self._alone)
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
    def __init__(self, engine: Engine, fd: int, size: int, stretches: _Shared) -> None:
        super().__init__(daemon=True)
        self._engine, self._fd, self._size, self._stretches = engine, fd, size, stretches
        self.total = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while (at := self._stretches.next()) is not None:
                for data, end in _lines(self._fd, at, min(at + STRETCH_BYTES, self._size)):
                    self.total += self._engine.count(data, end)
        except Exception as exc:
            self.error = exc


def _lines(fd: int, at: int, stop: int) -> Iterator[tuple[bytes, int]]:
    """The lines that begin in these bytes of the file: read bytes, and where in them the last of the lines ends."""
    if at:
        at = _first_line(fd, at, stop)
    while at < stop:
        data = os.pread(fd, READ_BYTES, at)
        end = data.rfind(b"\n") + 1
        if end > stop - at:
            end = data.find(b"\n", stop - at - 1) + 1
        if end:
            yield data, end
            at += end
        elif not data:  # it was made shorter meanwhile
            return
        else:
            line, at = _long_line(fd, at)
            yield line, len(line)


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
