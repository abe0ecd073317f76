"""Requests that were made to hurt, from people and passers-by: each gets one sentence and its status, never a 500."""

import itertools
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving import DEVAUTH, EMAIL, LOGIN, PASSWORD, RealServer, real_server

from vedette.server.settings import Settings

ME = "/api/management/v1/useradm/users/me"
SEARCH = "/api/management/v2/inventory/filters/search"
DEVICES = "/api/management/v1/inventory/devices"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$regex", "$ltne")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """One for all."""
    data = tmp_path_factory.mktemp("data")
    with real_server(Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")) as made:
        made.add_user(EMAIL)
        yield made


@pytest.fixture(scope="module")
def admin(server: RealServer) -> httpx.Client:
    return server.client(server.login())


def refused(answer: httpx.Response, status: int) -> str:
    """The one sentence that a refusal says."""
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error", "request_id"}
    text: str = answer.json()["error"]
    assert text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("depth", [100, 1400, 2900])
def test_a_token_with_a_deeply_nested_header(server: RealServer, depth: int) -> None:
    """It is read before its signature can be checked, so anybody can send one."""
    header = urlsafe_b64encode(b'{"alg":' + b"[" * depth).rstrip(b"=").decode()
    answer = server.client().get(ME, headers={"Authorization": f"Bearer {header}.e30.x"})
    assert refused(answer, 401) == "the token is not valid"


@pytest.mark.parametrize("origin", [b"http://[", b"http://[::1", b"\xff", b"http://vedette.test@evil.test"])
def test_an_origin_that_is_no_url(server: RealServer, origin: bytes) -> None:
    answer = server.client().post("/login", content=b"email=a&password=b", headers={**FORM, "Origin": origin})
    assert answer.status_code == 403


@pytest.mark.parametrize("shown", [b"http://[", b"//evil.test", b"\xff", b"http://a/\xc2\x85b"])
def test_a_page_that_says_it_is_shown_at_no_url(server: RealServer, shown: bytes) -> None:
    answer = server.client().get("/devices", headers={"HX-Request": "true", "HX-Current-URL": shown})
    assert answer.status_code == 401
    assert re.fullmatch(r"/login(\?next=[%\w]*)?", answer.headers["hx-redirect"])


@pytest.mark.parametrize("host", [b"[", b"a/b", b"a?b", b"\xff", b"a@b:99999999", b"[::1"])
def test_a_host_that_is_none(admin: httpx.Client, host: bytes) -> None:
    answer = admin.get(f"{DEVAUTH}/devices", headers={"Host": host})
    assert answer.status_code == 200
    assert answer.headers["link"].startswith(f"<{DEVAUTH}/devices?")


@pytest.mark.parametrize(
    "value",
    [
        "9" * 30, str(2**63), str(-(2**63) - 1), str(2**64), "1e308", "null", "true", '"x"', "[]", "{}", "[[]]", "[{}]",
        "[null, true, 1e300]", f"[{2**70}]", "[" * 900 + "]" * 900, '"0001-01-01T00:00:00+23:59"', '"\\u0000"',
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_a_search_for_any_value_answers(admin: httpx.Client, value: str) -> None:
    places = (("inventory", "\\u0000'\\\""), ("monitor", "alert_count"), ("system", "created_ts"))
    for operator, (scope, name) in itertools.product(OPERATORS, places):
        body = f'{{"filters":[{{"scope":"{scope}","attribute":"{name}","type":"{operator}","value":{value}}}]}}'
        answer = admin.post(SEARCH, content=body, headers=JSON)
        assert answer.status_code in (200, 400), (operator, scope, answer.text)


def test_numbers_beyond_64_bits_compare_as_numbers(server: RealServer, admin: httpx.Client) -> None:
    """A device without alerts has fewer than any of these, and more than minus any."""
    admin.post(f"{DEVAUTH}/devices", json={"identity_data": {"sn": "1"}, "pubkey": PEM})
    for operator, value, found in (("$lt", 2**70, 1), ("$gt", 2**70, 0), ("$gt", -(2**70), 1), ("$eq", 2**63, 0)):
        wanted = {"scope": "monitor", "attribute": "alert_count", "type": operator, "value": value}
        assert len(admin.post(SEARCH, json={"filters": [wanted]}).json()) == found, operator


PEM = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""


def test_a_text_to_look_for_has_a_length(admin: httpx.Client) -> None:
    assert "longer than 256" in refused(admin.post(SEARCH, json={"text": "a" * 60_000}), 400)
    assert admin.post(SEARCH, json={"text": "%_\\'\"" * 50}).json() == []
    assert admin.get("/devices", params={"q": "%" * 5000}).status_code == 200


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(*LIMIT_MATCH=4294967295)(a+)+$", "(?R)", "(" * 1000, "(?:a{1,65535}){1,65535}", "(?1)(a|(?1))*"],
)
def test_a_pattern_that_would_take_for_ever_matches_nothing(admin: httpx.Client, pattern: str) -> None:
    admin.post(f"{DEVAUTH}/devices", json={"identity_data": {"mac": "a" * 60 + "b"}, "pubkey": PEM})
    wanted = {"scope": "identity", "attribute": "mac", "type": "$regex", "value": pattern}
    assert admin.post(SEARCH, json={"filters": [wanted]}).json() == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?" + "&".join(f"x{i}=1" for i in range(100)), 400),
        ("?" + "&".join(f"sort=a{i}" for i in range(300)), 200),
        ("?page=1000000000&per_page=500", 200),
        ("?page=1000000001", 400),
        ("?x=" + "9" * 5000, 200),
        ("?x=nan&y=1e999&z=%00&%ff=%ff", 200),
        ("?sort=inventory/';DROP TABLE device;--:asc", 200),
        ("?group=" + "%25" * 300, 200),
    ],
    ids=lambda text: str(text)[:30],
)
def test_extremes_in_an_address(admin: httpx.Client, query: str, status: int) -> None:
    assert admin.get(DEVICES + query).status_code == status


@pytest.mark.parametrize(
    "path", ["/%2e%2e/etc/passwd", "/%2fdevices", "/DEVICES", "/devices/", "/devices/%00", "/static/..%2f..%2fetc%2fx",
             "/devices/..%2f..%2fsettings", f"{DEVAUTH}/devices/%0d%0aX:y", f"{DEVAUTH}/devices/" + "a" * 9000]
)  # fmt: skip
def test_tricks_with_paths_find_nothing(admin: httpx.Client, path: str) -> None:
    answer = admin.get(path)
    assert answer.status_code in {400, 404}  # a NUL is in no text of PostgreSQL
    assert "x" not in answer.headers


def test_an_unknown_path_is_a_page_for_people_and_json_for_programs(server: RealServer) -> None:
    client = server.client()
    page = client.get("/no/such", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for answer in (
        client.get("/no/such"),
        client.get("/api/no/such", headers={"Accept": "text/html"}),
        client.post("/no/such", headers={"Accept": "text/html"}),
    ):
        assert refused(answer, 404) == "no such path"


def test_every_answer_tells_browsers_not_to_guess_its_type(server: RealServer, admin: httpx.Client) -> None:
    for path in (ME, "/alive", "/login", "/devices", "/favicon.ico", "/no/such", f"{DEVAUTH}/devices/x"):
        headers = admin.get(path).headers
        assert headers.get_list("x-content-type-options") == ["nosniff"], path
        assert "strict-transport-security" not in headers, path


@pytest.mark.parametrize(
    ("settings", "sent", "strict"),
    [
        ({"public_url": "https://vedette.test"}, {}, True),
        ({"public_url": "http://vedette.test"}, {"X-Forwarded-Proto": "https"}, False),
        ({"public_url": "http://vedette.test", "trusted_proxies": "127.0.0.1"}, {"X-Forwarded-Proto": "https"}, True),
        ({"public_url": "http://vedette.test", "trusted_proxies": "10.0.0.0/8"}, {"X-Forwarded-Proto": "https"}, False),
        ({"public_url": "http://vedette.test", "trusted_proxies": "127.0.0.1"}, {"X-Forwarded-Proto": "gopher"}, False),
    ],
)
def test_https_is_insisted_on_where_people_come_by_https(
    tmp_path: Path, settings: dict[str, str], sent: dict[str, str], strict: bool
) -> None:
    with real_server(Settings(listen="127.0.0.1:0", data=tmp_path, **settings)) as server:
        assert ("strict-transport-security" in server.client().get("/login", headers=sent).headers) is strict
        server.add_user(EMAIL)
        answer = server.client().post(
            "/login",
            content=f"email={EMAIL}&password={PASSWORD.replace(' ', '+')}",
            headers={**FORM, **sent, "Sec-Fetch-Site": "same-origin"},
        )
        assert ("secure" in answer.headers["set-cookie"].lower()) is strict


def test_who_asks_behind_a_proxy_is_limited_alone(tmp_path: Path) -> None:
    """Many wrong passwords from one address must not lock out another that comes through the same proxy."""
    settings = Settings(listen="127.0.0.1:0", data=tmp_path, trusted_proxies="127.0.0.0/8, 10.0.0.0/8")
    with real_server(settings) as server:
        server.add_user(EMAIL)
        client = server.client()

        def tried(told: str, password: str = "wrong", account: str = "x") -> int:
            return client.post(LOGIN, auth=(account, password), headers={"X-Forwarded-For": told}).status_code

        statuses = [tried(f"203.0.113.{number}, 198.51.100.7, 10.0.0.1", account=f"a{number}") for number in range(40)]
        assert statuses[0] == 401  # the first hop is what the client says itself: it cannot hide behind a new one
        assert statuses[-1] == 429
        assert tried("198.51.100.8", PASSWORD, EMAIL) == 200
        assert tried("198.51.100.7", PASSWORD, EMAIL) == 429


def test_nobody_is_believed_who_is_not_trusted(server: RealServer) -> None:
    client = server.client()
    statuses = [
        client.post(LOGIN, auth=(f"b{number}", "wrong"), headers={"X-Forwarded-For": f"203.0.113.{number}"}).status_code
        for number in range(40)
    ]
    assert statuses[-1] == 429


def test_a_duplicate_key_is_read_once(admin: httpx.Client) -> None:
    answer = admin.post(SEARCH, content=b'{"page": 0, "page": 1, "per_page": 1}', headers=JSON)
    assert answer.status_code == 200


def test_a_name_with_half_a_character(admin: httpx.Client) -> None:
    """A lone surrogate is no text; no database could keep it."""
    for body in (b'{"text": "\\ud800"}', b'{"text": "\\udfff x"}'):
        assert refused(admin.post(SEARCH, content=body, headers=JSON), 400).startswith("failed to decode request body")


def test_a_huge_page_number_in_a_body(admin: httpx.Client) -> None:
    assert admin.post(SEARCH, content=json.dumps({"page": 10**30}), headers=JSON).status_code == 200
