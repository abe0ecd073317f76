"""Four kinds of security checks on this very machine: what is done to it is found, told once, and called off."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_device import Device, wait_until

from vedette.agent import control
from vedette.agent.security.shelf import Shelf


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Tools that may be set-uid, a place from which nothing may run, and a server."""
    sleep = Path(shutil.which("sleep") or "")
    if sleep.resolve().name != "sleep":
        pytest.skip("sleep is part of another program here, which goes by its name")
    for name in ("tools/tool", "odd/dropper", "server"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(sleep, path)
        path.chmod(0o755)
    return tmp_path


@pytest.fixture
def server(places: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """What the check `pid-change` watches; ended with the test."""
    running = [subprocess.Popen([places / "server", "600"])]
    yield running
    for each in running:
        each.kill()
        each.wait()


def test_what_is_done_to_a_machine_is_found_told_once_and_called_off(
    device: Device, places: Path, server: list["subprocess.Popen[bytes]"]
) -> None:
    checks = {
        "ports": ("dwell=0",),
        "setuid": (f"paths={places / 'tools'}",),
        "pid-change": (f"process={places / 'server'}", "expiration=2s"),
        "processes": (f"places={places / 'odd'}", "deleted=false", "modules=false"),
    }
    for kind, settings in checks.items():
        for command in (("create", kind, "a", "interval=5s", *settings), ("enable", kind, "a")):
            assert control.main(["--root", str(device.paths.root), *command]) == 0

    def look() -> None:
        for kind in checks:
            Shelf(device.paths.state_dir, f"{kind}_a").accept({})

    def told() -> list[tuple[str, str]]:
        """Of what this test has done; others open ports on this machine too."""
        found = [(each["subject"]["type"], each["subject"]["name"], each["level"]) for each in device.alerts()]
        return sorted((type_, level) for type_, name, level in found if str(places) in name or name == port)

    def learned() -> bool:
        kinds = {row[0] for row in device.query("SELECT key FROM meta WHERE key LIKE 'check %'")}
        return kinds >= {"check ports_a", "check setuid_a", "check pid-change_a"}

    port = "none yet"
    device.start()
    wait_until(learned, f"the first looks\n{device.log()}")
    assert told() == []

    server[0].kill()
    server[0].wait()
    server.append(subprocess.Popen([places / "server", "600"]))
    (places / "tools/tool").chmod(0o4755)
    dropper = subprocess.Popen([places / "odd/dropper", "600"])
    try:
        with socket.socket() as listener:
            listener.bind(("0.0.0.0", 0))
            listener.listen()
            port = f"tcp 0.0.0.0:{listener.getsockname()[1]}"
            look()
            expected = [(kind, "CRITICAL") for kind in sorted(checks)]
            wait_until(
                lambda: [each for each in told() if each[1] == "CRITICAL"] == expected, f"{told()}\n{device.log()}"
            )
            device.kill()
    finally:
        dropper.kill()
        dropper.wait()
    (places / "tools/tool").chmod(0o755)
    device.start()
    both = sorted((kind, level) for kind in checks for level in ("CRITICAL", "OK"))
    wait_until(lambda: told() == both, f"{told()}\n{device.log()}")
    for each in device.alerts():
        if each["level"] == "CRITICAL":
            assert "What to do: " in each["subject"]["details"]["description"]
    assert "ERROR" not in device.log()


@pytest.mark.parametrize("kind", ["ports", "processes"])
def test_a_scan_by_hand_serves_as_the_command_of_a_log_check(device: Device, kind: str) -> None:
    """The command of the documentation, with the tool of this environment."""
    tool = f"{sys.executable} -m vedette.agent.control"
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        allow = "" if kind == "ports" else f" places={Path(sys.executable).resolve().parent}"
        pattern = f"0.0.0.0:{listener.getsockname()[1]}.* listens on" if kind == "ports" else "runs from where"
        device.check("scan", pattern, f"@{tool} scan {kind}{allow}", 3600)
        device.start()
        (alert,) = device.wait_for(1, "scan")
    assert "pid" in alert["subject"]["details"]["line_matching"]["data"]
