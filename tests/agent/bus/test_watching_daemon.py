"""The real daemon on a real bus: services and signals become alerts, once, and closed when they are over."""

from pathlib import Path

import pytest
from private_bus import Bus, Systemd
from real_device import Device, wait_until

from vedette.agent import control
from vedette.agent.paths import ROOT_VARIABLE

RUNNING = {"ActiveState": "active", "SubState": "running"}
FAILED = {"ActiveState": "failed", "SubState": "failed"}


@pytest.fixture(autouse=True)
def _root(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(device.paths.root))


def ctl(*arguments: str) -> None:
    assert control.main(arguments) == 0


def told(device: Device) -> list[tuple[str, str, str, str]]:
    return [
        (each["level"], each["name"], each["subject"]["name"], each["subject"]["status"]) for each in device.alerts()
    ]


def test_a_service_goes_down_and_comes_back(bus: Bus, device: Device) -> None:
    fake = Systemd(bus, cron=RUNNING)
    fake.start()
    ctl("create", "service", "cron", "systemd")
    ctl("enable", "service", "cron")
    device.start()
    wait_until(lambda: "GetAll" in fake.tell("Calls"), "systemd to be asked")
    fake.set("cron", **FAILED, Down=1)
    device.wait_for(1)
    fake.set("cron", **RUNNING)
    device.wait_for(2)
    name = "Service cron not running"
    assert told(device) == [("CRITICAL", name, "cron", "not-running"), ("OK", name, "cron", "running")]
    assert device.alerts()[0]["subject"]["type"] == "service"
    assert device.alerts()[0]["subject"]["details"] == {"description": "cron.service is failed"}
    assert device.stop() == 0


def test_a_service_that_is_down_is_told_once_however_often_the_daemon_starts(bus: Bus, device: Device) -> None:
    fake = Systemd(bus, cron=FAILED)
    fake.start()
    ctl("create", "service", "cron", "systemd")
    ctl("enable", "service", "cron")
    device.start()
    device.wait_for(1)
    device.stop()
    device.start()
    wait_until(lambda: fake.tell("Calls").count("GetAll") == 2, "systemd to be asked again")
    device.kill()
    device.start()
    wait_until(lambda: fake.tell("Calls").count("GetAll") == 3, "systemd to be asked again")
    fake.set("cron", **RUNNING)
    device.wait_for(2)
    assert device.levels() == ["CRITICAL", "OK"]
    fake.set("cron", **FAILED, Down=1)
    device.wait_for(3)
    ctl("disable", "service", "cron")
    device.wait_for(4)
    assert device.levels() == ["CRITICAL", "OK"] * 2
    device.stop()


def test_a_crash_loop_is_one_alert_that_says_so(bus: Bus, device: Device) -> None:
    fake = Systemd(bus, cron=RUNNING)
    fake.start()
    device.paths.config_sh.parent.mkdir(parents=True)
    device.paths.config_sh.write_text("FLAPPING_INTERVAL=3\n")
    ctl("create", "service", "cron", "systemd")
    ctl("enable", "service", "cron")
    device.start()
    wait_until(lambda: "GetAll" in fake.tell("Calls"), "systemd to be asked")
    for time in range(1, 11):
        fake.set("cron", ActiveState="activating", SubState="auto-restart", Down=time)
        fake.set("cron", **RUNNING)
    wait_until(lambda: len(told(device)) >= 6, "it to be said, and to calm down")
    flaps = [each for each in told(device) if "going up and down" in each[1]]
    assert len(flaps) == 1
    assert flaps[0] == ("CRITICAL", "Service cron going up and down", "cron", "flapping")
    assert told(device)[-1] == ("OK", "Service cron not running", "cron", "running")
    assert len(told(device)) == 6
    device.stop()


def test_the_machine_goes_down(bus: Bus, device: Device) -> None:
    """Services stop one after the other, then the monitor does; at the next boot all of them run."""
    fake = Systemd(bus, cron=RUNNING, ssh=RUNNING)
    fake.start()
    for name in ("cron", "ssh"):
        ctl("create", "service", name, "systemd")
        ctl("enable", "service", name)
    device.start()
    wait_until(lambda: fake.tell("Calls").count("GetAll") == 2, "systemd to be asked")
    fake.tell("SystemState", "stopping")
    fake.set("cron", ActiveState="inactive", SubState="dead", Down=1)
    fake.set("ssh", **FAILED, Down=1)
    wait_until(lambda: fake.tell("Calls").count("Get") >= 2, "the daemon to ask whether the system goes down")
    bus.stop()  # goes down with the rest
    wait_until(lambda: "no system bus" in device.log(), "the daemon to see it")
    assert device.stop() == 0
    bus.start()
    again = Systemd(bus, cron=RUNNING, ssh=RUNNING)
    again.start()
    device.start()
    wait_until(lambda: again.tell("Calls").count("GetAll") == 2, "systemd to be asked")
    again.set("cron", **FAILED, Down=2)
    device.wait_for(1)
    assert [each["subject"]["name"] for each in device.alerts()] == ["cron"]
    device.stop()


def test_a_signal_raises_and_time_calls_it_off(bus: Bus, device: Device) -> None:
    ctl("create", "dbus", "battery", "upower", "low", "type='signal',interface='test.Power'", "1")
    ctl("enable", "dbus", "battery")
    device.start()

    def signalled() -> bool:
        bus.signal("/battery", "test.Power", "Level", "s", "full")
        bus.signal("/battery", "test.Power", "Level", "s", "low")
        return bool(device.alerts())

    wait_until(signalled, "a signal to be heard")
    device.wait_for(2)
    name = "D-Bus signal arrived on bus type='signal',interface='test.Power'"
    assert told(device) == [(level, name, "dbus_battery", "DBUS_SIGNAL") for level in ("CRITICAL", "OK")]
    details = device.alerts()[0]["subject"]["details"]
    assert 'member=Level string "low"' in details["line_matching"]["data"]
    (config,) = device.query("SELECT value FROM meta WHERE key = 'report.config'")
    assert '"type": "dbus"' in config[0]
    device.stop()


def test_nobody_on_the_bus_costs_no_other_check(device: Device, tmp_path: Path) -> None:
    device.environment["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={tmp_path}/nobody"
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("systemctl", "service"):
        (programs / name).write_text("#!/bin/sh\nkill -KILL $$\n")  # tells nothing at all
        (programs / name).chmod(0o755)
    device.environment["PATH"] = str(programs)
    ctl("create", "service", "cron", "systemd")
    ctl("create", "service", "ntp", "sysV")
    ctl("create", "dbus", "any", "any", "x", "")
    for subsystem, name in (("service", "cron"), ("service", "ntp"), ("dbus", "any")):
        ctl("enable", subsystem, name)
    (tmp_path / "log").write_text("needle\n")
    device.check("log", "needle", tmp_path / "log")
    device.start()
    assert [each["subject"]["name"] for each in device.wait_for(1)] == ["log_log"]
    wait_until(lambda: "systemctl does not tell about services" in device.log(), "a word about systemctl")
    assert device.stop() == 0
    assert "Traceback" not in device.log()
