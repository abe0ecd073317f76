"""Checks of every kind as typed, as written, and as a real daemon watches them."""

import os
from pathlib import Path

import pytest
from real_device import Device

from vedette.agent import checkfiles, control, settings
from vedette.agent.checks import build
from vedette.agent.checks.diskusage import measure
from vedette.agent.settings import Settings
from vedette.errors import Invalid


def ctl(device: Device, *arguments: str) -> int:
    return control.main(["--root", str(device.paths.root), *arguments])


def body(device: Device, stem: str) -> list[str]:
    text = (device.paths.available / f"{stem}.sh").read_text()
    assert text.startswith(checkfiles.HEADER)
    return text.removeprefix(checkfiles.HEADER).splitlines()


# -- as typed --------------------------------------------------------------------------------------------------------


def test_container_events_are_a_log_check(device: Device) -> None:
    assert ctl(device, "create", "dockerevents", "web", "mycontainer", "restart", "1h") == 0
    assert body(device, "log_web") == [
        'SERVICE_NAME="web"',
        'LOG_PATTERN=".*container restart.*name=mycontainer.*"',
        'LOG_FILE="@docker events"',
        'LOG_ALERT_DESCRIPTION="Docker container mycontainer restart"',
        'LOG_ALERT_DETAILS="Alert was raised due to:%line_matching"',
        'LOG_ALERT_STATUS="DOCKEREVENTS_CONTAINER_EVENT"',
        'LOG_ALERT_TYPE="docker_event"',
        "LOG_PATTERN_EXPIRATION=3600",
    ]
    assert ctl(device, "enable", "dockerevents", "web") == 0
    assert (device.paths.enabled / "log_web.sh").is_symlink()
    assert ctl(device, "disable", "dockerevents", "web") == 0
    assert not (device.paths.enabled / "log_web.sh").is_symlink()
    assert ctl(device, "delete", "dockerevents", "web", "mycontainer", "restart", "1h") == 0
    assert checkfiles.available(device.paths) == []


@pytest.mark.parametrize(
    ("arguments", "stem", "lines"),
    [
        (["diskusage", "r", "/"], "diskusage_r", ['DISKUSAGE_NAME="/"']),
        (["diskusage", "r", "/", "75"], "diskusage_r", ['DISKUSAGE_NAME="/"', 'DISKUSAGE_THRESHOLD="75"']),
        (
            ["diskusage", "r", "/", "75", "inodes"],
            "diskusage_r",
            ['DISKUSAGE_NAME="/"', 'DISKUSAGE_THRESHOLD="75"', 'DISKUSAGE_OF="inodes"'],
        ),
        (["connectivity", "c", "h:1"], "connectivity_c", ['CONNECTIVITY_ADDRESS="h:1"']),
        (
            ["connectivity", "c", "http://h/$x", "eth0"],
            "connectivity_c",
            [r'CONNECTIVITY_ADDRESS="http://h/\$x"', 'CONNECTIVITY_INTERFACE="eth0"'],
        ),
    ],
)
def test_what_is_typed_is_written(device: Device, arguments: list[str], stem: str, lines: list[str]) -> None:
    assert ctl(device, "create", *arguments) == 0
    assert body(device, stem) == lines


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["diskusage", "x", "data"], "no absolute path"),
        (["diskusage", "x", "/", "101"], "from 1 to 100"),
        (["diskusage", "x", "/", "files"], "from 1 to 100"),
        (["connectivity", "x", "ftp://h"], "none of http"),
        (["connectivity", "x", "h:1", "a/b"], "no name of an interface"),
        (["dockerevents", "x", "", "die"], "must not be empty"),
        (["dockerevents", "x", "(", "die"], "not a valid pattern"),
        (["dockerevents", "x", "c", "die", "soon"], "no duration"),
        (["dockerevents", "a/b", "c", "die"], "no name of a check"),
    ],
)
def test_what_makes_no_sense_is_refused(
    device: Device, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert ctl(device, "create", *arguments) == 1
    assert said in capsys.readouterr().err
    assert checkfiles.available(device.paths) == []


def test_a_program_beside_a_kind_that_is_built_in_is_not_its_program(device: Device) -> None:
    """Another monitor on the device had its own in monitor.d."""
    device.paths.monitor_d.mkdir(parents=True)
    (device.paths.monitor_d / "diskusage.sh").write_text("#!/bin/sh\nreboot\n")
    file = checkfiles.draft(device.paths, "diskusage", "x", [("DISKUSAGE_NAME", "/")])
    assert type(build(file, Settings())).__name__ == "DiskUsageCheck"
    with pytest.raises(Invalid, match="there is no subsystem 'weather'"):
        build(checkfiles.draft(device.paths, "weather", "x", []), Settings())


def test_times_between_looks_are_settings() -> None:
    assert settings.interpret("DEFAULT_CHECK_INTERVAL_S=5m\n").default_check_interval_s == 300
    assert settings.interpret("DEFAULT_CHECK_TIME_LIMIT_S=0\n").problems


# -- at work ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(measure(b"/", "space").percent <= 1, reason="the disk of this machine is empty")
def test_a_disk_that_is_too_full_is_told_once_and_called_off(device: Device) -> None:
    """Over a restart, over a change of the threshold, and with its check."""
    name = "Disk storage has grown to fill more than 1% of the disk '/proc/self/root'"
    assert ctl(device, "create", "diskusage", "r", "/proc/self/root", "1") == 0
    with (device.paths.available / "diskusage_r.sh").open("a") as file:
        file.write("CHECK_INTERVAL=1\n")
    assert ctl(device, "enable", "diskusage", "r") == 0
    device.start()
    (alert,) = device.wait_for(1)
    assert (alert["name"], alert["level"], alert["subject"]["type"]) == (name, "CRITICAL", "disk")
    assert device.stop() == 0
    device.start()
    assert ctl(device, "create", "diskusage", "r", "/proc/self/root", "100") == 0
    _, ok = device.wait_for(2)
    assert (ok["name"], ok["level"]) == (name, "OK")
    assert ctl(device, "create", "diskusage", "r", "/proc/self/root", "1") == 0
    device.wait_for(3)
    assert ctl(device, "delete", "diskusage", "r") == 0
    last = device.wait_for(4)[-1]
    assert (last["level"], last["subject"]["details"]["description"]) == ("OK", "check disabled")
    assert device.query("SELECT count(*) FROM state") == [(0,)]


def test_a_container_that_restarts_is_told_and_called_off(device: Device, tmp_path: Path) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(
        '#!/bin/sh\n[ "$1" = events ] || exit 2\n'
        'echo "2022-04-21T11:01:06.7+01:00 container start 91ee1d48 (image=alpine, name=mycontainer)"\n'
        'echo "2022-04-21T11:01:06.7+01:00 container restart 91ee1d48 (image=alpine, name=mycontainer)"\nsleep 1000\n'
    )
    docker.chmod(0o755)
    device.environment = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    ctl(device, "create", "dockerevents", "web", "mycontainer", "restart", "1")
    ctl(device, "enable", "dockerevents", "web")
    device.start()
    alert, ok = device.wait_for(2)
    assert (alert["name"], alert["level"]) == ("Docker container mycontainer restart", "CRITICAL")
    assert (ok["name"], ok["level"]) == (alert["name"], "OK")
    assert alert["subject"]["type"] == "docker_event"
    assert alert["subject"]["status"] == "DOCKEREVENTS_CONTAINER_EVENT"
    assert alert["subject"]["details"]["description"].startswith("Alert was raised due to:2022-04-21T11:01:06.7")
