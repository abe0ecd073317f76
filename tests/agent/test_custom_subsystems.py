"""Programs of the user's own, run by a real daemon, with the real shell library."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_device import Device, wait_until

from vedette.agent import checkfiles
from vedette.agent.paths import ROOT_VARIABLE, Paths

LIBRARY = Path(__file__).parents[2] / "packaging" / "lib"
CONTROL = Path(sys.executable).with_name("mender-monitorctl")
SHELLS = [shell for shell in ("sh", "bash", "dash", "busybox") if shutil.which(shell)]

# The example of the compatible system's documentation, in our words: a check of a kind that is not built in.
TEMPERATURE = """\
#!/bin/sh
. common/common.sh
. lib/monitor-lib.sh
. lib/alert-lib.sh
. lib/subsystem-storage-lib.sh

name=$(basename "$env" .sh)
now=$(cat "$TEMPERATURE_FILE")
before=$(subsystem_get "$SUBSYSTEM_NAME" "LAST_$name")
if [ "$now" -gt "$TEMPERATURE_LIMIT" ]; then
    [ "$before" = CRITICAL ] && exit 0
    monitor_send_alert CRITICAL "Too hot" "$now degrees" "$name" HOT temperature
    subsystem_set "$SUBSYSTEM_NAME" "LAST_$name" CRITICAL
elif [ "$before" = CRITICAL ]; then
    monitor_send_alert OK "Too hot" "$now degrees" "$name" HOT temperature
    subsystem_set "$SUBSYSTEM_NAME" "LAST_$name" OK
