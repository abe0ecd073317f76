"""A check on all files that a pattern of names means: each once, from its start, with a place of its own."""

import gzip
import os
import shutil
from collections import Counter
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest
from real_device import Device, wait_until

from vedette.agent.control import main
from vedette.agent.follow import many
from vedette.agent.follow.glob import is_pattern
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.many import ManySource
from vedette.agent.follow.position import Position
from vedette.agent.loop import Loop


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


class Reader:
    """One check on a pattern; `seen` counts (file, line)."""

    def __init__(self, pattern: str, places: dict[str, Position] | None = None) -> None:
        self.loop = Loop()
        self.inotify = Inotify(self.loop)
        self.seen: Counter[tuple[str, str]] = Counter()
        self.ready = True
        self.source = ManySource(pattern, self.loop, self.inotify, 30, lambda source: self.loop.call_soon(self.read))
        self.kept: dict[str, Position] = dict(places or {})
        self.source.subscribe("k", self.kept)

    def read(self) -> None:
        for read in self.source.step():
            for line in read.block.lines:
                self.seen[Path(read.block.path).name, line.decode()] += 1
        self.kept |= self.source.places("k")
        for path in self.source.take_over():
            self.kept.pop(path, None)
        if self.source.more:
            self.loop.call_soon(self.read)

    def until(self, *lines: str) -> list[tuple[str, str]]:
        """Run until these were read since the last time, and no others; returns them, sorted."""
        end = self.loop.clock.elapsed() + 20

        def look() -> None:
            if sorted(line for _, line in self.seen.elements()) == sorted(lines) or self.loop.clock.elapsed() > end:
                self.loop.stop()
            else:
                self.loop.call_later(0.02, look)

        self.loop.call_later(0.15, look)  # longer than it waits before it looks again
        self.loop.run()
        seen, self.seen = self.seen, Counter()
        assert sorted(line for _, line in seen.elements()) == sorted(lines)
        return sorted(seen.elements())

    def run_until(self, true: Callable[[], bool]) -> None:
        end = self.loop.clock.elapsed() + 20
        while not true():
            assert self.loop.clock.elapsed() < end
            self.loop.call_later(0.02, self.loop.stop)
            self.loop.run()

    def close(self) -> dict[str, Position]:
        self.kept |= self.source.places("k")
        self.source.close()
        self.inotify.close()
        self.loop.close()
        return self.kept


def test_what_is_a_pattern(tmp_path: Path) -> None:
    assert is_pattern(f"{tmp_path}/*.log")
    assert not is_pattern(f"{tmp_path}/a.log")
    (tmp_path / "a[1].log").touch()
    assert not is_pattern(f"{tmp_path}/a[1].log")


