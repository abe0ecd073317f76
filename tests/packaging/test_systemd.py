"""The package on a booted Debian: the real systemd starts it, tells it of services, and stops it at shutdown."""

import json
from pathlib import Path

import pytest
from booted import System, booted
from debian_root import Machine

pytestmark = pytest.mark.slow

APP = """\
[Service]
ExecStart=/bin/sh -c 'echo app has begun; exec sleep infinity'
"""
ENABLED = "/etc/mender-monitor/monitor.d/enabled"
WANTS = "/etc/systemd/system/multi-user.target.wants"


def status(system: System) -> dict[str, object]:
    found: dict[str, object] = json.loads(system.run("mender-monitorctl", "status", "--json") or "{}")
    return found


def raised(system: System) -> list[str]:
    return [each["check"] for each in status(system).get("raised", [])]  # type: ignore[attr-defined]


def interrupted(machine: Machine) -> None:
    """As if the power had gone while a configuration was to be applied."""
    zone = machine.root / "usr/lib/mender-configure/apply-device-config.d/zone"
    zone.write_text("#!/bin/sh\nprintf Europe/Oslo >/etc/zone\n")
    zone.chmod(0o755)
    check = "monitor.check.log.sent"
    values = {f"{check}.LOG_PATTERN": "x", f"{check}.LOG_FILE": "/var/nothing-here"}
    kept = machine.root / "var/lib/mender-monitor/configuration"
    kept.mkdir(mode=0o700)
    at_work = {"id": "1", "artifact": "c", "phase": "install", "values": values, "before": {}, "log": []}
    (kept / "deployment.json").write_text(json.dumps(at_work))


def test_a_device_boots_and_watches(machine: Machine, package: Path) -> None:
    machine.put(package, "/var/monitor.deb")
    (machine.root / "etc/systemd/system/app.service").write_text(APP)
    machine.type(f"mkdir -p {WANTS}\nln -s /etc/systemd/system/app.service {WANTS}/\ndpkg -i /var/monitor.deb")
    with booted(machine.root) as system:
        system.until(lambda: "watching 0 checks" in system.said(), "the monitor to start")
        for each in (["service", "app", "systemd"], ["log", "begun", "app has begun", "@journalctl -f -u app"]):
            system.run("mender-monitorctl", "create", *each)
            system.run("mender-monitorctl", "enable", *each[:2])
        system.until(lambda: raised(system) == ["log_begun"], "the line in the journal")
        system.run("systemctl", "kill", "--signal=KILL", "app")
        system.until(lambda: raised(system) == ["log_begun", "service_app"], "the crash to be told")
        system.run("systemctl", "start", "app")
        system.until(lambda: raised(system) == ["log_begun"], "the new start to be told")
        assert status(system)["owed"] == 3
        system.halt()
    interrupted(machine)
    with booted(machine.root) as system:  # what went down at the shutdown is told neither then nor now
        system.until(lambda: "watching 2 checks" in system.said(), "the monitor to start again")
        system.run("systemctl", "stop", "app")
        system.until(lambda: "service_app" in raised(system), "the stop to be told")
        assert status(system)["owed"] == 4, system.said()
        # Below the restrictions of the unit, a configuration changes what lies in /etc.
        system.until(lambda: "log_sent.sh" in system.run("ls", ENABLED), "the server's check to be made")
        system.until(lambda: system.run("cat", "/etc/zone") == "Europe/Oslo", "its program to have run")
        system.halt()