fi
"""


class Custom:
    """A device with the library installed."""

    def __init__(self, device: Device) -> None:
        self.device, self.paths = device, device.paths
        shutil.copytree(LIBRARY, self.paths.share)
        self.paths.available.mkdir(parents=True)

    def program(self, subsystem: str, text: str) -> Path:
        path = self.paths.monitor_d / f"{subsystem}.sh"
        path.write_text(text)
        path.chmod(0o755)
        return path

    def check(self, subsystem: str, name: str, **values: str) -> None:
        checkfiles.create(self.paths, subsystem, name, [("CHECK_INTERVAL", "1"), *values.items()])
        checkfiles.enable(self.paths, subsystem, name)

    def subjects(self) -> list[tuple[str, str, str]]:
        return [(each["subject"]["type"], each["subject"]["name"], each["level"]) for each in self.device.alerts()]


@pytest.fixture
def custom(device: Device) -> Custom:
    return Custom(device)


def test_a_program_raises_calls_off_and_remembers(custom: Custom, tmp_path: Path) -> None:
    thermometer = tmp_path / "thermometer"
    thermometer.write_text("90")
    custom.program("temperature", TEMPERATURE)
    custom.check("temperature", "cpu", TEMPERATURE_FILE=str(thermometer), TEMPERATURE_LIMIT="80")
    custom.device.start()
    (alert,) = custom.device.wait_for(1)
    assert alert["name"] == "Too hot"
    assert alert["subject"] == {
        "name": "temperature_cpu",
        "type": "temperature",
        "status": "HOT",
        "details": {"description": "90 degrees"},
    }
    assert alert["origin"]["sequence"] == 1
    thermometer.write_text("20")
    assert [each["level"] for each in custom.device.wait_for(2)] == ["CRITICAL", "OK"]


@pytest.mark.parametrize("end", ["disable", "delete"])
def test_what_a_program_has_raised_is_called_off_with_its_check(custom: Custom, end: str) -> None:
    """It may have raised several things, and other checks of the same program keep theirs."""
    custom.program(
        "two",
        '#!/bin/sh\n. lib/monitor-lib.sh\n[ -e "$MARK" ] && exit\n: >"$MARK"\n'
        'for what in left right; do monitor_send_alert CRITICAL Broken "" "$NAME $what" broken part; done\n',
    )
    for name in ("a", "b"):
        custom.check("two", name, NAME=name, MARK=str(custom.device.directory / f"mark-{name}"))
    custom.device.start()
    custom.device.wait_for(4)
    if end == "disable":
        checkfiles.disable(custom.paths, "two", "a")
    else:
        checkfiles.delete(custom.paths, "two", "a")
    custom.device.wait_for(6)
    assert sorted(custom.subjects()[4:]) == [("part", "a left", "OK"), ("part", "a right", "OK")]
    assert custom.device.alerts()[-1]["name"] == "Broken"
    assert custom.device.alerts()[-1]["subject"]["details"]["description"] == "check disabled"
    assert custom.device.stop() == 0
    assert len(custom.subjects()) == 6


def test_a_check_that_is_switched_on_again_raises_again(custom: Custom, tmp_path: Path) -> None:
    """Its program remembers that it has raised; what was called off with the check it must not remember."""
    thermometer = tmp_path / "thermometer"
    thermometer.write_text("90")
    custom.program("temperature", TEMPERATURE)
    custom.check("temperature", "cpu", TEMPERATURE_FILE=str(thermometer), TEMPERATURE_LIMIT="80")
    custom.device.start()
    custom.device.wait_for(1)
    remembered = "SELECT count(*) FROM meta WHERE key GLOB 'subsystem *'"
    wait_until(lambda: custom.device.query(remembered) == [(1,)], "it to be remembered")
    checkfiles.disable(custom.paths, "temperature", "cpu")
    custom.device.wait_for(2)
    checkfiles.enable(custom.paths, "temperature", "cpu")
    assert [each["level"] for each in custom.device.wait_for(3)] == ["CRITICAL", "OK", "CRITICAL"]


def test_each_check_sees_its_own_variables_and_the_world_of_the_specification(custom: Custom, tmp_path: Path) -> None:
    """Nothing leaks from one check to the next, whatever the order; nor do the daemon's own affairs."""
    custom.device.environment = {"NOTIFY_SOCKET": "", "ORDINARY": "kept"}
    custom.program(
        "look",
        '#!/bin/sh\n{ echo "one=${ONE-none} two=${TWO-none}"; echo "$env"; echo "$SUBSYSTEM_NAME"; pwd;'
        ' echo "$ORDINARY"; echo "${NOTIFY_SOCKET-none}"; } >"$OUT.new" && mv "$OUT.new" "$OUT"\n',
    )
    custom.check("look", "1", ONE="1", OUT=str(tmp_path / "out1"))
    custom.check("look", "2", TWO='$(reboot) "`', OUT=str(tmp_path / "out2"))
    custom.check("look", "3", ONE="3", OUT=str(tmp_path / "out3"))
    custom.device.start()
    seen = []
    for number in "123":
        out = tmp_path / f"out{number}"
        wait_until(out.exists, f"check {number} to run")
        values, file, *rest = out.read_text().splitlines()
        seen.append(values)
        assert file == str(custom.paths.enabled / f"look_{number}.sh")
        assert rest == ["look", str(custom.paths.share), "kept", "none"]
    assert seen == ["one=1 two=none", 'one=none two=$(reboot) "`', "one=3 two=none"]


def test_one_that_hangs_delays_nobody_and_never_runs_twice(custom: Custom, tmp_path: Path) -> None:
    """It ignores SIGTERM, and its child holds the output open; both are gone in the end."""
    runs, log = tmp_path / "runs", tmp_path / "app.log"
    custom.program("hang", f'#!/bin/sh\ntrap "" TERM\necho start >>{runs}\nsleep 1000 &\nwhile :; do sleep 1; done\n')
    custom.program("quick", f"#!/bin/sh\necho x >>{tmp_path / 'quick'}\n")
    custom.check("hang", "1", CHECK_TIME_LIMIT="3")
    custom.check("quick", "1")
    custom.device.check("app", "bad", log)
    custom.device.start()
    wait_until(runs.exists, "the program to start")
    log.write_text("bad\n")
    custom.device.wait_for(1, "app")
    wait_until(lambda: len((tmp_path / "quick").read_text()) >= 4, "the other program to run twice")
    assert runs.read_text() == "start\n"
    wait_until(lambda: runs.read_text() == "start\nstart\n", "it to be ended, and run again")
    assert "took longer than 3 s for hang_1 and was ended" in custom.device.log()
    assert custom.device.stop() == 0


