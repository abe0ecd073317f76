"""Where the monitor's own files are."""

from pathlib import Path

import pytest

from vedette.agent.paths import ROOT_VARIABLE, Paths

# The layout that scripts and people know; a change here breaks devices in the field.
LAYOUT = {
    "monitor_d": "/etc/mender-monitor/monitor.d",
    "available": "/etc/mender-monitor/monitor.d/available",
    "enabled": "/etc/mender-monitor/monitor.d/enabled",
    "share": "/usr/share/mender-monitor",
    "lib": "/usr/share/mender-monitor/lib",
    "config_sh": "/usr/share/mender-monitor/config/config.sh",
    "state_dir": "/var/lib/mender-monitor",
    "store": "/var/lib/mender-monitor/monitor.db",
    "key": "/var/lib/mender-monitor/device.pem",
    "configuration": "/var/lib/mender-monitor/configuration",
    "deployment": "/var/lib/mender-monitor/configuration/deployment.json",
    "apply_journal": "/var/lib/mender-monitor/configuration/journal.json",
    "applied_in": "/var/lib/mender-monitor/configuration/boot.json",
    "deployments": "/var/lib/mender-monitor/deployments.json",
    "apply_programs": "/usr/lib/mender-configure/apply-device-config.d",
    "apply_children": "/var/run/mender-monitor.apply-children",
    "pid_file": "/var/run/monitoring-client.pid",
    "children": "/var/run/mender-monitor.children",
    "bell": "/var/run/mender-monitor.bell",
    "redact_rules": "/etc/mender-monitor/redact.conf",
    "mender_conf": "/etc/mender/mender.conf",
    "identity_script": "/usr/share/mender/identity/mender-device-identity",
    "machine_id": "/etc/machine-id",
}


@pytest.fixture(autouse=True)
def no_root_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)


@pytest.mark.parametrize(("name", "where"), LAYOUT.items())
def test_layout(name: str, where: str, tmp_path: Path) -> None:
    assert str(getattr(Paths(), name)) == where
    assert str(getattr(Paths(tmp_path), name)) == f"{tmp_path}{where}"


def test_every_path_is_in_the_layout() -> None:
    properties = {name for name, value in vars(Paths).items() if isinstance(value, property)}
    assert properties <= LAYOUT.keys() | {"mender_client", "scanned"}  # not files of its own


def test_a_mender_client_is_known_by_either_place_of_its_policy(tmp_path: Path) -> None:
    policy = "dbus-1/system.d/io.mender.AuthenticationManager.conf"
    assert Paths().mender_client == (Path("/usr/share") / policy, Path("/etc") / policy)
    assert Paths(tmp_path).mender_client == (tmp_path / "usr/share" / policy, tmp_path / "etc" / policy)


def test_the_environment_names_the_root_unless_an_option_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "a"))
    assert Paths().state_dir == tmp_path / "a/var/lib/mender-monitor"
    assert Paths(tmp_path / "b").state_dir == tmp_path / "b/var/lib/mender-monitor"
    monkeypatch.setenv(ROOT_VARIABLE, "")
    assert Paths().root is None


def test_a_relative_root_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Paths(Path("device")).key == tmp_path / "device/var/lib/mender-monitor/device.pem"


def test_the_directory_of_checks_can_be_elsewhere_but_stays_below_the_root(tmp_path: Path) -> None:
    assert Paths(tmp_path, monitor_d="/data/checks").enabled == tmp_path / "data/checks/enabled"
    assert Paths(monitor_d="./monitor.d").available == Path("/etc/mender-monitor/monitor.d/available")
