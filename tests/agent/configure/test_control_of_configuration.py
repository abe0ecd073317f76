"""`mender-monitorctl` and checks that the server's configuration has made; and the daemon beside it."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from real_device import Device, wait_until

from vedette.agent import checkfiles, control
from vedette.agent.configure import deployment, programs
from vedette.agent.configure.apply import Applier
from vedette.agent.paths import Paths
from vedette.clock import SystemClock

VALUES = {
    "mine": "1",
    "monitor.check.log.scan.LOG_PATTERN": "HIGH",
    "monitor.check.log.scan.LOG_FILE": "/tmp/results-scan",
}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "root")


@pytest.fixture
def run(paths: Paths, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        status = control.main(["--root", str(paths.root), *words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "device-config.json"
    path.write_text(json.dumps(VALUES))
    return path


def test_it_is_shown_first_and_done_then_in_silence(run: Run, paths: Paths, file: Path) -> None:
    assert run("apply-config", str(file), "--dry-run") == (0, "create log_scan\n", "")
    assert not paths.monitor_d.exists()
    assert run("apply-config", str(file)) == (0, "", "")
    assert run("apply-config", "--dry-run", str(file)) == (0, "", "")
    file.write_text(json.dumps(VALUES | {"monitor.check.log.scan.enabled": "false"}))
    assert run("apply-config", str(file), "--dry-run") == (0, "disable log_scan\n", "")
    file.write_text("{}")
    assert run("apply-config", str(file), "--dry-run") == (0, "remove log_scan\n", "")
    assert run("apply-config", str(file)) == (0, "", "")
    assert checkfiles.available(paths) == []
    assert stat.S_IMODE(paths.configuration.stat().st_mode) == 0o700


def test_it_takes_standard_input(run: Run, paths: Paths, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with file.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert run("apply-config", "-") == (0, "", "")
    assert [each.stem for each in checkfiles.enabled(paths)] == ["log_scan"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "the configuration is not JSON"),
        ('{"security.ports.interval": "soon"}', "security.ports.interval: "),
        ('{"monitor.check.log.hand.LOG_PATTERN": "x", "monitor.check.log.hand.LOG_FILE": "/x"}', "made by hand"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["done", "shown"])
def test_what_is_wrong_is_one_sentence(run: Run, file: Path, content: str, said: str, more: tuple[str, ...]) -> None:
    assert run("create", "log", "hand", "x", "/y")[0] == 0
    file.write_text(content)
    status, out, err = run("apply-config", str(file), *more)
    assert (status, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_wrong_usage(run: Run, tmp_path: Path) -> None:
    assert run("apply-config", str(tmp_path / "none"))[::2] == (
        1, f"mender-monitorctl: there is no file {tmp_path}/none\n"
    )  # fmt: skip
    assert run("apply-config")[0] == run("apply-config", "a", "b")[0] == 2


def test_among_the_programs_of_the_agent_it_has_nothing_to_do(
    run: Run, paths: Paths, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(programs.APPLYING, "1")
    assert run("apply-config", str(file)) == (0, "", "")
    assert not paths.monitor_d.exists()


def test_a_check_of_the_server_is_shown_as_such_and_left_to_it(run: Run, paths: Paths, file: Path) -> None:
    run("create", "log", "own", "x", "/x")
    run("apply-config", str(file))

    def sources() -> dict[str, str]:
        lines = [line.split() for line in run("list")[1].splitlines()[1:]]
        return {line[1]: f"{line[2]} {line[3]}" for line in lines}

    assert sources() == {"own": "disabled hand", "scan": "enabled server"}
    before = (paths.available / "log_scan.sh").read_text()
    for words in (["create", "log", "scan", "else", "/x"], ["delete", "log", "scan"]):
        status, out, err = run(*words)
        assert (status, out) == (1, "")
        assert "the check log_scan comes from the server: change it there" in err
    assert (paths.available / "log_scan.sh").read_text() == before
    assert run("disable", "log", "scan") == (0, "", "")
    assert sources() == {"own": "disabled hand", "scan": "disabled server*"}
    assert run("enable", "log", "scan") == (0, "", "")
    (paths.available / "log_scan.sh").write_text("LOG_PATTERN=y\nLOG_FILE=/y\n")
    assert sources() == {"own": "disabled hand", "scan": "enabled server*"}
    own, scan = json.loads(run("list", "--json")[1])
    assert [(each["source"], each["changed"]) for each in (own, scan)] == [("hand", False), ("server", True)]
    assert run("delete", "log", "own") == (0, "", "")


def test_status_tells_how_the_last_deployment_went(run: Run, paths: Paths) -> None:
    assert "configuration" not in run("status")[1]
    made = deployment.Deployment(
        id="1", artifact="c-1", phase=deployment.TELL, values={}, before={}, error="a failed with exit code 3"
    )
    deployment.note(paths, made, deployment.FAILURE, SystemClock().now())
    assert "configuration    c-1: failure: a failed with exit code 3\n" in run("status")[1]
    assert json.loads(run("status", "--json")[1])["deployment"]["status"] == "failure"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_whoever_may_not_look_into_the_state_sees_what_the_files_say(run: Run, paths: Paths, file: Path) -> None:
    run("apply-config", str(file))
    paths.state_dir.chmod(0)
    try:
        assert "server" in run("list")[1]
    finally:
        paths.state_dir.chmod(0o700)


# --- the daemon -------------------------------------------------------------------------------------------------------


def test_the_daemon_goes_on_with_what_is_to_be_applied(device: Device) -> None:
    """Also without a server: somebody pulled the plug in the middle."""
    made = deployment.Deployment(id="1", artifact="c-1", phase=deployment.INSTALL, values=VALUES, before={})
    deployment.save(device.paths, made)
    device.start()
    wait_until(lambda: _phase(device) == deployment.TELL, f"it to be applied\n{device.log()}")
    wait_until(lambda: "watching 1 check" in device.log(), "the daemon to watch it")
    assert [each.stem for each in checkfiles.enabled(device.paths)] == ["log_scan"]
    assert "c-1 is applied" in device.log()


def test_the_daemon_undoes_what_nobody_goes_on_with(device: Device) -> None:
    applier = Applier(device.paths, SystemClock(), with_programs=False)
    assert applier.apply(VALUES).ok
    whole = (device.paths.configuration / "device-config.json").read_bytes()
    journal = {"before": {}, "after": VALUES, "checks": ["log_scan"], "with_programs": False, "tries": 1, "back": ""}
    device.paths.apply_journal.write_text(json.dumps(journal))
    device.start()
    wait_until(lambda: not device.paths.apply_journal.exists(), "the journal to be gone")
    assert checkfiles.available(device.paths) == []
    assert (device.paths.configuration / "device-config.json").read_bytes() != whole


def test_a_daemon_with_nothing_to_apply_starts_nobody(device: Device) -> None:
    program = device.paths.apply_programs / "a"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    device.start()
    assert device.stop() == 0
    assert not device.paths.configuration.exists()


def _phase(device: Device) -> str | None:
    found = deployment.load(device.paths)
    return found and found.phase
