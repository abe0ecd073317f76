"""The commands in this process, against a real server; a login of its own for each test."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import EMAIL, PASSWORD, FakeDevice, RealServer, cheap_secrets, real_server
from typed import MAC, Done, Vedette

from vedette.__main__ import main
from vedette.server.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def cheap() -> Iterator[None]:
    with cheap_secrets():
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with nothing in it, and an environment that says nothing."""
    made = tmp_path / "home"
    made.mkdir()
    monkeypatch.setenv("HOME", str(made))
    for name in ("XDG_CONFIG_HOME", "VEDETTE_SERVER", "VEDETTE_TOKEN", "VEDETTE_CA", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def vedette(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Vedette:
    """Types a command. What stands on standard input is `stdin`."""

    def run(*words: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capfd.readouterr()
        try:
            status = main(words)
        except SystemExit as exc:  # argparse
            status = exc.code if isinstance(exc.code, int) else 1
        return Done(status, *capfd.readouterr())

    return run


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[RealServer]:
    """A server with one tenant and nobody in it."""
    data = tmp_path / "data"
    data.mkdir()
    with real_server(Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")) as made:
        yield made


@pytest.fixture
def server(empty_server: RealServer) -> RealServer:
    """A server with an administrator."""
    empty_server.add_user(EMAIL)
    return empty_server


@pytest.fixture
def ann(server: RealServer, vedette: Vedette) -> Vedette:
    """An administrator who is logged in."""
    done = vedette("login", server.url, "--email", EMAIL, stdin=f"{PASSWORD}\n")
    assert done.status == 0, done.err
    return vedette


@pytest.fixture
def device(server: RealServer) -> FakeDevice:
    """A device that waits to be let in."""
    made = FakeDevice(server, {"mac": MAC})
    assert made.request().status_code == 401
    return made
