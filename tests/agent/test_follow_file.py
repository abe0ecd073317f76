"""Nothing is read twice and nothing is skipped, whatever happens to a log. Real files in a real directory."""

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from vedette.agent.follow import file
from vedette.agent.follow.cursor import Cursor
from vedette.agent.follow.file import FileSource
from vedette.agent.follow.generation import BLOCK_BYTES, RESERVED, Generation
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.lines import Block
from vedette.agent.follow.pathwatch import steps
from vedette.agent.follow.position import Position
from vedette.agent.follow.rest import Awake
from vedette.agent.loop import Loop
from vedette.errors import Unavailable

KEY = "log_a"


class Reader:
    """One check following one path, stepped by hand; what it read is in `seen` as (number, text)."""

    def __init__(self, path: Path, position: Position | None = None) -> None:
        self.loop = Loop()
        self.inotify = Inotify(self.loop)
        self.calls = 0
        self.seen: list[tuple[int, str]] = []
        self.source = FileSource(str(path), self.loop, self.inotify, 30, self._on_ready, awake=Awake(0))
        self.source.subscribe(KEY, position)

    def _on_ready(self, source: FileSource) -> None:
        self.calls += 1

    def drain(self) -> list[str]:
        """Read all there is; the new lines."""
        before = len(self.seen)
        while True:
            for read in self.source.step():
                numbers = range(read.block.first, read.block.first + len(read.block.lines))
                self.seen += [(n, line.decode()) for n, line in zip(numbers, read.block.lines, strict=True)]
            if not self.source.more:
                return [text for _, text in self.seen[before:]]

    def events(self) -> None:
        """Let the loop deliver what the kernel has to tell, as far as it is there already."""
        self.loop.call_later(0, self.loop.stop)
        self.loop.run()

    def wait(self, seconds: float = 5.0) -> bool:
        """Run the loop until the source is ready; False when it never is."""
        self.calls = 0
        give_up = self.loop.call_later(seconds, self.loop.stop)
        self.source._on_ready = lambda source: (self._on_ready(source), self.loop.stop())  # type: ignore[assignment,func-returns-value]
        self.loop.run()
        self.source._on_ready = self._on_ready
        give_up.cancel()
        return self.calls > 0

    def close(self) -> Position | None:
        position = self.source.position(KEY)
        self.source.close()
        self.inotify.close()
        self.loop.close()
        return position


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def readers() -> Iterator[list[Reader]]:
    made: list[Reader] = []
    yield made
    for each in made:
        with suppress(OSError, ValueError, KeyError):
            each.close()


@pytest.fixture
def reader(log: Path, readers: list[Reader]) -> Reader:
    readers.append(Reader(log))
    return readers[0]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def again(reader: Reader, path: Path, readers: list[Reader]) -> Reader:
    """The same after a restart."""
    readers.remove(reader)
    position = reader.close()
    readers.append(Reader(path, position))
    return readers[-1]


def test_a_new_check_reads_from_the_start(log: Path, reader: Reader) -> None:
    append(log, "1\n2\n")
    assert reader.drain() == ["1", "2"]
    append(log, "3\n")
    assert reader.drain() == ["3"]
    assert reader.seen == [(1, "1"), (2, "2"), (3, "3")]


def test_a_line_is_read_when_its_newline_has_come(log: Path, reader: Reader, readers: list[Reader]) -> None:
    append(log, "1\nhal")
    assert reader.drain() == ["1"]
    reader = again(reader, log, readers)
    assert reader.drain() == []
    append(log, "f\n")
    assert reader.drain() == ["half"]
    assert reader.seen == [(2, "half")]


def test_renamed_with_unread_lines(log: Path, reader: Reader) -> None:
    append(log, "1\n")
    reader.drain()
    append(log, "2\n3 without newline")
    log.rename(log.with_name("app.log.1"))
    append(log, "4\n")
    assert reader.drain() == ["2", "3 without newline", "4"]
    assert reader.seen[-1] == (1, "4")


