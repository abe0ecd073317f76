"""A device with Debian's real `mender-client` on it, in a mount namespace of its own: no file of this machine changes.

The client has its paths built in, so its own /etc, /usr/share and /var/lib are put over the machine's, for it alone.
What `mender-configure` brings on a device (an update module and an inventory script; Debian does not have the package)
is written here anew, from the documented behaviour. Its D-Bus system bus is a private one.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

UNPACKED: Final = Path(__file__).parents[2] / "build/debian"  # by .ci/system-packages
DEVICE_TYPE: Final = "test-board"
FIRST_ARTIFACT: Final = "release-1"
END_WITHIN_S: Final = 10
# Of the machine's /etc, for programs to run at all.
NEEDED: Final = ("passwd", "group", "hosts", "nsswitch.conf", "resolv.conf", "ld.so.cache", "ssl")

BUS: Final = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type><listen>unix:path={root}/bus</listen><auth>EXTERNAL</auth>
  <policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""
SANDBOX: Final = """set -e
mount --bind {root}/etc /etc
mount --bind {root}/share /usr/share
mount --bind {root}/lib /var/lib
rm -f {root}/bus
dbus-daemon --config-file={root}/bus.conf --nofork &
while ! [ -S {root}/bus ]; do sleep 0.05; done
export DBUS_SYSTEM_BUS_ADDRESS=unix:path={root}/bus
client=io.mender.AuthenticationManager
on_the_bus() {{ dbus-send --system --print-reply --dest=$client /io/mender/AuthenticationManager \
    io.mender.Authentication1.GetJwtToken >/dev/null 2>&1; }}
if [ -x {root}/beside ]; then (until on_the_bus; do sleep 0.1; done; exec {root}/beside) & fi
exec {mender} --no-syslog --config /etc/mender/mender.conf daemon
"""
IDENTITY: Final = "#!/bin/sh\necho mac={mac}\n"
PROVIDES: Final = "#!/bin/sh\nexec {mender} --no-syslog show-provides\n"
REPORT: Final = r"""#!/bin/sh
# Tells the server which configuration the device has, when that or the token has changed.
set -e
config=/var/lib/mender-configure/device-config.json
told=/var/lib/mender-configure/device-config-reported.sha256
[ -f $config ] || exit 0
answer=$(dbus-send --system --print-reply --dest=io.mender.AuthenticationManager /io/mender/AuthenticationManager \
    io.mender.Authentication1.GetJwtToken | sed -n 's/^ *string "\(.*\)"$/\1/p')
token=$(echo "$answer" | sed -n 1p)
server=$(echo "$answer" | sed -n 2p)
now=$( (cat $config; echo "$token") | sha256sum)
[ "$now" != "$(cat $told 2>/dev/null)" ] || exit 0
curl -s -f -L -X PUT -H "Authorization: Bearer $token" -H "Content-Type: application/json" -d @$config \
    "$server/api/devices/v1/deviceconfig/configuration"
