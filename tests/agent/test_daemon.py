"""The daemon as a device runs it: a real process, real files, and a look into its store."""

import os
import random
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from real_device import DEADLINE_S, Device, wait_until


def append(path: Path, text: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(text if isinstance(text, bytes) else text.encode())


def lines(part: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(each["line_number"], each["data"]) for each in part]


def alive(marker: str) -> list[int]:
    """Processes whose command line holds `marker`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_a_line_in_a_file_raises_and_time_calls_it_off(device: Device, tmp_path: Path) -> None:
    """The mission's first example, with what an alert tells."""
    log = tmp_path / "results-scan"
    log.write_text("one\ntwo CVE-1 HIGH\nthree\n")
    device.check("results-scan", "CVE.*HIGH", log, expires=1)
    device.start()
    raised, called_off = device.wait_for(2)
    assert raised["name"] == called_off["name"] == "Log file contains CVE.*HIGH"
    assert (raised["level"], called_off["level"]) == ("CRITICAL", "OK")
    subject = raised["subject"]
    assert (subject["name"], subject["type"], subject["status"]) == ("log_results-scan", "log", "LOGCONTAINS")
    details = subject["details"]
    assert details["description"] == f"CVE.*HIGH present in {log}"
    assert lines(details["lines_before"]) == [(1, "one")]
    assert lines([details["line_matching"]]) == [(2, "two CVE-1 HIGH")]
    assert lines(details["lines_after"]) == [(3, "three")]
    assert device.stop() == 0


def test_a_line_of_a_command_raises(device: Device, tmp_path: Path) -> None:
    """The mission's second example; the script's `#!` is not on its first line."""
    script = tmp_path / "pid-change"
    script.write_text("\n#!/bin/sh\necho start\necho PID changed\nsleep 600\n")
    script.chmod(0o755)
    device.start()
    device.check("pid-change", "PID changed", f"@{script}", expires=200)
    (raised,) = device.wait_for(1)
    assert lines([raised["subject"]["details"]["line_matching"]]) == [(2, "PID changed")]
    assert device.stop() == 0
    wait_until(lambda: not alive(str(script)), "the command to be gone")


def test_checks_come_change_and_go_without_restart(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "bad\n")
    device.start()
    device.check("app", "bad", log)
    device.wait_for(1)
    device.disable("app")
    _, off = device.wait_for(2)
    assert off["level"] == "OK"
    assert off["subject"]["details"]["description"] == "check disabled"
    append(log, "worse\n")
    device.check("app", "worse", log)
    assert device.wait_for(3)[2]["subject"]["details"]["line_matching"]["line_number"] == 2
    device.delete("app")
    device.wait_for(4)
    device.check("app", "bad", log)  # new: from the start of the file
    assert device.wait_for(5)[4]["subject"]["details"]["line_matching"]["line_number"] == 1


def test_deleted_and_made_again_at_once_it_is_a_new_check(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "bad\n")
    device.check("app", "bad", log)
    device.start()
    device.wait_for(1)
    device.delete("app")
    device.check("app", "bad", log)
    device.wait_for(3)
    assert device.levels() == ["CRITICAL", "OK", "CRITICAL"]


def test_one_critical_however_many_lines_match(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    device.check("app", "bad", log)
    device.check("end", "end", log)
    device.start()
    for number in range(50):
        append(log, f"bad {number}\n")
    append(log, "end\n")
    device.wait_for(1, "end")
    assert device.levels("app") == ["CRITICAL"]


def test_a_bad_check_harms_no_other_and_is_told_in_one_line(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "bad\n")
    device.check("apple", "(", log)
    device.check("bpple", "x", "relative")
    device.check("cpple", "x", log, LOG_ALERT_LEVEL="LOUD")
    device.check("dpple", "bad", log)
    (device.paths.available / "log_epple.sh").write_text("LOG_PATTERN=$(rm -rf /)\n")
    (device.paths.enabled / "log_epple.sh").symlink_to(device.paths.available / "log_epple.sh")
    device.start()
    device.wait_for(1, "dpple")
    for name in ("apple", "bpple", "cpple", "epple"):
        assert device.log().count(f"check log_{name} is skipped") == 1, device.log()
    assert "missing closing parenthesis" in device.log()


def test_a_pattern_that_never_ends_is_told_and_stops_nobody(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "a" * 40 + "b\nbad\n")
    device.check("evil", "(a+)+$", log)
    device.check("good", "bad", log)
    device.start()
    device.wait_for(1, "good")
    wait_until(lambda: "cannot be decided" in device.log(), "the undecided line to be told")
    assert device.levels("evil") == []


def test_derived_checks_speak_their_own_words(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "events"
    append(log, "container die name=web\n")
    device.check(
        "web", "die", log,
        LOG_ALERT_DESCRIPTION="Docker container web die", LOG_ALERT_DETAILS="Due to:%line_matching",
        LOG_ALERT_STATUS="DOCKEREVENTS_CONTAINER_EVENT", LOG_ALERT_TYPE="docker_event", LOG_ALERT_LEVEL="WARNING",
    )  # fmt: skip
    device.start()
    (alert,) = device.wait_for(1)
    assert alert["name"] == "Docker container web die"
    assert alert["level"] == "WARNING"
    assert alert["subject"]["status"] == "DOCKEREVENTS_CONTAINER_EVENT"
    assert alert["subject"]["type"] == "docker_event"
    assert alert["subject"]["details"]["description"] == "Due to:container die name=web"


def test_what_expired_while_nobody_looked_is_called_off_first(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "bad\n")
    device.check("app", "bad", log, expires=1)
    device.start()
    device.wait_for(1)
    device.kill()
    deadline = device.query("SELECT body FROM state")
    assert len(deadline) == 1
    subprocess.run(["sleep", "1.2"], check=True)  # the time itself is what is tested
    append(log, "bad again\n")
    device.start()
    device.wait_for(3)
    assert device.levels()[:3] == ["CRITICAL", "OK", "CRITICAL"]


def test_shutdown_and_start_say_nothing(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "bad\n")
    device.check("app", "bad", log, expires=1000)
    device.check("cmd", "bad", "@echo bad; sleep 600", expires=1000)
    device.start()
    device.wait_for(2)
    assert device.stop() == 0
    device.start()
    device.check("end", "end", log)
    append(log, "bad\nend\n")
    device.wait_for(1, "end")
    assert device.levels("app") + device.levels("cmd") == ["CRITICAL", "CRITICAL"]


def test_lines_written_while_off_are_read_with_their_numbers_and_neighbours(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "one\ntwo\nthr")
    device.check("app", "bad", log)
    device.start()
    device.wait_for(0)
    device.stop()
    append(log, "ee\nbad\n")
    device.start()
    details = device.wait_for(1)[0]["subject"]["details"]
    assert lines(details["lines_before"]) == [(1, "one"), (2, "two"), (3, "three")]
    assert details["line_matching"]["line_number"] == 4


def test_a_file_rotated_while_off_is_read_to_its_end(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "fine\n")
    device.check("old", "in the old", log)
    device.check("mid", "in the middle", log)
    device.check("new", "in the new", log)
    device.start()
    device.stop()
    append(log, "in the old one\n")
    log.rename(tmp_path / "app.log.2")
    append(tmp_path / "app.log.1", "in the middle one, no newline")
    append(log, "in the new one\n")
    device.start()
    device.wait_for(3)
    assert device.levels() == ["CRITICAL"] * 3
    numbers = {
        each["name"][-6:]: each["subject"]["details"]["line_matching"]["line_number"] for each in device.alerts()
    }
    assert sorted(numbers.values()) == [1, 1, 2]


def test_a_second_daemon_is_refused_in_one_sentence(device: Device) -> None:
    device.start()
    second = subprocess.run(
        [sys.executable, "-m", "vedette.agent", "--root", str(device.paths.root)], capture_output=True, text=True
    )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "runs here already" in second.stderr
    assert device.process is not None
    assert str(device.process.pid) in second.stderr
    assert device.paths.pid_file.read_text().strip() == str(device.process.pid)
    assert device.stop() == 0
    assert not device.paths.pid_file.exists()


@pytest.mark.parametrize("arguments", [["--nope"], ["--root"], ["--root", ""], ["extra"]])
def test_wrong_arguments_are_told_in_one_sentence(arguments: list[str]) -> None:
    ended = subprocess.run([sys.executable, "-m", "vedette.agent", *arguments], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


def test_version_and_help() -> None:
    from vedette import __version__

    for option, word in (("--version", __version__), ("--help", "--root DIR")):
        ended = subprocess.run([sys.executable, "-m", "vedette.agent", option], capture_output=True, text=True)
        assert ended.returncode == 0
        assert word in ended.stdout


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(device: Device, tmp_path: Path, abstract: bool) -> None:
    address = f"@vedette-test-{os.getpid()}-{random.random()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("\0" + address[1:] if abstract else address)
        server.settimeout(DEADLINE_S)
        device.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
        device.start()

        def hear(word: str) -> str:
            while word not in (said := server.recv(4096).decode()):
                pass
            return said

        ready = hear("READY=1")
        assert "STATUS=" in ready
        hear("WATCHDOG=1")
        hear("WATCHDOG=1")
        assert device.stop() == 0
        hear("STOPPING=1")


def test_a_command_and_all_it_started_ends_with_its_check(device: Device, tmp_path: Path) -> None:
    marker = f"{600 + random.random():.9f}"
    device.check("cmd", "x", f"@sleep {marker} & trap '' TERM; echo x; sleep {marker}; sleep {marker}")
    device.start()
    device.wait_for(1)
    assert len(alive(f"sleep\0{marker}")) == 2
    device.disable("cmd")
    wait_until(lambda: not alive(marker), "the group to end, though its leader ignores SIGTERM")
    assert device.stop() == 0


def test_what_a_killed_daemon_left_running_is_ended_by_the_next(device: Device) -> None:
    marker = f"{600 + random.random():.9f}"
    device.check("cmd", "x", f"@echo x; sleep {marker}; true")
    device.start()
    device.wait_for(1)
    device.kill()
    (left,) = alive(f"sleep\0{marker}")
    device.start()
    wait_until(lambda: left not in alive(f"sleep\0{marker}"), "the old group to end")
    wait_until(lambda: len(alive(f"sleep\0{marker}")) == 1, "the new one to start")
    assert device.stop() == 0
    wait_until(lambda: not alive(marker), "the last one to end")


def test_a_command_that_ends_is_started_again_without_growth(device: Device, tmp_path: Path) -> None:
    """`tail -f` of a file that is not there yet works once it is."""
    late = tmp_path / "late"
    device.check("late", "hello", f"@echo run >> {tmp_path}/runs; tail -n +1 -f {late}")
    device.start()
    assert device.process is not None
    runs = tmp_path / "runs"
    wait_until(lambda: runs.exists() and len(runs.read_text().split()) >= 2, "a second run")
    descriptors = Path(f"/proc/{device.process.pid}/fd")
    wait_until(lambda: len(runs.read_text().split()) >= 3, "a third run")
    assert len(list(descriptors.iterdir())) < 24
    append(late, "hello\n")
    device.wait_for(1)
    children = Path(f"/proc/{device.process.pid}/task/{device.process.pid}/children").read_text().split()
    assert len(children) == 1
    assert "No such file" in device.log()


def test_a_command_that_closes_its_output_but_lives_costs_nothing(device: Device, tmp_path: Path) -> None:
    device.check("mute", "x", f"@echo x; exec >&-; echo run >> {tmp_path}/runs; exec sleep 600")
    device.start()
    device.wait_for(1)
    assert device.process is not None
    stat = Path(f"/proc/{device.process.pid}/schedstat")
    before = int(stat.read_text().split()[0])
    wait_until(lambda: (tmp_path / "runs").exists())
    wait_until(lambda: "is started again" in device.log(), "the mute command to be ended")
    assert int(stat.read_text().split()[0]) - before < 1_000_000_000  # nanoseconds: no busy loop for five seconds


def test_a_full_disk_loses_and_doubles_nothing(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "fine\n")
    for name in ("one", "two"):
        device.check(name, name, log)
    device.start()
    assert device.process is not None
    full = device.paths.store.with_name("monitor.db-wal").stat().st_size  # the log of the daemon is much shorter
    limits = resource.prlimit(device.process.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
    append(log, "one\n")
    wait_until(lambda: "takes nothing" in device.log(), "the full disk to be told")
    append(log, "two\n")
    resource.prlimit(device.process.pid, resource.RLIMIT_FSIZE, limits)
    device.wait_for(2)
    assert device.stop() == 0
    assert (device.levels("one"), device.levels("two")) == (["CRITICAL"], ["CRITICAL"])


def test_a_match_that_only_restarts_the_clock_is_durable_too(device: Device, tmp_path: Path) -> None:
    """What was handled before a crash is not handled again after it: the clock does not start anew."""
    log = tmp_path / "app.log"
    append(log, "bad\n")
    device.check("app", "bad", log, expires=1000)
    device.start()
    device.wait_for(1)
    state = "SELECT body FROM state"
    before = device.query(state)
    append(log, "bad\n")
    wait_until(lambda: device.query(state) != before, "the clock to be stored")
    device.caught_up(log, "app")
    handled = device.query(state)
    device.kill()
    device.check("end", "end", log)
    append(log, "end\n")
    device.start()
    device.wait_for(1, "end")
    assert device.query(state + " WHERE \"check\" = 'log_app'") == handled
    assert device.levels("app") == ["CRITICAL"]


def test_settings_take_effect_without_restart(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "1\n2\n3\nbad\n4\n5\n")
    device.paths.config_sh.parent.mkdir(parents=True)
    device.paths.config_sh.write_text(
        "DEFAULT_LOG_LINES_BEFORE=2\nDEFAULT_LOG_LINES_AFTER=1\nDEFAULT_LOG_LINE_AFTER=7\n"
    )
    device.check("app", "bad", log)
    device.start()
    details = device.wait_for(1)[0]["subject"]["details"]
    assert lines(details["lines_before"]) == [(2, "2"), (3, "3")]
    assert lines(details["lines_after"]) == [(5, "4")]
    assert "DEFAULT_LOG_LINE_AFTER" in device.log()
    with device.paths.config_sh.open("a") as file:
        file.write("DEFAULT_LOG_ALERT_LEVEL=WARNING\n")
    wait_until(lambda: "settings have changed" in device.log(), "the settings to be read again")
    device.check("later", "bad", log)
    assert device.wait_for(1, "later")[0]["level"] == "WARNING"
    assert device.levels("app") == ["CRITICAL"]


def test_the_uplink_runs_when_it_is_told_where_to_and_rests_while_it_must_wait(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "bad\n")
    device.check("app", "bad", log)
    device.start()
    device.wait_for(1)
    assert "nothing is sent, everything is kept" in device.log()
    with socket.socket() as closed:  # bound, not listening: nobody answers here
        closed.bind(("127.0.0.1", 0))
        device.paths.mender_conf.parent.mkdir(parents=True)
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        device.paths.mender_conf.write_text(f'{{"ServerURL": "{url}", "TenantToken": "x"}}')
        failures = "SELECT value FROM meta WHERE key = 'uplink.failures'"
        wait_until(lambda: device.query(failures) not in ([], [("0",)]), f"a try\n{device.log()}")
        wait_until(lambda: not alive(f"uplink\0--root\0{device.paths.root}"), "the child to rest")
    assert device.levels() == ["CRITICAL"]
    assert device.stop() == 0


def test_it_sleeps_while_nothing_happens(device: Device, tmp_path: Path) -> None:
    """Not one wake-up: the kernel counts how often the daemon went to sleep."""
    for name in ("a", "b"):
        append(tmp_path / name, "fine\n")
        device.check(name, "bad", tmp_path / name, expires=1000)
    device.start()
    assert device.process is not None
    status = Path(f"/proc/{device.process.pid}/status")

    def sleeps() -> str:
        return next(line for line in status.read_text().splitlines() if line.startswith("voluntary"))

    def quiet() -> bool:
        """Others may make files in /tmp meanwhile, and that is news; but not all the time."""
        before = sleeps()
        subprocess.run(["sleep", "2"], check=True)
        return sleeps() == before

    wait_until(quiet, "two seconds without a wake-up")


def test_it_stays_small(device: Device, tmp_path: Path) -> None:
    """Resident memory does not grow with what flows through."""
    log = tmp_path / "app.log"
    device.check("app", "bad", log)
    device.start()
    assert device.process is not None
    append(log, "x" * 99 + "\n")
    append(log, b"a line of a hundred bytes\n" * 1_000_000 + b"x" * 10_000_000 + b"\nbad\n")
    device.wait_for(1)
    peak = Path(f"/proc/{device.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
    assert int(peak) < 25_000


@pytest.mark.parametrize("seed", [1, 11])
def test_kill_9_at_any_moment_loses_and_doubles_nothing(device: Device, tmp_path: Path, seed: int) -> None:
    """Each planted problem has a check of its own: raised exactly once, whatever was killed or rotated meanwhile."""
    log = tmp_path / "app.log"
    chance = random.Random(seed)
    rounds, planted = 6, 0

    def write() -> None:
        nonlocal planted
        with log.open("a") as file:
            for _ in range(3):
                file.write("noise\n" * chance.randrange(1, 3000) + f"problem <{planted}>\n")
                file.flush()
                planted += 1
        if chance.random() < 0.5:
            for older in range(20, 0, -1):
                if (tmp_path / f"app.log.{older}").exists():
                    (tmp_path / f"app.log.{older}").rename(tmp_path / f"app.log.{older + 1}")
            log.rename(tmp_path / "app.log.1")

    for number in range(rounds * 9):
        device.check(f"p{number}", f"problem <{number}>", log)
    device.check("first", "first", log)
    append(log, "first\n")
    device.start()
    device.wait_for(1)  # the file is known; from here on all must be seen
    device.kill()
    for _ in range(rounds):
        write()
        device.start()
        write()
        subprocess.run(["sleep", f"{chance.uniform(0, 0.2):.3f}"], check=True)  # a random moment is what is wanted
        write()
        if chance.random() < 0.8:
            device.kill()
        else:
            assert device.stop() == 0
    device.start()
    alerts = device.wait_for(planted + 1)
    assert device.stop() == 0
    names = [f"Log file contains problem <{number}>" for number in range(planted)]
    assert sorted(each["name"] for each in alerts) == sorted(["Log file contains first", *names])
    assert [each["origin"]["sequence"] for each in device.alerts()] == list(range(1, planted + 2))
