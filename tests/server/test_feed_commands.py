"""`vedette feed` as people type it. (As a process of its own: tests/end_to_end/test_known_vulnerabilities.py.)"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from vedette.server import commands

Feed = Callable[..., "Done"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """With an empty data directory, an advisory, and two files that are none."""
    (tmp_path / "data").mkdir()
    advisory = {
        "id": "CVE-2026-1",
        "affected": [
            {
                "package": {"ecosystem": "Rocky Linux:9", "name": "openssl"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
            }
        ],
    }
    (tmp_path / "one.json").write_text(json.dumps(advisory))
    (tmp_path / "many").mkdir()
    for number in range(12):
        (tmp_path / "many" / f"{number}.json").write_text("{")
    (tmp_path / "many/one.json").write_text(json.dumps(advisory))
    (tmp_path / "text").write_text("no advisory")
    return tmp_path


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def feed(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Feed:
    """Of the words, those that begin with @ are files of the place."""
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)  # it would outlive the test

    def work(*words: str, data: str = "data") -> Done:
        typed = [str(place / word[1:]) if word.startswith("@") else word for word in words]
        code = commands.main(["feed", *typed, "--data", str(place / data)])
        return Done(code, *capsys.readouterr())

    return work


def test_what_is_imported_is_shown_exported_and_forgotten(place: Path, feed: Feed) -> None:
    assert feed("status").stdout == "nothing was imported yet: vedette feed import FILE\n"
    done = feed("import", "@one.json")
    assert (done.returncode, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert first.split()[:4] == ["Rocky", "Linux:9", "1", "advisories"]
    assert last == (
        "imported as osv: 1 advisories; left out: 0 withdrawn, 0 that no device can use, 0 that could not be read"
    )
    assert "imported 0 h ago" in feed("status").stdout
    (listed,) = json.loads(feed("list", "--json").stdout)
    assert (listed["name"], listed["stream"], listed["kind"], listed["advisories"]) == (
        "osv",
        "Rocky Linux:9",
        "osv",
        1,
    )
    assert feed("list").stdout.startswith("osv  ")
    assert feed("export", "Rocky Linux:9", "@many").returncode == 0
    assert (place / "many/Rocky_Linux:9.feed").stat().st_size > 100
    assert feed("remove", "osv").stdout == "removed osv\n"
    assert json.loads(feed("status", "--json").stdout) == []


def test_documents_that_cannot_be_read_are_named_and_the_others_come_in(feed: Feed) -> None:
    done = feed("import", "@many", "--name", "own", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (told["name"], told["refused"], told["streams"][0]["advisories"]) == ("own", 12, 1)
    lines = done.stderr.splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("vedette: left out: ")
    assert lines[-1] == "vedette: left out: 2 more documents"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["import", "@text"], "neither a zip archive nor JSON"),
        (["import", "@nothing"], "No such file or directory"),
        (["import", "@one.json", "--name", "a/b"], "is no name for a source"),
        (["remove", "x"], "nothing was imported as 'x'"),
        (["export", "Debian:12", "@"], "there is no feed of this stream"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(feed: Feed, words: list[str], says: str) -> None:
    done = feed(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr


def test_a_mistyped_data_directory_makes_no_second_server(place: Path, feed: Feed) -> None:
    done = feed("status", data="other")
    assert done.returncode == 1
    assert "there is none" in done.stderr
    assert not (place / "other").exists()
