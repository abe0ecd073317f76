"""A look that would find what the last one found is left out, and no other."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checks_world import Stage, a_file

from vedette.agent.security import check as module
from vedette.agent.security.check import SecurityCheck
from vedette.agent.security.stamp import stamp
from vedette.agent.settings import Settings
from vedette.clock import FakeClock


class Asked:
    """In place of children: counts how often it is asked to look, and answers when it is told to."""

    def __init__(self) -> None:
        self.times = 0
        self.answer: Any = None

    def ask(self, kind: str, check: str, question: Any, limit_s: float, on_answer: Any, on_failure: Any) -> "Asked":
        self.times += 1
        question()
        self.answer = on_answer
        return self

    def cancel(self) -> None:
        """Nothing runs."""


class NoProblems:
    """Nothing is ever raised."""

    blocked = False

    def note(self) -> str | None:
        return None

    def raised(self) -> Mapping[str, Any]:
        return {}

    def tell(self, *anything: Any) -> None:
        """Not listened to."""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def test_a_look_is_worth_it_when_a_file_has_changed_or_an_hour_is_over(stage: Stage, tmp_path: Path) -> None:
    asked, clock = Asked(), FakeClock()
    check = SecurityCheck(a_file("deployment"), Settings())
    stage.loop.clock = clock
    check.start(replace(stage.world, problems=lambda *_: NoProblems(), scans=lambda: asked), stage.said.append)
    file = tmp_path / "log"
    file.write_text("a")

    def looks() -> bool:
        before = asked.times
        check._look_if_changed()
        if asked.times > before:
            asked.answer({"found": [], "unless": {str(file): stamp(str(file))}})
        return asked.times > before

    assert looks()
    assert not looks()
    file.write_text("ab")
    assert looks()
    file.unlink()
    assert looks()
    assert not looks()
    clock.advance(module.ANYWAY_S)
    assert looks()
    check._on_reason()
    check._look_anew()
    asked.answer({"found": [], "error": "no"})
    assert looks()  # one that failed says nothing
    check.stop()
