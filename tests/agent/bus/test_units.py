"""Services as systemd tells of them, on a real bus with a systemd that the test plays; and without a bus."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from private_bus import Bus, Systemd

from vedette.agent.checkfiles import CheckFile
from vedette.agent.checks import service as service_module
from vedette.agent.checks.service import ServiceCheck, goes_down
from vedette.agent.host import Host
from vedette.agent.loop import Loop
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict
from vedette.agent.units import programs, systemd
from vedette.agent.units.unit import Unit, has_fallen, running, unit_name
from vedette.errors import Invalid
from vedette.model import ConfiguredCheck, Level

RUNNING = {"ActiveState": "active", "SubState": "running"}
STOPPED = {"ActiveState": "inactive", "SubState": "dead"}
LONG = 300 * "x"
FAILED = {"ActiveState": "failed", "SubState": "failed"}


@dataclass
class World:
    loop: Loop
    host: Host


@pytest.fixture
def world(loop: Loop, tmp_path: Path) -> Iterator[World]:
    made = World(loop, Host(loop, tmp_path / "children"))
    yield made
    made.host.kill_all()
    loop.call_soon(lambda: made.host.when_idle(loop.stop))
    loop.run()


class Watched:
    """A check that runs, and what it says."""

    def __init__(self, world: World, name: str, kind: str = "systemd") -> None:
        self.loop = world.loop
        self.check = ServiceCheck(a_file(SERVICE_NAME=name, SERVICE_TYPE=kind), Settings())
        self.said: list[Verdict] = []
        self._true: Callable[[], bool] = lambda: False
        self.check.start(world, self._say)  # type: ignore[arg-type]  # all that it needs of a world

    def _say(self, verdict: Verdict) -> None:
        self.said.append(verdict)
        if self._true():
            self.loop.stop()

    def says(self, *running: bool) -> "Watched":
        """All that it has said, as soon as it is so much."""
        self._true = lambda: len(self.said) >= len(running)
        if not self._true():
            self.loop.run()
        assert [each.ok for each in self.said] == list(running), self.descriptions()
        return self

    def descriptions(self) -> list[str]:
        return [each.subject.details.description for each in self.said if each.subject.details is not None]


def a_file(**values: str) -> CheckFile:
    name = values.get("SERVICE_NAME", "x")
    return CheckFile(subsystem="service", name=name, values=values, path=Path("service_x.sh"))


def settle(loop: Loop, fake: Systemd, calls: str, count: int) -> None:
    """Run until systemd has been asked so often, and a moment more for the answer."""

    def look() -> None:
        if fake.tell("Calls").count(calls) >= count:
            loop.call_later(0.05, loop.stop)
        else:
            loop.call_later(0.01, look)

    look()
    loop.run()


@pytest.mark.parametrize(
    ("active", "has_job", "means"),
    [
        ("active", False, True),
        ("active", True, True),  # to be stopped, but runs still
        ("inactive", False, False),
        ("inactive", True, None),  # its start waits for its turn
        ("failed", False, False),
        ("failed", True, None),
        ("activating", False, None),
        ("reloading", False, None),
        ("deactivating", True, None),
        ("maintenance", False, None),
        ("refreshing", False, None),
    ],
)
def test_what_a_state_means(active: str, has_job: bool, means: bool | None) -> None:
    unit = Unit(name="x.service", load="loaded", active=active, sub="", has_job=has_job, went_down_us=0)
    assert running(unit) is means


@pytest.mark.parametrize(
    ("service", "unit"),
    [
        ("cron", "cron.service"),
        ("dbus.socket", "dbus.socket"),
        ("my.app", "my.app.service"),
        ("a@b", "a@b.service"),
        (r"a\x2db.mount", r"a\x2db.mount"),
    ],
)
def test_the_name_of_a_unit(service: str, unit: str) -> None:
    assert unit_name(service) == unit


def test_a_fall_is_seen_between_two_looks_but_a_wanted_restart_is_none() -> None:
    def unit(active: str, down: int, has_job: bool = False) -> Unit:
        return Unit(name="x", load="loaded", active=active, sub="", has_job=has_job, went_down_us=down)

    assert has_fallen(unit("active", 1), unit("active", 2))
    assert has_fallen(unit("active", 1), unit("activating", 2))
    assert not has_fallen(unit("active", 1), unit("active", 1))
    assert not has_fallen(unit("inactive", 1), unit("active", 2))
    assert not has_fallen(unit("active", 1, has_job=True), unit("active", 2))
    assert not has_fallen(unit("active", 1), unit("activating", 2, has_job=True))


def test_each_change_is_told_and_nothing_else(bus: Bus, world: World) -> None:
    fake = Systemd(bus, cron=RUNNING, ssh=RUNNING)
    fake.start()
    watched = Watched(world, "cron").says(True)
    fake.set("ssh", **STOPPED)
    fake.set("cron", ActiveState="reloading", SubState="reload")
    fake.set("cron", **RUNNING)
    fake.set("cron", ActiveState="deactivating", SubState="stop-sigterm", Job=7)
    fake.set("cron", **STOPPED, Job=0, Down=5)
    watched.says(True, False)
    fake.set("cron", ActiveState="activating", SubState="start", Job=8)
    fake.set("cron", **RUNNING, Job=0)
    watched.says(True, False, True)
    down, up = watched.said[1:]
    assert (down.name, up.name) == ("Service cron not running",) * 2
    assert (down.subject.name, down.subject.type, down.subject.status) == ("cron", "service", "not-running")
    assert up.subject.status == "running"
    assert down.level is Level.CRITICAL
    assert watched.descriptions()[1] == "cron.service is inactive (dead)"
    assert fake.tell("Calls").count("GetAll") == 1  # nothing was polled
    watched.check.stop()


@pytest.mark.parametrize(
    ("name", "unit", "description"),
    [
        ("cron", FAILED, "cron.service is failed"),
        ("gone", None, "there is no unit gone.service on this device"),
        (f"{LONG}", None, f"{LONG}.service cannot run: this is no name of a unit"),
        ("hidden", {**STOPPED, "LoadState": "masked"}, "hidden.service cannot run: it is masked"),
    ],
)
def test_what_is_down_already_is_said_and_why(
    bus: Bus, world: World, name: str, unit: dict[str, Any] | None, description: str
) -> None:
    fake = Systemd(bus, **({name: unit} if unit else {}))
    fake.start()
    watched = Watched(world, name).says(False)
    assert watched.descriptions() == [description]
    watched.check.stop()


def test_a_crash_that_is_mended_at_once_is_told(bus: Bus, world: World) -> None:
    """Restart=always: systemd tells of the crash and the new start in one signal."""
    fake = Systemd(bus, cron=RUNNING)
    fake.start()
    watched = Watched(world, "cron").says(True)
    fake.set("cron", ActiveState="activating", SubState="auto-restart", Down=100)
    watched.says(True, False)
    fake.set("cron", **RUNNING)
    watched.says(True, False, True)
    fake.set("cron", **RUNNING, Down=200)
    watched.says(True, False, True, False, True)
    assert watched.descriptions()[3] == "cron.service had stopped, and was started again"
    watched.check.stop()


def test_a_restart_that_somebody_asked_for_is_no_failure(bus: Bus, world: World) -> None:
    fake = Systemd(bus, cron=RUNNING)
    fake.start()
    watched = Watched(world, "cron").says(True)
    fake.set("cron", ActiveState="deactivating", SubState="stop", Job=3)
    fake.set("cron", **STOPPED, Job=3, Down=50)
    fake.set("cron", ActiveState="activating", SubState="start", Job=3)
    fake.set("cron", **RUNNING, Job=0)
    fake.set("cron", **FAILED, Down=60)
    watched.says(True, False)
    watched.check.stop()


def test_what_still_waits_to_be_started_is_not_down(bus: Bus, world: World) -> None:
    fake = Systemd(bus, cron={**STOPPED, "Job": 12})
    fake.start("starting")
    watched = Watched(world, "cron")
    settle(world.loop, fake, "GetAll", 1)
    fake.set("cron", ActiveState="activating", SubState="start")
    fake.set("cron", **RUNNING, Job=0)
    watched.says(True)
    watched.check.stop()


def test_while_the_system_starts_what_is_inactive_may_still_come(
    bus: Bus, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "ASK_AGAIN_S", 0.02)
    monkeypatch.setattr(service_module, "BOOT_S", float("inf"))
    fake = Systemd(bus, cron=STOPPED, ssh=STOPPED, bad=FAILED)
    fake.start("starting")
    late, never, failed = Watched(world, "cron"), Watched(world, "ssh"), Watched(world, "bad")
    failed.says(False)  # it was tried: that is news at once
    settle(world.loop, fake, "Get", 6)
    fake.set("cron", **RUNNING)
    late.says(True)
    assert not never.said
    fake.tell("SystemState", "running")
    never.says(False)
    for each in (late, never, failed):
        each.check.stop()


def test_a_machine_that_goes_down_is_no_alert(bus: Bus, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "ASK_AGAIN_S", 0.02)
    fake = Systemd(bus, cron=RUNNING)
    fake.start()
    watched = Watched(world, "cron").says(True)
    fake.tell("SystemState", "stopping")
    fake.set("cron", ActiveState="deactivating", SubState="stop", Job=4)
    fake.set("cron", **STOPPED, Job=0, Down=9)
    settle(world.loop, fake, "Get", 4)
    watched.says(True)
    fake.tell("SystemState", "running")  # it did not go down after all
    watched.says(True, False)
    watched.check.stop()


def test_a_unit_that_is_installed_later_is_seen(bus: Bus, world: World) -> None:
    fake = Systemd(bus)
    fake.start()
    watched = Watched(world, "new").says(False)
    fake.tell("Reload", {"new.service": {"LoadState": "loaded"}})
    settle(world.loop, fake, "GetAll", 2)
    fake.set("new", **RUNNING)
    watched.says(False, True)
    watched.check.stop()


def test_an_alias_is_the_unit_it_stands_for(bus: Bus, world: World) -> None:
    fake = Systemd(bus, ssh=RUNNING)
    fake.start()
    fake.tell("Alias", "sshd.service", "ssh.service")
    watched = Watched(world, "sshd").says(True)
    fake.set("ssh", **FAILED, Down=1)
    watched.says(True, False)
    assert watched.said[-1].name == "Service sshd not running"
    both = Watched(world, "ssh").says(False)
    fake.set("ssh", **RUNNING)
    watched.says(True, False, True)
    both.says(False, True)
    both.check.stop()
    fake.set("ssh", **FAILED, Down=2)
    watched.says(True, False, True, False)
    watched.check.stop()


def test_many_checks_share_one_connection_and_end_it(bus: Bus, world: World) -> None:
    names = [f"service{number}" for number in range(50)]
    fake = Systemd(bus, **dict.fromkeys(names, RUNNING))
    fake.start()
    before = len(bus.call(systemd_bus(), "ListNames")[0])
    watched = [Watched(world, name) for name in names]
    for each in watched:
        each.says(True)
    assert len(bus.call(systemd_bus(), "ListNames")[0]) == before + 1
    for each in watched[1:]:
        each.check.stop()
    fake.set("service1", **FAILED)
    fake.set("service0", **FAILED)
    watched[0].says(True, False)
    watched[0].check.stop()
    assert watched[1].says(True)
    world.loop.call_later(0.05, world.loop.stop)
    world.loop.run()
    assert len(bus.call(systemd_bus(), "ListNames")[0]) == before


def test_a_limit_of_the_bus_is_said(bus: Bus, world: World, capfd: pytest.CaptureFixture[str]) -> None:
    names = [f"service{number}" for number in range(70)]  # the bus takes 60 rules
    fake = Systemd(bus, **dict.fromkeys(names, RUNNING))
    fake.start()
    watched = [Watched(world, name) for name in names]
    for each in watched:
        each.says(True)
    assert "the bus refuses to tell of services" in capfd.readouterr().err
    for each in watched:
        each.check.stop()


def systemd_bus() -> Any:
    from jeepney import DBusAddress

    return DBusAddress("/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus")


def test_what_happened_while_the_bus_was_away_is_found_when_it_is_back(
    bus: Bus, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(programs, "_SYSTEM_PATHS", ())
    monkeypatch.setattr("vedette.agent.bus.client.FIRST_WAIT_S", 0.05)
    fake = Systemd(bus, cron=RUNNING)
    fake.start()
    watched = Watched(world, "cron").says(True)
    bus.stop()
    bus.start()
    again = Systemd(bus, cron=FAILED)
    again.start()
    watched.says(True, False)
    watched.check.stop()


def test_a_systemd_that_starts_anew_is_subscribed_again(
    bus: Bus, world: World, path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """However often: the bus takes only so many rules from one connection."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
    program(path / "systemctl", "exit 1")
    names = [f"service{number}" for number in range(20)]
    fake = Systemd(bus, **dict.fromkeys(names, RUNNING))
    fake.start()
    watched = [Watched(world, name) for name in names]
    for each in watched:
        each.says(True)
    for _ in range(4):
        assert fake.process is not None
        fake.process.kill()
        fake.process.wait()
        fake.start()
        settle(world.loop, fake, "GetAll", len(names))
    fake.set("service7", **FAILED)
    watched[7].says(True, False)
    for each in watched:
        each.check.stop()
    assert "refuses" not in capfd.readouterr().err


