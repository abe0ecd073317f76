"""Is an address reached? Real probes against real sockets on the loopback."""

import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from checks_world import Stage, a_file, description

from vedette.agent import probe
from vedette.agent.checks import connectivity
from vedette.agent.checks.connectivity import ConnectivityCheck
from vedette.agent.settings import Settings
from vedette.agent.targets import Target, target
from vedette.errors import Invalid


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(connectivity, "RUNNING_SYSTEMD", tmp_path / "none")
    monkeypatch.setattr(connectivity, "RUN_LEVELS", tmp_path / "none")
    monkeypatch.setattr(connectivity, "BOOT_S", 0.0)
    made = Stage(tmp_path)
    yield made
    made.close()


def check(address: str, **values: str) -> ConnectivityCheck:
    return ConnectivityCheck(
        a_file(
            "connectivity",
            **{"CONNECTIVITY_ADDRESS": address, "CONNECTIVITY_TRIES": "1", "CHECK_INTERVAL": "1"} | values,
        ),
        Settings(),
    )


class Web(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, status: int = 200) -> None:
        self.heard: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                outer.heard.append((self.path, self.headers.get("Authorization")))
                assert self.headers["Host"] == f"127.0.0.1:{outer.server_port}"
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_web_server_that_answers_is_reached(stage: Stage, status: int) -> None:
    with closing(Web(status)) as web:
        stage.start(check(web.url + "/alive?x=1#top"))
        (verdict, *_) = stage.hears(1)
        assert verdict.ok
        assert description(verdict).endswith(f"the server answered {status}")
        assert web.heard[0] == ("/alive?x=1", None)
    assert verdict.name == f"Unable to connect to the address '{web.url}/alive?x=1#top'"
    assert (verdict.subject.type, verdict.subject.status) == ("connectivity", "connected")


def test_a_password_goes_to_the_server_and_nowhere_else(stage: Stage) -> None:
    with closing(Web()) as web:
        stage.start(check(web.url.replace("//", "//me:hunter%32@")))
        (verdict, *_) = stage.hears(1)
        assert web.heard == [("/", "Basic bWU6aHVudGVyMg==")]
    assert "hunter" not in repr(verdict)
    assert "me:[redacted]@" in verdict.name


