"""`mender-monitorctl test`: what would have been raised, and how many lines match. The real program."""

import gzip
import json
import os
import random
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vedette.agent.linetime import time_of
from vedette.agent.match import Pattern
from vedette.agent.match.count import STRETCH_BYTES, Counter

LOG = """\
2026-08-24 10:00:00Z scan started
2026-08-24 10:00:01Z CVE-2026-1 HIGH
2026-08-24 10:00:02Z password=swordfish
2026-08-25 11:00:00Z CVE-2026-2 HIGH
  which has no time of its own: CVE HIGH
2026-08-30 10:00:00Z CVE-2026-3 LOW
2026-08-31 10:00:00Z CVE-2026-4 HIGH
"""


class Control:
    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *arguments: str | Path, stdin: bytes = b"", code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "vedette.agent.control", "--root", str(self.root), *map(str, arguments)],
            input=stdin, capture_output=True, timeout=60,
            env={**os.environ, "XDG_CACHE_HOME": str(self.root / "cache"), "TZ": "UTC"},
        )  # fmt: skip
        assert done.returncode == code, done.stderr.decode()
        return (done.stdout if code == 0 else done.stderr).decode()

    def json(self, *arguments: str | Path, stdin: bytes = b"") -> Any:
        return json.loads(self("test", "--json", *arguments, stdin=stdin))


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path / "root")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "results-scan"
    path.write_text(LOG)
    return path


def test_a_check_on_its_own_log(control: Control, log: Path) -> None:
    control("create", "log", "results-scan", "CVE.*HIGH", log, "2d")
    out = control.json("results-scan")
    assert [(each["level"], each["timestamp"]) for each in out["alerts"]] == [
        ("CRITICAL", "2026-08-24T10:00:01+00:00"),
        ("OK", "2026-08-27T11:00:00+00:00"),
        ("CRITICAL", "2026-08-31T10:00:00+00:00"),
    ]
    first = out["alerts"][0]
    assert first["line_matching"] == {"line_number": 2, "data": "2026-08-24 10:00:01Z CVE-2026-1 HIGH"}
    assert [each["line_number"] for each in first["lines_before"]] == [1]
    assert first["lines_after"][0]["data"] == "2026-08-24 10:00:02Z password=[redacted]"
    assert (first["matches"], first["last_match"]) == (3, "2026-08-25T11:00:00+00:00")
    assert (out["lines"], out["matches"], out["open"]) == (7, 4, True)
    text = control("test", "log", "results-scan")
    assert "4 of 7 lines match (57 %): 2 alerts would be raised, the last one still open." in text
    assert "swordfish" not in text


def test_since(control: Control, log: Path) -> None:
    out = control.json("CVE.*HIGH", "--file", log, "--since", "2026-08-30T00:00:00+00:00")
    assert (out["matches"], out["alerts"][0]["line_matching"]["line_number"]) == (1, 7)
    assert control.json("CVE", f"--file={log}", "--since", "1s")["matches"] in (0, 5)  # as the clock of this machine is


def test_older_generations_come_first(control: Control, log: Path) -> None:
    log.rename(log.with_name("results-scan.1"))
    os.utime(log.with_name("results-scan.1"), (1, 1))
    log.write_text("2026-09-01 10:00:00Z CVE-2026-5 HIGH\n")
    control("create", "log", "scan", "CVE.*HIGH", log, "1w")
    [alert] = control.json("scan")["alerts"]
    assert (alert["matches"], alert["line_matching"]["line_number"]) == (5, 2)
    assert alert["file"].endswith(".1")


def test_standard_input_and_packed_files(control: Control, log: Path, tmp_path: Path) -> None:
    packed = tmp_path / "old.gz"
    packed.write_bytes(gzip.compress(LOG.encode()))
    for arguments, stdin in (((packed,), b""), (("-",), LOG.encode())):
        assert control.json("HIGH$", "--file", *arguments, stdin=stdin)["matches"] == 4
    packed.write_bytes(gzip.compress(LOG.encode())[:-20])
    assert "cannot be read" in control("test", "HIGH", "--file", packed, code=1)


