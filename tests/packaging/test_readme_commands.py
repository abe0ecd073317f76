"""The README's commands for real machines, typed on a fresh Debian as they stand there, until the alert is there."""

import re
from pathlib import Path

import pytest
from debian_root import SOURCE, Machine

pytestmark = pytest.mark.slow

# What stands for the person at the server's web pages: accepts the device, waits for the alert, prints what is open.
PERSON = """
import sys, time
from vedette.demo.api import Api

def wait_until(what, found):
    for _ in range(300):
        if answer := found():
            return answer
        time.sleep(0.1)
    sys.exit(f"waited in vain until {what}")

api = Api("http://127.0.0.1:8080")
api.login("you@example.com", "a long and good password")
device = wait_until("a device asks to be let in", api.devices)[0]
if device["status"] != "accepted":
    api.accept(device["id"], device["auth_sets"][0]["id"])
count = int(sys.argv[1])
history = wait_until("there are enough alerts", lambda: len(found := api.alerts(device["id"])) >= count and found)
print([(each["level"], each["name"]) for each in history])
"""
# There is no systemd in a bare root: this is what `systemctl restart mender-monitor` means to the daemon.
SYSTEMCTL = """#!/bin/sh
set -e
[ "$*" = "restart mender-monitor" ]
kill "$(cat /run/monitoring-client.pid)"
while [ -e /run/monitoring-client.pid ]; do sleep 0.05; done
setsid mender-monitord 2>>/tmp/monitor.log </dev/null >&2 &
"""


PID_CHANGE = """#!/bin/sh
while ! [ -e /tmp/pid-changes ]; do sleep 0.1; done
echo PID changed
exec sleep 3600
"""


def commands() -> list[list[str]]:
    """The blocks of commands under "On a real device", without sudo: the test is root."""
    text = (SOURCE / "README.md").read_text()
    section = re.search(r"(?ms)^## On a real device$(.*?)^## ", text)
    assert section
    blocks = re.findall(r"(?m)(?:^    .*\n(?:\n(?=    ))?)+", section[1])
    return [[line[4:].replace("sudo ", "") for line in block.splitlines() if line] for block in blocks]


def test_from_the_checkout_to_the_alert_and_on_with_the_package(machine: Machine, package: Path, wheels: Path) -> None:
    """In between stands what a person does: start what systemd would start, put in the token, look at the pages."""
    server, device, checks = commands()
    assert [block[0].split()[:2] for block in (server, device)] == [
        ["packaging/install.sh", "server"], ["packaging/install.sh", "device"],
    ]  # fmt: skip
    assert checks[-1] == "systemctl restart mender-monitor"
    create_user = server.pop()
    machine.put(wheels, "/wheels")
    machine.put(package, "/tmp/monitor.deb")
    for name in ("pyproject.toml", "README.md", "LICENSE", "src", "packaging"):
        (machine.root / "source").mkdir(exist_ok=True)
        machine.put(SOURCE / name, f"/source/{name}")
    (machine.root / "tmp/person").write_text(PERSON)
    programs = {
        "usr/local/bin/systemctl": SYSTEMCTL,
        "usr/local/bin/pid-change": PID_CHANGE,
        # The private network has no interface whose address could tell this device from others.
        "usr/share/mender/identity/mender-device-identity": "#!/bin/sh\necho mac=02:00:00:00:00:01\n",
    }
    for name, text in programs.items():
        path = machine.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    said = machine.type(
        "cd /source\n"
        f"{server[0]}\n"
        "vedette server 2>/tmp/server.log & server=$!\n"
        "wait_for grep -q 'listening on' /tmp/server.log\n"
        + "\n".join(server[1:]) + " | tee /tmp/tenant\n"
        f"echo 'a long and good password' | {create_user}\n"
        + "\n".join(device).replace("https://your.server", "http://127.0.0.1:8080") + "\n"
        "token=$(sed -n 's/.*\"tenant_token\": *\"\\([^\"]*\\)\".*/\\1/p' /tmp/tenant)\n"
        "[ -n \"$token\" ] && sed -i \"s|\\.\\.\\.|$token|\" /etc/mender/mender.conf\n"
        "start_monitor\n"
        + "\n".join(checks) + "\n"
        "echo 'CVE-2026-4242 HIGH' >> /tmp/results-scan\n"
        "touch /tmp/pid-changes\n"
        "person() { /opt/vedette/bin/python /tmp/person \"$1\" || { tail /tmp/*.log; exit 1; }; }\n"
        "person 2\n"
        # Later the same device goes over to the package.
        "kill $(cat /run/monitoring-client.pid)\n"
        "dpkg -i /tmp/monitor.deb\n"
        "start_monitor\n"
        "mender-monitorctl disable log pid-change\n"
        "person 3\n"
        "stop_monitor\n"
        "kill $server; wait $server\n"
        "readlink -f /usr/bin/mender-monitord\n"
        "cat /tmp/monitor.log\n"
    )  # fmt: skip
    assert said.count("('CRITICAL', 'Log file contains CVE.*HIGH')") == 2, said
    assert said.count("('CRITICAL', 'Log file contains PID changed')") == 2, said
    assert said.count("('OK', 'Log file contains PID changed')") == 1, said
    assert "/etc/systemd/system/mender-monitor.service counts instead of this package's" in said
    assert "\n/usr/bin/mender-monitord\n" in said, "the package has not taken the place of the checkout's link"
    assert "Traceback" not in said
