"""Signals on a real bus, looked for by a rule, a pattern, or both."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jeepney import DBusAddress, new_signal
from private_bus import Bus

from vedette.agent.bus import render, rules
from vedette.agent.bus.connection import Signal
from vedette.agent.checkfiles import CheckFile
from vedette.agent.checks.dbus import DbusCheck
from vedette.agent.loop import Loop
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict
from vedette.errors import Invalid
from vedette.model import ConfiguredCheck, Level


@dataclass
class World:
    loop: Loop


class Listening:
    """A check that runs, and what it says."""

    def __init__(self, loop: Loop, pattern: str = "", expression: str = "", **more: str) -> None:
        self.loop = loop
        values = {"DBUS_NAME": "test", "DBUS_PATTERN": pattern, "DBUS_WATCH_EXPRESSION": expression, **more}
        self.check = make(**values)
        self.said: list[Verdict] = []
        self._true: Callable[[], bool] = lambda: False
        self.check.start(World(loop), self._say)  # type: ignore[arg-type]  # all that it needs of a world
        self.wait(0.2)  # its rule is known to the bus

    def _say(self, verdict: Verdict) -> None:
        self.said.append(verdict)
        if self._true():
            self.loop.stop()

    def wait(self, seconds: float) -> None:
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()

    def says(self, count: int) -> list[Verdict]:
        self._true = lambda: len(self.said) >= count
        if not self._true():
            self.loop.run()
        return self.said

    def says_nothing(self) -> None:
        self.wait(0.3)
        assert not self.said, shown(self.said[0])


def make(**values: str) -> DbusCheck:
    file = CheckFile(subsystem="dbus", name="test", values=values, path=Path("dbus_test.sh"))
    return DbusCheck(file, Settings())


def shown(verdict: Verdict) -> str:
    assert verdict.subject.details is not None
    assert verdict.subject.details.line_matching is not None
    return verdict.subject.details.line_matching.data


def test_a_rule_alone(bus: Bus, loop: Loop) -> None:
    listening = Listening(loop, expression="type='signal',interface='test.Power',member=Low")
    bus.signal("/battery", "test.Power", "Full")
    bus.signal("/battery", "test.Other", "Low")
    bus.signal("/battery", "test.Power", "Low", "su", "battery 0", 7)
    (verdict,) = listening.says(1)
    assert verdict.name == "D-Bus signal arrived on bus type='signal',interface='test.Power',member=Low"
    assert (verdict.ok, verdict.level, verdict.expires_s) == (False, Level.CRITICAL, 0)
    assert (verdict.subject.name, verdict.subject.type, verdict.subject.status) == ("dbus_test", "dbus", "DBUS_SIGNAL")
    assert 'path=/battery; interface=test.Power; member=Low string "battery 0" uint32 7' in shown(verdict)
    listening.check.stop()


@pytest.mark.parametrize(
    "pattern",
    [
        "battery 0",
        r"member=Low\b",
        r"interface=test\.Power; member=Low.*uint32 7$",
        '^   string "battery 0"$',
        r"(?i)BATTERY \d",
        r"^signal (?=.*test\.Power)(?!.*Full)",
        r"(*UCP)battery \d",
    ],
)
def test_a_pattern_alone(pattern: str, bus: Bus, loop: Loop) -> None:
    """Lines have their anchors, and what lies on several lines can be matched too."""
    listening = Listening(loop, pattern=pattern)
    bus.signal("/battery", "test.Power", "Full", "s", "x")
    bus.signal("/battery", "test.Power", "Low", "su", "battery 0", 7)
    (verdict,) = listening.says(1)
    assert "member=Low" in shown(verdict)
    assert verdict.name == "D-Bus signal arrived on bus system bus"
    listening.check.stop()


def test_both(bus: Bus, loop: Loop) -> None:
    listening = Listening(loop, pattern="critical", expression="interface='test.Power'")
    bus.signal("/a", "test.Power", "State", "s", "fine")
    bus.signal("/a", "test.Other", "State", "s", "critical")
    bus.signal("/a", "test.Power", "State", "s", "critical")
    (verdict,) = listening.says(1)
    assert "interface=test.Power" in shown(verdict)
    assert "critical" in shown(verdict)
    listening.check.stop()


def test_its_own_comings_and_goings_never_count(bus: Bus, loop: Loop) -> None:
    """Nor those of other programs, for the monitor is several programs; a rule that names them does hear them."""
    everything = Listening(loop, pattern=".")
    named = Listening(loop, pattern="NameOwnerChanged")
    asked = Listening(loop, expression="member=NameOwnerChanged")
    other = Listening(loop, pattern="NameAcquired|NameLost")
    bus.connect()
    asked.says(1)
    for each in (everything, named, other):
        each.says_nothing()
        each.check.stop()
    asked.check.stop()


def test_a_well_known_name_that_comes_counts(bus: Bus, loop: Loop) -> None:
    listening = Listening(loop, pattern="test.Service")
    bus_itself = DBusAddress("/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus")
    bus.call(bus_itself, "RequestName", "su", "test.Service", 0)
    (verdict,) = listening.says(1)
    assert "NameOwnerChanged" in shown(verdict)
    listening.check.stop()


def test_what_is_sent_to_the_monitor_alone_does_not_count(bus: Bus, loop: Loop) -> None:
    listening = Listening(loop, pattern="test")
    bus_itself = DBusAddress("/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus")
    for name in bus.call(bus_itself, "ListNames")[0]:
        if name.startswith(":"):
            bus.signal("/a", "test.X", "A", "s", "test", to=name)
    listening.says_nothing()
    listening.check.stop()


def test_a_number_of_a_descriptor_that_is_not_there_is_only_a_number(bus: Bus, loop: Loop) -> None:
    """Whoever may send signals must not be able to end the monitor's connection with them."""
    listening = Listening(loop, pattern="test")
    message = new_signal(DBusAddress("/a", interface="test.X"), "A", "u", (7,))
    raw = bytearray(message.serialise(1000))
    position = raw.index(b"\x01u\0")
    raw[position + 1 : position + 2] = b"h"
    connection = bus.connect()
    connection.sock.sendall(raw)
    bus.signal("/b", "test.X", "B")
    listening.wait(0.3)
    assert "member=B" in shown(listening.says(1)[-1])
    listening.check.stop()


