"""The kinds that look at files, in a real daemon: what happens while it runs, is off, or is killed is told once."""

import stat
from pathlib import Path

import pytest
from real_device import Device, wait_until
from tree import Tree

from vedette.agent import control
from vedette.agent.paths import SCANNED_VARIABLE
from vedette.agent.security.shelf import Shelf

WITHIN_S = 180.0
"""These looks only get what processor and disk have left, which may be little where other tests run."""


@pytest.fixture
def tree(device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """What the checks of the device look at, with some programs of a package."""
    tree = Tree(tmp_path / "scanned", "integrity")
    device.environment[SCANNED_VARIABLE] = str(tree.root)
    monkeypatch.setenv(SCANNED_VARIABLE, str(tree.root))  # for `accept`
    for name in ("ls", "cat", "ping"):
        tree.do(f"file /usr/bin/{name} 755 {name}")
    tree.do("file /usr/bin/su 4755 su")
    tree.do("file /etc/hosts 644 localhost")
    tree.do("package tools 1.0 /usr/bin/ls /usr/bin/cat /usr/bin/ping /usr/bin/su")
    return tree


@pytest.fixture
def watched(device: Device, tree: Tree) -> Device:
    """Both kinds have learned."""
    for kind in ("setuid", "integrity"):
        ctl(device, "create", kind, "a", "interval=1h")
        ctl(device, "enable", kind, "a")
    device.start()
    wait_until(lambda: all(looked(device, kind) for kind in ("setuid", "integrity")), "the first looks", WITHIN_S)
    return device


def ctl(device: Device, *arguments: str) -> None:
    assert control.main(["--root", str(device.paths.root), *arguments]) == 0


def looked(device: Device, kind: str) -> bool:
    return bool(device.query(f"SELECT 1 FROM meta WHERE key = 'check {kind}_a'"))


def look_now(device: Device) -> None:
    """As when somebody accepts something."""
    for kind in ("setuid", "integrity"):
        shelf = Shelf(device.paths.state_dir, f"{kind}_a")
        shelf.accept(shelf.accepted())


def told(device: Device) -> list[tuple[str, str, str]]:
    return sorted((each["subject"]["type"], each["subject"]["name"], each["level"]) for each in device.alerts())


def wait_told(device: Device, *expected: tuple[str, str, str]) -> None:
    wait_until(lambda: len(told(device)) >= len(expected), f"{expected}\n{device.log()}", WITHIN_S)
    assert told(device) == sorted(expected)


def test_changes_by_hand_and_by_a_package(watched: Device, tree: Tree) -> None:
    """The package's are recorded, those by hand raised, and called off when all is as it was."""
    tree.do("file /usr/bin/cat 755 cat-2")
    tree.do("package tools 1.1 /usr/bin/cat /usr/bin/ping /usr/bin/su")
    tree.do("rewrite /etc/hosts evil")
    tree.do("file /tmp/sh 4755 sh")
    look_now(watched)
    raised = [("integrity", "/etc/hosts", "CRITICAL"), ("setuid", "/tmp/sh", "CRITICAL")]
    wait_told(watched, *raised)
    wait_until(
        lambda: "/usr/bin/cat changed by the package tools 1.1" in watched.log(), "the note\n" + watched.log(), WITHIN_S
    )
    tree.do("rewrite /etc/hosts localhost")
    tree.do("remove /tmp/sh")
    look_now(watched)
    wait_told(watched, *raised, ("integrity", "/etc/hosts", "OK"), ("setuid", "/tmp/sh", "OK"))


def test_what_happened_while_it_was_off(watched: Device, tree: Tree) -> None:
    watched.kill()
    tree.do("chmod /usr/bin/ls 4755")
    watched.start()
    raised = [("integrity", "/usr/bin/ls", "CRITICAL"), ("setuid", "/usr/bin/ls", "CRITICAL")]
    wait_told(watched, *raised)
    watched.kill()
    watched.start()
    look_now(watched)
    tree.do("chmod /usr/bin/ls 755")
    look_now(watched)
    wait_told(watched, *raised, ("integrity", "/usr/bin/ls", "OK"), ("setuid", "/usr/bin/ls", "OK"))


def test_accepted_until_it_changes_again(watched: Device, tree: Tree) -> None:
    tree.do("chmod /usr/bin/ls 4755")
    look_now(watched)
    raised = [("integrity", "/usr/bin/ls", "CRITICAL"), ("setuid", "/usr/bin/ls", "CRITICAL")]
    wait_told(watched, *raised)
    for kind in ("setuid", "integrity"):
        ctl(watched, "accept", kind, "a", "/usr/bin/ls")
    over = [("integrity", "/usr/bin/ls", "OK"), ("setuid", "/usr/bin/ls", "OK")]
    wait_told(watched, *raised, *over)
    assert stat.S_IMODE(tree.at("/usr/bin/ls").stat().st_mode) == 0o4755
    tree.do("rewrite /usr/bin/ls evil")
    look_now(watched)
    wait_told(watched, *raised, *over, *raised)
