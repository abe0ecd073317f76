"""The real daemon on a real log; and the real journal, in namespaces of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from real_device import Device, wait_until

from vedette.agent import checkfiles
from vedette.agent.paths import SCANNED_VARIABLE

ALONE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--")


@pytest.fixture
def log(device: Device, tmp_path: Path) -> Path:
    """The log of logins of a device that has the check."""
    scanned = tmp_path / "scanned"
    log = scanned / "var/log/auth.log"
    log.parent.mkdir(parents=True)
    (scanned / "etc").mkdir()
    (scanned / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    device.environment[SCANNED_VARIABLE] = str(scanned)
    checkfiles.create(device.paths, "logins", "a", [("LOGINS_INTERVAL", "5")])
    checkfiles.enable(device.paths, "logins", "a")
    return log


def fail(log: Path, *numbers: int) -> None:
    with log.open("a") as file:
        for each in numbers:
            file.write(f"{stamp(each)} gate sshd[{each}]: Failed password for root from 198.51.100.87 port 1 ssh2\n")


def stamp(second: int) -> str:
    return f"2026-03-24T15:25:{second:02}+00:00"


def told(device: Device) -> list[tuple[str, str]]:
    return [(each["subject"]["name"], each["level"]) for each in device.alerts()]


def noted(device: Device) -> bool:
    """Has a scan been made durable?"""
    return any("auth.log" in str(row) for row in device.query("SELECT * FROM meta"))


def test_six_failed_logins_are_one_alert_over_rotation_and_restart(device: Device, log: Path) -> None:
    fail(log, 1, 2, 3, 4, 5)  # before anybody looked
    device.start()
    wait_until(lambda: noted(device), "the first scan")
    fail(log, 11, 12)
    log.rename(log.with_name("auth.log.1"))
    fail(log, 13)
    device.kill()
    fail(log, 14, 15, 16)
    device.start()
    (alert,) = wait_until(device.alerts, "the alert")
    assert told(device) == [("failed from 198.51.100.87", "CRITICAL")]
    description = alert["subject"]["details"]["description"]
    assert "6 failed logins within 5s, as root (sshd password)" in description
    assert "Since: 2026-03-24T15:25:11" in description
    with log.open("a") as file:
        file.write(f"{stamp(40)} gate sshd[9]: Accepted password for root from 203.0.113.9 port 40112 ssh2\n")
    wait_until(lambda: len(device.alerts()) > 1, "the login of root")
    assert told(device)[1:] == [("root from 203.0.113.9", "CRITICAL")]
    assert "ERROR" not in device.log()


def test_a_failed_deployment_is_called_off_by_the_next_success(device: Device, tmp_path: Path) -> None:
    logs = tmp_path / "scanned/var/lib/mender"
    logs.mkdir(parents=True)
    device.environment[SCANNED_VARIABLE] = str(tmp_path / "scanned")
    line = '{"timestamp":"2026-03-2%d","level":"info","message":"Deployment with ID d%d finished with status: %s"}'
    (logs / "deployments.0000.d1.log").write_text(line.replace("2%d", "21T10:00:00Z") % (1, "Failure"))
    checkfiles.create(device.paths, "deployment", "a", [("DEPLOYMENT_INTERVAL", "5"), ("DEPLOYMENT_LEVEL", "WARNING")])
    checkfiles.enable(device.paths, "deployment", "a")
    device.start()
    wait_until(device.alerts, "the alert")
    (logs / "deployments.0000.d1.log").rename(logs / "deployments.0001.d1.log")
    (logs / "deployments.0000.d2.log").write_text(line.replace("2%d", "22T10:00:00Z") % (2, "Success"))
    wait_until(lambda: len(device.alerts()) > 1, "the end of it")
    assert told(device) == [("deployment d1", "WARNING"), ("deployment d1", "OK")]
    assert {each["name"] for each in device.alerts()} == {"Deployment d1 failed"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a journald of its own")
def test_the_journal_tells_each_login_once_and_strangers_are_not_believed() -> None:
    for tool in ("journalctl", "/lib/systemd/systemd-journald", "unshare"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing: logins in a real journal are not tested")
    if subprocess.run([*ALONE, "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True).returncode:
        pytest.skip("this machine gives root no mounts of its own: logins in a real journal are not tested")
    program = Path(__file__).with_name("logins_beside_journald.py")
    done = subprocess.run([*ALONE, sys.executable, program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said == {
        "first": [],
        "failed": ["failed from 198.51.100.87"],
        "rotated": ["root from 203.0.113.9"],
        "strangers": [],
        "vacuumed": ["sudo bob"],
    }