def test_a_pattern_that_takes_too_long_is_told(control: Control) -> None:
    out = control("test", "(a+)+$", "--file", "-", stdin=b"a" * 40 + b"b\n")
    assert "1 lines could not be decided" in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nope"], 1, "no log check 'nope'"),
        (["a(", "--file", "-"], 1, "not a valid pattern"),
        (["a", "--file", "/does/not/exist"], 1, "/does/not/exist cannot be read"),
        (["a", "--file", "-", "--since", "yesterday"], 1, "neither a duration"),
        (["a", "b"], 2, "usage"),
        (["--what"], 2, "--what"),
        (["--count", "x"], 2, "usage"),
        (["--file"], 2, "needs a file"),
        (["--patterns", "/does/not/exist", "--count", "-"], 1, "/does/not/exist cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(control: Control, arguments: list[str], code: int, says: str) -> None:
    said = control("test", *arguments, code=code)
    assert says in said
    assert said.count("\n") == 1


def test_a_check_of_a_command_needs_its_output(control: Control) -> None:
    control("create", "log", "pid", "PID changed", "@/usr/local/bin/pid-change")
    assert "--file -" in control("test", "pid", code=1)
    assert control.json("pid", "--file", "-", stdin=b"PID changed\n")["matches"] == 1


def test_count_is_that_of_grep(control: Control, tmp_path: Path) -> None:
    made = random.Random(1)
    words = ["".join(made.choices("abcdef", k=3)) for _ in range(300)]
    log = tmp_path / "big.log"
    log.write_text("".join(" ".join(made.choices(words, k=8)) + "\n" for _ in range(150_000)) + "no end " + words[0])
    assert log.stat().st_size > STRETCH_BYTES  # more than one thread
    wanted = [*words[:5], words[6] + ".*" + words[7] + "$", "(?i)" + words[8].upper()]
    patterns = tmp_path / "patterns"
    patterns.write_text("\n".join(wanted) + "\n")
    expression = re.compile("|".join(each.replace("(?i)" + words[8].upper(), words[8]) for each in wanted))
    expected = sum(1 for line in log.read_text().split("\n") if expression.search(line))
    for _ in range(2):  # the second time with what was compiled the first time
        assert control("test", "--patterns", patterns, "--count", log) == f"{expected}\n"
    assert control("test", "--patterns", patterns, "--count", "-", log, stdin=log.read_bytes()) == (
        f"-:{expected}\n{log}:{expected}\n"
    )


@pytest.mark.parametrize(("stretch", "read"), [(1, 5), (2, 5), (3, 7), (7, 3), (100, 64), (100, 70_000), (70_001, 100)])
@pytest.mark.parametrize("mapped", [False, True], ids=["read", "mapped"])
def test_pieces_of_any_size_hold_every_line_once(
    stretch: int, read: int, mapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mapped:
        pytest.importorskip("hyperscan")
        monkeypatch.setattr("vedette.agent.match.count.RESTS_S", -1e9)  # seconds: however new it is
    monkeypatch.setattr("vedette.agent.match.count.STRETCH_BYTES", stretch)
    monkeypatch.setattr("vedette.agent.match.count.READ_BYTES", read)
    path = tmp_path / "log"
    for content in (
        b"a\n",
        b"a",
        b"\n\na\n\nba\n",
        b"xxxxxxxxxx\na\n" * 20,
        b"a\nb" * 50,
        b"\n" * 9 + b"a",
        b"b" * 70_000 + b"a\na",
    ):
        path.write_bytes(content)
        lines = content.split(b"\n")[: -1 if content.endswith(b"\n") else None]
        for pattern, expected in (("a", sum(b"a" in line[:16384] for line in lines)), ("", len(lines))):
            fd = os.open(path, os.O_RDONLY)
            try:
                counter = Counter([Pattern.compile(pattern)], tmp_path / "cache" if mapped else None)
                assert counter.file(fd) == expected, (content[:50], pattern)
                assert (counter._mapped(fd, os.fstat(fd)) is not None) == (mapped and pattern == "a")
            finally:
                os.close(fd)


def test_a_log_that_is_written_now_is_not_mapped(tmp_path: Path) -> None:
    """It may be truncated, and whoever looks into it then is killed."""
    pytest.importorskip("hyperscan")
    path = tmp_path / "log"
    path.write_bytes(b"a\n" * 10)
    counter = Counter([Pattern.compile("a")], tmp_path / "cache")
    with path.open("rb") as file:
        assert counter.file(file.fileno()) == 10
        assert counter._mapped(file.fileno(), os.fstat(file.fileno())) is None
        os.utime(path, (0, 0))
        assert counter.file(file.fileno()) == 10
        assert counter._mapped(file.fileno(), os.fstat(file.fileno())) is not None


WRITTEN = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "time"),
    [
        (b"2026-01-02T03:04:05.25Z x", datetime(2026, 1, 2, 3, 4, 5, 250_000, UTC)),
        (b"x 2026-01-02 03:04:05,5 +0130 x", datetime(2026, 1, 2, 1, 34, 5, 500_000, UTC)),
        (b"2026-01-02T03:04:05-02:00", datetime(2026, 1, 2, 5, 4, 5, tzinfo=UTC)),
        (b"2026-01-02 03:04:05 x", datetime(2026, 1, 2, 3, 4, 5).astimezone()),
        (b"Jan  5 03:04:05 gate x", datetime(2026, 1, 5, 3, 4, 5).astimezone()),
        (b"Dec 31 23:59:59 gate x", datetime(2025, 12, 31, 23, 59, 59).astimezone()),
        (b'1.2.3.4 - - [02/Jan/2026:03:04:05 +0000] "GET /"', datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (b"1700000000.5 x", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC) + timedelta(seconds=0.5)),
        (b"2026-13-41 03:04:05 x", None),
        (b"Feb 31 03:04:05 x", None),
        (b"Xyz  5 03:04:05 x", None),
        (b"\xff\x00 nothing", None),
        (b"", None),
    ],
)  # fmt: skip
def test_times_of_lines(line: bytes, time: datetime | None) -> None:
    assert time_of(line, WRITTEN) == time


def test_what_belongs_together_and_fields_count_here_too(control: Control, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("panic\n  at one\nfine\npanic\n  at two\n")
    (tmp_path / "b.log").write_text("fine\npanic\n  at two")
    control("create", "log", "trace", "(?s)^panic.*two", f"{tmp_path}/*.log", "LOG_MULTILINE=indent")
    out = control("test", "trace")
    assert "2 events in 8 lines match: 1 alert would be raised" in out
    assert ">      4  panic\\n  at two" in out
    (tmp_path / "c.json").write_text('{"m": "bad"}\n{"m": "good", "x": "bad"}\n{"m": "bad"}\n')
    control("create", "log", "json", "^bad$", tmp_path / "c.json", "LOG_JSON_FIELD=m")
    assert "2 of 3 lines match" in control("test", "json")
    control("create", "log", "none", "bad", f"{tmp_path}/*.none")
    assert control("test", "none", code=1).count("\n") == 1
