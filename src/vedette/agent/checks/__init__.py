"""The kinds of checks. A new one is one file here and one line in KINDS."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, TypeGuard, cast

from vedette.agent import security
from vedette.agent.checkfiles import CheckFile
from vedette.agent.follow.events import Rule
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.lines import Block
from vedette.agent.host import Host
from vedette.agent.loop import Loop
from vedette.agent.match import Pattern
from vedette.agent.match.fields import Field
from vedette.agent.paths import Paths
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict
from vedette.model import ConfiguredCheck

if TYPE_CHECKING:
    from vedette.agent.problems import Problems
    from vedette.agent.security.scans import Scans


class Check(Protocol):
    """A check that judges lines: what it reads, and what it makes of it. Knows nothing of states, alerts, or time."""

    key: str  # "log_results-scan", unique on the device
    source: str  # a path, or "@" and a command
    pattern: Pattern  # which lines are worth a verdict
    events: Rule | None  # how lines belong together; None: each is for itself
    field: Field | None  # of lines of JSON, what the pattern is asked about; None: the line

    def verdict(self, block: Block, start: int) -> Verdict:
        """Judge the line of `block` that begins at `start`; it matches."""
        ...

    def undecided(self, block: Block, start: int, reason: str) -> None:
        """Whether that line matches could not be found out."""
        ...

    def configured(self) -> ConfiguredCheck:
        """As the server is told of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a check that looks by itself may use."""

    loop: Loop
    host: Host
    paths: Paths
    settings: Settings
    inotify: Inotify
    problems: "Callable[[str, str], Problems]"
    """Those of the check with this key, of subjects of this type, for one that raises many."""
    scans: "Callable[[], Scans]"
    """Those of the security checks, made when they are first wanted."""


class Watch(Protocol):
    """A check that looks by itself. Knows nothing of states or of alerts: it says what it sees, as often as it likes.

    One that is about many things at once tells `World.problems` in place of `say`.
    `start` and `stop` return at once; nothing in between may keep the loop waiting. What it says after `stop` is not
    heard. When its file or the settings change, it is stopped and a new one is started.
    """

    key: str

    def start(self, world: World, say: Callable[[Verdict], None]) -> None:
        """Begin; every verdict goes to `say`, the first one as soon as there is one."""
        ...

    def stop(self) -> None:
        """Stop looking, and end what was started."""
        ...

    def configured(self) -> ConfiguredCheck:
        """As the server is told of it."""
        ...


Kind = Callable[[CheckFile, Settings], Check | Watch]


def is_watch(check: Check | Watch) -> TypeGuard[Watch]:
    return hasattr(check, "start")


def _later(module: str, name: str, package: str = "checks") -> Kind:
    """A kind whose module is imported once there is such a check: a device pays for what it uses."""

    def make(file: CheckFile, settings: Settings) -> Check | Watch:
        return cast(Kind, getattr(import_module(f"vedette.agent.{package}.{module}"), name))(file, settings)

    return make


_SCRIPT: Final = _later("script", "ScriptCheck")
_SECURITY: Final = _later("check", "SecurityCheck", "security")
KINDS: Final[Mapping[str, Kind]] = {
    "log": _later("log", "LogCheck"),
    "service": _later("service", "ServiceCheck"),
    "dbus": _later("dbus", "DbusCheck"),
    "diskusage": _later("diskusage", "DiskUsageCheck"),
    "connectivity": _later("connectivity", "ConnectivityCheck"),
    **dict.fromkeys(security.KINDS, _SECURITY),
}


def build(file: CheckFile, settings: Settings) -> Check | Watch:
    """Make one check from its file; what is none of KINDS is a subsystem of the user's own, and needs its program.

    Raises:
        Invalid: it cannot be made: unknown kind, bad pattern, missing value.
    """
    return KINDS.get(file.subsystem, _SCRIPT)(file, settings)
