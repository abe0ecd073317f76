"""The security checks in a real daemon: raised, called off, accepted; and nothing lost or doubled by a kill."""

import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from proc_tree import Tree
from real_device import Device, wait_until

from vedette.agent import checkfiles, control
from vedette.agent.paths import SCANNED_VARIABLE
from vedette.agent.security.shelf import Shelf


@pytest.fixture
def tree(device: Device, tmp_path: Path) -> Tree:
    """What the checks of the device look at."""
    tree = Tree(tmp_path / "scanned")
    device.environment[SCANNED_VARIABLE] = str(tree.root)
    return tree


def enable(device: Device, kind: str, **settings: str) -> None:
    """A check `a` of this kind."""
    ctl(device, "create", kind, "a", "interval=5s", *(f"{name}={value}" for name, value in settings.items()))
    ctl(device, "enable", kind, "a")


def ctl(device: Device, *arguments: str) -> None:
    assert control.main(["--root", str(device.paths.root), *arguments]) == 0


def look_now(device: Device, kind: str) -> None:
    """As when somebody accepts something."""
    shelf = Shelf(device.paths.state_dir, f"{kind}_a")
    shelf.accept(shelf.accepted())


def told(device: Device) -> list[tuple[str, str]]:
    return [(each["subject"]["name"], each["level"]) for each in device.alerts()]


def learned(device: Device, kind: str = "ports") -> bool:
    return bool(device.query(f"SELECT 1 FROM meta WHERE key = 'check {kind}_a'"))


def wait_told(device: Device, *expected: tuple[str, str]) -> None:
    wait_until(lambda: len(told(device)) >= len(expected), f"{expected}, there is {told(device)}\n{device.log()}")
    assert told(device) == list(expected)


@pytest.fixture
def watched(device: Device, tree: Tree) -> Iterator[Device]:
    """A device with a learned baseline of ports."""
    tree.process(5, "/usr/sbin/sshd")
    tree.listen("tcp 0.0.0.0:22", 5)
    enable(device, "ports", dwell="0")
    device.start()
    wait_until(lambda: learned(device), "the first look")
    return device


def test_a_port_of_this_machine_is_reported_with_what_where_since_by_and_what_to_do(device: Device) -> None:
    enable(device, "ports", dwell="0")
    device.start()
    wait_until(lambda: learned(device), "the first look")
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        key = f"tcp 0.0.0.0:{server.getsockname()[1]}"
        look_now(device, "ports")
        wait_until(lambda: (key, "CRITICAL") in told(device), "the port")
    look_now(device, "ports")
    wait_until(lambda: (key, "OK") in told(device), "the end of it")
    first = next(each for each in device.alerts() if each["subject"]["name"] == key)
    assert first["name"] == f"Port {key} is open"
    lines = first["subject"]["details"]["description"].splitlines()
    assert f"pid {os.getpid()}) listens on {key}" in lines[0]
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "Where",
        "Since",
        "By",
        "What to do",
        "If it is all right",
    ]


def test_the_first_look_raises_nothing_and_what_changed_while_the_daemon_was_off_is_found(
    watched: Device, tree: Tree
) -> None:
    assert watched.alerts() == []
    assert watched.stop() == 0
    tree.process(6, "/usr/bin/nc")
    tree.listen("tcp 0.0.0.0:4444", 6)
    watched.start()
    wait_told(watched, ("tcp 0.0.0.0:4444", "CRITICAL"))


def test_what_is_raised_goes_on_over_a_restart_and_is_called_off_by_the_look_that_does_not_find_it(
    watched: Device, tree: Tree
) -> None:
    tree.process(6, "/usr/bin/nc")
    tree.listen("tcp 0.0.0.0:4444", 6)
    look_now(watched, "ports")
    wait_told(watched, ("tcp 0.0.0.0:4444", "CRITICAL"))
    watched.kill()
    tree.close_all()
    watched.start()
    wait_told(watched, ("tcp 0.0.0.0:4444", "CRITICAL"), ("tcp 0.0.0.0:4444", "OK"))