def test_of_a_flood_the_first_is_told_at_once_and_none_is_missed(bus: Bus, loop: Loop) -> None:
    listening = Listening(loop, pattern="needle", expression="interface='test.Flood'")
    sender = bus.connect()
    emitter = DBusAddress("/some", interface="test.Flood")
    for number in range(4000):
        text = "needle" if number in (7, 3999) else "hay"
        sender.send(new_signal(emitter, "Came", "su", (text, number)))
    first, last = listening.says(2)
    assert "uint32 7" in shown(first)
    assert "uint32 3999" in shown(last)
    assert [verdict.subject.details.line_matching.number for verdict in (first, last)] == [8, 4000]  # type: ignore[union-attr]
    listening.check.stop()


def test_a_burst_of_matches_becomes_few_verdicts(bus: Bus, loop: Loop) -> None:
    """Each verdict costs a flush to the disk."""
    listening = Listening(loop, pattern="x")
    sender = bus.connect()
    for number in range(2000):
        sender.send(new_signal(DBusAddress("/some", interface="test.Flood"), "Came", "su", ("x", number)))
    while "uint32 1999" not in (shown(listening.said[-1]) if listening.said else ""):
        listening.says(len(listening.said) + 1)
    assert len(listening.said) < 50
    listening.check.stop()


def test_what_was_held_is_told_when_it_stops(bus: Bus, loop: Loop) -> None:
    listening = Listening(loop, pattern="test")
    bus.signal("/a", "test.X", "A")
    listening.says(1)
    bus.signal("/a", "test.X", "B")
    listening.wait(0.05)
    listening.check.stop()
    assert 1 <= len(listening.said) <= 2
    assert "member=B" in shown(listening.said[-1])


def test_a_rule_that_the_bus_refuses_is_said(bus: Bus, loop: Loop, capfd: pytest.CaptureFixture[str]) -> None:
    listening = Listening(loop, expression="interface='no interface'")
    assert "the check dbus_test hears nothing: the bus refuses" in capfd.readouterr().err
    listening.check.stop()


