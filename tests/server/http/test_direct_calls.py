"""Calls that are served without a task of their own: understood as a parser does, answered as the application does."""

import asyncio
import gc
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from serving import DEADLINE_S, DEVAUTH, EMAIL, FakeDevice, RealServer, real_server

from vedette.errors import Unavailable
from vedette.server.alerts import intake, intake_store
from vedette.server.db import SYSTEM
from vedette.server.http import protocol
from vedette.server.http.direct import path_of, recognise
from vedette.server.settings import Settings

PATH = "/api/devices/v1/devicemonitor/alert"
PLAIN = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"


@dataclass
class Parsed:
    """What the parser behind uvicorn makes of bytes."""

    url: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    complete: int = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


NAMES = st.sampled_from(
    [b"Content-Length", b"Content-Type", b"Host", b"Transfer-Encoding", b"Connection", b"Expect", b"X-A", b"X B", b"",
     b" X", b"X\t", b"Upgrade", b"content-length", b"X\x00Y", b"(X)"]
)  # fmt: skip
VALUES = st.sampled_from(
    [b"2", b"02", b"+2", b" 2", b"2 ", b"3", b"0x2", b"2, 2", b"application/json", b"chunked", b"close", b"keep-alive",
     b"100-continue", b"a\nb", b"a\rb", b"a\x00b", b"a\tb", b"\xe4", b"", b"a\r\n b", b"h2c"]
)  # fmt: skip
EXTRA = st.lists(st.tuples(NAMES, VALUES), max_size=4)
STARTS = st.sampled_from(
    [b"POST /a HTTP/1.1", b"POST /a HTTP/1.0", b"POST  /a HTTP/1.1", b"POST /a\t HTTP/1.1", b"POST /a  HTTP/1.1"]
)
BODIES = st.sampled_from([b"[]", b"[] ", b"[", b"[]POST /a HTTP/1.1\r\n\r\n", b"{}"])


