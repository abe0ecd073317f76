"""The hard life of a directory whose logs a pattern of names means: each line of each of them comes once.

Files come and go, are rotated and get one another's names; the daemon is stopped and killed meanwhile. Which file a
line is told of is not looked at: a name may have changed before it is read.
"""

import os
import shutil
import tempfile
from collections import Counter
from math import inf
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, multiple, rule

from vedette.agent.follow import many
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.many import ManySource
from vedette.agent.follow.position import Position
from vedette.agent.loop import Loop

NAMES = ("a.log", "b.log", "c.log")
DIRECTORIES = ("one", "two")
MAX_STEPS = 10_000


class ManyReader:
    """One check on a pattern, run until it has nothing more to do."""

    def __init__(self, pattern: str, places: dict[str, Position]) -> None:
        self.loop = Loop()
        self.inotify = Inotify(self.loop)
        self.ready = False
        self.places = dict(places)
        self.source = ManySource(pattern, self.loop, self.inotify, 30, self._on_ready)
        self.source.subscribe("log_a", places)

    def _on_ready(self, source: ManySource) -> None:
        self.ready = True

    def drain(self) -> tuple[list[str], bool]:
        """The lines that are there, and whether a file is among them whose place must be committed at once."""
        out: list[str] = []
        news = False
        for _ in range(MAX_STEPS):
            if not (self.ready or self.source.more):
                self.ready = False
                self.loop.call_later(0, self.loop.stop)
                self.loop.run()  # what the kernel has to tell
                if not (self.ready or self.source.more):
                    return out, news
            self.ready = False
            for read in self.source.step():
                out += (line.decode() for line in read.block.lines)
            news |= self.source.news
        raise AssertionError("it never comes to an end")

    def committed(self) -> dict[str, Position]:
        self.places |= self.source.places("log_a")
        for path in self.source.take_over():
            self.places.pop(path, None)
        return self.places

    def close(self) -> None:
        self.source.close()
        self.inotify.close()
        self.loop.close()


class ManyLives(RuleBasedStateMachine):
    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.paces, (many.LOOK_S, many.LONG_LOOK_S) = (many.LOOK_S, many.LONG_LOOK_S), (0.0, inf)
        self.top = Path(tempfile.mkdtemp(prefix="vedette-"))
        (self.top / DIRECTORIES[0]).mkdir()
        self.number = 0
        self.at_ns = 1_700_000_000 * 10**9
        self.paths: set[Path] = set()
        self.parts: dict[Path, str] = {}  # of a line that is being written
        self.written: list[str] = []
        self.seen: list[str] = []
        self.kept = 0
        self.places: dict[str, Position] = {}
        self.reader = self._new_reader()

    @initialize(target=names)
    def begin(self) -> Path:
        path = self.top / DIRECTORIES[0] / NAMES[0]
        self.write(path, 1)
        self.read()
        return path

    @rule(target=names, directory=st.sampled_from(DIRECTORIES), name=st.sampled_from(NAMES))
    def appear(self, directory: str, name: str) -> Path:
        path = self.top / directory / name
        path.parent.mkdir(exist_ok=True)
        self.write(path, 1)
        return path

    @rule(path=names, lines=st.integers(1, 3))
    def write(self, path: Path, lines: int) -> None:
        for _ in range(lines):
            self.number += 1
            self._append(path, f"{self.number}\n")
            self.written.append(self.parts.pop(path, "") + str(self.number))

    @rule(path=names)
    def write_part(self, path: Path) -> None:
        self.number += 1
        self._append(path, f"{self.number}:")
        self.parts[path] = self.parts.get(path, "") + f"{self.number}:"

    @rule()
    def read(self) -> None:
        lines, news = self.reader.drain()
        self.seen += lines
        if news:
            self.commit()

    @rule()
    def commit(self) -> None:
        self.kept = len(self.seen)
        self.places = dict(self.reader.committed())

    @rule()
    def restart(self) -> None:
        """An orderly stop commits."""
        self.commit()
        self.crash()

    @rule()
    def crash(self) -> None:
        """What was read and not committed is read again."""
        del self.seen[self.kept :]
        self.reader.close()
        self.reader = self._new_reader()

    @rule(path=names, make=st.booleans())
    def rotate(self, path: Path, make: bool) -> None:
        """What was rotated before the file was ever found is not read: that is not promised."""
        if path.exists() and path.stat().st_size:
            if str(path) not in self.places:
                self._handle()
            self._shift(path)
            path.rename(f"{path}.1")
            self._unfinished(path)
            if make:
                self._append(path, "")

    @rule(path=names)
    def copy_and_truncate(self, path: Path) -> None:
        """Content of which nobody has committed the beginning is not known again in a copy: that is not promised."""
        if not path.exists() or not path.stat().st_size:
            return
        self._handle()
        place = self.places.get(str(path))
        if place is None or place.offset == 0 or place.inode != path.stat().st_ino:
            return
        self._shift(path)
        shutil.copyfile(path, f"{path}.1")
        os.utime(f"{path}.1", ns=(self.at_ns, self.at_ns))
        os.truncate(path, 0)
        self._tick(path)
        self._unfinished(path)

    @rule(path=names)
    def delete(self, path: Path) -> None:
        """What is not committed is gone with the file."""
        if path.exists() and path not in self.parts:
            self._handle()
            path.unlink()
            self._handle()

    @rule(target=names, path=names, to=st.sampled_from(NAMES))
    def get_another_name(self, path: Path, to: str) -> MultipleResults[Path] | Path:
        """One that no file has had. Told apart from a rotation only by a monitor that sees it happen."""
        there = path.with_name(to)
        if there in self.paths or not path.exists():
            return multiple()
        self._handle()
        path.rename(there)
        self.paths.add(there)
        if path in self.parts:
            self.parts[there] = self.parts.pop(path)
        self._handle()
        return there

    def _handle(self) -> None:
        self.read()
        self.commit()

    def _append(self, path: Path, text: str) -> None:
        self.paths.add(path)
        with path.open("a") as file:
            file.write(text)
        self._tick(path)

    def _tick(self, path: Path) -> None:
        """Each write at a time of its own, however coarse the file system's clock is."""
        self.at_ns += 10**9
        os.utime(path, ns=(self.at_ns, self.at_ns))

    def _shift(self, path: Path) -> None:
        for older in range(60, 0, -1):
            if (there := Path(f"{path}.{older}")).exists():
                there.rename(f"{path}.{older + 1}")

    def _unfinished(self, path: Path) -> None:
        """The end of the file came before the end of its last line."""
        if part := self.parts.pop(path, ""):
            self.written.append(part)

    def _new_reader(self) -> ManyReader:
        return ManyReader(f"{self.top}/*/*.log", self.places)

    def teardown(self) -> None:
        try:
            for path in sorted(self.paths):  # an unfinished line ends when the successor of its file has content
                self.write(path, 1)
            self._handle()
            written, seen = Counter(self.written), Counter(self.seen)
            assert seen == written, f"missing {written - seen}, too many {seen - written}"
        finally:
            many.LOOK_S, many.LONG_LOOK_S = self.paces
            self.reader.close()
            shutil.rmtree(self.top)
