"""Logging in by an identity provider: a real one for the whole road, a lying one for what must not be believed."""

import base64
import hmac
import importlib.util
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from serving import EMAIL, LOGIN, PASSWORD, RealServer, real_server

from vedette.errors import Invalid
from vedette.server.access.oidc import roles_of
from vedette.server.access.oidc_provider import trustworthy
from vedette.server.access.roles import ADMIN, OBSERVER
from vedette.server.settings import Settings

ME = "/api/management/v1/useradm/users/me"
LOGS = "/api/management/v1/auditlogs/logs"
PEOPLE = [
    {"sub": "s-ann", "email": EMAIL, "email_verified": True, "groups": ["ops", "others"]},
    {"sub": "s-boss", "email": "boss@example.com", "email_verified": True, "groups": ["admins", "ops"]},
    {"sub": "s-eve", "email": "eve@example.com", "email_verified": True, "groups": ["others"]},
    {"sub": "s-liar", "email": EMAIL, "email_verified": False, "groups": ["admins"]},
    {"sub": "s-silent", "email": "silent@example.com", "groups": ["ops"]},
]
ROLES = f"ops={OBSERVER}, admins={ADMIN}"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A real provider; skipped where it is not installed."""
    if importlib.util.find_spec("oidc_provider_mock") is None:
        pytest.skip("oidc-provider-mock is not installed: pip install 'vedette[dev]'")
    script = Path(__file__).with_name("identity_provider.py")
    process = subprocess.Popen(
        [sys.executable, str(script), json.dumps(PEOPLE)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "the identity provider did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def with_provider(tmp_path: Path, issuer: str, **more: str) -> Any:
    settings: dict[str, Any] = {
        "oidc_issuer": issuer, "oidc_client_id": "vedette", "oidc_client_secret": "s3cret/+ %", "oidc_name": "Acme",
        "oidc_roles": ROLES,
    }  # fmt: skip
    return real_server(
        Settings(listen="127.0.0.1:0", data=tmp_path, public_url="http://vedette.test", **(settings | more))
    )


@pytest.fixture
def server(tmp_path: Path, issuer: str) -> Iterator[RealServer]:
    with with_provider(tmp_path, issuer) as made:
        yield made


def leave(browser: httpx.Client, back: str = "/settings") -> str:
    """Out to the provider: the address it is asked at."""
    answer = browser.get("/oidc/login", params={"next": back})
    assert answer.status_code == 303, answer.text
    assert "samesite=lax" in answer.headers["set-cookie"].lower()
    assert "httponly" in answer.headers["set-cookie"].lower()
    return answer.headers["location"]


def at_provider(url: str, subject: str) -> str:
    """Log in there: the path that the browser comes back to."""
    answer = httpx.post(url, data={"sub": subject}, trust_env=False)
    assert answer.status_code == 302, answer.text
    parts = urlsplit(answer.headers["location"])
    assert (parts.netloc, parts.path) == ("vedette.test", "/oidc/callback")
    return f"{parts.path}?{parts.query}"


def log_in(server: RealServer, subject: str, browser: httpx.Client | None = None) -> httpx.Response:
    browser = browser or server.client()
    return browser.get(at_provider(leave(browser), subject))


def test_the_whole_road_for_somebody_new(server: RealServer) -> None:
    server.add_user("root@example.com")
    browser = server.client()
    assert "Sign in with Acme" in browser.get("/login").text
    query = parse_qs(urlsplit(leave(browser)).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"] == ["http://vedette.test/oidc/callback"]
    answer = log_in(server, "s-boss", browser)
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
    me = browser.get(ME).json()
    assert (me["email"], set(me["roles"])) == ("boss@example.com", {ADMIN, OBSERVER})
    actions = [(each["action"], each["object"]["id"]) for each in browser.get(LOGS).json()]
    assert ("create", me["id"]) in actions
    again = server.client()
    assert log_in(server, "s-boss", again).status_code == 303
    assert again.get(ME).json()["id"] == me["id"]


def test_somebody_who_is_there_keeps_his_account_and_gets_the_roles_of_his_groups(server: RealServer) -> None:
    server.add_user("root@example.com")
    ann = server.add_user(EMAIL, roles=(ADMIN,))
    session = server.client(server.login())
    browser = server.client()
    assert log_in(server, "s-ann", browser).status_code == 303
    assert browser.get(ME).json()["id"] == ann.id
    assert browser.get(ME).json()["roles"] == [OBSERVER]
    assert session.get(ME).status_code == 401, "a session that he did not get from the provider is over"
    root = server.client(server.login("root@example.com"))
    changes = [each.get("change", "") for each in root.get(LOGS, params={"object_id": ann.id}).json()]
    assert any(f'+roles: ["{OBSERVER}"]' in change for change in changes)
    assert server.client().post(LOGIN, auth=(EMAIL, PASSWORD)).json()["kind"] == "sso/oidc", "the provider lets him in"


def test_roles_that_are_taken_by_the_provider_are_gone_from_all_sessions(server: RealServer) -> None:
    server.add_user("root@example.com")
    server.add_user("boss@example.com")
    first = server.client()
    assert log_in(server, "s-boss", first).status_code == 303
    users = "/api/management/v1/useradm/users"
    (boss,) = first.get(users, params={"email": "boss@example.com"}).json()
    here = {"Sec-Fetch-Site": "same-origin"}
    assert first.put(f"{users}/{boss['id']}", json={"roles": [OBSERVER]}, headers=here).status_code == 204
    assert first.get(users).status_code == 403
    assert log_in(server, "s-boss").status_code == 303
    assert first.get(users).status_code == 200


def test_nobody_waits_in_an_account_for_the_roles_of_its_owner(server: RealServer) -> None:
    """Whoever has given his own account somebody's address must not be in it when that one comes with his groups."""
    server.add_user("root@example.com")
    server.add_user("mallory@example.com", roles=(OBSERVER,))
    mallory = server.client(server.login("mallory@example.com"))
    mine = {"email": "boss@example.com", "current_password": PASSWORD}
    assert mallory.put(ME, json=mine).status_code == 204
    program = server.client(mallory.post("/api/management/v1/useradm/settings/tokens", json={"name": "x"}).text)
    assert program.get(ME).json()["email"] == "boss@example.com"
    boss = server.client()
    assert log_in(server, "s-boss", boss).status_code == 303
    assert ADMIN in boss.get(ME).json()["roles"]
    assert [each.get(ME).status_code for each in (mallory, program)] == [401, 401]
    answer = server.client().post(LOGIN, auth=("boss@example.com", PASSWORD))
    assert answer.headers["content-type"].startswith("application/json"), "no token"


