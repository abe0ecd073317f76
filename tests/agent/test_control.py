"""mender-monitorctl as people and scripts type it."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette import __version__
from vedette.agent import checkfiles, control
from vedette.agent.checkfiles import CheckFile
from vedette.agent.paths import ROOT_VARIABLE, Paths
from vedette.agent.states import Deadline, State
from vedette.agent.store import Store
from vedette.agent.storebounds import Limits
from vedette.clock import FakeClock
from vedette.model import Alert, Level, Subject

PROGRAM = str(Path(sys.executable).parent / "mender-monitorctl")

MISSION = """\
mender-monitorctl create log results-scan "CVE.*HIGH" "/tmp/results-scan" 2d
mender-monitorctl enable log results-scan
mender-monitorctl create log pid-change "PID changed" "@/usr/local/bin/pid-change" 2d
mender-monitorctl enable log pid-change
"""


class Control:
    """Calls the control tool in this process, on a device of its own below `root`."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.paths = Paths(root)
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        status = control.main(["--root", str(self.root), *arguments])
        out, err = self._capsys.readouterr()
        return status, out, err

    def silently(self, *arguments: str) -> None:
        assert self(*arguments) == (0, "", "")

    def refused(self, *arguments: str, status: int = 1) -> str:
        """One clear line on standard error, nothing else; returns it."""
        got, out, err = self(*arguments)
        assert (got, out) == (status, "")
        assert err.startswith("mender-monitorctl: ")
        assert err.endswith("\n")
        assert err.count("\n") == 1
        return err

    def values(self, stem: str) -> dict[str, str]:
        (check,) = (each for each in checkfiles.available(self.paths) if each.stem == stem)
        assert isinstance(check, CheckFile)
        return dict(check.values)


