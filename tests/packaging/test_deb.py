"""The Debian package on a fresh Debian: it installs, runs, is upgraded, and leaves without a trace."""

import re
import subprocess
from pathlib import Path

import pytest
from debian_root import Machine

pytestmark = pytest.mark.slow

WATCH = """
mender-monitorctl create log results-scan "CVE.*HIGH" "/tmp/results-scan" 2d
mender-monitorctl enable log results-scan
"""
FOUND = "echo 'CVE-2026-4242 HIGH' >> /tmp/results-scan\n"


def repacked(package: Path, directory: Path, version: str, default: str = "") -> Path:
    """The same package as a later version, with other defaults of config.sh if given."""
    tree = directory / f"tree-{version}"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    if default:
        (tree / "usr/share/vedette-monitor/config.sh").write_text(default)
    target = directory / f"{version}.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, target], check=True, capture_output=True)
    return target


def test_it_is_installed_runs_and_leaves_no_trace(machine: Machine, package: Path) -> None:
    before = machine.files()
    machine.put(package, "/tmp/monitor.deb")
    said = machine.type(
        "dpkg -i /tmp/monitor.deb\n"
        "mender-monitord --version\n"
        "mender-monitord --root /tmp/trial 2>/tmp/trial.log & trial=$!\n"
        "wait_for grep watching /tmp/trial.log\n"
        "start_monitor\n"
        + WATCH
        + "touch /tmp/results-scan\n"
        + WATCH.replace("mender-monitorctl", "mender-monitorctl --root /tmp/trial")
        + FOUND
        + "wait_for raised log_results-scan\n"
        "export MENDER_MONITOR_ROOT=/tmp/trial\n"
        "wait_for raised log_results-scan\n"
        "kill $trial; wait $trial\n"
        "stop_monitor\n"
        "cat /tmp/trial.log /tmp/monitor.log\n"
        # A script of the user's own raises something, with nobody to help it.
        "unset MENDER_MONITOR_ROOT\n"
        "(cd /usr/share/mender-monitor && . lib/alert-lib.sh && . lib/monitor-lib.sh &&"
        " monitor_send_alert CRITICAL 'too hot' '' sensor-1 HOT temperature)\n"
        "mender-monitorctl status --json\n"
        # What the daemon starts to reach the server is all there too.
        "/usr/lib/vedette/bin/python3 -I -c 'import vedette.agent.uplink.__main__, cryptography.x509'\n"
    )  # fmt: skip
    assert "systemd does not run here" in said
    assert "Traceback" not in said
    assert '"owed": 2' in said, said
    installed = machine.files()
    assert (machine.root / "etc/systemd/system/multi-user.target.wants/mender-monitor.service").is_symlink()
    assert installed["/usr/bin/mender-monitord"] == "0o100755"
    assert installed["/var/lib/mender-monitor"] == "0o40700"

    removed = machine.type("dpkg -r vedette-monitor 2>&1")
    assert (machine.root / "var/lib/mender-monitor/monitor.db").exists(), "removing is not forgetting"
    assert (machine.root / "etc/mender-monitor/monitor.d/available/log_results-scan.sh").exists()
    assert (machine.root / "usr/share/mender-monitor/config/config.sh").exists()
    assert "error" not in removed
    machine.type("dpkg -P vedette-monitor")
    assert changes(before, machine.files()) == {}