def test_clients_hear_where_to_log_in(server: RealServer) -> None:
    server.add_user("root@example.com")
    assert server.client().post(LOGIN, auth=("boss@example.com", "")).status_code == 401, "not known yet"
    assert log_in(server, "s-boss").status_code == 303
    for password in ("", "whatever it is"):
        answer = server.client().post(LOGIN, auth=("Boss@example.com", password))
        assert (answer.status_code, answer.json()["kind"]) == (200, "sso/oidc")
    start = f"/api/management/v1/useradm/oidc/{answer.json()['id']}/start"
    assert "code_challenge" in server.client().get(start).headers["location"]
    assert server.client().get(start.replace("oidc/", "oidc/x")).status_code == 404
    assert server.client().post(LOGIN, auth=("root@example.com", "")).status_code == 401
    form = {"email": "boss@example.com", "password": "x"}
    page = server.client().post("/login", data=form, headers={"Sec-Fetch-Site": "same-origin"})
    assert (page.status_code, "identity provider" in page.text) == (401, True)
    asked = [server.client().post(LOGIN, auth=("x@example.com", "")).status_code for _ in range(35)]
    assert asked[-1] == 429, "nobody lists all accounts"


@pytest.mark.parametrize(
    ("subject", "text"),
    [("s-eve", "none of your groups"), ("s-liar", "verified"), ("s-silent", "verified")],
)
def test_who_is_refused(server: RealServer, subject: str, text: str) -> None:
    server.add_user(EMAIL)
    answer = log_in(server, subject)
    assert (answer.status_code, text in answer.text) == (403, True)
    assert "set-cookie" not in answer.headers


def test_the_last_administrator_stays_one(server: RealServer) -> None:
    server.add_user(EMAIL, roles=(ADMIN,))
    answer = log_in(server, "s-ann")
    assert (answer.status_code, "last user" in answer.text) == (422, True)
    assert server.client(server.login()).get(ME).json()["roles"] == [ADMIN]


def test_without_a_map_only_who_is_a_user(tmp_path: Path, issuer: str) -> None:
    with with_provider(tmp_path, issuer, oidc_roles="") as server:
        server.add_user(EMAIL, roles=(ADMIN,))
        browser = server.client()
        assert log_in(server, "s-ann", browser).status_code == 303
        assert browser.get(ME).json()["roles"] == [ADMIN]
        assert log_in(server, "s-boss").status_code == 403


def test_a_suspended_tenant(server: RealServer) -> None:
    server.add_user("root@example.com")
    assert log_in(server, "s-ann").status_code == 303

    async def suspend(tx: Any) -> None:
        await tx.execute("UPDATE tenant SET status = 'suspended'")

    from vedette.server.db import SYSTEM

    server.run(server.services.db.write(SYSTEM, suspend))
    assert log_in(server, "s-ann").status_code == 403