def assembled(start: bytes, headers: list[tuple[bytes, bytes]], separator: bytes, body: bytes) -> bytes:
    lines = [start, *(name + separator + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@given(
    STARTS,
    st.one_of(st.just([]), st.just([(b"Content-Type", b"application/json"), (b"Content-Length", b"2")])),
    EXTRA,
    st.sampled_from([b": ", b":", b" : "]),
    BODIES,
)
@example(b"POST /a HTTP/1.1", [(b"Content-Type", b"application/json"), (b"Content-Length", b"2")], [], b": ", b"[]")
def test_what_is_recognised_is_what_a_parser_reads(
    start: bytes, first: list[tuple[bytes, bytes]], extra: list[tuple[bytes, bytes]], separator: bytes, body: bytes
) -> None:
    """Nothing goes this way that two readers could take for two different things."""
    data = assembled(start, [*first, *extra], separator, body)
    found = recognise(data, b"/a")
    if found is None:
        return
    parsed = Parsed()
    parser = httptools.HttpRequestParser(parsed)
    parser.feed_data(data)
    assert parsed.complete == 1
    assert parsed.url == path_of(data)
    assert parser.should_keep_alive()
    assert {name: value.strip(b" \t") for name, value in parsed.headers} == dict(found[0])
    assert len(parsed.headers) == len(found[0])
    assert parsed.body == found[1]


def test_a_plain_call_is_recognised() -> None:
    assert recognise(PLAIN, b"/a") == (
        {b"host": b"h", b"content-type": b"application/json", b"content-length": b"2"},
        b"[]",
    )


@pytest.mark.parametrize("cut", range(1, len(PLAIN)))
def test_a_part_of_a_call_is_not_recognised(cut: int) -> None:
    assert recognise(PLAIN[:cut], b"/a") is None


# --- the real server -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    settings = Settings(data=tmp_path_factory.mktemp("direct"), listen="127.0.0.1:0")
    with real_server(settings) as one:
        one.add_user(EMAIL)
        yield one


@pytest.fixture(scope="module")
def token(server: RealServer) -> str:
    return token_of(server, 1)


def token_of(server: RealServer, number: int) -> str:
    """A device that is let in, and known to the server: it has just called."""
    device = FakeDevice(server, {"mac": f"02:00:00:00:00:{number:02x}"}, tenant_token=server.tenant.token)
    device.request()
    admin = server.client(server.login())
    for each in admin.get(f"{DEVAUTH}/devices", params={"status": "pending"}).json():
        for one in each["auth_sets"]:
            path = f"{DEVAUTH}/devices/{each['id']}/auth/{one['id']}/status"
            assert admin.put(path, json={"status": "accepted"}).status_code == 204
    token: str = device.request().text
    assert server.client(token).post(PATH, json=[]).status_code == 204
    return token


def alert(number: int) -> dict[str, Any]:
    return {
        "name": f"alert {number}",
        "level": "CRITICAL",
        "timestamp": f"2026-11-23T12:00:00.{number:06d}Z",
        "subject": {"name": f"s{number}", "type": "log", "status": "LOGCONTAINS"},
    }


def call(token: str, body: bytes, *more: bytes) -> bytes:
    head = [
        f"POST {PATH} HTTP/1.1".encode(), b"Host: h", b"Content-Type: application/json",
        b"Authorization: Bearer " + token.encode(), f"Content-Length: {len(body)}".encode(), *more,
    ]  # fmt: skip
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def connected(server: RealServer) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def answers(connection: socket.socket, count: int) -> list[bytes]:
    """The status lines of so many answers without body, or with a Content-Length."""
    got = b""
    found: list[bytes] = []
    while len(found) < count:
        data = connection.recv(65536)
        assert data, f"hung up after {found}"
        got += data
        while b"\r\n\r\n" in got:
            head, _, rest = got.partition(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                ),
                0,
            )
            if len(rest) < length:
                break
            found.append(head)
            got = rest[length:]
    return found


def stored(server: RealServer) -> set[str]:
    """Names of all alerts."""

    async def work(tx: Any) -> set[str]:
        return {row["name"] for row in await tx.all("SELECT name FROM alert")}

    found: set[str] = server.run(server.services.db.read(SYSTEM, work))
    return found


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each call that is served directly."""
    calls: list[int] = []
    real = intake.submit

    def submit(*args: Any) -> None:
        calls.append(1)
        real(*args)

    monkeypatch.setattr(intake, "submit", submit)
    return calls


def test_alerts_on_one_connection(server: RealServer, token: str, taken: list[int]) -> None:
    with closing(connected(server)) as raw:
        for number in range(5):
            raw.sendall(call(token, json.dumps([alert(number)]).encode(), b"X-MEN-RequestID: r-%d" % number))
            (answer,) = answers(raw, 1)
            assert answer.startswith(b"HTTP/1.1 204 No Content\r\n")
            assert b"\r\nx-men-requestid: r-%d" % number in answer
            assert b"\r\ndate: " in answer
    assert len(taken) == 5
    assert {f"alert {number}" for number in range(5)} <= stored(server)


def test_calls_that_come_before_the_answer_wait_their_turn(server: RealServer, token: str) -> None:
    """In whatever pieces: each is answered, in order, by whichever way it goes."""
    stream = b"".join(
        call(token, json.dumps([alert(100 + number)]).encode(), b"X-MEN-RequestID: p-%d" % number)
        for number in range(20)
    )
    rest = stream.index(b"POST", 10)
    with closing(connected(server)) as raw:
        raw.sendall(stream[:rest])
        raw.sendall(stream[rest:-7])
        raw.sendall(stream[-7:])
        found = answers(raw, 20)
    assert [each.rpartition(b"x-men-requestid: ")[2].partition(b"\r\n")[0] for each in found] == [
        b"p-%d" % number for number in range(20)
    ]
    assert {f"alert {100 + number}" for number in range(20)} <= stored(server)


@pytest.mark.parametrize("size", [1, 100, 700])
def test_calls_in_pieces(server: RealServer, token: str, size: int) -> None:
    data = call(token, json.dumps([alert(200 + size)]).encode())
    with closing(connected(server)) as raw:
        for start in range(0, len(data), size):
            raw.sendall(data[start : start + size])
        (answer,) = answers(raw, 1)
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert f"alert {200 + size}" in stored(server)


@pytest.mark.parametrize(
    ("body", "status"), [(b"[{}]", 400), (b"{", 400), (b"[]", 204), (b"[" * 3000 + b"]" * 3000, 400)]
)
def test_what_is_wrong_is_said_as_ever(server: RealServer, token: str, body: bytes, status: int) -> None:
    with closing(connected(server)) as raw:
        raw.sendall(call(token, body))
        assert answers(raw, 1)[0].startswith(b"HTTP/1.1 %d " % status)
        raw.sendall(call(token, json.dumps([alert(300)]).encode()))  # and the connection goes on
        assert answers(raw, 1)[0].startswith(b"HTTP/1.1 204 ")
        raw.sendall(call("x" + token, b"[]"))
        assert answers(raw, 1)[0].startswith(b"HTTP/1.1 401 ")


def test_a_body_behind_an_early_answer_is_no_call(server: RealServer, token: str, taken: list[int]) -> None:
    """The body of a refused request may look like a call; it is still its body."""
    inner = call(token, json.dumps([alert(400)]).encode())
    refused = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n".encode()
    refused += b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n" % (token.encode(), len(inner))
    with closing(connected(server)) as raw:
        raw.sendall(refused)
        assert answers(raw, 1)[0].startswith(b"HTTP/1.1 415 ")
        raw.sendall(inner)
        raw.sendall(call(token, json.dumps([alert(401)]).encode()))
        assert answers(raw, 1)[0].startswith(b"HTTP/1.1 204 ")
    assert "alert 400" not in stored(server)
    assert "alert 401" in stored(server)


def test_trouble_while_writing_is_told(
    server: RealServer, token: str, taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise Unavailable("the database cannot be written now")

    monkeypatch.setattr(intake_store, "add", fail)
    with closing(connected(server)) as raw:
        raw.sendall(call(token, json.dumps([alert(500)]).encode()))
        (answer,) = answers(raw, 1)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in answer
    assert taken
    monkeypatch.setattr(intake_store, "add", lambda *_: 1 / 0)
    with closing(connected(server)) as raw:
        raw.sendall(call(token, json.dumps([alert(501)]).encode()))
        assert answers(raw, 1)[0].startswith(b"HTTP/1.1 500 ")
    assert not {"alert 500", "alert 501"} & stored(server)


def test_who_hangs_up_before_the_answer_has_sent_it(server: RealServer, token: str) -> None:
    with closing(connected(server)) as raw:
        raw.sendall(call(token, json.dumps([alert(600)]).encode()))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # hang up with a reset
    with closing(connected(server)) as raw:  # behind it in the line of the writer, so it is there when this one is
        raw.sendall(call(token, json.dumps([alert(601)]).encode()))
        assert answers(raw, 1)[0].startswith(b"HTTP/1.1 204 ")
    assert "alert 601" in stored(server)


def test_an_idle_connection_ends(server: RealServer, token: str, taken: list[int]) -> None:
    """The time begins with the last answer, though the timer was set at an earlier one."""
    with closing(connected(server)) as raw:
        for number in range(3):
            raw.sendall(call(token, json.dumps([alert(700 + number)]).encode()))
            answers(raw, 1)
        here = raw.getsockname()
        ours = next(each for each in gc.get_objects() if isinstance(each, protocol.Patient) and each.client == here)
        assert ours.timeout_keep_alive_task is not None
        server.loop.call_soon_threadsafe(ours.timeout_keep_alive_handler)  # too early: it waits for the rest
        raw.sendall(call(token, json.dumps([alert(710)]).encode()))
        answers(raw, 1)
        ours.timeout_keep_alive = 0
        server.loop.call_soon_threadsafe(ours.timeout_keep_alive_handler)
        assert raw.recv(10) == b""
    assert len(taken) == 4


@pytest.mark.skipif(os.environ.get("TEST_DATABASE") == "postgresql", reason="holds the thread that writes to SQLite")
def test_what_is_under_way_is_answered_when_the_server_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, shutting_down = threading.Event(), threading.Event()
    shutdown = protocol.Patient.shutdown

    def tell(self: protocol.Patient) -> None:
        shutdown(self)
        shutting_down.set()

    async def hold(_: Any) -> None:
        written.set()
        assert shutting_down.wait(DEADLINE_S)

    monkeypatch.setattr(protocol.Patient, "shutdown", tell)
    raw: socket.socket
    with real_server(Settings(data=tmp_path, listen="127.0.0.1:0")) as one:
        one.add_user(EMAIL)
        token = token_of(one, 7)
        held = asyncio.run_coroutine_threadsafe(one.services.db.write(SYSTEM, hold), one.loop)
        assert written.wait(DEADLINE_S)
        taken = threading.Event()
        real = intake.submit

        def submit(*args: Any) -> None:
            real(*args)
            taken.set()

        monkeypatch.setattr(intake, "submit", submit)
        raw = connected(one)
        raw.sendall(call(token, json.dumps([alert(800)]).encode()))
        assert taken.wait(DEADLINE_S)
    held.result(DEADLINE_S)
    with closing(raw):
        (answer,) = answers(raw, 1)
        assert answer.startswith(b"HTTP/1.1 204 ")
        assert b"\r\nconnection: close" in answer
        assert raw.recv(10) == b""
