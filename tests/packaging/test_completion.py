"""Bash completion of the control tool, asked of a real bash as readline would ask."""

import shutil
import subprocess
from pathlib import Path

import pytest

from vedette.agent.control import COMMANDS
from vedette.agent.control_subsystems import SUBSYSTEMS

SCRIPT = Path(__file__).parents[2] / "packaging/completion/mender-monitorctl"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not on this machine")


def offered(*words: str, root: Path | None = None, cwd: Path | None = None) -> list[str]:
    """What Tab offers behind `mender-monitorctl WORDS...`, the last of which is half typed."""
    code = (
        'source "$1"; shift; COMP_WORDS=(mender-monitorctl "$@"); COMP_CWORD=$#; _mender_monitorctl;'
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", code, "bash", SCRIPT, *words],
        capture_output=True, text=True, timeout=60, check=True, cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **({"MENDER_MONITOR_ROOT": str(root)} if root else {})},
    )  # fmt: skip
    assert done.stderr == ""
    return sorted(done.stdout.split())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three checks, one of them enabled."""
    monitor_d = tmp_path / "etc/mender-monitor/monitor.d"
    (monitor_d / "available").mkdir(parents=True)
    (monitor_d / "enabled").mkdir()
    for name in ("log_results-scan", "log_pid_change", "service_sshd"):
        (monitor_d / "available" / f"{name}.sh").touch()
    (monitor_d / "enabled/log_pid_change.sh").symlink_to(monitor_d / "available/log_pid_change.sh")
    return tmp_path


def test_commands_and_subsystems_are_those_there_are() -> None:
    assert set(COMMANDS) - {"library"} <= set(offered(""))
    assert set(SUBSYSTEMS) <= set(offered("create", ""))
    assert offered("he") == ["help"]
    assert offered("help", "en") == ["enable"]
    assert offered("status", "--") == ["--json"]


def test_checks_are_offered_where_they_can_be_meant(root: Path) -> None:
    assert offered("enable", "", root=root) == ["log", "service"]
    assert offered("enable", "log", "", root=root) == ["pid_change", "results-scan"]
    assert offered("delete", "log", "r", root=root) == ["results-scan"]
    assert offered("disable", "", root=root) == ["log"]
    assert offered("disable", "log", "", root=root) == ["pid_change"]
    assert offered("disable", "service", "", root=root) == []
    assert offered("disable", "log", "pid_change", "", root=root) == []


def test_root_option_is_obeyed_however_readline_cuts_it(root: Path) -> None:
    assert offered("--root", str(root), "enable", "") == ["log", "service"]
    assert offered("--root", "=", str(root), "enable", "log", "p") == ["pid_change"]


def test_a_check_with_an_odd_name_runs_nothing(root: Path) -> None:
    """Names of files are data; whoever may make one must not run anything at another's Tab."""
    (root / "etc/mender-monitor/monitor.d/available/log_$(touch owned).sh").touch()
    assert offered("enable", "log", "", root=root, cwd=root) == ["pid_change", "results-scan"]
    assert not (root / "owned").exists()