def test_what_comes_back_counts_in_the_same_browser_and_once(server: RealServer) -> None:
    server.add_user("root@example.com")
    browser, other = server.client(), server.client()
    back = at_provider(leave(browser), "s-boss")
    assert other.get(back).status_code == 403, "another browser"
    leave(other)
    assert other.get(back).status_code == 403, "another login"
    assert browser.get(back + "x").status_code == 403, "another state"
    assert browser.get(back).status_code == 303
    assert browser.get(back).status_code == 403, "the cookie is gone"
    fresh = server.client()
    leave(fresh)
    assert fresh.get("/oidc/callback", params={"error": "access_denied", "state": "x"}).status_code == 403
    assert fresh.get("/oidc/callback").status_code == 403


def test_a_code_needs_its_verifier(server: RealServer) -> None:
    """A code that somebody has stolen on the way is worth nothing in his own login."""
    server.add_user("root@example.com")
    browser, thief = server.client(), server.client()
    stolen = parse_qs(urlsplit(at_provider(leave(browser), "s-boss")).query)["code"][0]
    state = parse_qs(urlsplit(leave(thief)).query)["state"][0]
    assert thief.get("/oidc/callback", params={"code": stolen, "state": state}).status_code == 403


def test_guessing_is_slowed_down(server: RealServer) -> None:
    browser = server.client()
    statuses = [browser.get("/oidc/callback", params={"code": "x", "state": "y"}).status_code for _ in range(35)]
    assert (statuses[0], statuses[-1]) == (403, 429)


def test_nobody_is_led_elsewhere(server: RealServer) -> None:
    server.add_user("root@example.com")
    browser = server.client()
    answer = browser.get(at_provider(leave(browser, "https://evil.example"), "s-boss"))
    assert answer.headers["location"] == "/devices"


def test_without_a_provider_there_is_no_such_page(tmp_path: Path) -> None:
    with real_server(Settings(listen="127.0.0.1:0", data=tmp_path)) as server:
        assert server.client().get("/oidc/login").status_code == 404
        assert server.client().get("/oidc/callback").status_code == 404
        assert "/oidc" not in server.client().get("/login").text


# --- a provider that lies --------------------------------------------------------------------------------------------

HS256 = b'{"alg":"HS256"}'
KEY, OTHER, CURVE = RSAKey.generate_key(2048), RSAKey.generate_key(2048), ECKey.generate_key("P-256")


class Liar:
    """Serves what it is told to; its ID token is made by `token(nonce)`."""

    def __init__(self) -> None:
        self.nonce = ""
        self.claims: dict[str, Any] = {}
        self.about: dict[str, Any] = {}
        self.keys = [KEY]
        self.signed: Callable[[dict[str, Any]], str] = lambda claims: jwt.encode({"alg": "RS256"}, claims, KEY)
        self.userinfo: dict[str, Any] = {"sub": "s", "groups": ["admins"], "email": "x@y.z", "email_verified": True}
        self.raw: bytes | None = None
        liar = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                liar.answer(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                liar.answer(self)

            def log_message(self, *_args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "vedette", "sub": "s", "exp": now + 60, "iat": now, "nonce": self.nonce}
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "jwks_uri": f"{self.url}/keys",
            }
            | self.about,
            "/keys": KeySet(list(self.keys)).as_dict(private=False),
            "/userinfo": self.userinfo,
        }
        if handler.path == "/token":
            documents["/token"] = {"access_token": "a", "token_type": "Bearer", "id_token": self.signed(claims)}
        body = self.raw if self.raw is not None else json.dumps(documents[handler.path]).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture
def liar() -> Iterator[Liar]:
    made = Liar()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


def lied_to(liar: Liar, tmp_path: Path, change: Callable[[Liar], None] = lambda liar: None) -> int:
    """What a login comes to."""
    with with_provider(tmp_path, liar.url) as server:
        server.add_user("root@example.com")
        browser = server.client()
        query = parse_qs(urlsplit(leave(browser)).query)
        liar.nonce = query["nonce"][0]
        change(liar)
        return browser.get("/oidc/callback", params={"code": "c", "state": query["state"][0]}).status_code


def signing(key: Any, **header: str) -> Callable[[dict[str, Any]], str]:
    return lambda claims: jwt.encode({"alg": "RS256", **header}, claims, key, algorithms=[header.get("alg", "RS256")])