def test_it_is_told_when_the_port_closes_and_when_it_opens_again(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stage.start(check(f"127.0.0.1:{port}"))
        (first, *_) = stage.hears(1)
        assert first.ok
        assert description(first).endswith(f"connected to 127.0.0.1:{port}")
    stage.run_until(lambda: not stage.said[-1].ok, "the failure")
    failed = stage.said[-1]
    assert failed.name == f"Unable to connect to the address '127.0.0.1:{port}'"
    assert failed.subject.status == "not-connected"
    assert description(failed).endswith("Connection refused")
    with socket.create_server(("127.0.0.1", port)):
        stage.run_until(lambda: stage.said[-1].ok, "the way back")


def test_what_never_answers_is_given_up_in_time(stage: Stage) -> None:
    """The connection is taken, then silence."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stage.start(check(f"http://127.0.0.1:{server.getsockname()[1]}/", CHECK_TIME_LIMIT="1"))
        (verdict, *_) = stage.hears(1)
    assert not verdict.ok
    assert "no answer within 1 s" in description(verdict)


def test_a_probe_that_hangs_is_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    start = stage.world.host.start_child

    def hang(name: str, args: object, on_output: Callable[[bytes], None], on_end: Callable[[int], None]) -> object:
        return start(name, ("-c", "import time; time.sleep(1000)"), on_output, on_end)

    monkeypatch.setattr(stage.world.host, "start_child", hang)
    stage.start(check("127.0.0.1:9", CHECK_TIME_LIMIT="1"))
    (verdict, *_) = stage.hears(1)
    assert "no answer within 1 s" in description(verdict)
    one_more = len(stage.world.host._processes)
    assert one_more <= 1


def test_while_the_network_comes_up_after_the_boot_nothing_is_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectivity, "BOOT_S", 1e12)
    one = check("127.0.0.1:9")
    ended: list[int] = []
    on_end = one._on_end
    monkeypatch.setattr(one, "_on_end", lambda code: (ended.append(code), on_end(code)))
    stage.start(one)
    stage.run_until(lambda: ended, "the probe to end")
    assert stage.said == []


def test_while_the_machine_goes_down_nothing_is_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    levels = tmp_path / "utmp"
    levels.write_bytes(struct.pack("h2xi376x", 1, ord("6")))
    monkeypatch.setattr(connectivity, "RUN_LEVELS", levels)
    one = check("127.0.0.1:9")
    ended: list[int] = []
    on_end = one._on_end
    monkeypatch.setattr(one, "_on_end", lambda code: (ended.append(code), on_end(code)))
    stage.start(one)
    stage.run_until(lambda: ended, "the probe to end")
    assert stage.said == []


@pytest.mark.skipif(os.geteuid() != 0, reason="binding to an interface may need CAP_NET_RAW")
def test_through_an_interface(stage: Stage) -> None:
    with closing(Web()) as web:
        stage.start(check(web.url, CONNECTIVITY_INTERFACE="lo"))
        assert stage.hears(1)[0].ok
        stage.said.clear()
        stage.start(check(web.url, CONNECTIVITY_INTERFACE="none0"))
        stage.run_until(lambda: any(not each.ok for each in stage.said), "the failure")
    (failed, *_) = (each for each in stage.said if not each.ok)
    assert "the interface none0 cannot be used" in description(failed)


# -- DNS -------------------------------------------------------------------------------------------------------------


class NameServer:
    """Knows one name."""

    def __init__(self, name: bytes) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._name = name
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(512)
            if not data:
                return
            name = b".".join(self._labels(data[12:]))
            code = 0 if name == self._name else 3
            self._socket.sendto(data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, 0, 0, 0) + data[12:], peer)

    def _labels(self, data: bytes) -> Iterator[bytes]:
        while data[0]:
            yield data[1 : data[0] + 1]
            data = data[data[0] + 1 :]

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as goodbye:
            goodbye.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


@pytest.mark.parametrize(("name", "ok"), [("vedette.example", True), ("nobody.example", False)])
def test_a_name_server_is_asked(stage: Stage, name: str, ok: bool) -> None:
    with closing(NameServer(b"vedette.example")) as server:
        stage.start(check(f"dns:{name}@127.0.0.1:{server.port}"))
        (verdict, *_) = stage.hears(1)
    assert verdict.ok is ok
    assert ("no such name" in description(verdict)) is not ok


def test_the_system_resolves() -> None:
    question = {"kind": "dns", "host": "", "port": 53, "path": "localhost", "interface": "", "tries": 1, "limit_s": 10}
    answer = probe.attempt(question)
    assert answer["ok"], answer


# -- what an address means -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "means"),
    [
        ("https://example.com", Target(kind="https", host="example.com", port=443, path="/")),
        ("HTTP://u:p@h:8080/a?b", Target(kind="http", host="h", port=8080, path="/a?b", credentials="u:p")),
        ("http://[::1]:80/", Target(kind="http", host="::1", port=80, path="/")),
        ("http://h?x", Target(kind="http", host="h", port=80, path="/?x")),
        ("example.com", Target(kind="http", host="example.com", port=80, path="/")),
        ("example.com:22", Target(kind="tcp", host="example.com", port=22)),
        ("tcp://10.0.0.1:502", Target(kind="tcp", host="10.0.0.1", port=502)),
        ("[fe80::1%eth0]:22", Target(kind="tcp", host="fe80::1%eth0", port=22)),
        ("dns:example.com", Target(kind="dns", host="", port=53, path="example.com")),
        ("dns://example.com@9.9.9.9", Target(kind="dns", host="9.9.9.9", port=53, path="example.com")),
    ],
)
def test_what_an_address_means(address: str, means: Target) -> None:
    assert target(address) == means


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "CONNECTIVITY_ADDRESS is missing"),
        ("a b", "blanks"),
        ("ftp://example.com", "none of http, https, tcp, dns"),
        ("tcp://example.com", "names no port"),
        ("example.com:0", "no port"),
        ("example.com:http", "no port"),
        ("http://", "no name"),
        ("-x:1", "no name"),
        ("dns:a..b", "no name that could be resolved"),
        ("http://h/\u00e4", "%XX"),
    ],
)
def test_what_is_no_address_is_refused(address: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        target(address)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"CONNECTIVITY_INTERFACE": "../x"}, "no name of an interface"),
        ({"CONNECTIVITY_INTERFACE": "x" * 16}, "no name of an interface"),
        ({"CONNECTIVITY_TRIES": "0"}, "from 1 to 10"),
        ({"CONNECTIVITY_TRIES": "11"}, "from 1 to 10"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, str], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        check("example.com", **values)


def test_the_probe_is_asked_and_answers_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in its arguments: whoever lists processes learns no password."""
    assert json.loads(json.dumps(probe.attempt({
        "kind": "tcp", "host": "127.0.0.1", "port": 1, "path": "", "credentials": "", "interface": "", "tries": 1,
        "limit_s": 5,
    }))) == {"ok": False, "why": "Connection refused"}  # fmt: skip
