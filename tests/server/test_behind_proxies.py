"""The examples of docs/server.md for a proxy in front, with the real nginx and the real Caddy, over https."""

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from textwrap import indent

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from serving import DEADLINE_S, EMAIL, LOGIN, PASSWORD, FakeDevice, RealServer, real_server

from vedette.server.settings import Settings
from vedette.server.web.live import BEAT_S

GUIDE = (Path(__file__).parents[2] / "docs/server.md").read_text()
UPSTREAM = "127.0.0.1:8080"  # as the examples have it


def nginx(place: Path, port: int, upstream: str) -> list[str]:
    """Its command line, with the example of the guide as the only site."""
    found = re.search(r"^nginx:\n\n((?: {4}.*\n)+)", GUIDE, re.MULTILINE)
    assert found, "the guide has no example for nginx any more"
    site = found[1].replace(UPSTREAM, upstream)
    temporary = "\n".join(
        f"    {kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (place / "nginx.conf").write_text(f"""
daemon off; pid {place}/nginx.pid; error_log stderr warn; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
{temporary}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {place}/chain.pem;
        ssl_certificate_key {place}/key.pem;
{indent(site, "    ")}
    }}
}}
""")
    return ["nginx", "-p", str(place), "-c", str(place / "nginx.conf"), "-e", "stderr"]


def caddy(place: Path, port: int, upstream: str) -> list[str]:
    """Its command line, likewise."""
    found = re.search(r"^Caddy needs `([^`]+)`", GUIDE, re.MULTILINE)
    assert found, "the guide has no example for Caddy any more"
    (place / "Caddyfile").write_text(f"""
{{
    admin off
    auto_https off
    storage file_system {place}/caddy
}}
https://127.0.0.1:{port} {{
    tls {place}/chain.pem {place}/key.pem
    {found[1].replace(UPSTREAM, upstream)}
}}
""")
    return ["caddy", "run", "--config", str(place / "Caddyfile"), "--adapter", "caddyfile"]


PROXIES: dict[str, Callable[[Path, int, str], list[str]]] = {"nginx": nginx, "caddy": caddy}


def certify(place: Path) -> ssl.SSLContext:
    """A certificate for this machine; the context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (place / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    (place / "chain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return ssl.create_default_context(cafile=str(place / "chain.pem"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def running(command: list[str], port: int, place: Path) -> Iterator[None]:
    """The proxy, from when it listens."""
    with (place / "proxy.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={"HOME": str(place), "PATH": "/usr/sbin:/usr/bin"}
        )
    try:
        until = time.monotonic() + DEADLINE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                said = (place / "proxy.log").read_text()
                assert process.poll() is None, said
                assert time.monotonic() < until, said
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


@pytest.fixture(params=PROXIES)
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[RealServer, httpx.Client]]:
    """A server that trusts the proxy before it, and somebody who comes by that proxy."""
    name = request.param
    if shutil.which(name, path="/usr/sbin:/usr/bin") is None:
        pytest.skip(f"{name} is not installed")
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    trusts = certify(tmp_path)
    (tmp_path / "data").mkdir()
    settings = Settings(listen="127.0.0.1:0", data=tmp_path / "data", public_url=url, trusted_proxies="127.0.0.1")
    with (
        real_server(settings) as server,
        running(PROXIES[name](tmp_path, port, server.url.removeprefix("http://")), port, tmp_path),
        httpx.Client(base_url=url, verify=trusts, timeout=DEADLINE_S, trust_env=False) as client,
    ):
        server.add_user(EMAIL)
        yield server, client


def test_people_log_in_and_their_pages_stay_live(behind: tuple[RealServer, httpx.Client]) -> None:
    _, client = behind
    answer = client.post(
        "/login", data={"email": EMAIL, "password": PASSWORD}, headers={"Origin": str(client.base_url)}
    )
    assert answer.status_code == 303, answer.text
    assert "secure" in answer.headers["set-cookie"].lower()
    assert "strict-transport-security" in answer.headers
    assert client.get("/devices").status_code == 200
    with client.stream("GET", "/live", timeout=BEAT_S - 1) as stream:  # the next event is no help for one held back
        assert next(stream.iter_lines()).startswith("event: beat")


def test_devices_and_scripts_come_through(behind: tuple[RealServer, httpx.Client]) -> None:
    server, client = behind
    token = client.post(LOGIN, auth=(EMAIL, PASSWORD))
    assert (token.status_code, token.headers["content-type"]) == (200, "application/jwt")
    assert FakeDevice(server, {"sn": "1"}).request().status_code == 401
    answer = client.post(
        "/api/management/v2/inventory/filters/search",
        content=(part for part in (b"{", b"}")),  # chunked
        headers={"Authorization": f"Bearer {token.text}", "Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    assert "x-total-count" in answer.headers