@pytest.fixture
def ctl(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Control:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    return Control(tmp_path / "device", capsys)


# -- as typed --------------------------------------------------------------------------------------------------------


def test_the_lines_of_the_mission_work_word_for_word(tmp_path: Path) -> None:
    """Typed into a real shell, with the real program; the fifth line, a restart, is the service manager's."""
    environment = {"PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}", ROOT_VARIABLE: str(tmp_path)}
    done = subprocess.run(["sh", "-e"], input=MISSION, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    monitor_d = tmp_path / "etc/mender-monitor/monitor.d"
    assert (monitor_d / "available/log_results-scan.sh").read_text() == (
        f"{checkfiles.HEADER}"
        'SERVICE_NAME="results-scan"\nLOG_PATTERN="CVE.*HIGH"\nLOG_FILE="/tmp/results-scan"\n'
        "LOG_PATTERN_EXPIRATION=172800\n"
    )
    assert (monitor_d / "available/log_pid-change.sh").read_text() == (
        f"{checkfiles.HEADER}"
        'SERVICE_NAME="pid-change"\nLOG_PATTERN="PID changed"\nLOG_FILE="@/usr/local/bin/pid-change"\n'
        "LOG_PATTERN_EXPIRATION=172800\n"
    )
    for name in ("log_results-scan.sh", "log_pid-change.sh"):
        assert (monitor_d / "enabled" / name).readlink() == monitor_d / "available" / name


ARGUMENT = st.lists(st.one_of(st.sampled_from(list(b"\"'$`\\\n !%s-")), st.integers(1, 255)), max_size=20).map(bytes)


@settings(max_examples=15, deadline=None)  # each starts two processes
@given(command=ARGUMENT)
def test_any_argument_arrives_byte_for_byte(tmp_path_factory: pytest.TempPathFactory, command: bytes) -> None:
    """Through the real program, into the file, and out again by us and by a shell that sources it."""
    root = tmp_path_factory.getbasetemp() / "byte-for-byte"
    given_file = b"@x" + command
    arguments = [PROGRAM, "--root", str(root), "create", "log", "x", "pattern", given_file]
    done = subprocess.run(arguments, capture_output=True, timeout=120, env={"LC_ALL": "C"})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (check,) = checkfiles.available(Paths(root))
    assert isinstance(check, CheckFile)
    assert check.values["LOG_FILE"].encode("utf-8", "surrogateescape") == given_file
    if bash := shutil.which("bash"):
        script = f'. {check.path}; printf %s "$LOG_FILE"'
        assert subprocess.run([bash, "-c", script], capture_output=True, check=True, timeout=60).stdout == given_file


def test_bytes_are_kept_in_a_terminal_that_is_not_utf8(ctl: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """There Python hands us the two bytes of an é as two characters; the file must hold the bytes."""
    monkeypatch.setattr(os, "fsencode", lambda argument: argument.encode("iso-8859-1"))
    ctl.silently("create", "log", "x", "\xc3\xa9", "/tmp/x")
    assert ctl.values("log_x")["LOG_PATTERN"] == "é"


def test_a_pattern_may_look_like_an_option(ctl: Control) -> None:
    ctl.silently("create", "log", "x", "--root", "/tmp/x", "1d12h")
    assert ctl.values("log_x") == {
        "SERVICE_NAME": "x", "LOG_PATTERN": "--root", "LOG_FILE": "/tmp/x", "LOG_PATTERN_EXPIRATION": "129600"
    }  # fmt: skip


def test_without_an_expiration_none_is_written(ctl: Control) -> None:
    ctl.silently("create", "log", "x", "a", "/tmp/not-yet-there")
    assert "LOG_PATTERN_EXPIRATION" not in ctl.values("log_x")


def test_creating_again_overwrites_and_leaves_the_check_enabled(ctl: Control) -> None:
    """Scripts that set a device up run more than once."""
    for pattern in ("a", "b"):
        ctl.silently("create", "log", "x", pattern, "/tmp/x")
        ctl.silently("enable", "log", "x")
    (check,) = checkfiles.enabled(ctl.paths)
    assert isinstance(check, CheckFile)
    assert check.values["LOG_PATTERN"] == "b"


def test_deleting_an_enabled_check_tolerates_the_arguments_of_create(ctl: Control) -> None:
    ctl.silently("create", "log", "x", "a", "/tmp/x")
    ctl.silently("enable", "log", "x")
    ctl.silently("delete", "log", "x", "a", "/tmp/x", "2d")
    assert checkfiles.available(ctl.paths) == checkfiles.enabled(ctl.paths) == []


def test_checks_of_a_subsystem_we_do_not_have_can_be_switched_off_and_removed(ctl: Control) -> None:
    """Left by another monitor on the same device."""
    checkfiles.create(ctl.paths, "weather", "rain", [("WHERE", "here")])
    checkfiles.enable(ctl.paths, "weather", "rain")
    assert "no subsystem 'weather'" in ctl.refused("enable", "weather", "rain")
    ctl.silently("disable", "weather", "rain")
    ctl.silently("delete", "weather", "rain")


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "log", "x", "(", "/tmp/x"], "not a valid pattern: missing closing parenthesis"),
        (["create", "log", "x", "", "/tmp/x"], "empty"),
        (["create", "log", "x", "a", "results"], "no absolute path"),
        (["create", "log", "x", "a", ""], "no absolute path"),
        (["create", "log", "x", "a", "/"], "directory"),
        (["create", "log", "x", "a", "@ "], "no command"),
        (["create", "log", "x", "a", "/tmp/x", "2 days"], "no duration"),
        (["create", "log", "x", "a", "/tmp/x", ""], "no duration"),
        (["create", "log", "../x", "a", "/tmp/x"], "'../x' is no name of a check"),
        (["create", "log", "x\ny", "a", "/tmp/x"], "no name of a check"),
        (["create", "service", "cron", "upstart"], "SERVICE_TYPE 'upstart' is neither systemd nor sysV"),
        (["create", "dbus", "x", "name", "", ""], "both missing"),
        (["create", "dbus", "x", "name", "(", ""], "not a valid pattern"),
        (["create", "dbus", "x", "name", "", "type='error'"], "only signals are watched"),
        (["create", "weather", "x", "c", "die"], "there is no subsystem 'weather', only log"),
        (["enable", "log", "x"], "there is no check 'x'"),
        (["disable", "log", "x"], "there is no check 'x'"),
        (["delete", "log", "x"], "there is no check 'x'"),
    ],
)
def test_what_is_refused_is_said_in_one_line_and_nothing_is_written(
    ctl: Control, arguments: list[str], said: str
) -> None:
    assert said in ctl.refused(*arguments)
    assert not ctl.root.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "help"),
        (["frobnicate"], "no command 'frobnicate', only create, enable"),
        (["test"], "usage: mender-monitorctl test CHECK|PATTERN"),
        (["--frobnicate"], "no option"),
        (["--root"], "needs a directory"),
        (["--root="], "needs a directory"),
        (["create"], "usage: mender-monitorctl create log"),
        (["create", "log"], "usage: mender-monitorctl create log"),
        (["create", "log", "x", "a"], "usage: mender-monitorctl create log"),
        (["create", "log", "x", "a", "/tmp/x", "2d", "more"], "usage: mender-monitorctl create log"),
        (["enable", "log"], "usage: mender-monitorctl enable SUBSYSTEM CHECK"),
        (["enable", "log", "x", "y"], "usage: mender-monitorctl enable SUBSYSTEM CHECK"),
        (["disable"], "usage: mender-monitorctl disable SUBSYSTEM CHECK"),
        (["delete", "log"], "usage: mender-monitorctl delete SUBSYSTEM CHECK"),
        (["list", "all"], "usage: mender-monitorctl list [--json]"),
        (["status", "--yaml"], "usage: mender-monitorctl status [--json]"),
        (["help", "frobnicate"], "no command 'frobnicate'"),
    ],
)
def test_wrong_usage_has_its_own_exit_status(ctl: Control, arguments: list[str], said: str) -> None:
    assert said in ctl.refused(*arguments, status=2)
    assert not ctl.root.exists()