def test_what_others_say_in_its_name_does_not_count(bus: Bus, world: World) -> None:
    """Any user of the device may send any signal to any connection."""
    fake = Systemd(bus, cron=RUNNING)
    fake.start()
    watched = Watched(world, "cron").says(True)
    unit = "/org/freedesktop/systemd1/unit/cron_2eservice"
    lie = ("org.freedesktop.systemd1.Unit", {"ActiveState": ("s", "failed")}, [])
    for name in bus.call(systemd_bus(), "ListNames")[0]:
        if name.startswith(":"):
            for path, signature, body in ((unit, "sa{sv}as", lie), (unit, "", ()), ("/", "s", ("x",))):
                bus.signal(path, "org.freedesktop.DBus.Properties", "PropertiesChanged", signature, *body, to=name)
            bus.signal("/", "org.freedesktop.DBus", "NameOwnerChanged", "s", "org.freedesktop.systemd1", to=name)
    world.loop.call_later(0.2, world.loop.stop)
    world.loop.run()
    watched.says(True)
    fake.set("cron", **FAILED)
    watched.says(True, False)
    watched.check.stop()


# -- without a bus ---------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with programs of ours in front, quick polls, and no bus."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nobody")
    monkeypatch.setattr(systemd, "POLL_S", 0.05)
    monkeypatch.setattr(service_module, "POLL_S", 0.05)
    monkeypatch.setattr(service_module, "SYSV_BOOT_S", 0.0)
    monkeypatch.setattr(service_module, "ASK_AGAIN_S", 0.02)
    monkeypatch.setattr(service_module, "RUNNING_SYSTEMD", tmp_path / "booted")
    monkeypatch.setattr(service_module, "RUN_LEVELS", tmp_path / "utmp")
    return directory


