"""Sentences of the specification that no other test holds, on the real daemon. docs/specification.md is the list."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from real_device import DEADLINE_S, Device, wait_until

from vedette.agent import checkfiles, checks
from vedette.agent.follow.inotify import Inotify
from vedette.agent.host import Host
from vedette.agent.loop import Loop
from vedette.agent.paths import ROOT_VARIABLE
from vedette.agent.runner import Runner
from vedette.agent.settings import Settings, interpret
from vedette.agent.store import Store
from vedette.model import Level


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def settings(device: Device, text: str) -> None:
    device.paths.config_sh.parent.mkdir(parents=True, exist_ok=True)
    device.paths.config_sh.write_text(text)


def test_commands_inherit_path_and_environment(device: Device, tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "only-here"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "says $FROM_THE_DAEMON"\nexec sleep 600\n')
    tool.chmod(0o755)
    device.environment = {"PATH": f"{tool.parent}:{os.environ['PATH']}", "FROM_THE_DAEMON": "hello"}
    device.check("cmd", "says hello", "@only-here")
    device.start()
    device.wait_for(1)


def test_the_daemon_finds_its_root_in_the_environment(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "bad\n")
    device.check("app", "bad", log)
    process = subprocess.Popen(
        [sys.executable, "-m", "vedette.agent"],
        env={**os.environ, ROOT_VARIABLE: str(device.paths.root)},
        stderr=subprocess.DEVNULL,
    )
    try:
        device.wait_for(1)
        assert device.paths.pid_file.read_text().strip() == str(process.pid)
    finally:
        process.terminate()
        assert process.wait(DEADLINE_S) == 0


def test_what_a_command_says_on_standard_error_is_limited(device: Device) -> None:
    flood = 'i=0; while [ $i -lt 5000 ]; do echo "noise $i" >&2; i=$((i+1)); done; echo done; exec sleep 600'
    device.check("cmd", "done", f"@{flood}")
    device.start()
    device.wait_for(1)
    assert 0 < device.log().count("noise") < 100


def test_thirty_lines_before_and_after_and_no_waiting_for_more(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "".join(f"{number}\n" for number in range(1, 21)))
    device.check("app", "bad", log)
    device.check("twenty", "^20$", log)
    device.start()
    device.wait_for(1, "twenty")  # so the first twenty were another read
    append(log, "".join(f"{number}\n" for number in range(21, 41)) + "bad\n" + "after\n" * 40)
    details = device.wait_for(1, "app")[0]["subject"]["details"]
    assert [each["data"] for each in details["lines_before"]] == [str(number) for number in range(11, 41)]
    assert [each["line_number"] for each in details["lines_after"]] == list(range(42, 72))
    numbers = [each["line_number"] for each in (*details["lines_before"], details["line_matching"])]
    assert numbers == list(range(11, 42))
    device.check("end", "last words", log)
    append(log, "last words\n")
    assert device.wait_for(1, "end")[0]["subject"]["details"].get("lines_after", []) == []


def test_what_a_program_prints_is_numbered_from_its_start(device: Device) -> None:
    device.check("cmd", "bad", "@echo 1; sleep 0.2; echo 2; echo bad; exec sleep 600")
    device.start()
    details = device.wait_for(1)[0]["subject"]["details"]
    assert details["line_matching"]["line_number"] == 3
    assert [each["line_number"] for each in details["lines_before"]] == [1, 2]


def test_settings_bound_the_store_and_name_the_log(device: Device, tmp_path: Path) -> None:
    words = tmp_path / "monitor.log"
    settings(device, f"ALERT_OFFLINE_STORE_MAX_COUNT=3\nDAEMON_LOG_FILE={words}\nCONFIG_LOG_LEVEL=DEBUG\n")
    for number in range(6):
        device.check(f"p{number}", f"problem {number}", tmp_path / "app.log")
    append(tmp_path / "app.log", "".join(f"problem {number}\n" for number in range(6)))
    process = subprocess.Popen([sys.executable, "-m", "vedette.agent", "--root", str(device.paths.root)])
    try:
        gaps = "SELECT sum(last - first + 1) FROM gap"
        wait_until(lambda: device.query(gaps) == [(3,)], "the account of what was given up")
        assert len(device.alerts()) == 3
        assert "watching" in words.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0


def test_levels_and_expirations_come_from_the_settings(device: Device) -> None:
    found = interpret(
        "DEFAULT_LOG_ALERT_LEVEL=WARNING\nDEFAULT_SERVICE_ALERT_LEVEL=UNKNOWN\nDEFAULT_DBUS_ALERT_LEVEL=WARNING\n"
        "DEFAULT_LOG_PATTERN_EXPIRATION_SECONDS=2d\nDEFAULT_DBUS_ALERT_EXPIRATION_SECONDS=1h\n"
    )
    assert not found.problems

    def check(kind: str, **values: str) -> checks.Check | checks.Watch:
        return checks.build(checkfiles.draft(device.paths, kind, "x", list(values.items())), found)

    log = check("log", LOG_PATTERN="x", LOG_FILE="/x")
    assert (log._level, log.expires_s) == (Level.WARNING, 172_800)  # type: ignore[union-attr]
    bus = check("dbus", DBUS_NAME="x", DBUS_PATTERN="x")
    assert (bus._level, bus.expires_s) == (Level.WARNING, 3600)  # type: ignore[union-attr]
    service = check("service", SERVICE_NAME="x", SERVICE_TYPE="systemd")
    assert service._level is Level.UNKNOWN  # type: ignore[union-attr]


def test_both_default_expirations_mean_by_hand() -> None:
    assert Settings().default_log_pattern_expiration_seconds == Settings().default_dbus_alert_expiration_seconds == 0


def test_flapping_looks_no_further_back_than_the_memory_of_changes(tmp_path: Path, device: Device) -> None:
    loop = Loop()
    inotify = Inotify(loop)
    store = Store.open(device.paths.store, owner=True)
    runner = Runner(
        loop=loop, host=Host(loop), inotify=inotify, store=store, boot=UUID(int=1), on_owed=lambda: None
    )  # fmt: skip
    runner.configure(device.paths, interpret("ALERT_LOG_MAX_AGE=60\nFLAPPING_INTERVAL=120\nFLAPPING_COUNT_THRESHOLD=7"))
    assert (runner._ledger.flapping.changes, runner._ledger.flapping.within_s) == (7, 60)
    runner.close()
    inotify.close()
    loop.close()
    store.close()


@pytest.mark.parametrize("order", [("aaa", "zzz"), ("zzz", "aaa")])
def test_the_order_of_checks_does_not_matter(device: Device, tmp_path: Path, order: tuple[str, str]) -> None:
    """Two checks on one file, one of them with less said: nothing of the other becomes its own."""
    log = tmp_path / "app.log"
    full, bare = order
    device.check(full, "bad", log, expires=1, LOG_ALERT_LEVEL="WARNING", LOG_ALERT_DESCRIPTION="own name")
    device.check(bare, "bad", log)
    append(log, "bad\n")
    device.start()
    device.wait_for(2, full)
    assert [(each["level"], each["name"]) for each in device.alerts(full)] == [
        ("WARNING", "own name"), ("OK", "own name")
    ]  # fmt: skip
    (alert,) = device.alerts(bare)
    assert (alert["level"], alert["name"]) == ("CRITICAL", "Log file contains bad")


def test_a_busy_directory_above_a_log_wakes_nobody(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "busy" / "app" / "app.log"
    log.parent.mkdir(parents=True)
    append(log, "fine\n")
    device.check("app", "bad", log)
    device.start()
    device.caught_up(log, "app")
    assert device.process is not None
    status = Path(f"/proc/{device.process.pid}/status")

    def sleeps() -> int:
        return int(status.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    before = sleeps()
    for number in range(300):
        (tmp_path / "busy" / f"{number}").touch()
        (tmp_path / "busy" / f"{number}").unlink()
        os.sched_yield()
    append(log, "bad\n")
    device.wait_for(1)
    assert sleeps() - before < 60, "the directory above the log's own wakes the daemon"
