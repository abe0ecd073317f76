"""What every endpoint has in common, asked of a real server."""

import json
import re
import socket
import uuid
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import AUTH, EMAIL, LOGIN, RealServer, real_server
from starlette.requests import Request

from vedette.errors import VedetteError
from vedette.server.http.answers import STATUS
from vedette.server.http.paging import Page, page_of, paged
from vedette.server.settings import Settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """One for all: nothing here changes anything."""
    data = tmp_path_factory.mktemp("data")
    with real_server(Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")) as made:
        made.add_user(EMAIL)
        yield made


@pytest.fixture
def admin(server: RealServer) -> httpx.Client:
    return server.client(server.login())


ME = "/api/management/v1/useradm/users/me"
USERS = "/api/management/v1/useradm/users"


def test_an_error_repeats_the_request_id(server: RealServer) -> None:
    answer = server.client().get(ME, headers={"X-MEN-RequestID": "from-the-client"})
    assert answer.status_code == 401
    assert answer.headers["x-men-requestid"] == "from-the-client"
    assert answer.json() == {"error": "Authorization not present in header", "request_id": "from-the-client"}
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["www-authenticate"] == 'Bearer realm="ManagementJWT"'


@pytest.mark.parametrize("given_id", ["", "x" * 129, "sp ace", "tab\there", '"><script>'])
def test_a_request_id_that_could_do_harm_is_replaced(server: RealServer, given_id: str) -> None:
    answer = server.client().get(ME, headers={"X-MEN-RequestID": given_id})
    assert uuid.UUID(answer.json()["request_id"]).version == 4


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Bearer", "malformed Authorization header"),
        ("Bearer a b", "malformed Authorization header"),
        ("Basic abc", "unknown Authorization method Basic"),
        ("Bearer nonsense", "the token is not valid"),
        ("Bearer a.b.c", "the token is not valid"),
        ("Bearer " + "x" * 5000, "the token is not valid"),
    ],
)
def test_what_is_no_token_is_refused(server: RealServer, header: str, text: str) -> None:
    answer = server.client().get(ME, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, text)


def test_the_scheme_is_found_in_any_case(server: RealServer, admin: httpx.Client) -> None:
    token = admin.headers["Authorization"].split()[1]
    assert server.client().get(ME, headers={"Authorization": f"bEaReR {token}"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("OPTIONS", USERS, {"GET", "HEAD", "OPTIONS", "POST"}),
        ("OPTIONS", LOGIN, {"OPTIONS", "POST"}),
        ("OPTIONS", "/api/devices/v1/devicemonitor/alert", {"OPTIONS", "POST"}),
        ("DELETE", USERS, {"GET", "HEAD", "OPTIONS", "POST"}),
    ],
)
def test_a_path_says_what_it_allows(server: RealServer, method: str, path: str, allow: set[str]) -> None:
    answer = server.client().request(method, path)
    assert answer.status_code == (200 if method == "OPTIONS" else 405)
    assert set(answer.headers["allow"].split(", ")) == allow


def test_an_unknown_path_is_404(server: RealServer) -> None:
    assert server.client().get("/api/management/v9/nothing").status_code == 404


@pytest.mark.parametrize("path", ["/alive", "/health", "/api/internal/v1/devicemonitor/alive"])
def test_health(server: RealServer, path: str) -> None:
    assert server.client().get(path).status_code == 204


@pytest.mark.parametrize(
    ("kind", "status"), [("application/json", 400), ("application/json; charset=utf-8", 400), ("text/plain", 415),
                         ("", 415), ("nonsense", 400)]
)  # fmt: skip
def test_content_types(server: RealServer, kind: str, status: int) -> None:
    answer = server.client().post(AUTH, content=b"{}", headers={"Content-Type": kind})
    assert answer.status_code == status
    if status == 415:
        assert answer.json()["error"] == "Bad Content-Type, expected 'application/json'"


