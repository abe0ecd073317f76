"""Logging in and out, and where the token is kept."""

import json
import os
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyotp
import pytest
from serving import EMAIL, PASSWORD, RealServer
from typed import Vedette

from vedette.cli import COMMON
from vedette.cli.main import parsers
from vedette.clock import FakeClock, SystemClock
from vedette.server.db import SYSTEM


@pytest.fixture
def file(home: Path) -> Path:
    return home / ".config/vedette/logins.json"


def test_a_login_can_be_read_by_nobody_else(ann: Vedette, file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]
    assert PASSWORD not in file.read_text()
    assert ann("whoami", "--json").json()["user"]["email"] == EMAIL
    file.chmod(0o640)
    done = ann("whoami")
    assert (done.status, "chmod 600" in done.err) == (1, True)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"current": "x", "logins": {"x": {"token": 1, "what": 2}}}', "[" * 9999]
)
def test_a_damaged_file_says_so(vedette: Vedette, file: Path, text: str) -> None:
    file.parent.mkdir(parents=True)
    file.touch(mode=0o600)
    file.write_text(text)
    done = vedette("whoami")
    assert (done.status, "is damaged" in done.err) == (1, True), done.err


def test_logout_ends_the_token(ann: Vedette, server: RealServer, file: Path) -> None:
    token = json.loads(file.read_text())["logins"][server.url]["token"]
    assert ann("logout").status == 0
    assert server.client(token).get("/api/management/v1/useradm/users/me").status_code == 401
    assert token not in file.read_text()
    assert ann("whoami").status == 3
    assert ann("logout").status == 3


def test_a_token_that_has_ended_is_3_and_can_be_logged_out(ann: Vedette, server: RealServer, file: Path) -> None:
    token = json.loads(file.read_text())["logins"][server.url]["token"]
    assert server.client(token).post("/api/management/v1/useradm/auth/logout").status_code == 202
    assert ann("devices", "list").status == 3
    assert ann("logout").status == 0


def test_wrong_passwords_store_nothing(vedette: Vedette, server: RealServer, file: Path) -> None:
    for words, stdin, status in (
        (("--email", EMAIL), "wrong password\n", 3),
        (("--email", EMAIL), "", 2),
        (("--email", EMAIL), "\xff\n", 3),
        ((), PASSWORD, 2),
        (("--with-token",), "no.such.token", 3),
        (("--with-token",), "no such\x7ftoken", 2),
        (("--email", EMAIL, "--server", "http://127.0.0.1"), PASSWORD, 2),
    ):
        assert vedette("login", server.url, *words, stdin=stdin).status == status, words
    assert not file.exists()


def test_a_token_is_shown_to_its_own_server_only(ann: Vedette, server: RealServer) -> None:
    done = ann("whoami", "--server", "http://127.0.0.1:1")
    assert (done.status, "not logged in to http://127.0.0.1:1" in done.err) == (3, True)
    assert ann("whoami", "--server", server.url + "/").status == 0