def test_files_and_directories_that_come_later(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    append(tmp_path / "a" / "x.log", "1\n")
    append(tmp_path / "a" / ".hidden.log", "no\n")
    reader = Reader(f"{tmp_path}/*/*.log")
    assert reader.until("1") == [("x.log", "1")]
    append(tmp_path / "a" / "y.log", "2\n3\n")
    append(tmp_path / "a" / "x.log", "4\n")
    assert reader.until("2", "3", "4") == [("x.log", "4"), ("y.log", "2"), ("y.log", "3")]
    (tmp_path / "b").mkdir()
    reader.until()
    append(tmp_path / "b" / "z.log", "5\n")
    assert reader.until("5") == [("z.log", "5")]
    (tmp_path / "b" / "dir.log").mkdir()
    reader.until()
    reader.close()


def test_the_base_comes_later(tmp_path: Path) -> None:
    reader = Reader(f"{tmp_path}/late/app/*.log")
    reader.until()
    (tmp_path / "late" / "app").mkdir(parents=True)
    append(tmp_path / "late" / "app" / "a.log", "1\n")
    reader.until("1")
    reader.close()


def test_what_was_rotated_is_not_read_twice(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(tmp_path / "app.log.1", "before our time\n")
    append(log, "1\n")
    append(tmp_path / "other.log", "a\n")
    reader = Reader(f"{tmp_path}/*.log*")
    reader.until("1", "a")
    append(log, "2\n")
    log.rename(tmp_path / "app.log.1")
    append(log, "3\n")
    reader.until("2", "3")
    reader = Reader(f"{tmp_path}/*.log*", reader.close())
    append(log, "4\n")
    (tmp_path / "app.log.1").rename(tmp_path / "app.log.2")
    log.rename(tmp_path / "app.log.1")
    reader.until("4")
    with gzip.open(tmp_path / "app.log.2.gz", "wb") as packed:
        packed.write((tmp_path / "app.log.2").read_bytes())
    (tmp_path / "app.log.2").unlink()
    append(log, "5\n")
    reader.until("5")
    reader.close()


def test_rotated_while_off_and_not_made_again(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "1\n")
    reader = Reader(f"{tmp_path}/*.log*")
    reader.until("1")
    places = reader.close()
    append(log, "2\n")
    log.rename(tmp_path / "app.log.1")
    reader = Reader(f"{tmp_path}/*.log*", places)
    reader.until("2")
    append(log, "3\n")
    reader.until("3")
    reader.close()


@pytest.mark.parametrize("late", [False, True], ids=["seen at once", "seen when the next one was read"])
@pytest.mark.parametrize("restart", [False, True], ids=["", "restart"])
def test_a_file_that_gets_another_name_goes_on_there(
    tmp_path: Path, restart: bool, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "LONG_LOOK_S", inf)
    log, other = tmp_path / "a.log", tmp_path / "b.log"
    append(log, "1\n")
    reader = Reader(f"{tmp_path}/*.log")
    monkeypatch.setattr(many, "LOOK_S", 1.0 if late else 0.0)
    append(tmp_path / "c.log", "")
    reader.until("1")
    append(log, "2\n")
    log.rename(other)
    append(log, "3\n")
    reader.until("2", "3")
    reader.run_until(lambda: str(other) in reader.kept)
    if restart:
        reader = Reader(f"{tmp_path}/*.log", reader.close())
    append(other, "4\n")
    append(log, "5\n")
    reader.until("4", "5")
    reader.close()


@pytest.mark.parametrize("name", ["a.log", "c.log"])
@pytest.mark.parametrize("moved", [False, True], ids=["number used again", "renamed"])
def test_rotated_while_off_and_its_number_is_anothers(tmp_path: Path, moved: bool, name: str) -> None:
    log, other = tmp_path / "b.log", tmp_path / name
    append(log, "1\n")
    reader = Reader(f"{tmp_path}/*.log")
    reader.until("1")
    places = reader.close()
    append(log, "2\n")
    if not moved:
        shutil.copyfile(log, tmp_path / "b.log.2")
        log.write_text("")  # as when it was deleted, and the file system gave its number to a new file
    log.rename(other)
    append(other, "other\n")
    append(log, "3\n4:")
    log.rename(tmp_path / "b.log.1")
    reader = Reader(f"{tmp_path}/*.log", places)
    reader.until(*(("1",) if moved else ()), "2", "other", "3")
    reader = Reader(f"{tmp_path}/*.log", reader.close())
    append(log, "5\n")
    assert reader.until("4:", "5") == [("b.log", "4:"), ("b.log", "5")]
    reader.close()


def test_another_name_for_the_same_file_brings_nothing(tmp_path: Path) -> None:
    append(tmp_path / "b-1.log", "1\n")
    (tmp_path / "a.log").symlink_to("b-1.log")
    os.link(tmp_path / "b-1.log", tmp_path / "c.log")
    reader = Reader(f"{tmp_path}/*.log")
    reader.until("1")
    append(tmp_path / "a.log", "2\n")
    reader.until("2")
    append(tmp_path / "b-2.log", "3\n")
    (tmp_path / "a.log").unlink()
    (tmp_path / "a.log").symlink_to("b-2.log")
    reader.until("3")
    reader.close()


def test_places_are_kept_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "LINGER_S", 0.05)
    a, b = tmp_path / "a.log", tmp_path / "b.log"
    append(a, "1\n")
    append(b, "2\n")
    reader = Reader(f"{tmp_path}/*.log")
    reader.until("1", "2")
    places = reader.close()
    assert set(places) == {str(a), str(b)}
    a.unlink()
    append(b, "3\n")
    reader = Reader(f"{tmp_path}/*.log", places)
    reader.until("3")
    reader.until()
    assert set(reader.close()) == {str(b)}
    (tmp_path / "sub").mkdir()
    reader = Reader(f"{tmp_path}/sub/*.log", places)  # the check means other files now
    reader.until()
    assert set(reader.close()) == set()


def test_no_more_files_than_can_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "MAX_FILES", 3)
    monkeypatch.setattr(many, "ADD_FILES", 2)
    for name in "abcde":
        append(tmp_path / f"{name}.log", f"{name}\n")
    reader = Reader(f"{tmp_path}/*.log")
    reader.until("a", "b", "c")
    reader.close()


