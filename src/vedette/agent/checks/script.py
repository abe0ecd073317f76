"""A subsystem of the user's own: an executable `monitor.d/NAME.sh`, run now and then for each of its checks.

What it finds it tells itself, with the functions of the shell library; here it only runs. Each run is a process of its
own: the variables of one check cannot reach another, one that hangs keeps nobody waiting, and it is ended in time.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vedette.agent import log
from vedette.agent.checkfiles import CheckFile
from vedette.agent.checks.timing import Ticker, seconds
from vedette.agent.checks.told import told
from vedette.agent.paths import ROOT_VARIABLE, Paths
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict
from vedette.errors import Invalid
from vedette.model import ConfiguredCheck

if TYPE_CHECKING:
    from vedette.agent.checks import World
    from vedette.agent.loop import Timer
    from vedette.agent.process import Process

CONTROL_VARIABLE: Final = "MENDER_MONITORCTL"
"""Tells the shell library where the control tool is, for where it is not on PATH."""
AGAIN_S: Final = 0.5
_OURS: Final = (b"JOURNAL_STREAM", b"NOTIFY_SOCKET", b"WATCHDOG_PID", b"WATCHDOG_USEC")
_RUN: Final = 'cd -- "$1" && exec "$2"'


def program(file: CheckFile) -> Path:
    """The program that runs the checks of this one's subsystem; beside available/ and enabled/."""
    return file.path.parent.parent / f"{file.subsystem}.sh"


_NOT_ITS_OWN: Final = frozenset({"check_interval", "check_time_limit", "every_seconds"})


class ScriptCheck:
    """A check of a custom subsystem; its variables are the program's affair, but for CHECK_INTERVAL and _TIME_LIMIT."""

    def __init__(self, file: CheckFile, settings: Settings) -> None:
        self.key = file.stem
        self._file = file
        self._program = program(file)
        if not self._program.is_file():
            raise Invalid(f"there is no subsystem {file.subsystem!r}: it is not built in, nor is there {self._program}")
        if not os.access(self._program, os.X_OK):
            raise Invalid(f"{self._program} cannot be executed: chmod +x {self._program}")
        self.every_s = seconds(file.values, "CHECK_INTERVAL", settings.default_check_interval_s)
        self.limit_s = seconds(file.values, "CHECK_TIME_LIMIT", settings.default_check_time_limit_s)
        self._ticker: Ticker | None = None
        self._limit: Timer | None = None
        self._again: Timer | None = None
        self._process: Process | None = None
        self._complaints = log.Limited(burst=3, interval_s=600)
        self._printed = log.Limited()

    def start(self, world: "World", say: Callable[[Verdict], None]) -> None:
        """Run it from time to time. It says nothing here: it puts its alerts into the store itself."""
        self.stop()
        self._world = world
        self._ticker = Ticker(world.loop, self.every_s, self._run)

    def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.close()
            self._ticker = None
        for timer in (self._limit, self._again):
            if timer is not None:
                timer.cancel()
        if self._process is not None:
            self._process.kill()
            self._process = None

    def configured(self) -> ConfiguredCheck:
        own = self._file.subsystem.replace("-", "_").upper() + "_"
        values = {name.removeprefix(own).lower(): text for name, text in self._file.values.items()}
        settings = {name: text for name, text in values.items() if name not in _NOT_ITS_OWN}
        return ConfiguredCheck(
            name=self._file.name + ".sh",
            kind=self._file.subsystem,
            settings=told(**settings, every_seconds=self.every_s),
        )

    def _run(self) -> None:
        host, paths, name = self._world.host, self._world.paths, self.key
        if host.runs(name):  # never two at once
            if self._process is None:  # one of before this check was changed, which has been told to end
                self._again = self._world.loop.call_later(AGAIN_S, self._run)
            return
        argv = ("/bin/sh", "-c", _RUN, name, str(paths.share), str(self._program))
        try:
            self._process = host.run(
                name, argv, self._on_output, self._on_end, environment=self._environment(paths, self._world.settings)
            )
        except (OSError, ValueError) as exc:
            self._complaints.write(log.ERROR, f"{self._program} cannot be started for {name}: {exc}")
            return
        self._limit = self._world.loop.call_later(self.limit_s, self._too_long)

    def _environment(self, paths: Paths, settings: Settings) -> Mapping[bytes, bytes]:
        """What the compatible system's scripts find: the check's variables, `env` and SUBSYSTEM_NAME."""
        more = {
            **self._file.values,
            "env": str(self._file.path),
            "SUBSYSTEM_NAME": self._file.subsystem,
            "CONFIG_LOG_LEVEL": settings.config_log_level,
        }
        if paths.root is not None:
            more[ROOT_VARIABLE] = str(paths.root)
        control = Path(sys.executable).with_name("mender-monitorctl")
        if control.exists():
            more[CONTROL_VARIABLE] = str(control)
        environment = {name: value for name, value in os.environb.items() if name not in _OURS}
        return environment | {
            name.encode(): value.encode("utf-8", "surrogateescape") for name, value in more.items()
        }  # fmt: skip

    def _on_output(self, data: bytes) -> None:
        for line in data.decode(errors="replace").splitlines():
            self._printed.write(log.DEBUG, f"{self.key}: {line}")

    def _on_end(self, code: int) -> None:
        if self._limit is not None:
            self._limit.cancel()
        if code:
            how = f"failed with exit code {code}" if code > 0 else f"was ended by signal {-code}"
            self._complaints.write(log.WARN, f"{self._program} {how} for {self.key}")

    def _too_long(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._complaints.write(
                log.WARN, f"{self._program} took longer than {self.limit_s} s for {self.key} and was ended"
            )
