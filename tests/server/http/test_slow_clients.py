"""Clients that begin requests and do not end them, on raw sockets."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from serving import AUTH, DEADLINE_S, RealServer

from vedette.server.http import protocol

HEAD = b"GET /alive HTTP/1.1\r\nHost: x\r\n"
POST = f"POST {AUTH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()


@contextmanager
def connected(server: RealServer) -> Iterator[socket.socket]:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as raw:
        yield raw


def until_the_end(raw: socket.socket) -> bytes:
    """Everything that comes, until the server hangs up."""
    got = b""
    try:
        while piece := raw.recv(65536):
            got += piece
    except ConnectionResetError:
        pass  # it hung up while we were still talking
    return got


@pytest.mark.parametrize(
    "begun",
    [b"GET /ali", HEAD, HEAD + b"X: " + b"y" * 1000, POST + b"Content-Length: 100\r\n\r\n{",
     POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"],
)  # fmt: skip
def test_a_request_that_is_not_ended_is_told_so(
    server: RealServer, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.2)
    with connected(server) as raw:
        raw.sendall(HEAD + b"\r\n")
        assert raw.recv(65536).startswith(b"HTTP/1.1 204 ")
        raw.sendall(begun)
        answer = until_the_end(raw)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert answer.endswith(b"the request did not come within 0.2 seconds\n")


def test_who_says_nothing_is_hung_up_on(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.2)
    with connected(server) as raw:
        assert until_the_end(raw) == b""


def test_dripping_does_not_help(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes in between, the whole request has its time and no more."""
    monkeypatch.setattr(protocol, "REQUEST_S", 0.3)
    with connected(server) as raw:
        raw.sendall(HEAD)
        raw.settimeout(0.02)
        answer = b""
        for _ in range(1000):
            try:
                raw.sendall(b"X: y\r\n")
                piece = raw.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
            if not piece:
                break
            answer += piece
        else:
            pytest.fail("it went on")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("start", [b"GET /alive?", HEAD + b"X: ", HEAD + b"X"], ids=["address", "value", "name"])
def test_a_head_has_a_length(server: RealServer, start: bytes) -> None:
    with connected(server) as raw:
        try:
            raw.sendall(start)
            for _ in range(100):
                raw.sendall(b"a" * 10_000)
        except OSError:
            pass
        answer = until_the_end(raw)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


def test_a_long_head_gets_a_sentence(server: RealServer) -> None:
    with connected(server) as raw:
        raw.sendall(HEAD + b"X: " + b"a" * protocol.MAX_HEAD)
        answer = until_the_end(raw)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert answer.endswith(b"the headers are longer than 65536 bytes\n")


def test_headers_and_a_big_body_in_one_piece_are_no_long_head(server: RealServer) -> None:
    body = b'{"id_data": ""}'.ljust(500_000)
    with connected(server) as raw:
        raw.sendall(POST + b"Connection: close\r\nContent-Length: 500000\r\n\r\n" + body)
        assert until_the_end(raw).startswith(b"HTTP/1.1 400 ")


def test_what_follows_a_body_has_an_end(server: RealServer) -> None:
    """Headers after a chunked body go on as long as a client likes: piece by piece they would fill the memory."""
    with connected(server) as raw:
        raw.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        for number in range(protocol.MAX_HEADERS - 2):  # there are three already
            raw.sendall(b"X-%d: y\r\n" % number)
        raw.sendall(b"X")  # the last one is complete when another begins
        assert until_the_end(raw).startswith(b"HTTP/1.1 431 ")


def test_a_patient_client_is_served_again_and_again(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests in pieces, one after the other and two at once, over one connection."""
    monkeypatch.setattr(protocol, "REQUEST_S", 20.0)
    with connected(server) as raw:
        for pieces in ([HEAD, b"\r\n"], [b"G", b"ET /alive HTTP/1.1\r\nHost: x\r\n\r\n"], [(HEAD + b"\r\n") * 2]):
            answers = b""
            for piece in pieces:
                raw.sendall(piece)
            expected = 2 if len(pieces) == 1 else 1
            while answers.count(b"HTTP/1.1 204 ") < expected:
                answers += raw.recv(65536)
