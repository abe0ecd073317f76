"""Who looks when: real children, one that hangs, one that is killed, and those that wait."""

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from checks_world import Stage
from proc_tree import Tree

from vedette.agent.security import scans
from vedette.agent.security.scans import Look, Scans


class Desk:
    """Asks for looks and notes what comes, in order."""

    def __init__(self, stage: Stage, directory: Path) -> None:
        self.stage, self.directory = stage, directory
        self.scans = Scans(stage.loop, stage.world.host)
        self.came: list[tuple[str, str]] = []
        self.trees = {name: Tree(directory / name) for name in ("quick", "hangs")}
        fifo = self.trees["hangs"].root / "proc/net/tcp"
        fifo.unlink()
        os.mkfifo(fifo)

    def ask(self, check: str, tree: str = "quick", kind: str = "ports", limit_s: float = 60, **more: Any) -> Look:
        def question() -> Mapping[str, Any]:
            self.came.append((check, "begins"))
            return {
                "kind": kind,
                "check": check,
                "settings": {},
                "root": str(self.trees[tree].root),
                "state": str(self.directory / "state"),
                "baseline": "",
                "memory": None,
                "raised": {},
                "limit_s": int(limit_s) or 1,
                "log_level": "INFO",
                **more,
            }

        def failed(how: str, by_signal: bool) -> None:
            self.came.append((check, how + (" (signal)" if by_signal else "")))

        return self.scans.ask(kind, check, question, limit_s, lambda answer: self._answered(check, answer), failed)

    def _answered(self, check: str, answer: Mapping[str, Any]) -> None:
        self.came.append((check, answer.get("error", "answered")))

    def wait(self, *expected: tuple[str, str]) -> None:
        self.stage.run_until(lambda: len(self.came) >= len(expected), f"{expected}, came {self.came}")
        assert self.came == list(expected)

    def kill(self) -> None:
        for process in self.stage.world.host._processes.values():
            os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a look that hangs; nor, on a busy machine, for one that does not."""
    monkeypatch.setattr(scans, "PATIENCE_S", 0.2)
    monkeypatch.setattr(scans, "GRACE_S", 0.2)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    stage = Stage(tmp_path)
    yield Desk(stage, tmp_path)
    stage.close()


def children(desk: Desk) -> int:
    return len(desk.stage.world.host._processes)


def test_those_that_are_due_together_share_a_child_which_is_gone_when_all_is_done(desk: Desk) -> None:
    for name in "abc":
        desk.ask(name)
    assert children(desk) == 1
    desk.wait(*((name, what) for name in "abc" for what in ("begins", "answered")))
    desk.stage.run_until(lambda: children(desk) == 0, "the child to go")


@pytest.mark.usefixtures("impatient")
def test_a_look_that_hangs_delays_no_other_and_is_ended_in_its_time(desk: Desk) -> None:
    desk.ask("a", "hangs", limit_s=4)
    desk.ask("b")
    late = "took longer than 4 s and was ended; give it more time, or less to look at"
    desk.wait(("a", "begins"), ("b", "begins"), ("b", "answered"), ("a", late))
    desk.stage.run_until(lambda: children(desk) == 0, "the child to go")


@pytest.mark.usefixtures("impatient")
def test_there_are_never_two_looks_of_one_check(desk: Desk) -> None:
    first = desk.ask("a", "hangs")
    desk.ask("a")
    desk.ask("b")
    desk.wait(("a", "begins"), ("b", "begins"), ("b", "answered"))
    first.cancel()
    assert children(desk) >= 1
    desk.wait(("a", "begins"), ("b", "begins"), ("b", "answered"), ("a", "begins"), ("a", "answered"))


def test_of_what_was_cancelled_nothing_is_heard(desk: Desk) -> None:
    desk.ask("a", "hangs").cancel()
    desk.ask("b")
    desk.ask("c").cancel()
    desk.wait(("a", "begins"), ("b", "begins"), ("b", "answered"))
    desk.stage.run_until(lambda: children(desk) == 0, "the child to go")
    assert len(desk.came) == 3


def test_a_child_that_is_killed_fails_its_look_and_those_that_wait_go_on(desk: Desk) -> None:
    desk.ask("a", "hangs")
    desk.ask("b")
    desk.kill()
    desk.wait(("a", "begins"), ("a", "was ended by signal 9 (signal)"), ("b", "begins"), ("b", "answered"))


def test_a_child_that_fails_says_how(desk: Desk) -> None:
    desk.ask("a", settings=7)
    desk.ask("b")
    desk.stage.run_until(lambda: ("b", "answered") in desk.came, "b")
    assert desk.came[1] == ("a", "failed with exit code 1")


def test_what_reads_much_is_alone_and_keeps_nobody_waiting(desk: Desk) -> None:
    desk.trees["quick"].write("etc/os-release", "ID=debian\n")
    desk.ask("a", kind="setuid")
    desk.ask("b", kind="setuid")
    desk.ask("c")
    assert children(desk) == 2
    desk.stage.run_until(lambda: len(desk.came) == 6, str(desk.came))
    assert desk.came.index(("a", "answered")) < desk.came.index(("b", "begins"))


def test_where_nothing_can_be_started_it_is_said_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> Any:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(desk.stage.world.host, "start_child", refuses)
    desk.ask("a")
    desk.ask("b").cancel()
    assert desk.came == []
    desk.wait(("a", "cannot be started: Resource temporarily unavailable"))


def test_a_question_may_be_larger_than_a_pipe(desk: Desk) -> None:
    desk.ask(
        "a", memory={"boot": "x", "seen": {"k" * 60_000: [1, "2026-01-01T00:00:00+00:00"]}}, raised={"r" * 90_000: True}
    )
    desk.wait(("a", "begins"), ("a", "answered"))
