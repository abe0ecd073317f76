"""A log's life at its hardest: what `test_follow_file.Life` does, and power cuts, odd bytes, gzip, links, permissions.

Lines are accounted for as the daemon does it: what was read counts once its place is committed together with it; after
a crash reading goes on at the last place that was.
"""

import gzip
import os
import shutil

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from test_follow_file import Life, Reader

from vedette.agent.follow.generation import BLOCK_BYTES
from vedette.agent.follow.position import Position

LONG = 40
"""Longer lines are compared by what they begin with: how much of them is looked at is told elsewhere."""


class ByteReader(Reader):
    """Shows any bytes as text."""

    def drain(self) -> list[str]:
        out: list[str] = []
        while True:
            for read in self.source.step():
                out += [shown(bytes(line)) for line in read.block.lines]
            if not self.source.more:
                return out


def shown(line: bytes) -> str:
    return repr(line if len(line) <= LONG else line[:LONG] + b"~")


class HardLife(Life):
    """Rules are added to those of `Life`; where one is replaced, what is not promised is read and committed first."""

    def __init__(self) -> None:
        super().__init__()
        self.reader.close()
        self.top = self.directory
        (self.top / "data-0").mkdir()
        self.directory = self.top / "now"
        self.directory.symlink_to("data-0")
        self.log = self.directory / "app.log"
        self.links = self.gzips = 0
        self.part = b""  # of the line that is being written
        self.place: Position | None = None
        self.kept = 0  # lines that were committed
        self.reader = self._new_reader(None)

    @initialize()
    def begin(self) -> None:
        """A file that is found for the first time is noted at once."""
        super().begin()
        self.commit()

    @rule(lines=st.integers(1, 3))
    def write(self, lines: int) -> None:
        for _ in range(lines):
            self._line(b"%d")

    @rule(
        line=st.sampled_from(
            [
                b"%d\r", b"\0\0\0%d", b"%d \xff\xfe\xc3", b"%d a\0b", b"", b"\r", b"\0",
                b"%d " + b"x" * 20_000, b"%d " + b"y" * (2 * BLOCK_BYTES), b"%d \xe2\x80\xa8 \x0b \x0c \x1c",
            ]
        )
    )  # fmt: skip
    def write_odd(self, line: bytes) -> None:
        """Empty ones come behind a number: the same content anew is told by its time alone, and only after a while."""
        if b"%d" not in line:
            self._line(b"%d")
        self._line(line)

    @rule()
    def write_part(self) -> None:
        self.number += 1
        part = b"%d:" % self.number
        self._bytes(part)
        self.part += part
        self.partial = "yes"

    @rule()
    def commit(self) -> None:
        self.kept = len(self.seen)
        self.place = self.reader.source.position("log_a")

    @rule()
    def restart(self) -> None:
        """An orderly stop commits."""
        self.commit()
        self._open_again()

    @rule()
    def crash(self) -> None:
        """What was read and not committed is read again."""
        del self.seen[self.kept :]
        self._open_again()

    @precondition(lambda self: self.log.exists())
    @rule()
    def copy_and_truncate(self) -> None:
        """Content of which nobody has committed the beginning is not known again in a copy: that is not promised."""
        self.read()
        self.commit()
        if self.fresh or self.place is None or self.place.offset == 0 or self.place.inode != self.log.stat().st_ino:
            return
        super().copy_and_truncate()

    @precondition(lambda self: self.log.exists() and not self.partial)
    @rule(delete=st.booleans())
    def wipe(self, delete: bool) -> None:
        """What is not committed is gone with the file."""
        self._handle()
        super().wipe(delete)
        self.commit()

    @precondition(lambda self: self.log.exists() and self.log.stat().st_size > 0)
    @rule()
    def compress_the_oldest(self) -> None:
        """As logrotate does it, a while after the rotation: what it has is handled, an unfinished last line too."""
        old = [path for path in self.directory.glob("app.log.*") if path.suffix != ".gz"]
        if not old:
            return
        self._handle()
        oldest = max(old, key=lambda path: int(path.suffix[1:]))
        self.gzips += 1
        oldest.with_name(f"old-{self.gzips}.gz").write_bytes(gzip.compress(oldest.read_bytes()))
        oldest.unlink()

    @precondition(lambda self: not self.partial and self.log.exists() and self.log.stat().st_size > 0)
    @rule()
    def swap_the_link(self) -> None:
        """The path leads elsewhere from now on; what was behind it was handled."""
        self._handle()
        self.links += 1
        (self.top / f"data-{self.links}").mkdir()
        (self.top / "next").symlink_to(f"data-{self.links}")
        (self.top / "next").rename(self.directory)
        self._unfinished()

    @precondition(lambda self: self.log.exists())
    @rule()
    def forbid_and_allow(self) -> None:
        """Nothing is forbidden to root; then the file is out of the way for a while."""
        if os.geteuid() == 0:
            self.log.rename(self.directory / "elsewhere")
            self.read()
            (self.directory / "elsewhere").rename(self.log)
        else:
            self.log.chmod(0)
            self.seen += self.reader.drain()
            self.log.chmod(0o600)

    def _handle(self) -> None:
        """All that is there is read, and that is committed."""
        self.read()
        self.commit()

    def _line(self, line: bytes) -> None:
        self.number += 1
        if b"%d" in line:
            line = line.replace(b"%d", b"%d" % self.number)
        self._bytes(line + b"\n")
        self._wrote(self.part + line)
        self.part, self.partial = b"", ""

    def _wrote(self, line: bytes) -> None:
        self.written.append(as_read(line))

    def _bytes(self, data: bytes) -> None:
        with self.log.open("ab") as file:
            file.write(data)
        self._tick()

    def _unfinished(self) -> None:
        if self.part:
            self._wrote(self.part)
        self.part, self.partial = b"", ""
        self.fresh = True

    def _open_again(self) -> None:
        self.reader.close()
        self.reader = self._new_reader(self.place)

    def _new_reader(self, place: Position | None) -> Reader:
        return ByteReader(self.log, place)

    def teardown(self) -> None:
        try:
            self._line(b"end")
            self._handle()
            assert self.seen == self.written
        finally:
            self.reader.close()
            shutil.rmtree(self.top)


def as_read(line: bytes) -> str:
    """NUL bytes at its start are a hole, a carriage return at its end belongs to the newline."""
    return shown(line.lstrip(b"\0").removesuffix(b"\r"))


def live(machine: type[RuleBasedStateMachine] = HardLife, *, examples: int, seed: int | None = None) -> None:
    """So many lives; with a seed always the same."""
    chosen = settings(
        max_examples=examples, stateful_step_count=25, deadline=None, database=None, derandomize=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )  # fmt: skip
    run_state_machine_as_test(machine if seed is None else _seeded(machine, seed), settings=chosen)


def _seeded(machine: type[RuleBasedStateMachine], number: int) -> type[RuleBasedStateMachine]:
    return seed(number)(type("Seeded", (machine,), {}))
