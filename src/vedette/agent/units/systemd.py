"""The units of systemd: over the bus without polling or, where there is no bus or no systemd on it, by `systemctl`.

Over the bus the state of a unit is asked once, then systemd tells of each change. What the bus does not tell while it
is away is asked for when it is back. Source: org.freedesktop.systemd1(5).
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary

from vedette.agent import log
from vedette.agent.bus.client import Client
from vedette.agent.bus.connection import BUS, BUS_PATH, Call, Reply, Signal
from vedette.agent.host import Host
from vedette.agent.loop import Loop, Timer
from vedette.agent.units import programs
from vedette.agent.units.programs import Systemctl
from vedette.agent.units.unit import PROPERTIES, Unit, from_properties

SYSTEMD: Final = "org.freedesktop.systemd1"
MANAGER_PATH: Final = "/org/freedesktop/systemd1"
MANAGER: Final = "org.freedesktop.systemd1.Manager"
UNIT: Final = "org.freedesktop.systemd1.Unit"
GET_SET: Final = "org.freedesktop.DBus.Properties"

POLL_S: Final = 5.0
"""How often `systemctl` is asked, where it must be."""
RETRY_S: Final = 30.0
"""After an answer that made no sense."""
_NO_SUCH: Final = (f"{SYSTEMD}.NoSuchUnit", "org.freedesktop.DBus.Error.InvalidArgs")

See = Callable[[Unit], None]


class Systemd:
    """All watched units; one for a loop (`Systemd.of`), so that a hundred checks are one connection."""

    _shared: ClassVar[WeakKeyDictionary[Loop, "Systemd"]] = WeakKeyDictionary()

    def __init__(self, loop: Loop, host: Host) -> None:
        self._loop, self._host = loop, host
        self._watchers: dict[str, list[See]] = {}
        self._values: dict[str, dict[str, Any]] = {}  # object path -> of its properties what PROPERTIES lists
        self._names: dict[str, set[str]] = {}  # object path -> names; an alias has the path of its unit
        self._owner = ""  # systemd's own name on the bus: only what comes from there counts; "": not there
        self._away = False  # no bus, or no systemd on it: `systemctl` is asked
        self._poll_planned = False
        self._retry: Timer | None = None
        self._systemctl = Systemctl(loop, host, POLL_S, self._tell)
        self._asking: list[programs.Run] = []
        self._complaints = log.Limited(burst=3, interval_s=3600, clock=loop.clock)
        self._client = Client(
            loop, purpose="checks of services", on_up=self._on_up, on_signal=self._on_signal, on_down=self._on_away
        )

    @classmethod
    def of(cls, loop: Loop, host: Host) -> "Systemd":
        """The one of this loop."""
        found = cls._shared.get(loop)
        if found is None:
            found = cls._shared[loop] = cls(loop, host)
            found._client.start()
        return found

    def watch(self, name: str, see: See) -> None:
        """Tell `see` of the unit `name`: soon, and whenever something has changed."""
        self._watchers.setdefault(name, []).append(see)
        if self._owner:
            self._load(name)
        elif self._away:
            self._poll()

    def unwatch(self, name: str, see: See) -> None:
        """The last one to go closes everything."""
        self._watchers[name].remove(see)
        if not self._watchers[name]:
            del self._watchers[name]
            self._leave(name)
            if self._away:
                self._poll()
        if not self._watchers:
            self._client.close()
            self._systemctl.close()
            if self._retry is not None:
                self._retry.cancel()
            for run in self._asking:
                run.cancel()
            self._shared.pop(self._loop, None)

    def state(self, answer: Callable[[str], None]) -> None:
        """Tell `answer` the state of the whole system: "running", "degraded", "starting", "stopping" ...

        "" when nobody says. No answer at all when the bus goes away meanwhile.
        """
        if self._owner:
            call = _call(MANAGER_PATH, GET_SET, "Get", "ss", MANAGER, "SystemState")
            self._client.call(call, lambda reply: answer("" if reply.error else str(reply.body[0][1])))
            return

        def answered(state: str) -> None:
            self._asking.remove(run)
            answer(state)

        run = programs.system_state(self._loop, self._host, answered)
        self._asking.append(run)

    # -- on the bus ----------------------------------------------------------------------------------------------

    def _on_up(self) -> None:
        """First hear of changes, then ask: so none is lost between."""
        self._bus_call("AddMatch", f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'")
        self._bus_call("AddMatch", f"type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='Reloading'")
        call = Call(
            destination=BUS, path=BUS_PATH, interface=BUS, member="GetNameOwner", signature="s", body=(SYSTEMD,)
        )
        self._client.call(call, lambda reply: self._on_away() if reply.error else self._begin(str(reply.body[0])))

    def _begin(self, owner: str) -> None:
        """systemd is there, and knows nothing of us."""
        self._systemctl.watch(())
        self._owner, self._away = owner, False
        self._leave_all()
        self._client.call(_call(MANAGER_PATH, MANAGER, "Subscribe"), lambda reply: None)
        for name in self._watchers:
            self._load(name)

    def _on_away(self) -> None:
        """No bus, or no systemd on it."""
        self._owner, self._away = "", True
        self._leave_all()
        self._poll()

    def _poll(self) -> None:
        """Once for all checks that come or go together."""
        if not self._poll_planned:
            self._poll_planned = True
            self._loop.call_soon(self._poll_now)

    def _poll_now(self) -> None:
        self._poll_planned = False
        if self._away:
            self._systemctl.watch(tuple(self._watchers))

    def _load(self, name: str) -> None:
        """Find the unit's object. A unit that is not loaded is; one that does not exist is there as "not-found"."""

        def loaded(reply: Reply) -> None:
            if reply.error in _NO_SUCH:
                self._tell(from_properties(name, {"LoadState": "invalid", "ActiveState": "inactive"}))
            elif reply.error:
                self._trouble(name, reply)
            elif name in self._watchers:
                path = str(reply.body[0])
                if name not in self._names.get(path, ()):
                    self._leave(name)  # it was an alias of something else
                    self._join(name, path)
                self._ask(path)

        self._client.call(_call(MANAGER_PATH, MANAGER, "LoadUnit", "s", name), loaded)

    def _join(self, name: str, path: str) -> None:
        """Hear of changes of this object on behalf of `name`."""
        if path not in self._names:
            self._names[path] = set()
            self._manage_match("AddMatch", path)
        self._names[path].add(name)

    def _leave(self, name: str) -> None:
        for path, names in list(self._names.items()):
            names.discard(name)
            if not names:
                del self._names[path]
                self._values.pop(path, None)
                self._manage_match("RemoveMatch", path)

    def _leave_all(self) -> None:
        """A new systemd is asked anew; what the bus keeps for us must not grow with each. Without a bus, no calls."""
        for path in self._names:
            self._manage_match("RemoveMatch", path)
        self._names.clear()
        self._values.clear()

    def _ask(self, path: str) -> None:
        def answered(reply: Reply) -> None:
            if path not in self._names:
                return
            if reply.error:
                self._trouble(min(self._names[path]), reply)
                return
            self._values[path] = {}
            self._merge(path, reply.body[0])

        self._client.call(_call(path, GET_SET, "GetAll", "s", UNIT), answered)

    def _on_signal(self, signal: Signal) -> None:
        """Anybody on the bus may send us a signal that looks like one of these, but not with this sender."""
        if signal.body is None or signal.sender not in (BUS, self._owner):
            return
        kind = (signal.member, signal.signature)
        if signal.sender == BUS:
            if kind == ("NameOwnerChanged", "sss") and signal.body[0] == SYSTEMD:
                if signal.body[2]:
                    self._begin(signal.body[2])
                else:
                    self._on_away()
        elif kind == ("Reloading", "b"):
            if signal.body == (False,):  # it is done: unit files have come, changed, gone
                for name in self._watchers:
                    self._load(name)
        elif kind == ("PropertiesChanged", "sa{sv}as") and signal.path in self._names and signal.body[0] == UNIT:
            _, changed, invalidated = signal.body
            if "ActiveState" not in changed or set(PROPERTIES).intersection(invalidated):
                self._ask(signal.path)
            else:
                self._merge(signal.path, changed)

    def _merge(self, path: str, changed: dict[str, tuple[str, Any]]) -> None:
        values = self._values.setdefault(path, {})
        for key in PROPERTIES:
            if key in changed:
                value = changed[key][1]
                values[key] = value[0] if key == "Job" else value  # (number, object path)
        for name in sorted(self._names[path]):
            self._tell(from_properties(name, values))

    def _tell(self, unit: Unit) -> None:
        for see in list(self._watchers.get(unit.name, ())):
            see(unit)

    def _trouble(self, name: str, reply: Reply) -> None:
        self._complaints.write(log.WARN, f"systemd does not tell about {name}: {reply.sentence}")
        if self._retry is None or not self._retry.pending:
            self._retry = self._loop.call_later(RETRY_S, self._again)

    def _again(self) -> None:
        if self._owner:
            for name in self._watchers:
                self._load(name)

    def _manage_match(self, member: str, path: str) -> None:
        rule = f"type='signal',sender='{SYSTEMD}',path='{path}',interface='{GET_SET}',member='PropertiesChanged'"
        self._bus_call(member, f"{rule},arg0='{UNIT}'")

    def _bus_call(self, member: str, rule: str) -> None:
        def answered(reply: Reply) -> None:
            if reply.error:
                self._complaints.write(log.ERROR, f"the bus refuses to tell of services: {reply.sentence}")

        call = Call(destination=BUS, path=BUS_PATH, interface=BUS, member=member, signature="s", body=(rule,))
        self._client.call(call, answered)


def _call(path: str, interface: str, member: str, signature: str = "", *body: Any) -> Call:
    return Call(destination=SYSTEMD, path=path, interface=interface, member=member, signature=signature, body=body)
