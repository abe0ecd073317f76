"""The road of one line: from the write of a matching line to the alert stored at the server; and the idle agent."""

import os
import sqlite3
import statistics
import time
from contextlib import closing
from dataclasses import dataclass
from email.message import EmailMessage

from bench.process import Cost, children
from vedette.demo import story
from vedette.demo.stage import Stage
from vedette.demo.story import Scene, wait_until

WARM, COLD = 100, 5
LOOK_S = 0.001
IDLE_S = 60
CHILD_GONE_WITHIN_S = 60


@dataclass(frozen=True, kw_only=True)
class Road:
    """Seconds from write to stored, each with the uplink running (warm) or to be started (cold)."""

    warm: list[float]
    cold: list[float]

    @staticmethod
    def p99(seconds: list[float]) -> float:
        return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * 0.99))]

    @staticmethod
    def median(seconds: list[float]) -> float:
        return statistics.median(seconds)


@dataclass(frozen=True, kw_only=True)
class Idle:
    """The agent with the two checks of the mission, nothing happening."""

    seconds: float
    cpu_s: float
    wakeups: int
    rss_mb: float
    pss_mb: float


def set_the_stage(stage: Stage) -> Scene:
    """Server, agent with the two checks of the mission and `WARM + COLD` checks more on one file."""

    def ignore(_mail: EmailMessage) -> None:
        return

    return story.set_up(stage, port=0, expiry_s=86400, on_mail=ignore, poll_s=None)


def idle(scene: Scene) -> Idle:
    """After the first reports are delivered and the uplink is gone, watch `IDLE_S` seconds of nothing."""
    pid = scene.agent.pid
    _uplink_gone(scene)
    before = Cost.of(pid)
    time.sleep(IDLE_S)
    after = Cost.of(pid)
    return Idle(
        seconds=IDLE_S, cpu_s=after.cpu_s - before.cpu_s, wakeups=after.wakeups - before.wakeups,
        rss_mb=after.rss_mb, pss_mb=after.pss_mb,
    )  # fmt: skip


def measure(scene: Scene) -> Road:
    """Every sample raises a check of its own, for a raised check does not alert again."""
    log = scene.stage.path / "timed.log"
    log.touch()
    names = [f"timed-{number:03}" for number in range(WARM + COLD)]
    control = ("--root", str(scene.root))
    for name in names:
        scene.stage.run("mender-monitorctl", *control, "create", "log", name, f"hit {name}$", str(log))
        scene.stage.run("mender-monitorctl", *control, "enable", "log", name)
    expected = len(names) + 2
    wait_until("all checks are reported", lambda: len(scene.api.configured(scene.device)) == expected)
    cold = []
    for name in names[:COLD]:
        _uplink_gone(scene)
        cold.append(_sample(scene, log, name))
    warm = [_sample(scene, log, name) for name in names[COLD:]]
    return Road(warm=warm, cold=cold)


def _uplink_gone(scene: Scene) -> None:
    """Only `@command` shells are left below the agent."""

    def gone() -> bool:
        for child in children(scene.agent.pid):
            with open(f"/proc/{child}/cmdline", "rb") as file:
                if b"vedette.agent.uplink" in file.read():
                    return False
        return True

    wait_until("the uplink is gone", gone, timeout_s=CHILD_GONE_WITHIN_S)


def _sample(scene: Scene, log: os.PathLike[str], name: str) -> float:
    query = "SELECT 1 FROM alert WHERE subject_name = ?"
    with (
        closing(sqlite3.connect(f"file:{scene.stage.path}/server/vedette.db?mode=ro", uri=True)) as database,
        open(log, "a") as file,
    ):
        time.sleep(0.05)  # one alert at a time: this is latency, not throughput
        begun = time.monotonic()
        file.write(f"some words before the hit {name}\n")
        file.flush()
        while database.execute(query, (f"log_{name}",)).fetchone() is None:
            if time.monotonic() - begun > 30:
                raise RuntimeError(f"{name} was not stored within 30 s")
            time.sleep(LOOK_S)
        return time.monotonic() - begun
