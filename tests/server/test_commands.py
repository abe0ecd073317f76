"""The commands as people type them: real processes."""

import json
import logging
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from serving import EMAIL, LOGIN, PASSWORD

from vedette.server import commands

DEADLINE_S = 30


def vedette(*words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vedette", *words],
        input=stdin, capture_output=True, text=True, timeout=DEADLINE_S, env=os.environ | environ, check=False,
    )  # fmt: skip


@contextmanager
def running(data: Path, *words: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """A server that listens: its process, address, and what it said until then."""
    command = [sys.executable, "-m", "vedette", "server", "--listen", "127.0.0.1:0", "--data", str(data), *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environ) as process:
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if found := re.search(r"listening on (\S+),", line):
                    yield process, found[1], said
                    break
            else:
                pytest.fail("the server did not start: " + "".join(said))
        finally:
            if process.poll() is None:
                process.kill()


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0


def test_from_first_start_to_login_and_again(tmp_path: Path) -> None:
    data = tmp_path / "new/data"
    with running(data) as (process, url, said):
        hint = "".join(said)
        assert "made the tenant 'default'" in hint
        assert f"--data {data}" in hint
        made = vedette(
            "user", "create", EMAIL, "--tenant", "default", "--password-stdin", "--data", str(data), stdin=PASSWORD
        )
        assert (made.returncode, made.stdout, made.stderr) == (0, f"created user {EMAIL} in tenant default\n", "")
        assert httpx.post(url + LOGIN, auth=(EMAIL, PASSWORD), trust_env=False).status_code == 200
        tenant = json.loads(vedette("tenant", "create", "factory", "--json", "--data", str(data)).stdout)
        assert tenant.keys() == {"id", "name", "tenant_token"}
        stop(process)
    assert data.stat().st_mode & 0o777 == 0o700
    with running(data) as (process, url, said):
        assert "first start" not in "".join(said)
        assert httpx.post(url + LOGIN, auth=(EMAIL, PASSWORD), trust_env=False).status_code == 200
        stop(process)
    listed = json.loads(vedette("tenant", "list", "--json", "--data", str(data)).stdout)
    assert [each["name"] for each in listed] == ["default", "factory"]
    assert vedette("user", "list", "--data", str(data)).stdout.startswith(f"{EMAIL}  default  ")


def test_a_token_outlives_a_restart_and_kill_9(tmp_path: Path) -> None:
    with running(tmp_path) as (process, url, _):
        vedette(
            "user", "create", EMAIL, "--tenant", "default", "--password-stdin", "--data", str(tmp_path), stdin=PASSWORD
        )
        token = httpx.post(url + LOGIN, auth=(EMAIL, PASSWORD), trust_env=False).text
        process.kill()
        process.wait(DEADLINE_S)
    with running(tmp_path) as (process, url, _):
        answer = httpx.get(
            f"{url}/api/management/v1/useradm/users/me", headers={"Authorization": f"Bearer {token}"}, trust_env=False
        )
        assert answer.status_code == 200
        stop(process)


def one_sentence(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert result.returncode == 1, result
    assert result.stdout == ""
    assert result.stderr.startswith("vedette: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr


def test_internal_paths_have_a_port_of_their_own(tmp_path: Path) -> None:
    with running(tmp_path / "d", "--internal-listen", "127.0.0.1:0") as (process, url, said):
        (internal,) = (found[1] for line in said if (found := re.search(r"internal paths on (\S+)", line)))
        path = "/api/internal/v1/devauth/tenants/none/devices/count"
        assert [httpx.get(each + path, trust_env=False).status_code for each in (url, internal)] == [404, 200]
        assert httpx.get(f"{internal}/devices", trust_env=False).status_code == 404
        stop(process)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("--listen", "127.0.0.1:0", "--internal-listen", f"127.0.0.1:{port}", "--data", str(tmp_path / "e"))
        one_sentence(vedette("server", *words), f"127.0.0.1:{port}", "in use", "--internal-listen")


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one_sentence(
            vedette("server", "--listen", f"127.0.0.1:{port}", "--data", str(tmp_path / "d")),
            f"127.0.0.1:{port}", "in use", "--listen",
        )  # fmt: skip


def test_a_second_server_on_one_directory(tmp_path: Path) -> None:
    with running(tmp_path) as (process, url, _):
        one_sentence(
            vedette("server", "--listen", "127.0.0.1:0", "--data", str(tmp_path)), str(tmp_path), "another server"
        )
        assert httpx.get(f"{url}/alive", trust_env=False).status_code == 204
        stop(process)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one_sentence(vedette("server", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "file/d")), "file/d", "--data")
    one_sentence(vedette("server", "--listen", "127.0.0.1:0", "--data", "/proc/vedette"), "/proc/vedette")


def test_wrong_settings(tmp_path: Path) -> None:
    one_sentence(vedette("server", "--data", str(tmp_path), VEDETTE_LISTN="x"), "VEDETTE_LISTN", "'listen'")
    one_sentence(vedette("server", "--data", str(tmp_path), "--listen", "nonsense"), "listen", "nonsense")
    one_sentence(vedette("server", "--data", str(tmp_path), "--database", "mysql:///x"), "mysql")
    one_sentence(
        vedette(
            "server", "--data", str(tmp_path), "--listen", "127.0.0.1:0", "--tls-cert", "/none", "--tls-key", "/none"
        ),
        "tls_cert",
    )
    (tmp_path / "vedette.db").write_bytes(b"no database" * 100)
    one_sentence(vedette("server", "--data", str(tmp_path), "--listen", "127.0.0.1:0"), "vedette.db")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["user", "create", "x", "--tenant", "t", "--password-stdin"], "email: must be a valid email address"),
        (["user", "create", EMAIL, "--tenant", "nobody", "--password-stdin"], "there is no tenant 'nobody'"),
        (["user", "create", EMAIL, "--tenant", "t", "--role", "KING", "--password-stdin"], "there is no role 'KING'"),
        (["tenant", "create", "t"], "there is a tenant 't' already"),
        (["tenant", "create", "a\nb"], "tenant name"),
    ],
)
def test_commands_that_are_refused(tmp_path: Path, words: list[str], text: str) -> None:
    assert vedette("tenant", "create", "t", "--data", str(tmp_path)).returncode == 0
    one_sentence(vedette(*words, "--data", str(tmp_path), stdin=PASSWORD), text)