def test_a_check_broken_by_hand_is_refused_when_it_is_switched_on(ctl: Control) -> None:
    """Better now, to the one who typed it, than later in a log."""
    ctl.silently("create", "log", "x", "a", "/tmp/x")
    path = ctl.paths.available / "log_x.sh"
    path.write_text('LOG_FILE="/tmp/x"\nLOG_PATTERN="$(cat /etc/pattern)"\n')
    assert "log_x.sh, line 2 " in ctl.refused("enable", "log", "x")
    path.write_text('LOG_FILE="/tmp/x"\nLOG_PATTERN="("\n')
    assert "not a valid pattern" in ctl.refused("enable", "log", "x")
    assert checkfiles.enabled(ctl.paths) == []


def test_whoever_may_not_write_is_told_who_may(ctl: Control) -> None:
    ctl.silently("create", "log", "x", "a", "/tmp/x")
    ctl.paths.available.chmod(0o500)
    if os.access(ctl.paths.available, os.W_OK):
        pytest.skip("this user may write everywhere")
    assert "run this as root" in ctl.refused("create", "log", "y", "a", "/tmp/x")


def test_a_file_where_a_directory_should_be(ctl: Control) -> None:
    ctl.root.mkdir()
    (ctl.root / "etc").touch()
    assert str(ctl.root / "etc") in ctl.refused("create", "log", "x", "a", "/tmp/x")


# -- what it shows ---------------------------------------------------------------------------------------------------


def test_list(ctl: Control) -> None:
    assert "no checks yet" in ctl("list")[1]
    ctl.silently("create", "log", "results-scan", r"CVE\d+.*HIGH", "/tmp/results-scan", "2d")
    ctl.silently("enable", "log", "results-scan")
    ctl.silently("create", "log", "b", "two\nlines \x1b.2J", "@journalctl -f")
    (ctl.paths.available / "log_c.sh").write_text("LOG_PATTERN=`x`\n")
    (ctl.paths.available / "log_d.sh").write_text("LOG_PATTERN='('\nLOG_FILE=/x\n")
    status, out, err = ctl("list")
    assert (status, err) == (0, "")
    assert [line.split(maxsplit=4) for line in out.splitlines()] == [
        ["SUBSYSTEM", "CHECK", "STATE", "SOURCE", "WATCHES"],
        ["log", "b", "disabled", "hand", '"two\\nlines \\x1b.2J" in @journalctl -f'],
        ["log", "c", "unusable", "hand", "log_c.sh, line 1 runs a command in backquotes; write a backslash before each,"
                                 " if they are meant"],
        ["log", "d", "unusable", "hand", "not a valid pattern: missing closing parenthesis (at character 1)"],
        ["log", "results-scan", "enabled", "hand", r'"CVE\d+.*HIGH" in /tmp/results-scan, called off after 2d'],
    ]  # fmt: skip


def test_list_for_programs(ctl: Control) -> None:
    assert json.loads(ctl("list", "--json")[1]) == []
    ctl.silently("create", "log", "x", "é\udcff", "/tmp/x")  # as an argument with a byte that is no UTF-8 arrives
    ctl.paths.enabled.mkdir()
    (ctl.paths.enabled / "log_y.sh").symlink_to("/nonexistent")
    x, y = json.loads(ctl("list", "--json")[1])
    assert x == {
        "subsystem": "log",
        "check": "x",
        "enabled": False,
        "file": str(ctl.paths.available / "log_x.sh"),
        "problem": None,
        "values": {"SERVICE_NAME": "x", "LOG_PATTERN": "é\ufffd", "LOG_FILE": "/tmp/x"},
        "source": "hand",
        "changed": False,
    }
    assert (y["check"], y["enabled"]) == ("y", True)
    assert "/nonexistent" in y["problem"]