def program(path: Path, text: str) -> None:
    path.with_name(path.name + ".new").write_text(f"#!/bin/sh\n{text}\n")
    path.with_name(path.name + ".new").chmod(stat.S_IRWXU)
    path.with_name(path.name + ".new").replace(path)


def shows(path: Path, active: str, *, system: str = "running", job: str = "", load: str = "loaded") -> None:
    program(
        path / "systemctl",
        f'case "$*" in "show --property=SystemState") echo SystemState={system};;\n'
        f"*) printf 'LoadState={load}\\nActiveState={active}\\nSubState=x\\nJob={job}\\n"
        "InactiveEnterTimestampMonotonic=0\\n';; esac",
    )


def test_without_a_bus_systemctl_is_asked(path: Path, world: World) -> None:
    shows(path, "active")
    watched = Watched(world, "cron").says(True)
    shows(path, "activating")
    shows(path, "failed")
    watched.says(True, False)
    assert watched.descriptions()[1] == "cron.service is failed (x)"
    shows(path, "active")
    watched.says(True, False, True)
    watched.check.stop()


def test_without_a_bus_a_machine_that_goes_down_is_no_alert_either(path: Path, world: World) -> None:
    shows(path, "active")
    watched = Watched(world, "cron").says(True)
    shows(path, "inactive", system="stopping")
    world.loop.call_later(0.5, world.loop.stop)
    world.loop.run()
    watched.says(True)
    shows(path, "inactive", system="running")
    watched.says(True, False)
    watched.check.stop()


