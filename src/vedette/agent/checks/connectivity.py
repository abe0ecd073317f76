"""Can an address be reached: does a web server answer, does a port take connections, does a name resolve?

Each try is a child of its own (`vedette.agent.probe`): nothing of HTTP or TLS stays in the memory of the daemon, and
a try that hangs keeps nobody waiting. What fails right after the boot, or while the machine goes down, says nothing.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vedette.agent import log, redact
from vedette.agent.checkfiles import CheckFile
from vedette.agent.checks.service import RUN_LEVELS, RUNNING_SYSTEMD, goes_down
from vedette.agent.checks.timing import Ticker, seconds
from vedette.agent.checks.told import told
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict
from vedette.agent.targets import target
from vedette.errors import Invalid
from vedette.model import ConfiguredCheck, Details, Subject

if TYPE_CHECKING:
    from vedette.agent.checks import World
    from vedette.agent.loop import Timer
    from vedette.agent.process import Process
    from vedette.agent.units.programs import Run

TYPE: Final = "connectivity"
CONNECTED: Final = "connected"
NOT_CONNECTED: Final = "not-connected"
DEFAULT_TRIES: Final = 2
MAX_TRIES: Final = 10
BOOT_S: Final = 120.0
"""So long after the boot the network may still be coming up."""
MAX_ANSWER: Final = 64 * 1024

Say = Callable[[Verdict], None]


class ConnectivityCheck:
    """A check of the subsystem "connectivity"; `file` holds its variables CONNECTIVITY_*."""

    def __init__(self, file: CheckFile, settings: Settings) -> None:
        values = file.values
        self.key = file.stem
        self._file_name = file.name + ".sh"
        self._address = values.get("CONNECTIVITY_ADDRESS", "")
        self._target = target(self._address)
        self._interface = values.get("CONNECTIVITY_INTERFACE", "")
        if "/" in self._interface or not self._interface.isprintable() or len(self._interface.encode()) > 15:
            raise Invalid(f"CONNECTIVITY_INTERFACE {self._interface[:40]!r} is no name of an interface")
        self.tries = _tries(values.get("CONNECTIVITY_TRIES", ""))
        self.every_s = seconds(values, "CHECK_INTERVAL", settings.default_check_interval_s)
        self.limit_s = seconds(values, "CHECK_TIME_LIMIT", settings.default_check_time_limit_s)
        self.shown = redact.text(self._address)  # a URL may hold a password
        self._ticker: Ticker | None = None
        self._limit: Timer | None = None
        self._asking: Run | None = None
        self._process: Process | None = None
        self._answer = b""
        self._complaints = log.Limited(burst=1, interval_s=600)

    def start(self, world: "World", say: Say) -> None:
        """Try from time to time; `say` is told each time how it went."""
        self.stop()
        self._world, self._say = world, say
        self._ticker = Ticker(world.loop, self.every_s, self._try)

    def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.close()
            self._ticker = None
        if self._limit is not None:
            self._limit.cancel()
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        if self._process is not None:
            self._process.kill()
            self._process = None

    def configured(self) -> ConfiguredCheck:
        settings = told(address=self.shown, interface=self._interface, every_seconds=self.every_s)
        return ConfiguredCheck(name=self._file_name, kind=TYPE, settings=settings)

    def _try(self) -> None:
        if self._world.host.runs(self.key) or self._asking is not None:
            return  # the last one has not ended yet
        self._answer = b""
        try:
            self._process = self._world.host.start_child(
                self.key, ("-m", "vedette.agent.probe"), self._on_output, self._on_end
            )
        except OSError as exc:
            self._complaints.write(log.ERROR, f"{self.key}: no probe can be started: {exc.strerror}")
            return
        question = {
            "kind": self._target.kind,
            "host": self._target.host,
            "port": self._target.port,
            "path": self._target.path,
            "credentials": self._target.credentials,
            "interface": self._interface,
            "tries": self.tries,
            "limit_s": self.limit_s,
        }
        self._process.send(json.dumps(question).encode() + b"\n")  # not as an argument: it may hold a password
        self._process.close_input()
        self._limit = self._world.loop.call_later(self.limit_s + 1.0, self._too_long)

    def _on_output(self, data: bytes) -> None:
        self._answer = (self._answer + data)[-MAX_ANSWER:]

    def _on_end(self, code: int) -> None:
        self._process = None
        if self._limit is not None:
            self._limit.cancel()
        try:
            answer = json.loads(self._answer)
            ok, why = bool(answer["ok"]), str(answer["why"])
        except (ValueError, KeyError, TypeError):
            self._complaints.write(log.ERROR, f"{self.key}: the probe failed with exit code {code}")
            return
        if ok:
            self._tell(True, why)
        else:
            self._failed(why)

    def _too_long(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None
        self._failed(f"no answer within {self.limit_s} s")

    def _failed(self, why: str) -> None:
        """Bad news, unless the network only comes up or goes down with the machine."""
        from vedette.agent.units.programs import system_state

        def answered(state: str) -> None:
            self._asking = None
            if state != "stopping":
                self._tell(False, why)

        if self._world.loop.clock.elapsed() < BOOT_S:
            return
        if RUNNING_SYSTEMD.is_dir():
            self._asking = system_state(self._world.loop, self._world.host, answered)
        else:
            answered("stopping" if goes_down(RUN_LEVELS) else "running")

    def _tell(self, ok: bool, why: str) -> None:
        through = f" through {self._interface}" if self._interface else ""
        self._say(
            Verdict(
                ok=ok,
                name=f"Unable to connect to the address '{self.shown}'",
                subject=Subject(
                    name=self.shown,
                    type=TYPE,
                    status=CONNECTED if ok else NOT_CONNECTED,
                    details=Details(description=f"{self.shown}{through}: {why}"),
                ),
            )
        )


def _tries(given: str) -> int:
    if not given:
        return DEFAULT_TRIES
    if not (given.isascii() and given.isdigit() and len(given) <= 2 and 1 <= int(given) <= MAX_TRIES):
        raise Invalid(f"CONNECTIVITY_TRIES {given[:40]!r} is not a whole number from 1 to {MAX_TRIES}")
    return int(given)
