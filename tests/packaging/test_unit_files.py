"""What is installed on a real machine: the systemd units, and the command that installs them."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from vedette.agent.paths import Paths
from vedette.agent.settings import Settings, read

PACKAGING = Path(__file__).parents[2] / "packaging"
UNITS = sorted((PACKAGING / "systemd").glob("*.service"))

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine, so units are not checked"
)


@needs_analyze
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    """Every line of it, without a warning. The program is replaced by one that is on any machine."""
    text, count = re.subn(r"(?m)^ExecStart=/usr/bin/\S+", "ExecStart=/bin/true", unit.read_text())
    assert count == 1
    (tmp_path / unit.name).write_text(text)
    assert verify(tmp_path / unit.name) == ""
    (tmp_path / unit.name).write_text(text.replace("WatchdogSec=60", "WatchdogSec=never ever"))
    assert "Failed to parse" in verify(tmp_path / unit.name), "a wrong line would not be noticed"


def verify(unit: Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_line_is_whole(unit: Path) -> None:
    """systemd takes a comment behind a value as part of the value."""
    for line in unit.read_text().splitlines():
        assert re.fullmatch(r"|#.*|\[\w+\]|[A-Z]\w+=[^#]*", line), line


def install(tmp_path: Path, what: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [PACKAGING / "install.sh", what],
        env={"PATH": os.environ["PATH"], "DESTDIR": str(tmp_path / "device"), **environment},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_device_is_installed_and_brought_up_to_date(tmp_path: Path) -> None:
    root = tmp_path / "device"
    paths = Paths(root)
    done = install(tmp_path, "device", VEDETTE_BIN="/opt/vedette/bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (root / "usr/bin/mender-monitord").readlink() == Path("/opt/vedette/bin/mender-monitord")
    assert (root / "usr/bin/mender-monitorctl").readlink() == Path("/opt/vedette/bin/mender-monitorctl")
    assert (root / "etc/systemd/system/mender-monitor.service").is_file()
    assert os.access(paths.apply_programs / "vedette", os.X_OK)
    assert paths.available.is_dir()
    assert paths.enabled.is_dir()
    assert stat.S_IMODE(paths.state_dir.stat().st_mode) == 0o700
    assert read(paths.config_sh) == Settings()

    paths.config_sh.write_text("FLAPPING_INTERVAL=7\n")
    (paths.available / "log_x.sh").write_text("LOG_PATTERN=x\n")
    assert install(tmp_path, "device", VEDETTE_BIN="/usr/local/bin").returncode == 0
    assert (root / "usr/bin/mender-monitord").readlink() == Path("/usr/local/bin/mender-monitord")
    assert read(paths.config_sh) == Settings(flapping_interval=7)
    assert (paths.available / "log_x.sh").is_file()


def test_a_server_is_installed(tmp_path: Path) -> None:
    done = install(tmp_path, "server", VEDETTE_BIN="/opt/vedette/bin")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "device/usr/bin/vedette").is_symlink()
    assert (tmp_path / "device/etc/systemd/system/vedette.service").is_file()


@pytest.mark.parametrize(
    ("what", "environment", "status", "said"),
    [
        ("device", {}, 1, "DESTDIR needs VEDETTE_BIN"),
        ("everything", {"VEDETTE_BIN": "/x"}, 2, "usage: packaging/install.sh device|server"),
    ],
)
def test_what_cannot_be_installed(
    tmp_path: Path, what: str, environment: dict[str, str], status: int, said: str
) -> None:
    done = install(tmp_path, what, **environment)
    assert done.returncode == status
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "device").exists()


def test_the_units_start_what_is_installed() -> None:
    starts = {unit.name: re.findall(r"(?m)^ExecStart=(\S+)", unit.read_text()) for unit in UNITS}
    assert starts == {"mender-monitor.service": ["/usr/bin/mender-monitord"], "vedette.service": ["/usr/bin/vedette"]}