def test_a_chunked_body_needs_no_content_type(server: RealServer) -> None:
    answer = server.client().post(AUTH, content=iter([b'{"id_data"', b': ""}']))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid auth request: id_data must be provided")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_and_the_connection_lives(server: RealServer, chunked: bool) -> None:
    client = server.client()
    big = b" " * (1024 * 1024 + 1)
    body: bytes | Iterator[bytes] = (big[at : at + 65536] for at in range(0, len(big), 65536)) if chunked else big
    answer = client.post(AUTH, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "1048576" in answer.json()["error"]
    assert client.get("/alive").status_code == 204


def test_a_body_of_the_limit_is_read(server: RealServer) -> None:
    body = b'{"id_data": ""}'.ljust(1024 * 1024)
    assert server.client().post(AUTH, content=body, headers={"Content-Type": "application/json"}).status_code == 400


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "failed to decode request body: "),
        (b"{", "failed to decode request body: "),
        (b"\xff\xfe", "failed to decode request body: "),
        (b'{"other": ' + b"[" * 100_000, "failed to decode request body: "),
        (b"[" * 100_000, "invalid request body: Expected `object`, got `array`"),
        (b'{"id_data": 5}', "invalid request body: Expected `str`, got `int` - at `$.id_data`"),
        (b"[]", "invalid request body: Expected `object`, got `array`"),
        (b'{"a": ' * 90_000, "failed to decode request body: "),
    ],
)
def test_a_body_that_is_not_what_it_should_be_is_named(server: RealServer, body: bytes, text: str) -> None:
    answer = server.client().post(AUTH, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(text)


@pytest.mark.parametrize("length", ["x", "-5", "9" * 30, "1_0"])
def test_a_wrong_content_length_is_refused(server: RealServer, length: str) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(f"POST {AUTH} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        assert raw.recv(4096).split(b" ")[1] in (b"400", b"413")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://vedette.test"}, 202),
        ({"Origin": "{own}"}, 202),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "http://vedette.test.evil.test"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "{own}"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "{own}"}, 403),
    ],
)
def test_a_cookie_counts_only_from_our_own_pages(
    server: RealServer, admin: httpx.Client, headers: dict[str, str], status: int
) -> None:
    """A page of another site can make a browser send the cookie, but not lie about where it comes from."""
    token = admin.headers["Authorization"].split()[1]
    sent = {name: value.format(own=server.url) for name, value in headers.items()} | {"Cookie": f"JWT={token}"}
    client = server.client()
    assert client.get(ME, headers=sent).status_code == 200
    assert client.post("/api/management/v1/useradm/auth/logout", headers=sent).status_code == status


def test_what_goes_wrong_inside_stays_inside(
    server: RealServer, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("secret detail")

    monkeypatch.setattr("vedette.server.access.service.users", broken)
    answer = admin.get(USERS)
    assert (answer.status_code, answer.json()["error"]) == (500, "internal error")
    assert "secret" not in answer.text


def test_every_error_has_a_status() -> None:
    """A new error code without a status would be taken for a bug of the server."""

    def below(kind: type[VedetteError]) -> Iterator[type[VedetteError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    ours = {kind.code for kind in below(VedetteError) if kind.__module__.startswith("vedette.server")}
    ours |= {kind.code for kind in below(VedetteError) if kind.__module__ == "vedette.errors"}
    assert ours - STATUS.keys() == {"internal", "delivery_failed"}


# --- paging ----------------------------------------------------------------------------------------------------------


def request(query: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/things", "query_string": query.encode(), "headers": []})


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("page=x", 'invalid page query: "x"'),
        ("page=0", "invalid page query: value must be a non-zero positive integer"),
        ("page=-1", "invalid page query: value must be a non-zero positive integer"),
        ("page=" + "9" * 15, "invalid page query: value must be a non-zero positive integer"),
        ("page=" + "9" * 5000, f'invalid page query: "{"9" * 100}"'),
        ("page=%D9%A1", 'invalid page query: "\u0661"'),
        ("per_page=1.5", 'invalid per_page query: "1.5"'),
        ("per_page=0", "invalid per_page query: value must be a non-zero positive integer"),
        ("per_page=501", 'parameter "per_page" above limit (max: 500)'),
    ],
)
def test_paging_refuses_in_words_that_clients_know(query: str, text: str) -> None:
    with pytest.raises(VedetteError, match="^" + re.escape(text) + "$"):
        page_of(request(query))


def test_links_keep_the_rest_of_the_query() -> None:
    asked = request("status=accepted&page=2&per_page=10&id=b&id=a")
    response = paged(asked, page_of(asked), list(range(10)), 35)
    assert response.headers.getlist("link") == [
        '</things?id=a&id=b&page=1&per_page=10&status=accepted>; rel="first"',
        '</things?id=a&id=b&page=1&per_page=10&status=accepted>; rel="prev"',
        '</things?id=a&id=b&page=3&per_page=10&status=accepted>; rel="next"',
        '</things?id=a&id=b&page=4&per_page=10&status=accepted>; rel="last"',
    ]
    assert response.headers["x-total-count"] == "35"


@given(total=st.integers(0, 200), size=st.integers(1, 50))
def test_following_next_visits_every_item_once_and_ends_at_last(total: int, size: int) -> None:
    seen: list[int] = []
    query = f"page=1&per_page={size}"
    while True:
        asked = request(query)
        page = page_of(asked)
        items = list(range(total))[page.offset : page.offset + page.size]
        seen += items
        response = paged(asked, page, items, total)
        links = {rel: url for url, rel in (link.split("; rel=") for link in response.headers.getlist("link"))}
        if '"next"' not in links:
            assert f"page={page.number}&" in links['"last"']
            break
        query = links['"next"'].strip("<>").partition("?")[2]
    assert seen == list(range(total))
    assert json.loads(response.body) == items


def test_pages_of_an_unknown_total_have_no_last() -> None:
    response = paged(request(""), Page(1, 2), ["a", "b"], more=True)
    assert [link.partition("rel=")[2] for link in response.headers.getlist("link")] == ['"first"', '"next"']
    assert "x-total-count" not in response.headers


def test_head_answers_without_a_body(admin: httpx.Client) -> None:
    answer = admin.head(ME)
    assert (answer.status_code, answer.content) == (200, b"")
    assert EMAIL in admin.get(ME).text