echo "$now" > $told
"""
MODULE: Final = """#!/bin/sh
# Takes up a configuration: keeps it, and runs every program in {root}/apply.d with it.
state=$1 files=$2 keep=/var/lib/mender-configure
config=$keep/device-config.json
apply() {{
    result=0
    for each in {root}/apply.d/*; do "$each" $config || result=1; done
    return $result
}}
mkdir -p $keep
case $state in
SupportsRollback) echo Yes ;;
NeedsArtifactReboot) echo No ;;
ArtifactInstall)
    [ ! -f $config ] || cp $config "$files/tmp/before"
    cp "$files/header/meta-data" $config && chmod 600 $config && apply ;;
ArtifactRollback)
    if [ -f "$files/tmp/before" ]; then cp "$files/tmp/before" $config && apply; else rm -f $config; fi ;;
esac
"""


def tool(package: str, program: str) -> Path | None:
    """A program of a Debian package: installed, or unpacked for the tests."""
    unpacked = UNPACKED / package / "usr/bin" / program
    if unpacked.exists():
        return unpacked
    installed = shutil.which(program)
    return Path(installed) if installed else None


def why_not() -> str:
    """What is missing to have such a device here; empty: nothing."""
    if tool("mender-client", "mender") is None:
        return "Debian's mender-client is not here; .ci/system-packages brings it"
    missing = [each for each in ("unshare", "dbus-daemon", "dbus-send", "curl") if shutil.which(each) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0:
        return "this system lets nobody have a mount namespace of his own"
    return ""


class MenderDevice:
    """See above."""

    def __init__(self, root: Path, server: str, *, mac: str = "52:54:00:00:00:01", certificate: Path | None = None):
        self.root = root
        self._process: subprocess.Popen[bytes] | None = None
        mender = tool("mender-client", "mender")
        assert mender is not None
        self._names = {"root": root, "mender": mender, "mac": mac}
        for name in ("etc/mender", "lib/mender", "apply.d"):
            (root / name).mkdir(parents=True)
        for name in NEEDED:
            source = Path("/etc") / name
            if source.is_dir():
                shutil.copytree(source, root / "etc" / name, ignore=shutil.ignore_patterns("private"))
            elif source.exists():
                shutil.copy(source, root / "etc" / name)
        configuration = {
            "ServerURL": server,
            "UpdatePollIntervalSeconds": 1,
            "InventoryPollIntervalSeconds": 1,
            "RetryPollIntervalSeconds": 1,
        }
        if certificate is not None:
            configuration["ServerCertificate"] = str(certificate)
        (root / "etc/mender/mender.conf").write_text(json.dumps(configuration))
        (root / "etc/mender/artifact_info").write_text(f"artifact_name={FIRST_ARTIFACT}\n")
        (root / "lib/mender/device_type").write_text(f"device_type={DEVICE_TYPE}\n")
        (root / "bus.conf").write_text(BUS.format(root=root))
        (root / "sandbox").write_text(SANDBOX.format(**self._names))
        self._script("share/mender/identity/mender-device-identity", IDENTITY)
        self._script("share/mender/inventory/mender-inventory-provides", PROVIDES)
        self._script("share/mender/inventory/mender-inventory-mender-configure", REPORT)
        self._script("share/mender/modules/v3/mender-configure", MODULE)

    def apply(self, text: str, ours: str = "") -> None:
        """What the device does with a configuration, as a shell script; its first argument is the file.

        `ours`: what Vedette's script does.
        """
        self._write(self.root / "apply.d/all", f"#!/bin/sh\n{text}\n")
        if ours:
            self._write(self.root / "apply.d/vedette", f"#!/bin/sh\n{ours}\n")

    def run_beside(self, *command: str | Path) -> None:
        """Have this run beside the client, once that is on the bus, from the next start on."""
        words = shlex.join([str(each) for each in command])
        self._write(self.root / "beside", f"#!/bin/sh\nexec {words} >>{self.root}/beside.log 2>&1\n")

    @property
    def configuration(self) -> dict[str, str] | None:
        """What the device has taken up; None: nothing."""
        path = self.root / "lib/mender-configure/device-config.json"
        return json.loads(path.read_text()) if path.exists() else None

    @property
    def log(self) -> str:
        path = self.root / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def new_key(self) -> None:
        """The device has lost its key; it makes another when it starts."""
        (self.root / "lib/mender/mender-agent.pem").unlink()

    def start(self) -> None:
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "-rm", "sh", str(self.root / "sandbox")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={"PATH": os.environ["PATH"], "HOME": str(self.root), "PYTHONPATH": os.pathsep.join(sys.path)},
            )  # fmt: skip

    def stop(self) -> None:
        """End everything on it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process = None

    def _script(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write(path, text.format(**self._names) if "{" in text and text is not REPORT else text)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        fresh = path.parent.parent / f"{path.name}.new"  # not beside it: everything in apply.d is run
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.replace(path)