def test_personal_access_tokens(ann: Vedette, server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    token = ann("tokens", "add", "ci", "--expires", "2h").out
    assert token.count(".") == 2
    assert token.strip() not in ann("tokens", "list").out
    assert ann("login", server.url, "--with-token", stdin=token).status == 0
    assert ann("logout").status == 0, "only forgotten here"
    assert ann("whoami").status == 3
    monkeypatch.setenv("VEDETTE_TOKEN", token)
    monkeypatch.setenv("VEDETTE_SERVER", server.url)
    assert ann("whoami", "--json").json()["user"]["email"] == EMAIL
    assert ann("logout").status == 2
    assert ann("tokens", "delete", "ci").status == 0
    assert ann("whoami").status == 3


@pytest.fixture
def clock(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Time stands still at the server, so that codes do not change in the middle of a test."""
    made = FakeClock(wall=SystemClock().now().replace(second=15), since_boot=SystemClock().elapsed())
    monkeypatch.setattr(server.services.clock, "now", made.now, raising=False)
    return made


def test_a_second_factor(ann: Vedette, server: RealServer, clock: FakeClock, tmp_path: Path) -> None:
    async def secret(tx: Any) -> Any:
        return await tx.value("SELECT secret FROM second_factor")

    def code(steps: int) -> str:
        otp = pyotp.TOTP(server.run(server.services.db.read(SYSTEM, secret)))
        return otp.at(clock.wall + timedelta(seconds=30 * steps))

    picture = tmp_path / "2fa.png"
    assert ann("users", "2fa", "start").status == 2
    assert ann("users", "2fa", "start", "--picture", str(picture)).status == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert stat.S_IMODE(picture.stat().st_mode) == 0o600
    assert ann("users", "2fa", "verify", stdin=code(0)).status == 0
    clock.advance(60)
    login = ("login", server.url, "--email", EMAIL)
    assert ann(*login, stdin=f"{PASSWORD}\n").status == 2, "a code is missing"
    assert ann(*login, stdin=f"{PASSWORD}\n000000\n").status == 3
    assert ann(*login, stdin=f"{PASSWORD}\n{code(0)}\n").status == 0
    clock.advance(30)
    assert ann("users", "2fa", "disable", stdin="wrong\n").status == 1
    assert ann("users", "2fa", "disable", "--code", stdin=f"{code(0)}\n").status == 0
    assert ann("users", "2fa", "disable").status == 0, "there is none any more"
    assert ann("users", "show", "me", "--json").json()["tfa_status"] == "disabled"


def test_what_counts_for_every_command_is_typed_before_it_too(ann: Vedette, server: RealServer) -> None:
    here = ("--server", server.url)
    assert ann(*here, "--json", "users", "show", "me").json() == ann("users", "show", "me", *here, "--json").json()
    assert ann(f"--server={server.url}", "whoami").status == 0
    assert ann("--server", "http://127.0.0.1:1", "devices", "list", "--limit", "3").status == 3
    assert ann("--server", server.url, "nonsense").status == 2
    assert ann("--server").status == 2
    leaves = parsers()[1].values()
    assert all(COMMON.keys() <= leaf._option_string_actions.keys() for leaf in leaves)
    assert all(
        (leaf._option_string_actions[name].nargs != 0) is value for name, value in COMMON.items() for leaf in leaves
    )


def test_who_logged_in_before_needs_no_address(ann: Vedette, server: RealServer) -> None:
    assert ann("login", server.url, stdin=PASSWORD).status == 0


def test_another_directory_for_settings(
    ann: Vedette, server: RealServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    assert ann("whoami").status == 3
    assert ann("login", server.url, "--email", EMAIL, stdin=PASSWORD).status == 0
    assert (tmp_path / "elsewhere/vedette/logins.json").exists()


def test_the_server_is_not_confused_by_what_clients_read(tmp_path: Path) -> None:
    """Who tries both on one machine has both in one environment."""
    words = [sys.executable, "-m", "vedette", "user", "list", "--data", str(tmp_path)]
    environ = os.environ | {"VEDETTE_TOKEN": "x", "VEDETTE_SERVER": "http://127.0.0.1:1", "VEDETTE_CA": "x"}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def https(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with a certificate of its own: its address, the file to trust it by."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    _certify(certificate, key)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: Any) -> None: ...

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}", certificate
    server.shutdown()
    thread.join(10)
    server.server_close()


def _certify(certificate: Path, key: Path) -> None:
    from ipaddress import IPv4Address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = SystemClock().now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def test_certificates_are_checked(
    vedette: Vedette, https: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url, certificate = https
    monkeypatch.setenv("VEDETTE_TOKEN", "a.b.c")
    done = vedette("users", "list", "--server", url)
    assert (done.status, "not trusted" in done.err, "--ca" in done.err) == (5, True, True)
    assert vedette("users", "list", "--server", url, "--ca", str(certificate), "--json").json() == []
    monkeypatch.setenv("VEDETTE_CA", str(certificate))
    assert vedette("users", "list", "--server", url, "--json").json() == []
    for wrong in (tmp_path / "nothing", tmp_path / "key.pem"):
        assert vedette("users", "list", "--server", url, "--ca", str(wrong)).status == 2