def by_public_key(claims: dict[str, Any]) -> str:
    """HS256 with what everybody knows: RFC 8725, section 2.1."""

    def text(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    signed = f"{text(HS256)}.{text(json.dumps(claims).encode())}"
    return f"{signed}.{text(hmac.digest(KEY.as_pem(private=False), signed.encode(), 'sha256'))}"


LIES: dict[str, tuple[int, Callable[[Liar], Any]]] = {
    "the truth": (303, lambda liar: None),
    "an elliptic key": (303, lambda liar: vars(liar).update(keys=[CURVE], signed=signing(CURVE, alg="ES256"))),
    "two audiences, for us": (303, lambda liar: liar.claims.update(aud=["vedette", "b"], azp="vedette")),
    "another nonce": (403, lambda liar: liar.claims.update(nonce="x")),
    "no nonce": (403, lambda liar: liar.claims.update(nonce=None)),
    "another audience": (403, lambda liar: liar.claims.update(aud="other")),
    "two audiences, for another": (403, lambda liar: liar.claims.update(aud=["vedette", "b"], azp="b")),
    "another issuer": (403, lambda liar: liar.claims.update(iss="https://other")),
    "expired": (403, lambda liar: liar.claims.update(exp=1)),
    "without end": (403, lambda liar: liar.claims.update(exp=None)),
    "nobody": (403, lambda liar: liar.claims.update(sub=None)),
    "another key": (403, lambda liar: vars(liar).update(signed=signing(OTHER))),
    "the public key as a secret": (403, lambda liar: vars(liar).update(signed=by_public_key)),
    "no signature": (403, lambda liar: vars(liar).update(signed=lambda claims: "eyJhbGciOiJub25lIn0.e30.")),
    "no token": (403, lambda liar: vars(liar).update(signed=lambda claims: None)),
    "no JWT": (403, lambda liar: vars(liar).update(signed=lambda claims: "x.y")),
    "userinfo of somebody else": (403, lambda liar: liar.userinfo.update(sub="other")),
    "no JSON": (503, lambda liar: vars(liar).update(raw=b"<html>")),
    "a list": (503, lambda liar: vars(liar).update(raw=b"[]")),
    "without end of size": (503, lambda liar: vars(liar).update(raw=b"[" + b" " * 2**20)),
}


@pytest.mark.parametrize("name", LIES)
def test_what_is_believed(liar: Liar, tmp_path: Path, name: str) -> None:
    status, change = LIES[name]
    assert lied_to(liar, tmp_path, change) == status


@pytest.mark.parametrize(
    "about",
    [
        {"issuer": "https://other"},
        {"authorization_endpoint": "http://evil.example/a"},
        {"authorization_endpoint": None},
    ],
)
def test_a_description_that_cannot_be_used(liar: Liar, tmp_path: Path, about: dict[str, Any]) -> None:
    liar.about = about
    with with_provider(tmp_path, liar.url) as server:
        assert server.client().get("/oidc/login").status_code == 503


def test_a_provider_that_is_away(tmp_path: Path) -> None:
    with with_provider(tmp_path, "http://127.0.0.1:9") as server:
        assert server.client().get("/oidc/login").status_code == 503
        assert server.client().get("/login").status_code == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"oidc_issuer": "http://idp.example.com", "oidc_client_id": "x"},
        {"oidc_issuer": "https://idp.example.com"},
        {"oidc_issuer": "https://a@idp.example.com", "oidc_client_id": "x"},
        {"oidc_issuer": "ftp://idp.example.com", "oidc_client_id": "x"},
        {"oidc_roles": "admins"},
        {"oidc_roles": "=x"},
    ],
)
def test_settings_that_cannot_work(settings: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="oidc_"):
        Settings(**settings)  # type: ignore[arg-type]


def test_the_secret_is_not_shown() -> None:
    settings = Settings(oidc_issuer="https://idp.example.com", oidc_client_id="x", oidc_client_secret="hush-hush")
    assert "hush-hush" not in repr(settings)


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"groups": ["a", "b", "x"]}, ["R1", "R2"]),
        ({"groups": "a"}, ["R1"]),
        ({"groups": ["c"]}, ["R1"]),
        ({"groups": {"a": 1}}, []),
        ({"groups": 7}, []),
        ({"groups": [{"a": 1}, None]}, []),
        ({}, []),
    ],
)
def test_groups_mean_roles(claims: dict[str, Any], roles: list[str]) -> None:
    assert roles_of(claims, "groups", {"a": "R1", "b": "R2", "c": "R1"}) == roles


@pytest.mark.parametrize(
    ("url", "good"),
    [("https://a", True), ("http://localhost:1/x", True), ("http://[::1]:1", True), ("http://127.0.0.9", True),
     ("http://a", False), ("file:///etc/passwd", False), ("https://", False), ("http://127.0.0.1.evil.example", False),
     ("https://[", False)],
)  # fmt: skip
def test_where_a_secret_may_go(url: str, good: bool) -> None:
    assert trustworthy(url) is good