def test_a_password_that_is_missing_or_short(tmp_path: Path) -> None:
    vedette("tenant", "create", "t", "--data", str(tmp_path))
    words = ["user", "create", EMAIL, "--tenant", "t", "--password-stdin", "--data", str(tmp_path)]
    one_sentence(vedette(*words), "standard input has no password")
    one_sentence(vedette(*words, stdin="short\n"), "minimum 8")
    assert vedette("user", "list", "--data", str(tmp_path)).stdout == ""


def test_a_terminal_is_asked_for_the_password_and_does_not_show_it(tmp_path: Path) -> None:
    vedette("tenant", "create", "t", "--data", str(tmp_path))
    words = ["user", "create", EMAIL, "--tenant", "t", "--password-stdin", "--data", str(tmp_path)]
    assert "the two passwords differ" in typed(words, PASSWORD, "another one")
    assert vedette("user", "list", "--data", str(tmp_path)).stdout == ""
    screen = typed(words, PASSWORD, PASSWORD)
    assert f"created user {EMAIL}" in screen
    assert PASSWORD not in screen


def typed(words: list[str], *answers: str) -> str:
    """What a terminal shows while a command runs on it; an answer is typed when the next question is there."""
    screen, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vedette", *words], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    seen, left = "", list(answers)
    with os.fdopen(screen, "r+b", buffering=0) as opened, suppress(OSError):  # EIO: the other side is closed
        while block := opened.read(1024):
            seen += block.decode()
            if left and seen.endswith(": "):
                opened.write(left.pop(0).encode() + b"\n")
    process.wait(DEADLINE_S)
    return seen