def changes(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {
        path: (before.get(path, "-"), after.get(path, "-"))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    }


def test_an_upgrade_keeps_state_checks_and_edited_settings(machine: Machine, package: Path, tmp_path: Path) -> None:
    """The state lies on another partition behind a link, and config.sh was edited with sed, as people do."""
    machine.put(package, "/tmp/old.deb")
    machine.put(repacked(package, tmp_path, "99.1", default="#FLAPPING_INTERVAL=121\n"), "/tmp/new.deb")
    config = machine.root / "usr/share/mender-monitor/config/config.sh"
    machine.type(
        "mkdir -m 700 /data && ln -s /data /var/lib/mender-monitor\n"
        "dpkg -i /tmp/old.deb\n"
        "sed -i 's/FLAPPING_INTERVAL=.*/FLAPPING_INTERVAL=7/' /usr/share/mender-monitor/config/config.sh\n"
        "start_monitor\n" + WATCH + FOUND +
        "wait_for raised log_results-scan\n"
        "stop_monitor\n"
        "mender-monitorctl status > /tmp/before\n"
        "dpkg -i /tmp/new.deb </dev/null\n"
        "mender-monitorctl status > /tmp/after\n"
        "diff /tmp/before /tmp/after\n"
        "start_monitor\n"
        "wait_for raised log_results-scan\n"
        "stop_monitor\n"
    )  # fmt: skip
    assert re.search(r"(?m)^FLAPPING_INTERVAL=7$", config.read_text())
    assert config.with_name("config.sh.dpkg-dist").read_text() == "#FLAPPING_INTERVAL=121\n"
    assert (machine.root / "var/lib/mender-monitor").is_symlink()
    assert (machine.root / "data/monitor.db").exists()
    machine.type("dpkg -P vedette-monitor")
    assert not list((machine.root / "data").iterdir())
    assert not (machine.root / "var/lib/mender-monitor").is_symlink()


def test_settings_nobody_edited_follow_the_package_and_deleted_ones_stay_away(
    machine: Machine, package: Path, tmp_path: Path
) -> None:
    machine.put(package, "/tmp/1.deb")
    machine.put(repacked(package, tmp_path, "99.1", default="#FLAPPING_INTERVAL=121\n"), "/tmp/2.deb")
    machine.put(repacked(package, tmp_path, "99.2", default="#FLAPPING_INTERVAL=122\n"), "/tmp/3.deb")
    config = machine.root / "usr/share/mender-monitor/config/config.sh"
    machine.type("dpkg -i /tmp/1.deb\ndpkg -i /tmp/2.deb")
    assert config.read_text() == "#FLAPPING_INTERVAL=121\n"
    assert not config.with_name("config.sh.dpkg-dist").exists()
    machine.type(f"rm /{config.relative_to(machine.root)}\ndpkg -i /tmp/3.deb")
    assert not config.exists()


def test_a_subsystem_of_another_package_survives_the_purge(machine: Machine, package: Path) -> None:
    machine.put(package, "/tmp/monitor.deb")
    machine.type(
        "dpkg -i /tmp/monitor.deb\n"
        "mkdir -p /tmp/other/DEBIAN /tmp/other/etc/mender-monitor/monitor.d\n"
        "printf 'Package: other\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b.c>\\nDescription: x\\n'"
        " > /tmp/other/DEBIAN/control\n"
        "echo '#!/bin/sh' > /tmp/other/etc/mender-monitor/monitor.d/theirs.sh\n"
        "dpkg-deb -Znone -b /tmp/other /tmp/other.deb && dpkg -i /tmp/other.deb\n"
        "echo '#!/bin/sh' > /etc/mender-monitor/monitor.d/mine.sh\n"
        "dpkg -P vedette-monitor\n"
    )
    left = [path.name for path in (machine.root / "etc/mender-monitor/monitor.d").iterdir()]
    assert left == ["theirs.sh"]


def test_it_works_where_only_the_state_can_be_written(machine: Machine, package: Path) -> None:
    machine.put(package, "/tmp/monitor.deb")
    said = machine.type(
        "mkdir /data && ln -s /data /var/lib/mender-monitor\n"
        "dpkg -i /tmp/monitor.deb\n" + WATCH +
        "mount -t tmpfs tmpfs /data && mount -t tmpfs tmpfs /run\n"
        "for each in /usr /etc /var; do mount --bind $each $each && mount -o remount,bind,ro $each; done\n"
        "! touch /usr/x /etc/x /var/x 2>/dev/null\n"
        "start_monitor\n" + FOUND +
        "wait_for raised log_results-scan\n"
        "stop_monitor\n"
        "start_monitor\n"
        "stop_monitor\n"
        "cat /tmp/monitor.log; ls -A /data\n"
    )  # fmt: skip
    assert "monitor.db" in said
    assert "Read-only" not in said
    assert "ERROR" not in said


# Stands for systemd, which a bare root does not run: keeps what it is told, and says what it is asked.
SYSTEMCTL = """#!/bin/sh
echo "$*" >> /tmp/told
case "$*" in
    *is-enabled*) echo enabled ;;
esac
"""


def test_where_systemd_runs_the_daemon_is_started_and_stands_still_while_files_change(
    machine: Machine, package: Path, tmp_path: Path
) -> None:
    machine.put(package, "/tmp/1.deb")
    machine.put(repacked(package, tmp_path, "99.1"), "/tmp/2.deb")
    systemctl = machine.root / "usr/bin/systemctl"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    (machine.root / "run/systemd/system").mkdir(parents=True)

    def told(command: str) -> list[str]:
        machine.type(f": > /tmp/told\n{command}\n")
        words = [line.split() for line in (machine.root / "tmp/told").read_text().splitlines()]
        return [verb for line in words for verb in line if verb in ("start", "stop")]

    assert told("dpkg -i /tmp/1.deb") == ["start"]
    assert told("dpkg -i /tmp/2.deb") == ["stop", "start"]
    assert told("dpkg -r vedette-monitor") == ["stop"]
    # Whoever lets no service start, as those who build images do, means it.
    (machine.root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (machine.root / "usr/sbin/policy-rc.d").chmod(0o755)
    assert told("dpkg -i /tmp/2.deb") == []