def test_accepting_calls_off_at_once_and_undoing_raises_anew(watched: Device, tree: Tree) -> None:
    key = "tcp 0.0.0.0:4444"
    tree.process(6, "/usr/bin/nc")
    tree.listen(key, 6)
    look_now(watched, "ports")
    wait_told(watched, (key, "CRITICAL"))
    os.environ[SCANNED_VARIABLE] = str(tree.root)
    try:
        ctl(watched, "accept", "ports", "a", key)
    finally:
        del os.environ[SCANNED_VARIABLE]
    wait_told(watched, (key, "CRITICAL"), (key, "OK"))
    assert "accepted" in watched.alerts()[-1]["subject"]["details"]["description"]
    ctl(watched, "accept", "ports", "a", key, "--undo")
    wait_told(watched, (key, "CRITICAL"), (key, "OK"), (key, "CRITICAL"))


def test_disabling_calls_off_and_deleting_forgets_what_was_learned(watched: Device, tree: Tree) -> None:
    key = "tcp 0.0.0.0:4444"
    tree.process(6, "/usr/bin/nc")
    tree.listen(key, 6)
    look_now(watched, "ports")
    wait_told(watched, (key, "CRITICAL"))
    ctl(watched, "disable", "ports", "a")
    wait_told(watched, (key, "CRITICAL"), (key, "OK"))
    ctl(watched, "enable", "ports", "a")
    wait_told(watched, (key, "CRITICAL"), (key, "OK"), (key, "CRITICAL"))
    ctl(watched, "delete", "ports", "a")
    wait_told(watched, (key, "CRITICAL"), (key, "OK"), (key, "CRITICAL"), (key, "OK"))
    wait_until(lambda: not list((watched.paths.state_dir / "security").iterdir()), "the baseline to go")
    assert not learned(watched)


def test_a_check_that_is_deleted_while_the_daemon_is_off_is_called_off_and_forgotten(
    watched: Device, tree: Tree
) -> None:
    key = "tcp 0.0.0.0:4444"
    tree.process(6, "/usr/bin/nc")
    tree.listen(key, 6)
    look_now(watched, "ports")
    wait_told(watched, (key, "CRITICAL"))
    assert watched.stop() == 0
    ctl(watched, "delete", "ports", "a")
    watched.start()
    wait_told(watched, (key, "CRITICAL"), (key, "OK"))
    wait_until(lambda: not list((watched.paths.state_dir / "security").iterdir()), "the baseline to go")


def test_an_event_of_a_check_that_was_spoilt_is_called_off_in_its_time(device: Device, tree: Tree) -> None:
    tree.process(5, "/usr/bin/app")
    enable(device, "pid-change", process="app", expiration="3s")
    device.start()
    wait_until(lambda: learned(device, "pid-change"), "the first look")
    tree.end(5)
    tree.process(6, "/usr/bin/app", start_s=10**8)
    look_now(device, "pid-change")
    wait_told(device, ("app", "CRITICAL"))
    device.kill()
    checkfiles.create(device.paths, "pid-change", "a", [("PID_CHANGE_PROCESS", "app"), ("PID_CHANGE_WRONG", "1")])
    device.start()
    wait_told(device, ("app", "CRITICAL"), ("app", "OK"))
    assert "there is no variable PID_CHANGE_WRONG" in device.log()


def test_other_settings_call_off_what_they_allow(watched: Device, tree: Tree) -> None:
    tree.process(6, "/usr/bin/nc")
    for port in (4444, 5555):
        tree.listen(f"tcp 0.0.0.0:{port}", 6)
    look_now(watched, "ports")
    wait_told(watched, ("tcp 0.0.0.0:4444", "CRITICAL"), ("tcp 0.0.0.0:5555", "CRITICAL"))
    ctl(watched, "create", "ports", "a", "interval=5s", "dwell=0", "allow=tcp/4444")
    wait_until(lambda: len(told(watched)) == 3, "one to be called off")
    assert told(watched)[2] == ("tcp 0.0.0.0:4444", "OK")