def test_what_is_wrong_with_a_program_is_said(custom: Custom) -> None:
    custom.program("plain", "#!/bin/sh\n").chmod(0o644)
    custom.program("fails", "#!/bin/sh\n. common/common.sh\nlog_error it is broken\nexit 3\n")
    custom.check("plain", "1")
    custom.check("missing", "1")
    custom.check("fails", "1")
    custom.device.start()
    wait_until(lambda: "failed with exit code 3 for fails_1" in custom.device.log(), "the failure to be told")
    log = custom.device.log()
    assert "the check plain_1 is skipped:" in log
    assert "chmod +x" in log
    assert "there is no subsystem 'missing'" in log
    assert "ERROR fails_1: it is broken" in log


# -- the library without a daemon ------------------------------------------------------------------------------------


class Shell:
    """Runs lines of shell in the share directory, as a user's script does."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        shutil.copytree(LIBRARY, paths.share)

    def __call__(self, text: str, *arguments: bytes, shell: str = "sh", **environment: str) -> str:
        done = self.run(text, *arguments, shell=shell, **environment)
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout.decode("utf-8", "surrogateescape")

    def run(
        self, text: str, *arguments: bytes, shell: str = "sh", **environment: str
    ) -> "subprocess.CompletedProcess[bytes]":
        """The root is found out by the library: it lies below it."""
        path = {"PATH": f"{CONTROL.parent}:{os.environ['PATH']}", "LC_ALL": "C"}
        argv = [shell, *(["sh"] if shell == "busybox" else []), "-euc", text, "script", *arguments]
        return subprocess.run(argv, cwd=self.paths.share, env=path | environment, capture_output=True, timeout=60)


@pytest.fixture
def shell(device: Device, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    return Shell(device.paths)


@pytest.mark.parametrize("kind", SHELLS)
def test_every_part_of_the_library_works_alone_in_every_shell(shell: Shell, device: Device, kind: str) -> None:
    shell(". lib/monitor-lib.sh; monitor_send_alert OK name details subject status type", shell=kind)
    shell(". lib/alert-lib.sh; monitor_send_alert critical name details subject status type", shell=kind)
    assert shell(". lib/fixlenstore-lib.sh; fixlenstore_count; keys_nolock | wc -l", shell=kind).split() == ["2", "2"]
    storage = ". lib/subsystem-storage-lib.sh; "
    assert shell(f'{storage}subsystem_set s k "a b"; subsystem_get s k; subsystem_get s other', shell=kind) == "a b\n"
    done = shell.run(". common/common.sh; log_info a b; log_debug c; log_fatal d", shell=kind)
    assert done.stderr == b"INFO a b\nFATAL d\n"
    done = shell.run(". common/common.sh; log_info a; log_error b", shell=kind, CONFIG_LOG_LEVEL="ERROR")
    assert done.stderr == b"ERROR b\n"
    assert device.levels() == ["OK", "CRITICAL"]


def test_the_log_level_of_the_settings_counts_for_scripts(shell: Shell) -> None:
    config = shell.paths.config_sh
    config.parent.mkdir(parents=True)
    config.write_text('CONFIG_LOG_LEVEL=ERROR\nCONFIG_LOG_LEVEL="DEBUG"\n')
    assert shell.run(". common/common.sh; log_debug a; log_trace b").stderr == b"DEBUG a\n"


def test_an_alert_of_a_script_is_numbered_redacted_and_sent_like_any_other(shell: Shell, device: Device) -> None:
    shell(
        ". lib/monitor-lib.sh; monitor_send_alert CRITICAL Name '' Subject status type "
        "'b.d' /var/log/app \"one\ntwo\" 'bad password=hunter2' three"
    )
    (alert,) = device.alerts()
    assert alert["name"] == "Name"
    assert alert["origin"]["sequence"] == 1
    assert alert["subject"]["details"] == {
        "description": "b.d present in /var/log/app",
        "lines_before": [{"line_number": 1, "data": "one"}, {"line_number": 2, "data": "two"}],
        "line_matching": {"line_number": 3, "data": "bad password=[redacted]"},
        "lines_after": [{"line_number": 4, "data": "three"}],
    }


def test_empty_words_are_made_up_and_lose_no_alert(shell: Shell, device: Device) -> None:
    shell(". lib/alert-lib.sh; monitor_send_alert CRITICAL '' '' '' '' ''")
    (alert,) = device.alerts()
    assert alert["name"] == "Alert of custom"
    assert alert["subject"] == {"name": "custom", "type": "custom", "status": "CRITICAL", "details": {}}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("monitor_send_alert LOUD name d s s t", "one of OK, CRITICAL"),
        ("monitor_send_alert OK", "monitor_send_alert LEVEL NAME"),
        ("subsystem_get s", "subsystem_get SUBSYSTEM KEY"),
        ("subsystem_set s k", "subsystem_set SUBSYSTEM KEY VALUE"),
        ("fixlenstore_put", "fixlenstore_put RECORD"),
    ],
)
def test_a_wrong_call_fails_with_one_line(shell: Shell, device: Device, call: str, said: str) -> None:
    done = shell.run(f". lib/monitor-lib.sh; . lib/subsystem-storage-lib.sh; . lib/fixlenstore-lib.sh; {call}")
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert said in done.stderr.decode()
    assert device.alerts() == []


BYTES = st.lists(st.one_of(st.sampled_from(list(b"\"'$`\\\n !%s-")), st.integers(1, 255)), max_size=20).map(bytes)


@settings(max_examples=10, deadline=None)  # each starts several processes
@given(subsystem=BYTES, key=BYTES, value=BYTES)
def test_what_is_stored_comes_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, subsystem: bytes, key: bytes, value: bytes
) -> None:
    root = tmp_path_factory.mktemp("bytes") / "root"
    shell = Shell(Paths(root))
    out = shell('. lib/subsystem-storage-lib.sh; subsystem_set "$@"; subsystem_get "$1" "$2"', subsystem, key, value)
    assert out.encode("utf-8", "surrogateescape") == value + b"\n"


def test_a_value_longer_than_a_command_line_arrives(shell: Shell, device: Device) -> None:
    shell('. lib/alert-lib.sh; monitor_send_alert CRITICAL n "$(head -c 300000 /dev/zero | tr "\\0" x)" s s t')
    assert len(device.alerts()[0]["subject"]["details"]["description"]) == 300_000


def test_records_are_counted_listed_and_never_stop_the_uplink(shell: Shell, device: Device) -> None:
    """An alert as JSON becomes one; anything else is kept for the server to refuse."""
    record = json.dumps({
        "name": "n", "level": "CRITICAL", "timestamp": "2026-01-01T00:00:00Z",
        "subject": {"name": "s", "type": "t", "status": "x", "details": {"description": "token=abc123"}},
    })  # fmt: skip
    library = ". lib/fixlenstore-lib.sh; "
    shell(f'{library}fixlenstore_put "$1"; fixlenstore_put "invalid json password=hunter2"', record.encode())
    assert shell(f"{library}fixlenstore_count; keys_nolock") == "2\n1\n2\n"
    first, second = [json.loads(body) for (body,) in device.query("SELECT body FROM alert ORDER BY sequence")]
    assert first["subject"]["details"] == {"description": "token=[redacted]"}
    assert second == "invalid json password=[redacted]"


def test_records_that_are_too_old_are_counted_no_more(shell: Shell, device: Device) -> None:
    shell(". lib/fixlenstore-lib.sh; for i in 1 2 3; do fixlenstore_put key$i; done")
    device.paths.config_sh.parent.mkdir(parents=True)
    device.paths.config_sh.write_text("ALERT_STORE_MAX_RECORD_AGE_S=1\n")
    library = ". lib/fixlenstore-lib.sh; "
    wait_until(lambda: shell.run(f"{library}keys_nolock").stdout == b"", "the records to be too old")
    assert shell(f"{library}fixlenstore_count") == "0\n"
    assert device.query("SELECT sum(last - first + 1) FROM gap") == [(3,)]