def test_the_old_file_is_not_left_before_the_new_one_has_something(log: Path, reader: Reader) -> None:
    append(log, "1\n")
    reader.drain()
    log.rename(log.with_name("app.log.1"))
    log.touch()
    assert reader.drain() == []
    append(log.with_name("app.log.1"), "2\n")
    assert reader.drain() == ["2"]
    append(log, "3\n")
    assert reader.drain() == ["3"]


def test_a_late_writer_of_the_old_file_is_heard(log: Path, reader: Reader) -> None:
    with log.open("a") as old:
        old.write("1\n")
        old.flush()
        reader.drain()
        log.rename(log.with_name("app.log.1"))
        append(log, "3\n")
        assert reader.drain() == ["3"]
        old.write("2\n")
    assert reader.wait()
    assert reader.drain() == ["2"]
    reader.source._end_lingering()
    append(log, "4\n")
    assert reader.drain() == ["4"]


def test_rotated_twice_while_nobody_looked(log: Path, reader: Reader, readers: list[Reader]) -> None:
    append(log, "1\n")
    reader.drain()
    reader = again(reader, log, readers)
    append(log, "2\n")
    log.rename(log.with_name("app.log.2"))
    append(log.with_name("app.log.1"), "3\n4")
    append(log.with_name("app.log.3"), "older\n")
    append(log.with_name("app.log.1.gz"), "packed\n")
    append(log.with_name("app.log.bak"), "mine\n")
    append(log, "5\n")
    assert reader.drain() == ["2", "3", "4", "5"]


def test_rotated_and_not_made_again_yet(log: Path, reader: Reader, readers: list[Reader]) -> None:
    append(log, "1\n")
    reader.drain()
    reader = again(reader, log, readers)
    append(log, "2\n")
    log.rename(log.with_name("app.log.2"))
    append(log.with_name("app.log.1"), "3\n")
    assert reader.drain() == ["2", "3"]


