"""HTTP as the device speaks it: with whom, over which connection, and for how long."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fake_server import HTML, FakeServer, Reply, in_turn

from vedette.agent.menderconf import MenderConf
from vedette.agent.uplink import transport
from vedette.agent.uplink.backoff import TryLater
from vedette.agent.uplink.transport import Transport, tls_context
from vedette.clock import FakeClock


def line_to(conf: MenderConf) -> closing[Transport]:
    return closing(Transport(conf, tls_context(conf)[0], FakeClock()))


@pytest.fixture
def server() -> Iterator[FakeServer]:
    made = FakeServer()
    yield made
    made.close()


def test_a_connection_that_died_while_kept_is_replaced(server: FakeServer) -> None:
    server.on["/x"] = lambda _asked: Reply(status=200, close_after=True)
    with line_to(MenderConf(server_url=server.url)) as line:
        assert [line.request("POST", "/x", b"{}", {}).status for _ in range(3)] == [200, 200, 200]
    assert len({asked.connection for asked in server.asked}) == 3


def test_a_new_connection_that_dies_is_an_error_at_once(server: FakeServer) -> None:
    server.on["/x"] = lambda _asked: Reply(drop=True)
    with line_to(MenderConf(server_url=server.url)) as line, pytest.raises(TryLater, match="gave no answer"):
        line.request("POST", "/x", b"{}", {})
    assert len(server.asked) == 1


def test_the_path_of_the_server_url_comes_first(server: FakeServer) -> None:
    with line_to(MenderConf(server_url=server.url + "/mender")) as line:
        line.request("POST", "/x?y=1", b"[]", {"Authorization": "Bearer t"})
    (asked,) = server.asked
    assert asked.path == "/mender/x?y=1"
    assert asked.headers["authorization"] == "Bearer t"
    assert asked.headers["content-type"] == "application/json"


def test_redirects_stay_at_the_server(server: FakeServer) -> None:
    stranger = FakeServer()
    server.on["/old"] = lambda _asked: Reply(status=308, headers={"Location": "/new"})
    server.on["/away"] = lambda _asked: Reply(status=307, headers={"Location": stranger.url + "/x"})
    server.on["/round"] = lambda _asked: Reply(status=307, headers={"Location": "/round"})
    with line_to(MenderConf(server_url=server.url)) as line:
        assert line.request("POST", "/old", b"{}", {}).status == 204
        assert server.to("/new")[0].body == b"{}"
        assert line.request("POST", "/away", b"{}", {"Authorization": "Bearer t"}).status == 307
        assert line.request("POST", "/round", b"{}", {}).status == 307
    stranger.close()
    assert not stranger.asked
    assert len(server.to("/round")) == transport.MAX_REDIRECTS + 1


def test_a_huge_answer_is_cut_and_its_connection_given_up(server: FakeServer) -> None:
    server.on["/x"] = lambda _asked: Reply(status=200, body=b"z" * (transport.MAX_ANSWER + 5))
    with line_to(MenderConf(server_url=server.url)) as line:
        assert len(line.request("POST", "/x", b"{}", {}).body) == transport.MAX_ANSWER
        assert line.request("POST", "/y", b"{}", {}).status == 204
    assert len({asked.connection for asked in server.asked}) == 2


@pytest.mark.parametrize("slow", [b"", b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"])
def test_a_server_that_never_finishes_is_left(slow: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "EXCHANGE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ready = threading.Event()

        def serve() -> None:
            with listening.accept()[0] as connection:
                connection.sendall(slow)
                ready.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        conf = MenderConf(server_url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        with line_to(conf) as line, pytest.raises(TryLater, match=r"not done within 0\.2 s"):
            line.request("POST", "/x", b"{}", {})
        ready.set()
        thread.join()


@pytest.mark.parametrize("nonsense", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\0" * 200_000])
def test_whoever_does_not_speak_http(nonsense: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection = listening.accept()[0]
            with connection:
                connection.recv(65536)
                connection.sendall(nonsense)

        thread = threading.Thread(target=serve)
        thread.start()
        conf = MenderConf(server_url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        with line_to(conf) as line, pytest.raises(TryLater):
            line.request("POST", "/x", b"{}", {})
        thread.join()


def test_a_good_answer_is_never_quoted_for_it_may_be_a_secret(server: FakeServer) -> None:
    server.on["/x"] = in_turn(
        Reply(status=200, body=b"secret"),
        Reply(status=500, body=b'{"error": "internal error", "request_id": "42"}'),
        Reply(status=502, body=b"<html>", headers=HTML),
    )
    with line_to(MenderConf(server_url=server.url)) as line:
        said = [line.request("POST", "/x", b"{}", {}).says for _ in range(3)]
    assert said == ["200", "500 internal error", "502 and a page for people"]


class Authority:
    """A private CA, and a certificate of it for 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        self.certificate = directory / "ca.pem"
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test CA")])
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.now(UTC)

        def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder(ca_name, subject, public)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - timedelta(days=1))
                .not_valid_after(now + timedelta(days=1))
            )

        ca = (
            builder(ca_name, ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(ca_key, hashes.SHA256())
        )
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            builder(name, key.public_key())
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        self.certificate.write_bytes(ca.public_bytes(Encoding.PEM))
        both = directory / "server.pem"
        both.write_bytes(
            certificate.public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(both)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls_server(authority: Authority) -> Iterator[FakeServer]:
    made = FakeServer(authority.context)
    yield made
    made.close()


def test_the_named_authority_is_trusted(tls_server: FakeServer, authority: Authority) -> None:
    conf = MenderConf(server_url=tls_server.url, server_certificate=authority.certificate)
    with line_to(conf) as line:
        assert line.request("POST", "/x", b"{}", {}).status == 204
    assert tls_context(conf)[1] == []


def test_an_unknown_authority_is_not(tls_server: FakeServer) -> None:
    with (
        line_to(MenderConf(server_url=tls_server.url)) as line,
        pytest.raises(TryLater, match=r"not trusted.*ServerCertificate"),
    ):
        line.request("POST", "/x", b"{}", {"Authorization": "Bearer t"})
    assert not tls_server.asked


def test_another_name_than_the_certificate_has(tls_server: FakeServer, authority: Authority) -> None:
    conf = MenderConf(server_url=f"https://localhost:{tls_server.port}", server_certificate=authority.certificate)
    with line_to(conf) as line, pytest.raises(TryLater, match="not trusted"):
        line.request("POST", "/x", b"{}", {})


def test_skip_verify_works_and_warns(tls_server: FakeServer) -> None:
    conf = MenderConf(server_url=tls_server.url, skip_verify=True)
    with line_to(conf) as line:
        assert line.request("POST", "/x", b"{}", {}).status == 204
    assert "SkipVerify is on" in tls_context(conf)[1][0]


def test_a_missing_certificate_file_warns_and_trusts_nobody_new(tls_server: FakeServer, tmp_path: Path) -> None:
    conf = MenderConf(server_url=tls_server.url, server_certificate=tmp_path / "gone.pem")
    assert "gone.pem is not used" in tls_context(conf)[1][0]
    with line_to(conf) as line, pytest.raises(TryLater, match="not trusted"):
        line.request("POST", "/x", b"{}", {})


def test_a_name_that_cannot_be_resolved() -> None:
    conf = MenderConf(server_url="http://nobody.invalid")
    with line_to(conf) as line, pytest.raises(TryLater, match=r"http://nobody\.invalid gave no answer"):
        line.request("POST", "/x", b"{}", {})