def test_what_is_no_text_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 reach Python as half characters, which no database can keep."""
    data = ["--data", str(tmp_path)]
    vedette("tenant", "create", "t", *data)
    one_sentence(vedette("tenant", "create", "a\udcff", *data), "tenant name")
    words = ["user", "create", EMAIL, "--password-stdin", *data]
    one_sentence(vedette(*words, "--tenant", "a\udcff", stdin=PASSWORD), "there is no tenant")
    result = subprocess.run(
        [sys.executable, "-m", "vedette", *words, "--tenant", "t"],
        input=b"correct \xff horse\n", capture_output=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (
        1, b"vedette: --password-stdin: what stands on standard input is not UTF-8\n"
    )  # fmt: skip


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "no.such.host.invalid"])
def test_a_host_that_cannot_be(tmp_path: Path, host: str) -> None:
    one_sentence(vedette("server", "--listen", f"{host}:0", "--data", str(tmp_path)), host[:50], "listen")


def test_nothing_from_outside_starts_a_line_in_the_log() -> None:
    formatter = commands._Formatter("%(levelname)s %(message)s")
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "GET %s failed", ("/a\nERROR forged \x1b[31m\u202e",), None)
    assert formatter.format(record) == "ERROR GET /a\\nERROR forged \\x1b[31m\\u202e failed"


def test_a_mistyped_directory_makes_no_second_server(tmp_path: Path) -> None:
    one_sentence(vedette("tenant", "list", "--data", str(tmp_path / "typo")), "typo", "there is none")
    assert not (tmp_path / "typo").exists()


def test_https(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    at = datetime(2020, 1, 1, tzinfo=UTC)
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, at, at.replace(year=2120))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(cert.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    words = ["--tls-cert", str(cert_file), "--tls-key", str(key_file)]
    with running(tmp_path / "d", *words) as (process, url, _):
        assert url.startswith("https://")
        trust = ssl.create_default_context(cafile=str(cert_file))
        assert httpx.get(f"{url}/alive", verify=trust, trust_env=False).status_code == 204
        stop(process)


def test_help_version_and_what_does_not_exist() -> None:
    assert "examples:" in vedette("--help").stdout
    assert vedette("--version").stdout.startswith("vedette ")
    assert (vedette().returncode, vedette("nonsense").returncode) == (2, 2)
    assert "'nonsense'" in vedette("nonsense").stderr
    for command in (["server"], ["tenant", "create"], ["user", "create"]):
        shown = vedette(*command, "--help")
        assert (shown.returncode, "examples:" in shown.stdout) == (0, True)
        assert "--data" in shown.stdout
    assert vedette("server", "--lis", "x").returncode == 2  # no abbreviations: they break when options are added


def test_help_loads_no_server() -> None:
    code = "import sys; from vedette.__main__ import main; main(['--help']); print('uvicorn' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.endswith("False\n")


def test_systemd_hears_of_it(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(DEADLINE_S)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "200000", "WATCHDOG_PID": ""}
        with running(tmp_path / "d", **environ) as (process, url, _):
            heard: list[bytes] = []
            while not (b"READY=1" in heard and heard.count(b"WATCHDOG=1") >= 3):
                heard.append(manager.recv(100))
            assert httpx.get(f"{url}/alive", trust_env=False).status_code == 204
            stop(process)
        while b"STOPPING=1" not in heard:
            heard.append(manager.recv(100))


def test_an_open_page_does_not_keep_the_server_from_stopping(tmp_path: Path) -> None:
    with running(tmp_path) as (process, url, _):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as idle:
            idle.sendall(b"GET /alive HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"204" in idle.recv(1000)
            idle.sendall(b"POST /api/devices/v1/authentication/auth_requests HTTP/1.1\r\nHost: x\r\n"
                         b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")  # fmt: skip
            stop(process)