def test_copied_and_truncated(log: Path, reader: Reader) -> None:
    append(log, "1\n")
    reader.drain()
    append(log, "2\n")
    shutil.copyfile(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    append(log, "3\n")
    assert reader.drain() == ["2", "3"]


def test_truncated_and_grown_beyond_the_place(log: Path, reader: Reader, readers: list[Reader]) -> None:
    append(log, "1\n2\n")
    reader.drain()
    log.write_text("a\nb\nc\n")
    assert reader.drain() == ["a", "b", "c"]
    reader = again(reader, log, readers)
    log.write_text("d\ne\nf\ng\n")
    assert reader.drain() == ["d", "e", "f", "g"]
    assert reader.seen[0] == (1, "d")


def test_a_truncating_writer_without_append_leaves_a_hole(log: Path, reader: Reader) -> None:
    with log.open("w") as file:
        file.write("x" * 100_000 + "\n")
        file.flush()
        reader.drain()
        os.truncate(log, 0)
        file.write("after\n")
    assert reader.drain() == ["after"]


def test_written_anew_with_the_same_length_at_once(log: Path, reader: Reader) -> None:
    """A scanner that writes the same result again has found it again."""
    append(log, "CVE HIGH\n")
    reader.drain()
    reader.events()
    reader.drain()
    log.write_text("CVE HIGH\n")
    os.utime(log, ns=(1, 1))  # whatever the granularity of the file system's clock
    with log.open("r+") as file:
        file.write("CVE HIGH\n")
    assert reader.wait()
    first = reader.drain()
    if not first:  # truncation and writing were seen as one
        assert reader.wait()
        first = reader.drain()
    assert first == ["CVE HIGH"]


def test_touching_is_not_writing(log: Path, reader: Reader) -> None:
    append(log, "1\n")
    reader.drain()
    os.utime(log)
    assert reader.wait()
    assert reader.drain() == []
    assert not reader.wait(0.3)
    append(log, "2\n")
    assert reader.drain() == ["2"]


def test_generations_that_begin_alike(log: Path, reader: Reader) -> None:
    """What was truncated is not looked for in an older generation that only begins like it."""
    append(log, "begun\n1\n")
    assert reader.drain() == ["begun", "1"]
    shutil.copyfile(log, log.with_name("app.log.1"))
    os.utime(log.with_name("app.log.1"), ns=(10**18, 10**18))  # a while ago
    os.truncate(log, 0)
    assert reader.drain() == []
    append(log, "begun\n")
    assert reader.drain() == ["begun"]
    os.truncate(log, 0)
    append(log, "2\n")
    assert reader.drain() == ["2"]


def test_at_rest_too_an_older_generation_that_begins_alike_is_not_read(log: Path, reader: Reader) -> None:
    append(log, "begun\n1\n")
    assert reader.drain() == ["begun", "1"]
    append(log.with_name("app.log.1"), "begun\n1\nlong ago\n")
    os.utime(log.with_name("app.log.1"), ns=(10**18, 10**18))
    os.truncate(log, 0)
    append(log, "2\n")
    assert reader.drain() == ["2"]


def test_the_last_words_of_a_late_writer_are_heard(log: Path, reader: Reader) -> None:
    """However long nobody could read: the store took nothing meanwhile."""
    append(log, "1\n")
    with log.open("a") as old:
        reader.drain()
        log.rename(log.with_name("app.log.1"))
        append(log, "2\n")
        assert reader.drain() == ["2"]
        old.write("late\nlast words")
    reader.source._end_lingering()
    assert reader.drain() == ["late", "last words"]
    assert len(reader.source.identities()) == 1


def test_a_line_that_ends_while_the_file_is_rotated_is_one(
    log: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log, "1\nbeg")
    assert reader.drain() == ["1"]
    look = Cursor._move_on

    def just_then(self: Cursor, now: Generation, out: list[Block]) -> bool:
        if not log.with_name("app.log.1").exists():
            append(log, "un\n")
            log.rename(log.with_name("app.log.1"))
            append(log, "2\n")
        return look(self, now, out)

    monkeypatch.setattr(Cursor, "_move_on", just_then)
    assert reader.drain() == ["begun", "2"]


def test_deleted_and_made_again(log: Path, reader: Reader, readers: list[Reader]) -> None:
    append(log, "1\n")
    reader.drain()
    log.unlink()
    assert reader.drain() == []
    append(log, "1\n")
    assert reader.drain() == ["1"]
    reader = again(reader, log, readers)
    log.unlink()
    append(log, "2\n")  # perhaps with the same inode number
    assert reader.drain() == ["2"]


def test_a_swapped_link(tmp_path: Path, log: Path, reader: Reader) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    append(tmp_path / "a" / "log", "1\n")
    append(tmp_path / "b" / "log", "2\n")
    (tmp_path / "dir").symlink_to("a")
    log.symlink_to("dir/log")
    assert reader.drain() == ["1"]
    append(tmp_path / "a" / "log", "1b\n")
    (tmp_path / "new").symlink_to("b")
    (tmp_path / "new").rename(tmp_path / "dir")
    assert reader.wait()
    assert reader.drain() == ["1b", "2"]


def test_a_directory_that_comes_later(tmp_path: Path, readers: list[Reader]) -> None:
    path = tmp_path / "x" / "y" / "app.log"
    readers.append(Reader(path))
    assert readers[0].drain() == []
    for make in (lambda: (tmp_path / "x").mkdir(), lambda: (tmp_path / "x" / "y").mkdir(), lambda: append(path, "1\n")):
        make()
        assert readers[0].wait()
        seen = readers[0].drain()
    assert seen == ["1"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_permission_lost_and_regained(log: Path, reader: Reader, capfd: pytest.CaptureFixture[str]) -> None:
    append(log, "1\n")
    log.chmod(0)
    assert reader.drain() == []
    assert capfd.readouterr().err.count("cannot be read") == 1
    log.chmod(0o600)
    assert reader.wait()
    assert reader.drain() == ["1"]


def test_what_is_no_file_is_told_once(log: Path, reader: Reader, capfd: pytest.CaptureFixture[str]) -> None:
    log.mkdir()
    reader.drain()
    reader.drain()
    assert capfd.readouterr().err.count("no regular file") == 1
    log.rmdir()
    append(log, "1\n")
    assert reader.drain() == ["1"]


def test_any_bytes(log: Path, reader: Reader) -> None:
    log.write_bytes(b"\0\0a\0b\r\n\xff\n")
    seen = [line for read in reader.source.step() for line in read.block.lines]
    assert seen == [b"a\0b", b"\xff"]


def test_a_check_that_joins_reads_from_the_start_and_then_with_the_others(log: Path, reader: Reader) -> None:
    append(log, "1\n2\n")
    reader.drain()
    reader.source.subscribe("log_b", None)
    append(log, "3\n")
    got: dict[str, list[bytes]] = {KEY: [], "log_b": []}
    while True:
        for read in reader.source.step():
            for key in read.keys:
                got[key] += read.block.lines
        if not reader.source.more:
            break
    assert got == {KEY: [b"3"], "log_b": [b"1", b"2", b"3"]}
    assert len(reader.source.cursors) == 1


def test_a_step_is_bounded(log: Path, reader: Reader) -> None:
    line = "x" * 99 + "\n"
    append(log, line * (3 * BLOCK_BYTES // 100))
    (first,) = reader.source.step()
    assert sum(len(each) + 1 for each in first.block.lines) <= BLOCK_BYTES
    assert len(first.block.lines) + len(reader.drain()) == 3 * BLOCK_BYTES // 100


def test_the_kernel_tells_of_growth(log: Path, reader: Reader) -> None:
    append(log, "1\n")
    reader.drain()
    reader.events()
    reader.drain()
    append(log, "2\n")
    assert reader.wait()
    assert reader.drain() == ["2"]
    reader.events()
    assert not reader.wait(0.2)  # and then it is quiet


def test_the_way_to_a_path(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").touch()
    (tmp_path / "l").symlink_to("d/../d/f")
    (tmp_path / "loop").symlink_to("loop")
    top = str(tmp_path)
    assert steps(f"{top}/l")[-4:] == [(top, "l"), (top, "d"), (top, "d"), (f"{top}/d", "f")]
    assert steps(f"{top}/none/x")[-1] == (top, "none")
    assert len(steps(f"{top}/loop")) < 100


class Life(RuleBasedStateMachine):
    """A log's life in any order, with restarts of the reader: every line exactly once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="vedette-"))
        self.log = self.directory / "app.log"
        self.written: list[str] = []
        self.seen: list[str] = []
        self.partial = ""
        self.number = 0
        self.at_ns = 1_700_000_000 * 10**9
        self.fresh = True  # nothing of the present content has been read
        self.reader = Reader(self.log)

    @initialize()
    def begin(self) -> None:
        self.write(1)
        self.read()

    @rule(lines=st.integers(1, 3))
    def write(self, lines: int) -> None:
        for _ in range(lines):
            self.number += 1
            self._append(f"{self.number}\n")
            self.written.append(f"{self.partial}{self.number}")
            self.partial = ""

    @rule()
    def write_part(self) -> None:
        self.number += 1
        self._append(f"{self.number}:")
        self.partial += f"{self.number}:"

    @rule()
    def read(self) -> None:
        self.seen += self.reader.drain()
        self.fresh = self.fresh and not (self.log.exists() and b"\n" in self.log.read_bytes())

    @rule()
    def restart(self) -> None:
        """Only what was stored is known; a stop stays before an unfinished line."""
        position = self.reader.close()
        self.reader = Reader(self.log, position)

    @precondition(lambda self: self.log.exists() and self.log.stat().st_size > 0)
    @rule(make=st.booleans())
    def rotate(self, make: bool) -> None:
        self._shift()
        self.log.rename(self.directory / "app.log.1")
        self._unfinished()
        if make:
            self._append("")

    @precondition(lambda self: self.log.exists() and not self.fresh)
    @rule()
    def copy_and_truncate(self) -> None:
        """Content of which nobody has read the beginning is not known again in a copy: that is not promised."""
        self._shift()
        shutil.copyfile(self.log, self.directory / "app.log.1")
        os.utime(self.directory / "app.log.1", ns=(self.at_ns, self.at_ns))
        os.truncate(self.log, 0)
        self._tick()
        self._unfinished()

    @precondition(lambda self: self.log.exists() and not self.partial)
    @rule(delete=st.booleans())
    def wipe(self, delete: bool) -> None:
        """What nobody has handled is gone with the file, so it is read first; unfinished lines are not promised."""
        self.read()
        if delete:
            self.log.unlink()
        else:
            os.truncate(self.log, 0)
            self._tick()
        self._unfinished()
        self.read()

    def _append(self, text: str) -> None:
        """Each write at a time of its own, however coarse the file system's clock is."""
        append(self.log, text)
        self._tick()

    def _tick(self) -> None:
        self.at_ns += 10**9
        os.utime(self.log, ns=(self.at_ns, self.at_ns))

    def _shift(self) -> None:
        for older in range(60, 0, -1):
            path = self.directory / f"app.log.{older}"
            if path.exists():
                path.rename(self.directory / f"app.log.{older + 1}")

    def _unfinished(self) -> None:
        """The end of the file came before the end of its last line."""
        if self.partial:
            self.written.append(self.partial)
            self.partial = ""
        self.fresh = True

    @invariant()
    def nothing_twice(self) -> None:
        assert self.seen == self.written[: len(self.seen)]

    def teardown(self) -> None:
        try:
            append(self.log, "end\n")
            self.written.append(f"{self.partial}end")
            self.seen += self.reader.drain()
            assert self.seen == self.written
        finally:
            self.reader.close()
            shutil.rmtree(self.directory)


def test_a_logs_life() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )


def test_the_number_of_an_empty_file_may_be_another_files_now(tmp_path: Path, readers: list[Reader]) -> None:
    """Nothing of it was read, so only its number and its name tell what it was."""
    log = tmp_path / "app.log"
    log.touch()
    reader = Reader(log)
    readers.append(reader)
    assert reader.drain() == []
    log.rename(tmp_path / "other.log")  # as if it had been deleted, and its number given to the next file
    append(tmp_path / "other.log", "of somebody else\n")
    reader = again(reader, log, readers)
    assert reader.drain() == []
    append(log, "1\n")
    assert reader.drain() == ["1"]


def test_what_is_no_file_is_not_even_opened(tmp_path: Path, readers: list[Reader]) -> None:
    """Whoever waits to write into a pipe would take us for its reader; some devices do something when opened."""
    os.mkfifo(tmp_path / "pipe")
    readers.append(Reader(tmp_path / "pipe"))
    assert readers[0].drain() == []
    with pytest.raises(OSError, match="No such device or address"):  # no reader came by
        os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)


def test_when_no_more_files_can_be_open_the_others_come_later(
    tmp_path: Path, readers: list[Reader], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(file, "BLIND_S", 0.05)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    append(tmp_path / "app.log", "1\n")
    here = Reader(tmp_path / "app.log")
    readers.append(here)
    os.close(lowest := os.open("/dev/null", os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + RESERVED, hard))
    try:
        assert here.drain() == []
        assert "Too many open files" in capfd.readouterr().err
        os.close(os.open("/dev/null", os.O_RDONLY))  # there are some left for others
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert here.wait()
    assert here.drain() == ["1"]


def test_a_kernel_without_queues_for_us_is_told_in_a_sentence() -> None:
    loop = Loop()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(lowest := os.open("/dev/null", os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(Unavailable, match="max_user_instances"):
            Inotify(loop)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        loop.close()


def test_who_leaves_wakes_no_file_that_rests(log: Path, reader: Reader) -> None:
    append(log, "1\n")
    reader.drain()
    reader.source.subscribe("log_b", None)
    reader.drain()
    assert reader.source._rest is not None
    reader.source.unsubscribe("log_b")
    assert reader.source._rest is not None
    assert reader.source.position("log_b") is None
    append(log, "2\n")
    assert [read.keys for read in reader.source.step()] == [{KEY}]
