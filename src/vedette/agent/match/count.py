"""How many lines of files match any of a set of patterns? On all processors, without cutting the files into lines."""

import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from vedette.agent.follow.lines import MAX_LINE, Splitter
from vedette.agent.match import databases
from vedette.agent.match.engine import Engine
from vedette.agent.match.pattern import Pattern

PIECE_BYTES: Final = 1 << 20
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

    def file(self, fd: int) -> int:
        """Lines of an open file that match; a last line without newline is one. Raises OSError."""
        status = os.fstat(fd)
        size = status.st_size
        if not stat.S_ISREG(status.st_mode) or size == 0:  # a pipe, or a file of /proc
            return self._stream(fd)
        self._prepare(_sample(fd, size))
        pieces = _Shared(iter(range(0, size, PIECE_BYTES)))
        count = min(len(os.sched_getaffinity(0)), MAX_THREADS)
        workers = [_Worker(self._engine(), fd, size, pieces) for _ in range(min(count, -(-size // PIECE_BYTES)))]
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
            data = os.read(fd, PIECE_BYTES)
            whole = splitter.feed(data) if data else splitter.flush()
            if whole:
                if engine is None:
                    self._prepare(whole[: SAMPLES * SAMPLE_BYTES])
                    engine = self._engine()
                total += engine.count(whole)
            if not data:
                return total

    def _prepare(self, sample: bytes) -> None:
        """See to it that there is a database."""
        if self._prepared or self._directory is None or not databases.available():
            return
        self._prepared = True
        if databases.load(self._directory, self._texts) is None:
            try:
                databases.compile_(self._directory, self._texts, sample, frozenset())
            except OSError:  # not ours to write: as without
                self._directory = None

    def _engine(self) -> Engine:
        found = databases.load(self._directory, self._texts) if self._directory is not None else None
        return Engine(self._patterns, *found) if found is not None else Engine(self._patterns)


class _Shared:
    """Handed out piece by piece, each once."""

    def __init__(self, pieces: Iterator[int]) -> None:
        self._pieces = pieces
        self._lock = threading.Lock()

    def next(self) -> int | None:
        with self._lock:
            return next(self._pieces, None)


class _Worker(threading.Thread):
    def __init__(self, engine: Engine, fd: int, size: int, pieces: _Shared) -> None:
        super().__init__(daemon=True)
        self._engine, self._fd, self._size, self._pieces = engine, fd, size, pieces
        self.total = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            count: Callable[[bytes], int] = self._engine.count
            while (at := self._pieces.next()) is not None:
                self.total += count(_lines_from(self._fd, at, min(PIECE_BYTES, self._size - at)))
        except Exception as exc:
            self.error = exc


def _lines_from(fd: int, at: int, size: int) -> bytes:
    """The lines that begin in these bytes of the file; of one that is longer than is looked at, enough."""
    data = os.pread(fd, size + 4 * MAX_LINE, max(at - 1, 0))
    first = data.find(b"\n") + 1 if at else 0
    last = size - 1 + bool(at)  # index of the last byte where a newline ends a line of ours
    if (at and not first) or first > last:
        return b""
    if end := data.find(b"\n", last) + 1:
        return data if end - first == len(data) else data[first:end]
    rest = data[first:]
    return rest if not rest or rest.endswith(b"\n") else rest + b"\n"


def _sample(fd: int, size: int) -> bytes:
    """Some of the file, taken all over it."""
    step = max(size // SAMPLES, SAMPLE_BYTES)
    return b"\n".join(os.pread(fd, SAMPLE_BYTES, at) for at in range(0, size, step))