def test_one_systemctl_for_all(path: Path, world: World, tmp_path: Path) -> None:
    program(
        path / "systemctl",
        f'echo "$@" >> {tmp_path}/asked; shift 3\n'
        "for unit; do echo ActiveState=active; echo LoadState=loaded; echo; done",
    )
    watched = [Watched(world, name) for name in ("one", "two", "three")]
    for each in watched:
        each.says(True)
    first = (tmp_path / "asked").read_text().splitlines()[0]
    assert first.endswith("-- one.service two.service three.service")
    for each in watched:
        each.check.stop()


def test_a_check_made_later_is_asked_for_too(path: Path, world: World) -> None:
    program(path / "systemctl", "shift 3; for unit; do echo ActiveState=active; echo; done")
    first = Watched(world, "one").says(True)
    second = Watched(world, "two").says(True)
    first.check.stop()
    third = Watched(world, "three").says(True)
    for each in (second, third):
        each.check.stop()


def test_a_bus_without_systemd(bus: Bus, path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`systemctl` is asked until there is one."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
    program(path / "systemctl", "shift 3; for unit; do echo ActiveState=active; echo; done")
    first = Watched(world, "one").says(True)
    second = Watched(world, "two").says(True)
    fake = Systemd(bus, one=FAILED, two=RUNNING)
    fake.start()
    first.says(True, False)
    program(path / "systemctl", "shift 3; for unit; do echo ActiveState=failed; echo; done")
    settle(world.loop, fake, "GetAll", 2)
    second.says(True)
    for each in (first, second):
        each.check.stop()


@pytest.mark.parametrize(
    "text", ["echo 'System has not been booted with systemd' >&2; exit 1", "exec sleep 60", "echo Nonsense=1"]
)
def test_a_systemctl_that_does_not_tell_raises_nothing_and_is_complained_about(
    text: str, path: Path, world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(programs, "RUN_S", 0.2)
    program(path / "systemctl", text)
    watched = Watched(world, "cron")
    world.loop.call_later(0.6, world.loop.stop)
    world.loop.run()
    assert not watched.said
    assert capfd.readouterr().err.count("systemctl does not tell about services") == 1
    watched.check.stop()


def test_sysv_is_the_exit_code_of_status(path: Path, world: World, tmp_path: Path) -> None:
    program(path / "service", f'echo "$@" >> {tmp_path}/asked; echo "$1 is up"; exit 0')
    watched = Watched(world, "ntp", "sysV").says(True)
    program(path / "service", 'echo "$1 is dead"; exit 3')
    watched.says(True, False)
    assert watched.descriptions()[1] == "service ntp status: ntp is dead (exit code 3)"
    program(path / "service", "exit 0")
    watched.says(True, False, True)
    assert (tmp_path / "asked").read_text().splitlines()[0] == "ntp status"
    watched.check.stop()


def test_a_sysv_service_that_does_not_exist_is_said(path: Path, world: World) -> None:
    program(path / "service", 'echo "$1: unrecognized service" >&2; exit 1')
    watched = Watched(world, "nothing", "sysV").says(False)
    assert watched.descriptions() == ["service nothing status: nothing: unrecognized service (exit code 1)"]
    watched.check.stop()


def test_a_status_that_hangs_is_not_known(
    path: Path, world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(programs, "RUN_S", 0.1)
    program(path / "service", "sleep 60")
    watched = Watched(world, "ntp", "sysV")
    world.loop.call_later(0.5, world.loop.stop)
    world.loop.run()
    assert not watched.said
    assert "whether the service ntp runs is not known" in capfd.readouterr().err
    watched.check.stop()


def test_sysv_at_shutdown_says_nothing(path: Path, world: World, tmp_path: Path) -> None:
    (tmp_path / "utmp").write_bytes(utmp("6"))
    program(path / "service", "exit 3")
    watched = Watched(world, "ntp", "sysV")
    world.loop.call_later(0.3, world.loop.stop)
    world.loop.run()
    assert not watched.said
    (tmp_path / "utmp").write_bytes(utmp("2"))
    watched.says(False)
    watched.check.stop()


def utmp(level: str) -> bytes:
    """A record of something else, then the run level as init writes it: "level after previous"."""
    return bytes([2, 0]) + bytes(382) + bytes([1, 0, 0, 0, ord(level), ord("2")]) + bytes(378)


def test_run_levels_that_end_the_machine(tmp_path: Path) -> None:
    file = tmp_path / "utmp"
    assert not goes_down(file)
    for level, ends in (("0", True), ("6", True), ("2", False), ("5", False)):
        file.write_bytes(utmp(level))
        assert goes_down(file) is ends
    file.write_bytes(b"\1")
    assert not goes_down(file)


# -- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "SERVICE_NAME is missing"),
        ({"SERVICE_NAME": "cron", "SERVICE_TYPE": "upstart"}, "neither systemd nor sysV"),
        ({"SERVICE_NAME": "../x"}, "no name of a service"),
        ({"SERVICE_NAME": "-x"}, "no name of a service"),
        ({"SERVICE_NAME": "a b"}, "no name of a service"),
        ({"SERVICE_NAME": "odd!name"}, "no name of a unit"),
        ({"SERVICE_NAME": "getty@"}, "no name of a unit"),
        ({"SERVICE_NAME": "getty@.service"}, "no name of a unit"),
    ],
)
def test_a_file_that_makes_no_check(values: dict[str, str], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        ServiceCheck(a_file(**values), Settings())


def test_as_the_server_is_told() -> None:
    check = ServiceCheck(a_file(SERVICE_NAME="cron", SERVICE_TYPE="sysV"), Settings())
    assert check.configured() == ConfiguredCheck(
        name="cron.sh", kind="service", settings={"name": "cron", "type": "sysV"}
    )
