"""The journal is followed from entry to entry, by a `journalctl` to play with that falls silent like the real one."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from vedette.agent.follow import journal
from vedette.agent.follow.command import CommandSource
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.journal import JournalSource, plain
from vedette.agent.follow.position import Position
from vedette.agent.host import Host
from vedette.agent.loop import Loop

# It reads the files that are there when it starts, and hears nothing of those that come later.
FAKE = """#!{python}
import glob, json, sys, time
after = next((each.partition("=")[2] for each in sys.argv if each.startswith("--cursor=")), "")
assert "-f" in sys.argv and "--output=json" in sys.argv and (not after or "--no-tail" in sys.argv), sys.argv
files = [open(name) for name in sorted(glob.glob("{directory}/*.journal"))]
silent = bool(after)
end = time.monotonic() + 60
while time.monotonic() < end:
    for file in files:
        while line := file.readline():
            if silent:
                silent = json.loads(line)["__CURSOR"] != after
                if silent:
                    continue
            sys.stdout.write(line)
    sys.stdout.flush()
    time.sleep(0.02)
"""


class Journal:
    def __init__(self, directory: Path) -> None:
        self.directory = directory / "log" / "machine"
        self.directory.mkdir(parents=True)
        program = directory / "bin" / "journalctl"
        program.parent.mkdir()
        program.write_text(FAKE.format(python=sys.executable, directory=self.directory))
        program.chmod(0o755)
        self.count = 0
        self.files = 1

    def write(self, message: Any) -> None:
        self.count += 1
        entry = {"__CURSOR": f"s=1;i={self.count}", "__REALTIME_TIMESTAMP": "1700000000000000", "_PID": "7",
                 "_HOSTNAME": "host", "SYSLOG_IDENTIFIER": "app", "MESSAGE": message}  # fmt: skip
        with (self.directory / f"{self.files}.journal").open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def rotate(self) -> None:
        self.files += 1


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    made = Journal(tmp_path)
    monkeypatch.setattr(journal, "FILES", (f"{tmp_path}/log/*/*.journal",))
    monkeypatch.setattr(journal, "SETTLE_S", 0.1)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return made


class Reader:
    def __init__(self, position: Position | None = None) -> None:
        self.loop = Loop()
        self.host = Host(self.loop)
        self.inotify = Inotify(self.loop)
        self.lines: list[tuple[int, str]] = []
        words = plain("journalctl -f --utc")
        assert words is not None
        self.source = JournalSource("journalctl -f --utc", words, self.host, self.inotify, 30, self.read)
        self.source.subscribe("k", position)

    def read(self, source: CommandSource) -> None:
        for read in source.step():
            self.lines += ((read.block.number(at), read.block.line(at).decode()) for at in read.block.starts())

    def until(self, *lines: tuple[int, str]) -> None:
        end = self.loop.clock.elapsed() + 20

        def look() -> None:
            if len(self.lines) >= len(lines) or self.loop.clock.elapsed() > end:
                self.loop.stop()
            else:
                self.loop.call_later(0.02, look)

        self.loop.call_soon(look)
        self.loop.run()
        assert self.lines == [(number, f"Nov 14 22:13:20 host app[7]: {text}") for number, text in lines]

    def close(self) -> Position | None:
        position = self.source.position("k")
        self.source.close()
        self.host.kill_now()
        self.inotify.close()
        self.loop.close()
        return position


def test_a_rotated_journal_silences_nobody_and_a_restart_doubles_nothing(made: Journal) -> None:
    made.write("one")
    reader = Reader()
    reader.until((1, "one"))
    made.rotate()
    made.write("two")
    reader.until((1, "one"), (2, "two"))
    position = reader.close()
    made.write("three")
    made.rotate()
    made.write([102, 111, 117, 114])
    reader = Reader(position)
    reader.until((3, "three"), (4, "four"))
    made.write("five")
    reader.until((3, "three"), (4, "four"), (5, "five"))
    reader.close()


def test_an_entry_of_several_lines_and_one_that_is_too_long(made: Journal) -> None:
    made.write("a\nb")
    reader = Reader()
    end = " " * len("Nov 14 22:13:20 host app[7]: ")
    while len(reader.lines) < 2:
        reader.loop.call_later(0.05, reader.loop.stop)
        reader.loop.run()
    assert reader.lines[1] == (2, f"{end}b")
    made.write("x" * 200_000)
    made.write("after")
    while len(reader.lines) < 4:
        reader.loop.call_later(0.05, reader.loop.stop)
        reader.loop.run()
    assert [line.endswith("x" * 100) for _, line in reader.lines] == [False, False, True, False]
    assert reader.lines[3][1].endswith("after")
    reader.close()


@pytest.mark.parametrize(
    ("command", "begin", "go_on"),
    [
        ("journalctl -f", "journalctl -f", "journalctl -f"),
        ("/usr/bin/journalctl -f -u ssh -n 0", "/usr/bin/journalctl -f -u ssh -n 0", "/usr/bin/journalctl -f -u ssh"),
        ("journalctl --follow --unit=a --since=today", "journalctl --follow --unit=a --since=today",
         "journalctl --follow --unit=a"),
        ("journalctl -fu ssh -n0", "journalctl -f -u ssh -n 0", "journalctl -f -u ssh"),
        ("journalctl -f _UID=0 -b", "journalctl -f _UID=0 -b", "journalctl -f _UID=0 -b"),
    ],
)  # fmt: skip
def test_what_is_plain(command: str, begin: str, go_on: str) -> None:
    assert plain(command) == (begin.split(), go_on.split())


@pytest.mark.parametrize(
    "command",
    ["journalctl", "journalctl -f | grep x", "journalctl -f -o json", "journalctl -fx", "docker events", "",
     "journalctl -f -u 'a", "journalctl -f --cursor=x", "journalctl -f -u $UNIT", "sudo journalctl -f"],
)  # fmt: skip
def test_what_is_not(command: str) -> None:
    assert plain(command) is None
