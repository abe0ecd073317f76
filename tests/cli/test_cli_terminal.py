"""What is printed on a terminal and what elsewhere; a person who types a password."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from serving import EMAIL, PASSWORD, RealServer

from vedette.cli.output import Output, harmless, key, plain

COLUMNS = {"LEVEL": key("level"), "NAME": key("name")}
ITEMS = [{"level": "CRITICAL", "name": "東京 " + "x" * 100}, {"level": "OK"}]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(out: io.StringIO, **environ: str) -> list[str]:
    Output(as_json=False, environ=environ, out=out).table(ITEMS, COLUMNS)
    return out.getvalue().splitlines()


def test_elsewhere_nothing_is_coloured_or_cut() -> None:
    assert shown(io.StringIO()) == ["LEVEL     NAME", "CRITICAL  東京 " + "x" * 100, "OK        -"]


def test_on_a_terminal_the_line_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    head, first, second = shown(Screen())
    assert head == "LEVEL     NAME"
    assert first == "\x1b[31mCRITICAL\x1b[0m  東京 " + "x" * 24 + "…"
    assert second == "\x1b[32mOK\x1b[0m        -"
    for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in "".join(shown(Screen(), **environ))


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\r", "\x9b31m", "\u202e", "\x07", "\u2028", "\ud800"])
def test_nothing_steers_the_terminal(text: str) -> None:
    assert harmless(text).isprintable()
    assert plain({text: [text]}).isprintable()


def typed_on_a_terminal(home: Path, words: list[str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run a command on a terminal; each answer is typed once its question is there."""
    screen, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vedette", *words],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=os.environ | {"HOME": str(home), "TERM": "dumb"},
    )  # fmt: skip
    os.close(theirs)
    seen = ""
    with os.fdopen(screen, "r+b", buffering=0) as opened:
        while True:
            try:
                block = opened.read(1024)
            except OSError:  # EIO: the other side is closed
                break
            if not block:
                break
            seen += block.decode(errors="replace")
            if answers and answers[0][0] in seen:
                opened.write(answers.pop(0)[1].encode() + b"\n")
    return process.wait(60), seen


def test_a_person_is_asked_and_the_password_is_not_shown(server: RealServer, home: Path) -> None:
    login = ["login", server.url, "--email", EMAIL]
    status, seen = typed_on_a_terminal(home, login, [("Password: ", PASSWORD)])
    assert (status, f"logged in to {server.url}" in seen) == (0, True), seen
    assert PASSWORD not in seen
    add = ["users", "add", "bob@example.com", "--role", "RBAC_ROLE_OBSERVER"]
    assert typed_on_a_terminal(home, add, [("Password of the new user: ", PASSWORD)])[0] == 0
    remove = ["users", "delete", "bob@example.com"]
    status, seen = typed_on_a_terminal(home, remove, [("Remove user bob@example.com? [y/N] ", "")])
    assert (status, "nothing was done" in seen) == (2, True), seen
    assert typed_on_a_terminal(home, remove, [("[y/N] ", "y")])[0] == 0


def test_who_stops_reading_sees_no_traceback(server: RealServer, home: Path) -> None:
    command = [sys.executable, "-m", "vedette", "roles", "list", "--server", server.url]
    environ = os.environ | {"HOME": str(home), "VEDETTE_TOKEN": server.login()}
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        done = subprocess.run(
            command, stdout=nobody, stderr=subprocess.PIPE, text=True, env=environ, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (1, "")
