"""Does a service of the system run? Only looks; never starts, stops or reloads anything.

What is on its way (starting, reloading, waiting for its turn) has not changed yet. A machine that goes down stops its
services: that is no problem of theirs, so nothing is said once the system is stopping.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vedette.agent import log
from vedette.agent.checkfiles import CheckFile
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict
from vedette.agent.units.unit import Unit, describe, has_fallen, running, unit_name
from vedette.errors import Invalid
from vedette.model import ConfiguredCheck, Details, Subject

if TYPE_CHECKING:
    from vedette.agent.checks import World
    from vedette.agent.units.programs import Run

TYPE: Final = "service"
SYSTEMD: Final = "systemd"
SYSV: Final = "sysV"

BOOT_S: Final = 300.0
"""A service that was not started yet so long after the boot is not waited for any more."""
SYSV_BOOT_S: Final = 60.0
"""As long as that a service of sysV may need to start; nobody tells whether it still does."""
ASK_AGAIN_S: Final = 5.0
POLL_S: Final = 5.0
"""How often `service N status` is run."""

RUNNING_SYSTEMD: Final = Path("/run/systemd/system")  # sd_booted(3)
RUN_LEVELS: Final = Path("/var/run/utmp")

Say = Callable[[Verdict], None]


class ServiceCheck:
    """A check of the subsystem "service"; `file` holds SERVICE_NAME and SERVICE_TYPE."""

    def __init__(self, file: CheckFile, settings: Settings) -> None:
        self.key = file.stem
        self._file_name = file.name + ".sh"
        self.name = file.values.get("SERVICE_NAME", "")
        if not self.name:
            raise Invalid("SERVICE_NAME is missing")
        if "/" in self.name or not self.name.isprintable() or self.name.startswith("-") or " " in self.name:
            raise Invalid(f"SERVICE_NAME {self.name!r} is no name of a service")
        given = file.values.get("SERVICE_TYPE", "") or SYSTEMD
        if given.lower() not in (SYSTEMD, SYSV.lower()):
            raise Invalid(f"SERVICE_TYPE {given!r} is neither {SYSTEMD} nor {SYSV}")
        self.type = SYSTEMD if given.lower() == SYSTEMD else SYSV
        if self.type == SYSTEMD:
            unit_name(self.name)  # `systemctl` tells nothing of the others when one name is none
        self._level = settings.default_service_alert_level
        self._watching: _Systemd | _SysV | None = None

    def start(self, world: "World", say: Say) -> None:
        """Watch; what is found is told to `say`: the state now, and each change."""
        self.stop()

        def tell(is_running: bool, description: str) -> None:
            say(self._verdict(is_running, description))

        self._watching = (_Systemd if self.type == SYSTEMD else _SysV)(self.name, world, tell)

    def stop(self) -> None:
        if self._watching is not None:
            self._watching.close()
            self._watching = None

    def configured(self) -> ConfiguredCheck:
        settings: dict[str, str | int] = {"name": self.name, "type": self.type}
        return ConfiguredCheck(name=self._file_name, kind=TYPE, settings=settings)

    def _verdict(self, is_running: bool, description: str) -> Verdict:
        return Verdict(
            ok=is_running,
            name=f"Service {self.name} not running",
            flapping_name=f"Service {self.name} going up and down",
            level=self._level,
            subject=Subject(
                name=self.name,
                type=TYPE,
                status="running" if is_running else "not-running",
                details=Details(description=description),
            ),
        )


Tell = Callable[[bool, str], None]


class _Systemd:
    """One unit of systemd. Bad news waits for the answer to: is the whole system going down, or still coming up?"""

    def __init__(self, name: str, world: "World", tell: Tell) -> None:
        from vedette.agent.units.systemd import Systemd  # brings the bus

        self._world, self._tell = world, tell
        self._unit_name = unit_name(name)
        self._unit: Unit | None = None
        self._said: bool | None = None
        self._news: list[tuple[bool, str]] = []  # in their order, while it is asked
        self._closed = False
        self._question = 0
        self._systemd = Systemd.of(world.loop, world.host)
        self._systemd.watch(self._unit_name, self._see)

    def close(self) -> None:
        self._closed = True
        self._systemd.unwatch(self._unit_name, self._see)

    def _see(self, unit: Unit) -> None:
        before, self._unit = self._unit, unit
        is_running = running(unit)
        if before is not None and has_fallen(before, unit) and is_running is not False:
            self._think(False, f"{unit.name} had stopped, and was started again")
        if is_running is not None:
            self._think(is_running, describe(unit))

    def _think(self, is_running: bool, description: str) -> None:
        last = self._news[-1][0] if self._news else self._said
        if is_running == last:
            return
        if is_running and (not self._news or self._said is None):  # what was never seen running has only been starting
            self._news.clear()
            self._say(is_running, description)
            return
        self._news.append((is_running, description))
        if len(self._news) == 1:
            self._ask()

    def _ask(self) -> None:
        self._question += 1
        question = self._question
        self._systemd.state(lambda state: self._on_state(question, state))
        # The answer never comes when the bus goes away meanwhile; then it is asked again.
        self._world.loop.call_later(ASK_AGAIN_S, lambda: self._ask_again(question))

    def _ask_again(self, question: int) -> None:
        if self._news and question == self._question and not self._closed:
            self._ask()

    def _on_state(self, question: int, state: str) -> None:
        if self._closed or question != self._question:
            return
        if state == "stopping":
            return  # asked again, in case it was called off
        if state in ("initializing", "starting") and self._may_still_start():
            return
        self._question += 1
        news, self._news = self._news, []
        for is_running, description in news:
            self._say(is_running, description)

    def _may_still_start(self) -> bool:
        """It was not started yet, and the system is not done starting things."""
        unit = self._unit
        if unit is None or self._said is not None or self._world.loop.clock.elapsed() > BOOT_S:
            return False
        return unit.active == "inactive" and unit.load == "loaded"

    def _say(self, is_running: bool, description: str) -> None:
        if is_running != self._said:
            self._said = is_running
            self._tell(is_running, description)


class _SysV:
    """`service N status` from time to time: exit code 0 is running, any other is not (LSB, init script actions)."""

    def __init__(self, name: str, world: "World", tell: Tell) -> None:
        self._name, self._world, self._tell = name, world, tell
        self._run: Run | None = None
        self._said: bool | None = None
        self._complaints = log.Limited(burst=1, interval_s=3600, clock=world.loop.clock)
        self._timer = world.loop.call_later(0.0, self._look)

    def close(self) -> None:
        self._timer.cancel()
        if self._run is not None:
            self._run.cancel()
            self._run = None

    def _look(self) -> None:
        from vedette.agent.units.programs import Run

        argv = ("service", self._name, "status")
        self._run = Run(self._world.loop, self._world.host, argv, self._on_status)

    def _on_status(self, code: int | None, output: str) -> None:
        self._run = None
        self._timer = self._world.loop.call_later(POLL_S, self._look)
        last = (output.strip().splitlines() or [""])[-1].strip()[:200]
        if code is None or code < 0:
            why = last or f"it was ended by signal {-(code or 0)}"
            self._complaints.write(log.WARN, f"whether the service {self._name} runs is not known: {why}")
        elif code == 0:
            self._say(True, f"service {self._name} status: {last or 'running'}")
        elif self._said is None and self._world.loop.clock.elapsed() < SYSV_BOOT_S:
            return
        elif self._said is not False:
            self._confirm(f"service {self._name} status: {last or 'not running'} (exit code {code})")

    def _confirm(self, description: str) -> None:
        """Bad news, unless the machine goes down."""
        from vedette.agent.units.programs import system_state

        def answered(state: str) -> None:
            self._run = None
            if state != "stopping":
                self._say(False, description)

        if RUNNING_SYSTEMD.is_dir():
            self._run = system_state(self._world.loop, self._world.host, answered)
        else:
            answered("stopping" if goes_down(RUN_LEVELS) else "running")

    def _say(self, is_running: bool, description: str) -> None:
        if is_running != self._said:
            self._said = is_running
            self._tell(is_running, description)


def goes_down(run_levels: Path) -> bool:
    """Has init entered run level 0 (halt) or 6 (reboot)? Source: utmp(5), RUN_LVL; runlevel(8)."""
    record = struct.Struct("h2xi376x")  # type, pid; the same on every Linux but for its end
    try:
        with run_levels.open("rb") as file:
            while len(data := file.read(record.size)) == record.size:
                kind, pid = record.unpack(data)
                if kind == 1:
                    return chr(pid % 256) in "06"
    except OSError:
        pass
    return False