def test_a_check_that_cannot_look_says_so_until_it_can(device: Device, tree: Tree) -> None:
    for name in ("tcp", "tcp6", "udp", "udp6"):
        (tree.root / "proc/net" / name).unlink()
    enable(device, "ports")
    device.start()
    wait_told(device, ("ports_a: scan", "CRITICAL"))
    assert "lists no sockets" in device.alerts()[0]["subject"]["details"]["description"]
    tree.listen("tcp 0.0.0.0:22")
    look_now(device, "ports")
    wait_told(device, ("ports_a: scan", "CRITICAL"), ("ports_a: scan", "OK"))


def test_of_too_many_findings_the_rest_is_counted_by_one_alert(watched: Device, tree: Tree) -> None:
    for port in range(1000, 1150):
        tree.listen(f"tcp 0.0.0.0:{port}", 5)
    look_now(watched, "ports")
    wait_until(lambda: len(told(watched)) >= 101, "101 alerts")
    assert ("ports_a: further findings", "CRITICAL") in told(watched)
    assert "50 more findings" in watched.alerts()[-1]["subject"]["details"]["description"]
    tree.close_all()
    look_now(watched, "ports")
    wait_until(lambda: [level for _, level in told(watched)].count("OK") == 101, "all to be called off")
    assert len(told(watched)) == 202


def test_a_damaged_baseline_is_said_and_learned_anew(watched: Device, tree: Tree) -> None:
    assert watched.stop() == 0
    (baseline,) = (watched.paths.state_dir / "security").glob("ports_a.*")
    baseline.write_bytes(baseline.read_bytes()[:-5])
    watched.start()
    wait_told(watched, ("ports_a: baseline", "CRITICAL"))
    assert (watched.paths.state_dir / "security/ports_a.damaged").exists()
    tree.listen("tcp 0.0.0.0:4444", 5)
    look_now(watched, "ports")
    wait_told(watched, ("ports_a: baseline", "CRITICAL"), ("tcp 0.0.0.0:4444", "CRITICAL"))


def test_kills_at_any_moment_neither_lose_nor_double_what_is_found_once(device: Device, tree: Tree) -> None:
    """Each restart of a process is an event of its own, seen by one look only, whose memory moves on with it."""
    rounds = random.Random(7)
    names = [f"p{number}" for number in range(8)]
    for number, name in enumerate(names):
        tree.process(100 + number, f"/usr/bin/{name}")
    enable(device, "pid-change", process=",".join(names))
    device.start()
    wait_until(lambda: learned(device, "pid-change"), "the first look")
    for number, name in enumerate(names):
        tree.end(100 + number)
        tree.process(200 + number, f"/usr/bin/{name}", start_s=10**8)
        look_now(device, "pid-change")
        time.sleep(0.4 + rounds.random() * 0.8)  # not to wait for something, but to kill at any moment
        device.kill()
        device.start()
    wait_until(lambda: len(device.alerts()) >= len(names), f"{len(names)} restarts\n{device.log()}")
    look_now(device, "pid-change")
    wait_until(lambda: '"at"' in str(device.query("SELECT value FROM meta WHERE key = 'check pid-change_a'")), "")
    assert sorted(told(device)) == [(name, "CRITICAL") for name in names]


def test_checks_made_by_hand_and_refused_settings(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    ctl(device, "create", "ports", "a", "PORTS_ALLOW=tcp/22", "dwell=2m")
    file = checkfiles.find(device.paths, "ports", "a")
    assert dict(file.values) == {"PORTS_ALLOW": "tcp/22", "PORTS_DWELL": "2m"}
    for wrong in ("port=1", "allow=22", "dwell=soon", "level=OK", "allow"):
        assert control.main(["--root", str(device.paths.root), "create", "ports", "b", wrong]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert [each.stem for each in checkfiles.available(device.paths)] == ["ports_a"]