def test_it_listens_again_when_the_bus_is_back(
    bus: Bus, loop: Loop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was sent meanwhile nobody can know, but that there is a gap is said."""
    monkeypatch.setattr("vedette.agent.bus.client.FIRST_WAIT_S", 0.05)
    listening = Listening(loop, pattern="back")
    bus.stop()
    bus.start()
    listening.wait(0.3)
    bus.signal("/a", "test.X", "A", "s", "back")
    listening.says(1)
    listening.check.stop()
    assert capfd.readouterr().err.count("signals of that time were not heard") == 1


def test_expiration(bus: Bus, loop: Loop) -> None:
    for name in ("DBUS_ALERT_EXPIRATION", "DBUS_PATTERN_EXPIRATION"):
        assert make(DBUS_PATTERN="x", **{name: "2m"}).expires_s == 120
    assert make(DBUS_PATTERN="x").expires_s == Settings().default_dbus_alert_expiration_seconds


def test_as_the_server_is_told() -> None:
    check = make(DBUS_NAME="upower", DBUS_WATCH_EXPRESSION="type='signal'", DBUS_ALERT_EXPIRATION="5")
    settings = {"name": "upower", "pattern": "", "watch": "type='signal'", "alert_expiration": 5}
    assert check.configured() == ConfiguredCheck(name="test.sh", kind="dbus", settings=settings)
    assert "alert_expiration" not in make(DBUS_PATTERN="x").configured().settings


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "both missing"),
        ({"DBUS_WATCH_EXPRESSION": "  "}, "both missing"),
        ({"DBUS_PATTERN": "("}, "not a valid pattern.*at character 1"),
        ({"DBUS_WATCH_EXPRESSION": "type='method_call'"}, "only signals"),
        ({"DBUS_WATCH_EXPRESSION": "nonsense"}, "not of the form"),
        ({"DBUS_PATTERN": "x", "DBUS_ALERT_EXPIRATION": "soon"}, "soon"),
    ],
)
def test_a_file_that_makes_no_check(values: dict[str, str], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        make(**values)


# -- match rules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "means"),
    [
        ("", {}),
        ("type='signal'", {"type": "signal"}),
        ("type=signal,member=X", {"type": "signal", "member": "X"}),
        ("type='signal', path='/a/b', arg0='x,y'", {"type": "signal", "path": "/a/b", "arg0": "x,y"}),
        (r"arg1=it\'s,arg2='it'\''s'", {"arg1": "it's", "arg2": "it's"}),
        ("arg0namespace='a.b',arg3path='/a/',eavesdrop='true'", {"arg0namespace": "a.b", "arg3path": "/a/"}),
    ],
)
def test_rules(rule: str, means: dict[str, str], bus: Bus) -> None:
    found = rules.parse(rule)
    assert {key: found[key] for key in means} == means
    bus_itself = DBusAddress("/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus")
    bus.call(bus_itself, "AddMatch", "s", rules.for_signals(rule))
    assert bus.call(bus_itself, "GetId")  # the bus took it too


@pytest.mark.parametrize(
    "rule", ["x", "type='signal", "kind='signal'", "arg64x='1'", "type='signal',type='signal'", "a" * 2000, "a='\n'"]
)
def test_what_is_no_rule(rule: str) -> None:
    with pytest.raises(Invalid):
        rules.parse(rule)


# -- the text --------------------------------------------------------------------------------------------------------


def test_the_text_is_that_of_dbus_monitor(bus: Bus, loop: Loop) -> None:
    """Byte for byte but for the time, so that patterns made with it work."""
    listening = Listening(loop, expression="interface='test.Text'")
    texts: list[str] = []
    listening.check._verdict = lambda text: texts.append(text) or real(text)  # type: ignore[method-assign]
    real = DbusCheck._verdict.__get__(listening.check)
    monitor = subprocess.Popen(
        ["dbus-monitor", "--address", bus.address, "interface='test.Text'"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert monitor.stdout is not None
    try:
        bodies: list[tuple[str, tuple[Any, ...]]] = [
            ("", ()),
            ("ybnqiuxtd", (1, True, -2, 3, -4, 5, -6, 7, 1.5)),
            ("sog", ('te"xt', "/a/b", "a{sv}")),
            ("as", (["one", "two"],)),
            ("as", ([],)),
            ("ayay", (b"text\0", b"\1\2\3")),
            ("v", (("s", "x"),)),
            ("a{sv}", ({"k": ("i", 1), "l": ("as", ["x"])},)),
            ("(i(sb))", ((1, ("x", False)),)),
            ("d", (0.1,)),
            ("d", (1e300,)),
        ]
        wait_for_monitor(monitor, bus)
        for number, (signature, body) in enumerate(bodies):
            bus.signal(f"/text/n{number}", "test.Text", "Came", signature, *body)
        bus.signal("/text/end", "test.Text", "End")
        printed = ""
        while "member=End" not in printed:
            printed += monitor.stdout.readline().decode()
        while "/text/end" not in "".join(texts):
            listening.wait(0.05)
    finally:
        monitor.kill()
        monitor.wait()
        monitor.stdout.close()
    listening.check.stop()
    theirs = signals(printed)
    assert len(theirs) == len(bodies) + 1
    seen = {text.partition(" path=")[2].partition(";")[0]: text for text in texts}
    for text in theirs:
        path = text.partition(" path=")[2].partition(";")[0]
        assert seen[path] == text


def wait_for_monitor(monitor: "subprocess.Popen[bytes]", bus: Bus) -> None:
    """Until it prints what is sent."""
    assert monitor.stdout is not None
    os.set_blocking(monitor.stdout.fileno(), False)
    while b"member=Ready" not in (monitor.stdout.read() or b""):
        bus.signal("/ready", "test.Text", "Ready")
    os.set_blocking(monitor.stdout.fileno(), True)


def signals(printed: str) -> list[str]:
    """What dbus-monitor printed, signal by signal and without the time."""
    found: list[str] = []
    for line in printed.splitlines():
        if line.startswith("signal time="):
            found.append("signal " + line.split(" ", 2)[2])
        elif found:
            found[-1] += "\n" + line
    return [each for each in found if "/text/" in each]


def test_a_text_is_bounded() -> None:
    signal = Signal(
        sender=":1.1", destination="", path="/", interface="a.b", member="C", serial=1, signature="as",
        body=(["x" * 100] * 10_000,), size=1_000_000,
    )  # fmt: skip
    assert len(render.text(signal)) == render.MAX_CHARACTERS
