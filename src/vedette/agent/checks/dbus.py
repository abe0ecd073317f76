"""Did a signal come over the system bus that a match rule and a pattern describe? Only listens.

Each check has a connection of its own, so the bus itself decides what its rule means, and a check hears exactly that.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vedette.agent import log
from vedette.agent.bus import rules
from vedette.agent.checkfiles import CheckFile
from vedette.agent.match import Pattern, Undecided
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict
from vedette.errors import Invalid
from vedette.model import ConfiguredCheck, Details, Line, Subject, durations

if TYPE_CHECKING:
    from vedette.agent.bus.client import Client
    from vedette.agent.bus.connection import Reply, Signal
    from vedette.agent.checks import World
    from vedette.agent.loop import Timer

TYPE: Final = "dbus"
STATUS: Final = "DBUS_SIGNAL"
SYSTEM_BUS: Final = "system bus"
SHOWN_CHARACTERS: Final = 4096
"""So much of a signal is told in an alert."""
COOL_S: Final = 0.1
"""Further matches within this time are told together: all that they do is start the expiry clock anew."""
_VERBS: Final = re.compile(r"(?:\(\*[A-Z0-9_=]+\))*")

Say = Callable[[Verdict], None]


class DbusCheck:
    """A check of the subsystem "dbus"; `file` holds its variables DBUS_*."""

    def __init__(self, file: CheckFile, settings: Settings) -> None:
        values = file.values
        self.key = file.stem
        self._file_name = file.name + ".sh"
        self.name = values.get("DBUS_NAME", "") or file.name
        self.pattern = values.get("DBUS_PATTERN", "")
        self.expression = values.get("DBUS_WATCH_EXPRESSION", "")
        if not self.pattern and not self.expression.strip():
            raise Invalid(
                "DBUS_PATTERN and DBUS_WATCH_EXPRESSION are both missing; say what to look for in one of them"
            )
        self._rule = rules.for_signals(self.expression)
        self._matcher = _compile(self.pattern) if self.pattern else None
        expiration = values.get("DBUS_ALERT_EXPIRATION", "") or values.get("DBUS_PATTERN_EXPIRATION", "")
        self._has_expiration = bool(expiration)
        self.expires_s = (
            durations.parse(expiration) if expiration else settings.default_dbus_alert_expiration_seconds
        )  # fmt: skip
        self._level = settings.default_dbus_alert_level
        self._complaints = log.Limited(burst=1, interval_s=600)
        self._undecided = 0
        self._count = 0
        self._client: Client | None = None
        self._heard = False  # the bus has been there
        self._deaf_since: float | None = None
        self._say: Say | None = None
        self._cooling: Timer | None = None
        self._held: Verdict | None = None

    def start(self, world: "World", say: Say) -> None:
        """Listen; each signal that matches is told to `say`."""
        from vedette.agent.bus.client import Client  # only who has such a check needs the bus

        self.stop()
        self._world, self._say = world, say
        self._client = Client(
            world.loop,
            purpose=f"the check {self.key}",
            on_up=self._on_up,
            on_signal=self._on_signal,
            on_down=self._on_down,
        )
        self._client.start()

    def stop(self) -> None:
        """Stop listening. What was heard has been told."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._cooling is not None:
            self._cooling.cancel()
            self._cooled()
            self._cooling = None
        self._say = None

    def configured(self) -> ConfiguredCheck:
        settings: dict[str, str | int] = {"name": self.name, "pattern": self.pattern, "watch": self.expression}
        if self._has_expiration:
            settings["alert_expiration"] = self.expires_s
        return ConfiguredCheck(name=self._file_name, kind=TYPE, settings=settings)

    def _on_up(self) -> None:
        from vedette.agent.bus.connection import BUS, BUS_PATH, Call

        assert self._client is not None
        call = Call(destination=BUS, path=BUS_PATH, interface=BUS, member="AddMatch", signature="s", body=(self._rule,))
        self._client.call(call, self._on_added)

    def _on_down(self) -> None:
        self._deaf_since = self._world.loop.clock.elapsed()

    def _on_added(self, reply: "Reply") -> None:
        since, self._deaf_since = self._deaf_since, None
        if since is not None and self._heard:
            seconds = self._world.loop.clock.elapsed() - since
            log.warn(f"{self.key}: the bus was away for {seconds:.1f} s; signals of that time were not heard")
        self._heard = True
        if reply.error:
            log.error(f"the check {self.key} hears nothing: the bus refuses {self._rule!r}: {reply.sentence}")

    def _on_signal(self, signal: "Signal") -> None:
        from vedette.agent.bus import render

        assert self._client is not None
        if signal.destination == self._client.name or (not self.expression.strip() and _is_bookkeeping(signal)):
            return
        text = render.text(signal)
        self._count += 1
        if self._matcher is None or self._matches(self._matcher, text):
            self._hold(self._verdict(text))

    def _matches(self, matcher: Pattern, text: str) -> bool:
        try:
            return matcher.matches(text.encode())
        except Undecided as exc:
            self._undecided += 1
            self._complaints.write(
                log.WARN,
                f"{self.key}: whether a signal matches cannot be decided ({exc}); {self._undecided} such signals"
                " so far; a simpler pattern would help",
            )
            return False

    def _hold(self, verdict: Verdict) -> None:
        if self._cooling is not None and self._cooling.pending:
            self._held = verdict
            return
        assert self._say is not None
        self._say(verdict)
        self._cooling = self._world.loop.call_later(COOL_S, self._cooled)

    def _cooled(self) -> None:
        verdict, self._held = self._held, None
        if verdict is not None and self._say is not None:
            self._say(verdict)

    def _verdict(self, text: str) -> Verdict:
        where = f"bus {self.expression or SYSTEM_BUS}"
        what = f"{self.pattern} present in a signal" if self.pattern else "a signal"
        return Verdict(
            ok=False,
            name=f"D-Bus signal arrived on {where}",
            level=self._level,
            expires_s=self.expires_s,
            subject=Subject(
                name=self.key,
                type=TYPE,
                status=STATUS,
                details=Details(
                    description=f"{what} on {where}",
                    line_matching=Line(self._count, " ".join(text.split())[:SHOWN_CHARACTERS]),
                ),
            ),
        )


def _compile(pattern: str) -> Pattern:
    """Anchors mean the lines of the text, a dot also the end of one. Verbs like (*UTF) must stay in front."""
    verbs = _VERBS.match(pattern)
    end = verbs.end() if verbs else 0
    Pattern.compile(pattern)  # what is wrong is said about the pattern as it was written
    return Pattern.compile(f"{pattern[:end]}(?ms){pattern[end:]}")


def _is_bookkeeping(signal: "Signal") -> bool:
    """The bus tells of every program that connects and leaves, this monitor among them."""
    return (
        signal.member == "NameOwnerChanged"
        and signal.sender == "org.freedesktop.DBus"
        and bool(signal.body)
        and str((signal.body or ("",))[0]).startswith(":")
    )