def test_the_daemon_says_which_file_it_was(device: Device, tmp_path: Path) -> None:
    """Each line once over a power cut; switched off and on it goes on, deleted it forgets."""
    logs = tmp_path / "logs"
    logs.mkdir()
    append(logs / "a.log", "fine\n")
    device.check("many", "bad", f"{logs}/*.log")
    device.start()
    wait_until(lambda: device.query("SELECT count(*) FROM position") == [(1,)], "the place in a.log")
    append(logs / "b.log", "fine\nfine\nbad\n")
    details = device.wait_for(1)[0]["subject"]["details"]
    assert details["description"] == f"bad present in {logs / 'b.log'}"
    assert details["line_matching"]["line_number"] == 3
    device.kill()
    device.start()
    device.disable("many")
    device.wait_for(2)
    device.check("end", "end", logs / "end")
    device.check("many", "bad", f"{logs}/*.log")
    append(logs / "end", "end\n")
    device.wait_for(1, "end")
    append(logs / "c.log", "bad\n")
    assert device.wait_for(3, "many")[2]["subject"]["details"]["description"].endswith("c.log")
    device.delete("many")
    wait_until(
        lambda: not device.query("SELECT 1 FROM position WHERE \"check\" LIKE 'log_many%'"), "all to be forgotten"
    )


def test_what_a_log_check_may_be_told_besides(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root, log = ["--root", str(tmp_path)], "/var/log/*.log"
    file = tmp_path / "etc/mender-monitor/monitor.d/available/log_x.sh"
    assert main([*root, "create", "log", "x", "a=b", log, "LOG_JSON_FIELD=a.b", "LOG_MULTILINE_START=^=$(x)"]) == 0
    assert 'LOG_FILE="/var/log/*.log"\nLOG_JSON_FIELD="a.b"\nLOG_MULTILINE_START="^=\\$(x)"\n' in file.read_text()
    assert main([*root, "create", "log", "x", "a", log, "1d", "LOG_MULTILINE=indent"]) == 0
    assert file.read_text().endswith('LOG_MULTILINE="indent"\nLOG_PATTERN_EXPIRATION=86400\n')
    before = file.read_text()
    for wrong in ("LOG_MULTILINE=yes", "LOG_FILE=/x", "LOG_JSON_FIELD=.", "LOG_ALERT_LEVEL=LOUD"):
        assert main([*root, "create", "log", "x", "a", log, wrong]) == 1
    assert main([*root, "create", "log", "x", "a", log, "1d", "LOG_FILE=/x"]) == 2
    assert capfd.readouterr().err.count("\n") == 5
    assert file.read_text() == before


def test_older_parts_stay_what_they_were_while_their_file_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotated by a program that opens its log again only when it has something to say."""
    monkeypatch.setattr(many, "LINGER_S", 0.05)
    log = tmp_path / "app.log"
    append(log, "1\n")
    reader = Reader(f"{tmp_path}/app*")
    reader.until("1")
    log.rename(tmp_path / "app.log.2")
    append(log, "2\n")
    reader.until("2")
    log.rename(tmp_path / "app.log.1")
    reader.until()
    reader.until()
    reader = Reader(f"{tmp_path}/app*", reader.close())
    reader.until()
    append(tmp_path / "app.log.1", "late\n")
    reader.until("late")
    append(log, "3\n")
    reader.until("3")
    reader.close()


def test_a_file_that_goes_is_read_to_its_end_however_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store takes nothing, nothing is read."""
    monkeypatch.setattr(many, "LINGER_S", 0.05)
    append(tmp_path / "a.log", "1\n")
    reader = Reader(f"{tmp_path}/*.log")
    reader.until("1")
    reader.source._on_ready = lambda source: None
    append(tmp_path / "a.log", "2\n")
    (tmp_path / "a.log").unlink()
    reader.source._look_from = 0.0
    reader.loop.call_later(0, reader.loop.stop)
    reader.loop.run()
    reader.source._look()
    assert reader.source._gone
    reader.source._gone = dict.fromkeys(reader.source._gone, -1000.0)
    reader.source._forget()
    reader.source._on_ready = lambda source: reader.loop.call_soon(reader.read)
    reader.loop.call_soon(reader.read)
    reader.until("2")
    reader.until()
    assert not reader.close()


def test_a_large_directory_that_never_rests_is_looked_through_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "LONG_LOOK_S", 0.0)
    monkeypatch.setattr(many, "LOOK_SHARE", 10**6)
    append(tmp_path / "a.log", "1\n")
    reader = Reader(f"{tmp_path}/*.log")
    reader.until("1")
    append(tmp_path / "b.log", "2\n")
    reader.until()
    assert not reader.source.more  # a timer looks again
    reader.close()
