"""`kill -9` of agent or server at any moment of an alert's road loses nothing and doubles nothing."""

import contextlib
import os
import random
import signal
import threading

import pytest

from vedette.demo import story
from vedette.demo.stage import Supervised
from vedette.demo.story import wait_until

ROUNDS = 6


@pytest.mark.parametrize("victim", ["agent", "server"])
def test_kill_nine_loses_and_doubles_nothing(scene: story.Scene, victim: str) -> None:
    chance = random.Random(victim)
    pause = threading.Event()
    program = scene.agent if victim == "agent" else scene.server
    for number in range(1, ROUNDS + 1):
        with scene.scan_file.open("a") as file:
            file.write(f"round {number}: CVE-2026-{number} HIGH\n")
        pause.wait(chance.uniform(0, 0.3))  # not a wait for anything: the moment of the kill, anywhere on the road
        kill(program)
        wait_until(f"round {number} is raised", lambda: levels(scene).count("CRITICAL") >= number)  # noqa: B023
        if chance.random() < 0.5:
            kill(program)
        wait_until(f"round {number} is called off", lambda: levels(scene).count("OK") >= number)  # noqa: B023
    history = scene.api.alerts(scene.device)
    assert [each["level"] for each in history] == ["CRITICAL", "OK"] * ROUNDS
    seen = [each["subject"]["details"]["line_matching"]["data"] for each in history[::2]]
    assert seen == [f"round {number}: CVE-2026-{number} HIGH" for number in range(1, ROUNDS + 1)]
    assert scene.api.alert_count(scene.device) == 0
    # A mail that was accepted just before the server died is sent again, with the same Message-ID: it shows once.
    wanted = 2 * ROUNDS
    assert scene.mailbox.wait_for(lambda mails: len({str(mail["Message-ID"]) for mail in mails}) >= wanted, 60)
    assert len({str(mail["Message-ID"]) for mail in scene.mailbox.mails}) == wanted


def kill(program: Supervised) -> None:
    """As soon as it runs: it may just be being started again after the last time."""

    def killed() -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.kill(program.pid, signal.SIGKILL)
            return True
        return False

    wait_until(f"{program.name} runs", killed)


def levels(scene: story.Scene) -> list[str]:
    try:
        return [each["level"] for each in scene.api.alerts(scene.device)]
    except OSError:  # the server is being started again
        return []
