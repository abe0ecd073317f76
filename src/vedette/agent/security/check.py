"""The security checks in the daemon, one class for all kinds: asks a child to look, and raises what it says.

Nothing of a scanner is ever in the daemon: a child looks, in a time and with a memory that are bounded, and is gone.
What it found, and the baseline and memory that it found it with, are made durable in one transaction (`shelf` says why
nothing is lost or told twice by that). A check that cannot look is a problem itself: it would miss what it is for.
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from vedette.agent import log
from vedette.agent.checkfiles import CheckFile
from vedette.agent.checks.timing import Ticker
from vedette.agent.checks.told import told
from vedette.agent.follow.pathwatch import PathWatch
from vedette.agent.security.stamp import stamp
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict
from vedette.errors import Invalid
from vedette.model import ConfiguredCheck, Details, Level, Subject
from vedette.model.security import SECURITY, interpret, variable_of

if TYPE_CHECKING:
    from vedette.agent.checks import World
    from vedette.agent.loop import Timer
    from vedette.agent.problems import Problems
    from vedette.agent.security.scans import Look

AGAIN_S: Final = 0.5
ANYWAY_S: Final = 3600.0
"""So often it is looked at least, also where no file has changed that the last look has read."""
ANEW: Final = {"cve": "feed/arrived"}
"""A file below the state by kind: when it changes there is a reason to look at once (agent/feedfile.py)."""
BLIND: Final = "scan"
"""Ends the name of the problem that a check cannot look."""


def given(kind: str, file: CheckFile) -> dict[str, str]:
    """The settings that stand in the file of a check, as text.

    Raises:
        Invalid: there is a variable of this kind that is no setting.
    """
    names = {variable_of(kind, setting): setting for setting in SECURITY[kind].settings}
    for variable in file.values:
        if variable.startswith(variable_of(kind, "")) and variable not in names:
            raise Invalid(f"there is no variable {variable} of {kind}, only {', '.join(names)}")
    return {setting: file.values[variable] for variable, setting in names.items() if variable in file.values}


class SecurityCheck:
    """A security check of any kind; `file` holds its settings as variables <KIND>_<SETTING>."""

    def __init__(self, file: CheckFile, settings: Settings) -> None:
        self.key, self._kind = file.stem, file.subsystem
        self._file_name = file.name + ".sh"
        self._given = given(self._kind, file)
        values = interpret(self._kind, self._given)
        self.every_s: int = values["interval"]
        self.limit_s: int = values["time-limit"]
        self._level = Level(values["level"])
        self._ticker: Ticker | None = None
        self._again: Timer | None = None
        self._reasons: list[PathWatch] = []  # to look at once
        self._look_at_work: Look | None = None
        self._again_wanted = False  # there was a reason to look while it looked
        self._note: dict[str, Any] = {}
        self._unseen: list[str] = []
        self._unless: Mapping[str, str] = {}  # files, and how each was when the last look began
        self._looked_at = 0.0
        self._died = False  # the last child was ended by a signal, as it also is when the machine goes down
        self._complaints = log.Limited(burst=3, interval_s=600)

    def start(self, world: "World", say: Callable[[Verdict], None]) -> None:
        """Look from time to time, and when there is a reason: people have accepted something."""
        self.stop()
        self._world = world
        self._problems: Problems = world.problems(self.key, self._kind)
        reasons = [f"security/{self.key}.accepted", *([ANEW[self._kind]] if self._kind in ANEW else [])]
        self._reasons = [
            PathWatch(world.inotify, str(world.paths.state_dir / each), lambda modified: self._on_reason())
            for each in reasons
        ]
        self._ticker = Ticker(world.loop, self.every_s, self._look_if_changed, together=True)

    def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.close()
            self._ticker = None
        for reason in self._reasons:
            reason.close()
        self._reasons = []
        if self._again is not None:
            self._again.cancel()
        if self._look_at_work is not None:
            self._look_at_work.cancel()
            self._look_at_work = None

    def configured(self) -> ConfiguredCheck:
        return ConfiguredCheck(
            name=self._file_name, kind=self._kind, settings=told(**self._given, every_seconds=self.every_s)
        )

    def _on_reason(self) -> None:
        for reason in self._reasons:
            reason.refresh()
        self._look_soon()

    def _look_soon(self) -> None:
        """After a moment, in which other reasons may come."""
        if self._again is None or not self._again.pending:
            self._again = self._world.loop.call_later(AGAIN_S, self._look_anew)

    def _look_anew(self) -> None:
        self._again_wanted = self._look_at_work is not None  # that one may have passed by what is to be looked at
        self._look()

    def _look_if_changed(self) -> None:
        """Nothing that the last look has read has changed: then there is nothing new to find."""
        if (
            not self._unless
            or self._world.loop.clock.elapsed() - self._looked_at >= ANYWAY_S
            or any(stamp(path) != was for path, was in self._unless.items())
        ):
            self._look()

    def _look(self) -> None:
        if self._look_at_work is not None:
            return  # the last one has not ended yet
        if self._problems.blocked:
            return  # the disk takes nothing: it will be found when it does
        self._unless, self._looked_at = {}, self._world.loop.clock.elapsed()
        self._look_at_work = self._world.scans().ask(
            self._kind, self.key, self._question, self.limit_s, self._on_answer, self._on_failure
        )

    def _question(self) -> Mapping[str, Any]:
        paths = self._world.paths
        self._note = _read(self._problems.note())
        return {
            "kind": self._kind,
            "check": self.key,
            "settings": self._given,
            "root": str(paths.scanned),
            "state": str(paths.state_dir),
            "baseline": self._note["baseline"],
            "memory": self._note["memory"],
            "raised": {name: state.deadline is not None for name, state in self._problems.raised().items()},
            "limit_s": self.limit_s,
            "log_level": self._world.settings.config_log_level,
        }

    def _on_failure(self, how: str, by_signal: bool) -> None:
        """One that was ended by a signal is raised the second time: so it also ends when the machine goes down."""
        self._look_at_work = None
        died, self._died = self._died, by_signal
        self._complaints.write(log.WARN, f"{self.key}: the scan {how}")
        if died or not by_signal:
            self._problems.tell([self._cannot_look(f"its scan {how}")], {})

    def _on_answer(self, answer: Mapping[str, Any]) -> None:
        self._look_at_work = None
        self._died = False
        self._take(answer)
        if self._again_wanted:
            self._again_wanted = False
            self._look()

    def _take(self, answer: Mapping[str, Any]) -> None:
        found = [self._verdict(**each) for each in answer.get("found", ())]
        over = dict(answer.get("over", {}))
        error = answer.get("error", "")
        if error:
            found.append(self._cannot_look(error))
        else:
            over[self._blind_name] = "it looks again"
        note = None
        if "baseline" in answer:
            memory = self._note["memory"] if answer["memory"] is None else answer["memory"]
            new = {"baseline": answer["baseline"], "memory": memory}
            note = json.dumps(new, separators=(",", ":")) if new != self._note else None
        unseen = answer.get("unseen", [])
        if unseen != self._unseen:
            for each in unseen[:3]:
                log.warn(f"{self.key}: not looked at: {each}")
            if len(unseen) > 3:
                log.warn(f"{self.key}: not looked at: {len(unseen) - 3} or more places besides")
            self._unseen = unseen
        self._note = {}
        self._unless = {} if error else answer.get("unless", {})
        self._problems.tell(found, over, note)

    @property
    def _blind_name(self) -> str:
        return f"{self.key}: {BLIND}"

    def _cannot_look(self, why: str) -> Verdict:
        name = f"The security check {self.key} cannot look"
        return self._verdict(key=self._blind_name, name=name, status="SCAN_FAILED", description=f"{name}: {why}")

    def _verdict(self, *, key: str, name: str, status: str, description: str, expires_s: int = 0) -> Verdict:
        subject = Subject(name=key, type=self._kind, status=status, details=Details(description=description))
        return Verdict(ok=False, name=name, subject=subject, level=self._level, expires_s=expires_s)


def _read(note: str | None) -> dict[str, Any]:
    found = json.loads(note) if note is not None else {}
    return {"baseline": found.get("baseline", ""), "memory": found.get("memory")}