def test_status_before_anything_happened_makes_nothing(ctl: Control) -> None:
    assert json.loads(ctl("status", "--json")[1]) == {
        "daemon": {"running": False, "pid": None}, "owed": 0, "quarantined": 0, "dropped": 0, "raised": [],
        "deployment": None,
    }  # fmt: skip
    assert "not running" in ctl("status")[1]
    assert not ctl.root.exists()


def test_status_tells_what_the_store_holds(ctl: Control) -> None:
    clock = FakeClock()
    subject = Subject(name="log_a", type="log", status="LOGCONTAINS")
    store = Store.open(ctl.paths.store, limits=Limits(count=3), clock=clock)
    for number in range(5):
        alert = Alert(name=f"alert {number}", level=Level.CRITICAL, at=clock.now(), subject=subject)
        with store.commit() as tx:
            last = tx.add_alert(alert, uuid.uuid4(), 1.0)
    store.quarantine(last, "refused")
    deadline = Deadline(boot="b", elapsed_s=1.0, wall=clock.now() + timedelta(days=2))
    with store.commit() as tx:
        tx.save_state("log_a", State(raised=True, alert_name="Log file contains x", subject=subject, deadline=deadline))
        tx.save_state("log_b", State(raised=True, alert_name="Log file contains y", subject=subject))
    try:
        found = json.loads(ctl("status", "--json")[1])  # while the daemon has it open
    finally:
        store.close()
    assert found == {
        "daemon": {"running": False, "pid": None},
        "owed": 2,
        "quarantined": 1,
        "dropped": 2,
        "raised": [
            {"check": "log_a", "alert": "Log file contains x", "called_off": "2026-01-03T00:00:00+00:00"},
            {"check": "log_b", "alert": "Log file contains y", "called_off": None},
        ],
        "deployment": None,
    }
    text = ctl("status")[1]
    assert "alerts to send   2\n" in text
    assert "checks raised    2\n" in text
    assert "log_a: Log file contains x (called off at 2026-01-03T00:00:00+00:00" in text


def test_status_of_a_damaged_store_is_said_and_leaves_it_alone(ctl: Control) -> None:
    ctl.paths.state_dir.mkdir(parents=True)
    ctl.paths.store.write_bytes(b"not a database at all" * 100)
    assert "cannot be read" in ctl.refused("status")
    assert [each.name for each in ctl.paths.state_dir.iterdir()] == ["monitor.db"]


def test_a_pid_file_left_behind_is_no_running_daemon(ctl: Control) -> None:
    ctl.paths.pid_file.parent.mkdir(parents=True)
    ctl.paths.pid_file.write_text(f"{os.getpid()}\n")
    assert json.loads(ctl("status", "--json")[1])["daemon"] == {"running": False, "pid": None}
    with ctl.paths.pid_file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert json.loads(ctl("status", "--json")[1])["daemon"] == {"running": True, "pid": os.getpid()}


@pytest.mark.parametrize("arguments", [["help"], ["--help"], ["-h"]])
def test_help_names_every_command(ctl: Control, arguments: list[str]) -> None:
    status, out, err = ctl(*arguments)
    assert (status, err) == (0, "")
    for command in control.COMMANDS:
        assert f"\n  {command}" in out


@pytest.mark.parametrize("command", control.COMMANDS)
def test_help_of_one_command(ctl: Control, command: str) -> None:
    for arguments in (["help", command], [command, "--help"]):
        status, out, _err = ctl(*arguments)
        assert status == 0
        assert out.startswith(f"mender-monitorctl {command}")


def test_version(ctl: Control) -> None:
    for word in ("version", "--version"):
        assert ctl(word) == (0, f"mender-monitorctl (Vedette) {__version__}\n", "")


def test_a_reader_that_has_read_enough_is_no_error(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as gone:
        done = subprocess.run([PROGRAM, "--root", str(tmp_path), "help"], stdout=gone, stderr=-1, timeout=120)
    assert done.stderr == b""


def test_settings_move_the_checks(ctl: Control) -> None:
    ctl.paths.config_sh.parent.mkdir(parents=True)
    ctl.paths.config_sh.write_text("MONITOR_D_DIRECTORY=/data/checks\n")
    ctl.silently("create", "log", "x", "a", "/tmp/x")
    assert (ctl.root / "data/checks/available/log_x.sh").is_file()
