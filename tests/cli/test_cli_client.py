"""What the commands do when the server, or what is on the way, is not as it should be: a scripted server."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typed import Vedette

from vedette.cli import client as client_module
from vedette.cli.client import Client, path, server_url
from vedette.cli.errors import Usage
from vedette.errors import Busy, TooLarge, TooMany, Unavailable

TOKEN = "the.secret.token"


@dataclass
class Script:
    """Answers in turn; the last one again and again. Each is status, headers, body; or a function of the query."""

    answers: list[Any]
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, Authorization
    url: str = ""


@contextmanager
def scripted(*answers: Any) -> Iterator[Script]:
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
            answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            if callable(answer):
                answer = answer({name: each[0] for name, each in parse_qs(urlsplit(self.path).query).items()})
            status, headers, body = answer
            if status == 0:  # hang up
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_DELETE = do_CONNECT = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield script
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


OK = (200, {}, b"[]")


def problem(status: int, **headers: str) -> Any:
    return status, headers, json.dumps({"error": "too much", "request_id": "r-1"}).encode()


Asking = Callable[[Script, list[float]], Client]


@pytest.fixture
def asking() -> Iterator[Asking]:
    """Makes a client that writes down how long it would have slept."""
    with ExitStack() as stack:
        yield lambda script, slept: stack.enter_context(Client(script.url, TOKEN, sleep=slept.append))


@pytest.mark.parametrize("status", [429, 503])
def test_a_question_waits_as_long_as_the_server_says(asking: Asking, status: int) -> None:
    slept: list[float] = []
    with scripted(problem(status, **{"Retry-After": "7"}), problem(status, **{"Retry-After": "0"}), OK) as script:
        assert asking(script, slept).get("/x") == []
    assert slept == [7, 0]


def test_patience_ends(asking: Asking) -> None:
    slept: list[float] = []
    with scripted(problem(503, **{"Retry-After": "1"})) as script, pytest.raises(Busy, match="request r-1"):
        asking(script, slept).get("/x")
    assert (len(script.asked), slept) == (4, [1, 1, 1])


@pytest.mark.parametrize("wait", ["3600", "", "-1", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_who_asks_for_too_much_patience_is_not_waited_for(asking: Asking, wait: str) -> None:
    slept: list[float] = []
    with scripted(problem(429, **{"Retry-After": wait})) as script, pytest.raises(TooMany):
        asking(script, slept).get("/x")
    assert (len(script.asked), slept) == (1, [])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_changes_something_is_said_once(asking: Asking, method: str) -> None:
    slept: list[float] = []
    with scripted(problem(503, **{"Retry-After": "1"})) as script, pytest.raises(Busy):
        asking(script, slept).call(method, "/x", body={})
    with scripted(OK, (0, {}, b"")) as hanging_up:
        client = asking(hanging_up, slept)
        client.get("/x")
        with pytest.raises(Unavailable):
            client.call(method, "/x", body={})
    assert (len(script.asked), len(hanging_up.asked), slept) == (1, 2, [])


def test_a_connection_that_the_server_has_closed_is_opened_again(asking: Asking) -> None:
    with scripted(OK, (0, {}, b""), OK) as script:
        client = asking(script, [])
        assert (client.get("/x"), client.get("/x")) == ([], [])


def test_the_token_follows_no_redirect(asking: Asking) -> None:
    with scripted(OK) as other, scripted((302, {"Location": other.url}, b"")) as script:
        with pytest.raises(Unavailable, match=other.url):
            asking(script, []).get("/x")
        assert (len(script.asked), other.asked) == (1, [])


def test_an_answer_has_an_end(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER", 10)
    with scripted((200, {}, b"[" + b" " * 20 + b"]")) as script, pytest.raises(TooLarge):
        asking(script, []).get("/x")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff", b'{"a":'])
def test_what_is_no_vedette_says_so(asking: Asking, body: bytes) -> None:
    with scripted((200, {}, body)) as script, pytest.raises(Unavailable, match="is this address a Vedette server"):
        asking(script, []).pages("/x")
    with scripted((418, {}, body)) as script, pytest.raises(Exception, match="answers 418"):
        asking(script, []).get("/x")


def of(total: int, *, most: int = 500, count: bool = True) -> Any:
    """A list of numbers in pages; no more than `most` fit into an answer."""

    def answer(query: dict[str, str]) -> Any:
        page, size = int(query["page"]), int(query["per_page"])
        if size > most:
            return problem(413)
        found = [{"id": number} for number in range(total)[(page - 1) * size : page * size]]
        return 200, ({"X-Total-Count": str(total)} if count else {}), json.dumps(found).encode()

    return answer


@pytest.mark.parametrize("count", [True, False])
@pytest.mark.parametrize(
    ("total", "limit", "size", "most"),
    [(0, None, 500, 500), (7, None, 3, 500), (6, None, 3, 500), (50, 20, 500, 500), (50, 20, 7, 500), (5, 20, 2, 500),
     (50, 50, 7, 500), (100, None, 40, 6), (100, 33, 25, 1)],
)  # fmt: skip
def test_every_page_is_read_and_nothing_twice(
    asking: Asking, count: bool, total: int, limit: int | None, size: int, most: int
) -> None:
    with scripted(of(total, most=most, count=count)) as script:
        found = asking(script, []).pages("/x", limit=limit, size=size)
    expected = total if limit is None else min(total, limit)
    assert [each["id"] for each in found.items] == list(range(expected))
    if count:
        assert found.more == (expected < total)


def test_lists_have_an_end(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_ITEMS", 20)
    with scripted(of(1000)) as script:
        found = asking(script, []).pages("/x", size=10)
    assert (len(found.items), found.more, len(script.asked)) == (20, True, 2)


def test_what_moves_to_the_next_page_is_not_shown_twice(asking: Asking) -> None:
    pages = [{"id": 1}, {"id": 2}], [{"id": 2}, {"id": 3}], []
    with scripted(*((200, {}, json.dumps(each).encode()) for each in pages)) as script:
        assert [each["id"] for each in asking(script, []).pages("/x", size=2).items] == [1, 2, 3]


def test_a_name_is_never_a_path() -> None:
    assert path("/groups/{}", "a/../../users?x=#é") == "/groups/a%2F..%2F..%2Fusers%3Fx%3D%23%C3%A9"
    for wrong in ("", ".", ".."):
        with pytest.raises(Usage):
            path("/groups/{}", wrong)


def test_addresses_of_servers() -> None:
    assert server_url("https://Vedette.Example.com/") == "https://vedette.example.com"
    assert server_url("http://[::1]:8080") == "http://[::1]:8080"
    for wrong in (
        "vedette.example.com",
        "ftp://x",
        "https://",
        "https://a:b@x",
        "https://x/y",
        "https://x?y",
        "http://x:y",
    ):
        with pytest.raises(Usage):
            server_url(wrong)


def test_nobody_there_is_5(vedette: Vedette, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(OK) as script:
        gone = script.url
    monkeypatch.setenv("VEDETTE_TOKEN", TOKEN)
    for url in (gone, "https://no-such-host.invalid"):
        done = vedette("users", "list", "--server", url, "--timeout", "5")
        assert (done.status, url in done.err, done.err.count("\n")) == (5, True, 1), done.err
        assert TOKEN not in done.err


def test_a_server_that_does_not_answer_is_5(vedette: Vedette, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setenv("VEDETTE_TOKEN", TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = vedette("users", "list", "--server", url, "--timeout", "0.05")
    assert (done.status, "0.05 s" in done.err) == (5, True), done.err


def test_nothing_is_sent_where_others_read_along(vedette: Vedette, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even to a name that looks like this machine."""
    monkeypatch.setenv("VEDETTE_TOKEN", TOKEN)
    for host in ("192.0.2.1", "127.evil.example", "localhost.evil.example"):
        assert vedette("users", "list", "--server", f"http://{host}").status == 2
    with scripted(OK) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert vedette("users", "list", "--server", "http://vedette.invalid").status == 2
        assert vedette("users", "list", "--server", "http://vedette.invalid", "--plain-http", "--json").json() == []
        assert proxy.asked == [("GET", "http://vedette.invalid/api/management/v1/useradm/users", f"Bearer {TOKEN}")]


def test_through_a_proxy_https_is_a_tunnel(vedette: Vedette, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy learns where to, and nothing else."""
    monkeypatch.setenv("VEDETTE_TOKEN", TOKEN)
    with scripted(problem(502)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        assert vedette("users", "list", "--server", "https://vedette.invalid").status == 5
        assert [(method, where, token) for method, where, token in proxy.asked] == [
            ("CONNECT", "vedette.invalid:443", "")
        ]
