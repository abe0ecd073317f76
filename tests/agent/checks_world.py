"""A loop for checks that look by themselves: run until they have said what is waited for."""

from collections.abc import Callable
from pathlib import Path

from vedette.agent.checkfiles import CheckFile
from vedette.agent.checks import Watch, World
from vedette.agent.follow.inotify import Inotify
from vedette.agent.host import Host
from vedette.agent.loop import Loop
from vedette.agent.paths import Paths
from vedette.agent.problems import Problems
from vedette.agent.security.scans import Scans
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict

DEADLINE_S = 20.0


def _none(check: str, type_: str) -> Problems:
    raise AssertionError(f"{check} of {type_} raises many things; give it a ledger")


class Stage:
    """A world, and what was said in it."""

    def __init__(self, directory: Path, settings: Settings | None = None) -> None:
        self.loop = Loop()
        self.world = World(
            loop=self.loop,
            host=Host(self.loop),
            paths=Paths(directory / "root"),
            settings=settings or Settings(),
            inotify=Inotify(self.loop),
            problems=_none,
            scans=lambda: Scans(self.loop, self.world.host),
        )
        self.said: list[Verdict] = []

    def start(self, check: Watch) -> None:
        check.start(self.world, self.said.append)

    def run_until(self, true: Callable[[], object], what: str = "") -> None:
        """Let the loop turn until it is true; fails after a deadline that only a broken program reaches."""
        end = self.loop.clock.elapsed() + DEADLINE_S

        def look() -> None:
            if true() or self.loop.clock.elapsed() > end:
                self.loop.stop()
            else:
                self.loop.call_later(0.01, look)

        self.loop.call_soon(look)  # not at once: `run` would begin after `stop`, and never end
        self.loop.run()
        assert true(), f"waited {DEADLINE_S} s in vain: {what or true}"

    def hears(self, count: int) -> list[Verdict]:
        """All that was said, once it is so much."""
        self.run_until(lambda: len(self.said) >= count, f"{count} verdicts; heard {self.said}")
        return self.said

    def close(self) -> None:
        host = self.world.host
        host.kill_now()
        for process in list(host._processes.values()):
            host.reap(process)
        self.loop.close()


def a_file(subsystem: str, name: str = "x", *, monitor_d: Path = Path("/nowhere"), **values: str) -> CheckFile:
    path = monitor_d / "enabled" / f"{subsystem}_{name}.sh"
    return CheckFile(subsystem=subsystem, name=name, values=values, path=path)


def description(verdict: Verdict) -> str:
    assert verdict.subject.details is not None
    return verdict.subject.details.description
