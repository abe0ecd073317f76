"""Where the monitor's own files are, all movable below one directory (containers, tests, read-only roots)."""

import os
from pathlib import Path

ROOT_VARIABLE = "MENDER_MONITOR_ROOT"
SCANNED_VARIABLE = "MENDER_MONITOR_SCANNED"
"""What security checks look at in place of `/`: the system of a container, or a mounted image."""
MONITOR_D = "/etc/mender-monitor/monitor.d"


class Paths:
    """The monitor's own paths. Watched files and commands are taken as written and never pass through here.

    Args:
        root: everything lies below it; None means MENDER_MONITOR_ROOT from the environment or, without that, `/`.
        monitor_d: the directory of checks, before it is moved below the root (setting MONITOR_D_DIRECTORY);
            a relative one starts at /etc/mender-monitor.
    """

    def __init__(self, root: Path | None = None, *, monitor_d: str = MONITOR_D) -> None:
        if root is None and (given := os.environ.get(ROOT_VARIABLE)):
            root = Path(given)
        self.root = None if root is None else root.absolute()
        self.monitor_d = self.below(str(Path("/etc/mender-monitor", monitor_d)))

    def __repr__(self) -> str:
        return f"Paths({str(self.root or '/')!r}, monitor_d={str(self.monitor_d)!r})"

    def below(self, absolute: str) -> Path:
        """`absolute` as it is named on a device, moved below the root when there is one."""
        return Path(absolute) if self.root is None else self.root / absolute.lstrip("/")

    @property
    def available(self) -> Path:
        return self.monitor_d / "available"

    @property
    def enabled(self) -> Path:
        return self.monitor_d / "enabled"

    @property
    def share(self) -> Path:
        return self.below("/usr/share/mender-monitor")

    @property
    def lib(self) -> Path:
        return self.share / "lib"

    @property
    def config_sh(self) -> Path:
        return self.share / "config" / "config.sh"

    @property
    def redact_rules(self) -> Path:
        """The user's patterns of what must not leave the device."""
        return self.below("/etc/mender-monitor/redact.conf")

    @property
    def state_dir(self) -> Path:
        """Survives a reboot; may be a link to another partition."""
        return self.below("/var/lib/mender-monitor")

    @property
    def store(self) -> Path:
        return self.state_dir / "monitor.db"

    @property
    def key(self) -> Path:
        return self.state_dir / "device.pem"

    @property
    def configuration(self) -> Path:
        """Directory of what is known of the device's configuration."""
        return self.state_dir / "configuration"

    @property
    def deployment(self) -> Path:
        """How far the deployment at work is."""
        return self.configuration / "deployment.json"

    @property
    def apply_journal(self) -> Path:
        """There while a configuration is being applied."""
        return self.configuration / "journal.json"

    @property
    def applied_in(self) -> Path:
        """In which boot the programs ran that bring the configuration to bear."""
        return self.configuration / "boot.json"

    @property
    def deployments(self) -> Path:
        """A record of the last deployments."""
        return self.state_dir / "deployments.json"

    @property
    def apply_programs(self) -> Path:
        """Programs that bring a configuration to bear; the directory is mender-configure's."""
        return self.below("/usr/lib/mender-configure/apply-device-config.d")

    @property
    def apply_children(self) -> Path:
        """As `children`, of who applies a configuration."""
        return self.below("/var/run/mender-monitor.apply-children")

    @property
    def pid_file(self) -> Path:
        return self.below("/var/run/monitoring-client.pid")

    @property
    def children(self) -> Path:
        """Process groups that the daemon has running, for the one after it; on tmpfs, for no group outlives a boot."""
        return self.below("/var/run/mender-monitor.children")

    @property
    def bell(self) -> Path:
        """Touched by who puts an alert into the store from outside, for the daemon to look; on tmpfs."""
        return self.below("/var/run/mender-monitor.bell")

    @property
    def mender_conf(self) -> Path:
        return self.below("/etc/mender/mender.conf")

    @property
    def mender_client(self) -> tuple[Path, Path]:
        """Either of these lets a Mender client have its name on the system bus, so one is installed."""
        policy = "dbus-1/system.d/io.mender.AuthenticationManager.conf"
        return self.below(f"/usr/share/{policy}"), self.below(f"/etc/{policy}")

    @property
    def identity_script(self) -> Path:
        return self.below("/usr/share/mender/identity/mender-device-identity")

    @property
    def scanned(self) -> Path:
        """Below which security checks look."""
        return Path(os.environ.get(SCANNED_VARIABLE) or "/")

    @property
    def machine_id(self) -> Path:
        return self.below("/etc/machine-id")
