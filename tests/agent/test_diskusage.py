"""How full a file system is: as df counts, through trouble and back."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from checks_world import Stage, a_file, description

from vedette.agent.checks import diskusage
from vedette.agent.checks.diskusage import DiskUsageCheck, Usage, measure
from vedette.agent.settings import Settings
from vedette.errors import Invalid

QUICK = {"CHECK_INTERVAL": "1"}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


class Disk:
    """Stands for the answers of a file system, one a look; the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Usage | OSError) -> None:
        self._answers = list(answers)
        monkeypatch.setattr(diskusage, "measure", self._measure)
        monkeypatch.setattr(diskusage, "seconds", lambda values, name, default_s: 0.02 if "INTERVAL" in name else 5)

    def _measure(self, path: bytes, of: str) -> Usage:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


def full(percent: int) -> Usage:
    return Usage(used=percent, free=100 - percent)


def check(**values: str) -> DiskUsageCheck:
    return DiskUsageCheck(a_file("diskusage", **{"DISKUSAGE_NAME": "/"} | values), Settings())


@pytest.mark.parametrize("of", ["space", "inodes"])
def test_it_counts_as_df_does(of: str, tmp_path: Path) -> None:
    """df rounds up; others may write between the two looks."""
    columns = "--output=pcent" if of == "space" else "--output=ipcent"
    before = measure(bytes(tmp_path), of).percent
    shown = subprocess.run(["df", columns, tmp_path], capture_output=True, text=True, check=True).stdout
    after = measure(bytes(tmp_path), of).percent
    number = shown.split()[-1].rstrip("%")
    if number == "-":  # a file system that does not count its inodes
        assert after == 0.0
    else:
        assert min(before, after) <= int(number) < max(before, after) + 1


@pytest.mark.parametrize(
    ("usage", "threshold", "exceeds"),
    [
        (full(80), 80, False),
        (Usage(used=801, free=199), 80, True),
        (full(81), 80, True),
        (full(100), 100, True),
        (full(99), 100, False),
        (Usage(used=0, free=0), 1, False),  # /proc and its like hold nothing and have no room
    ],
)
def test_more_than_the_threshold_is_too_much(usage: Usage, threshold: int, exceeds: bool) -> None:
    assert usage.exceeds(threshold) is exceeds


def test_the_real_disk_is_looked_at(stage: Stage) -> None:
    stage.start(check(DISKUSAGE_NAME="/", DISKUSAGE_THRESHOLD="1"))
    (verdict, *_) = stage.hears(1)
    assert verdict.name == "Disk storage has grown to fill more than 1% of the disk '/'"
    assert (verdict.subject.name, verdict.subject.type, verdict.subject.status) == (
        "/",
        "disk",
        "DISKUSAGE_USAGE_WARNING",
    )
    assert verdict.ok is (measure(b"/", "space").percent <= 1)


def test_inodes_are_a_subject_of_their_own(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch, full(90))
    stage.start(check(DISKUSAGE_OF="inodes"))
    (verdict, *_) = stage.hears(1)
    assert not verdict.ok
    assert verdict.name == "Files have grown to take more than 80% of the inodes of '/'"
    assert (verdict.subject.type, verdict.subject.status) == ("inodes", "DISKUSAGE_INODES_WARNING")
    assert description(verdict) == "/ is at 90.0% of its inodes"


def test_one_that_wavers_at_the_threshold_does_not_ring_each_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, full(80), full(81), full(80), full(81), full(79), full(80))
    stage.start(check())
    assert [verdict.ok for verdict in stage.hears(6)[:6]] == [True, False, False, False, True, True]


def test_a_disk_that_is_not_there_is_said_and_taken_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch, FileNotFoundError(2, "No such file or directory"), full(90), full(10))
    stage.start(check(DISKUSAGE_NAME="/media/stick"))
    missing, back, over, calm = stage.hears(4)[:4]
    assert missing.name == "Disk usage of '/media/stick' cannot be measured"
    assert description(missing) == "/media/stick: No such file or directory"
    assert (back.ok, back.name) == (True, missing.name)
    assert (over.ok, over.name) == (False, "Disk storage has grown to fill more than 80% of the disk '/media/stick'")
    assert (calm.ok, calm.name) == (True, over.name)


def test_a_file_system_that_does_not_answer_holds_up_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a network file system whose server is gone. It is asked once, not once more each time."""
    answer, asked = threading.Event(), []

    def hang(path: bytes, of: str) -> Usage:
        asked.append(path)
        answer.wait(30)
        return full(10)

    Disk(monkeypatch, full(10))
    monkeypatch.setattr(diskusage, "measure", hang)
    monkeypatch.setattr(diskusage, "seconds", lambda values, name, default_s: 0.02 if "INTERVAL" in name else 0.2)
    one = check()
    stage.start(one)
    (verdict,) = stage.hears(1)
    assert "no answer within" in description(verdict)
    assert asked == [b"/"]
    answer.set()
    assert [each.ok for each in stage.hears(3)[:3]] == [False, True, True]
    one.stop()


def test_after_its_end_nothing_is_said_and_no_descriptor_is_left(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def wait(path: bytes, of: str) -> Usage:
        answer.wait(30)
        return full(10)

    monkeypatch.setattr(diskusage, "measure", wait)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    one = check()
    stage.start(one)
    stage.run_until(lambda: one._question is not None)
    one.stop()
    answer.set()
    stage.run_until(lambda: one._question is None)
    assert stage.said == []
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"DISKUSAGE_NAME": ""}, "no absolute path"),
        ({"DISKUSAGE_NAME": "data"}, "no absolute path"),
        ({"DISKUSAGE_THRESHOLD": "0"}, "from 1 to 100"),
        ({"DISKUSAGE_THRESHOLD": "101"}, "from 1 to 100"),
        ({"DISKUSAGE_THRESHOLD": "many"}, "from 1 to 100"),
        ({"DISKUSAGE_OF": "files"}, "neither space nor inodes"),
        ({"CHECK_INTERVAL": "0"}, "shorter than one second"),
        ({"CHECK_TIME_LIMIT": "soon"}, "no duration"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, str], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        check(**values)
