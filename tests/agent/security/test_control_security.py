"""`mender-monitorctl scan`, `accept` and `help KIND`, without a daemon."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from proc_tree import Tree

from vedette.agent import control
from vedette.agent.paths import SCANNED_VARIABLE
from vedette.model.security import SECURITY

Ctl = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    tree = Tree(tmp_path / "scanned")
    tree.process(5, "/usr/sbin/sshd")
    tree.listen("tcp 0.0.0.0:22", 5)
    monkeypatch.setenv(SCANNED_VARIABLE, str(tree.root))
    return tree


@pytest.fixture
def ctl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ctl:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = control.main(["--root", str(tmp_path / "root"), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_scan_prints_one_finding_a_line_and_exits_as_promised(tree: Tree, ctl: Ctl) -> None:
    code, out, err = ctl("scan", "ports")
    assert (code, err) == (1, "")
    assert out.startswith("tcp 0.0.0.0:22: sshd (/usr/sbin/sshd, pid 5) listens on tcp 0.0.0.0:22; since 2026-01-01T")
    assert ctl("scan", "ports", "allow=tcp/22") == (0, "", "")
    assert ctl("scan", "ports", "PORTS_ALLOW=tcp/22") == (0, "", "")


def test_what_cannot_be_looked_at_is_no_finding(tree: Tree, ctl: Ctl) -> None:
    for name in ("tcp", "tcp6", "udp", "udp6"):
        (tree.root / "proc/net" / name).unlink()
    code, out, err = ctl("scan", "ports")
    assert (code, out) == (2, "")
    assert "lists no sockets" in err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("port",),
        ("ports", "allow"),
        ("ports", "allow=x"),
        ("ports", "--check"),
        ("ports", "--check", "none"),
        ("ports", "--x"),
    ],
)
def test_a_scan_that_was_asked_wrongly_exits_with_2_and_one_line(ctl: Ctl, arguments: tuple[str, ...]) -> None:
    code, out, err = ctl("scan", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_json_has_everything(tree: Tree, ctl: Ctl) -> None:
    code, out, _ = ctl("scan", "ports", "--json")
    table = json.loads(out)
    assert code == 1
    assert (table["kind"], table["unseen"], table["partial"]) == ("ports", [], False)
    (found,) = table["findings"]
    assert (found["key"], found["status"], found["by"], found["fingerprint"]) == (
        "tcp 0.0.0.0:22",
        "PORT_OPEN",
        "user root",
        "/usr/sbin/sshd",
    )


def test_accepted_findings_are_those_of_the_check_and_of_their_content(tree: Tree, ctl: Ctl) -> None:
    assert ctl("create", "ports", "a")[0] == 0
    assert ctl("scan", "ports", "--check", "a")[0] == 1
    assert ctl("accept", "ports", "a", "tcp 0.0.0.0:22") == (0, "", "")
    assert ctl("accept", "ports", "a") == (0, "tcp 0.0.0.0:22\n", "")
    assert ctl("scan", "ports", "--check", "a")[:2] == (0, "")
    assert ctl("scan", "ports")[0] == 1
    tree.process(5, "/usr/bin/nc")
    assert ctl("scan", "ports", "--check", "a")[0] == 1
    assert ctl("accept", "ports", "a", "--all")[0] == 0
    assert ctl("scan", "ports", "--check", "a")[0] == 0
    assert ctl("accept", "ports", "a", "--all", "--undo")[0] == 0
    assert ctl("accept", "ports", "a") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("ports",), 2, "usage"),
        (("ports", "a", "x", "--all"), 2, "usage"),
        (("ports", "a", "--undo"), 2, "usage"),
        (("ports", "b", "x"), 1, "there is no check 'b'"),
        (("log", "a", "x"), 1, "no security check 'log'"),
        (("ports", "a", "tcp 0.0.0.0:99"), 1, "is not found"),
        (("ports", "a", "tcp 0.0.0.0:22", "--undo"), 1, "is not accepted"),
    ],
)
def test_what_cannot_be_accepted_is_refused_with_one_line(
    tree: Tree, ctl: Ctl, arguments: tuple[str, ...], code: int, words: str
) -> None:
    ctl("create", "ports", "a")
    status, out, err = ctl("accept", *arguments)
    assert (status, out, err.count("\n")) == (code, "", 1)
    assert words in err
    assert not (tree.root.parent / "root/var/lib/mender-monitor/security").exists()


@pytest.mark.parametrize("kind", SECURITY)
def test_help_names_every_setting(ctl: Ctl, kind: str) -> None:
    code, out, _ = ctl("help", kind)
    assert code == 0
    words = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert SECURITY[kind].settings.keys() <= words
