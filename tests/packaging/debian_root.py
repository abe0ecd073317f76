"""A machine to install on: a fresh Debian root of this machine's own release.

It is entered with private mounts, processes and network: nothing outside of its directory is touched, and nothing that
ran in it outlives the call.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = "python3,python3-venv,systemd,systemd-sysv,dbus"
DEADLINE_S = 300

ENTER = """\
set -e
mount -t proc proc "$1/proc"
"$2" -c 'import fcntl, socket, struct
up = struct.pack("16sH14s", b"lo", 0x1 | 0x40, b"")
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, up)  # SIOCSIFFLAGS: the loopback interface of the new network'
exec chroot "$1" /usr/bin/env -i PATH="$3" HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \\
    PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore /bin/bash -s
"""

TOOLS = r"""\
set -eu
# Asks a command again until it succeeds; says which one never did.
wait_for() {
    local tries=0
    until "$@" >/tmp/last 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { echo "waited in vain for: $*"; tail -n 20 /tmp/last /tmp/*.log; exit 1; }
        sleep 0.1
    done
}
start_monitor() {
    : > /tmp/monitor.log
    mender-monitord 2>/tmp/monitor.log & monitor=$!
    wait_for grep -q watching /tmp/monitor.log
}
stop_monitor() { kill $monitor; wait $monitor; }
raised() { mender-monitorctl status --json | grep -q "\"check\": \"$1\""; }
"""


class Machine:
    """One root, changed by what is typed on it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def type(self, script: str) -> str:
        """What the script prints; it runs as root in bash, and ends at the first command that fails."""
        words = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--", "sh", "-c", ENTER, "sh")
        done = subprocess.run(
            [*words, str(self.root), sys.executable, PATH],
            input=TOOLS + script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S,
        )  # fmt: skip
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}"
        return done.stdout

    def put(self, source: Path, target: str) -> None:
        """A file or a directory from outside."""
        if source.is_dir():
            shutil.copytree(source, self.root / target.lstrip("/"))
        else:
            shutil.copyfile(source, self.root / target.lstrip("/"))

    def files(self) -> dict[str, str]:
        """Every file, with what it is; without the package manager's own books and caches."""
        found = {}
        for directory, subdirectories, names in os.walk(self.root):
            here = "/" + os.path.relpath(directory, self.root).removeprefix(".")
            if re.match(r"/(proc|tmp|wheels|source|var/(lib/(dpkg|systemd)|log|cache))(/|$)", here):
                subdirectories.clear()
                continue
            for name in (*subdirectories, *names):
                path = Path(directory, name)
                kind = f"-> {path.readlink()}" if path.is_symlink() else oct(path.lstat().st_mode)
                found[f"{here.rstrip('/')}/{name}"] = kind
        return found


def bootstrap(directory: Path) -> Path:
    """A fresh Debian with Python in `directory`; skips, with the reason, where that cannot be made."""
    if os.geteuid() != 0:
        pytest.skip(
            "only root can make a Debian root to install on: run as root to test installation, upgrade and purge"
        )
    for tool in ("debootstrap", "dpkg-deb", "unshare", "apt-get"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing: installation, upgrade and purge in a fresh Debian root are not tested")
    if subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True).returncode:
        pytest.skip("this machine gives root no namespaces of its own: installation in a fresh root is not tested")
    suite, mirror = _mirror()
    root = directory / "base"
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, root, mirror],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no fresh Debian root, so installing is not tested: debootstrap says {done.stdout[-500:]}")
    for cache in ("var/cache/apt/archives", "var/lib/apt/lists"):  # a third of what each test copies
        shutil.rmtree(root / cache)
    theirs = _python(Machine(root))
    if theirs != sys.version_info[:2]:
        pytest.skip(f"this is Python {sys.version_info[:2]}, {suite} has {theirs}: a package from here is not for it")
    return root


def _mirror() -> tuple[str, str]:
    """Name of this machine's Debian release, and where the machine itself gets it from."""
    release = dict(re.findall(r'(?m)^(\w+)="?([^"\n]*)"?$', Path("/etc/os-release").read_text()))
    suite = release.get("VERSION_CODENAME", "")
    asked = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True, text=True,
    )  # fmt: skip
    for line in asked.stdout.splitlines():
        codename, component, uri = line.split(maxsplit=2)
        if (codename, component) == (suite, "main"):
            return suite, uri
    pytest.skip(
        f"the package sources of this machine do not offer {suite or 'a Debian release'}: no root to install on"
    )


def _python(machine: Machine) -> tuple[int, ...]:
    said = machine.type("python3 -c 'import sys; print(*sys.version_info[:2])'")
    return tuple(map(int, said.split()))
