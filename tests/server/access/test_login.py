"""Logging in and out."""

import asyncio
import json
from base64 import urlsafe_b64decode
from typing import Any

import httpx
import pytest
from postgresql import ON_SQLITE
from serving import EMAIL, LOGIN, PASSWORD, FakeDevice, RealServer

from vedette.clock import FakeClock
from vedette.errors import Busy, TooMany, Unauthenticated
from vedette.server.access import passwords, sessions, tenants, tokens
from vedette.server.access import service as access
from vedette.server.access.limits import Limit, neighbourhood
from vedette.server.access.signer import Claims, Signer, new_key
from vedette.server.access.tokens import TokenCache, Verified
from vedette.server.db import UserScope
from vedette.server.services import open_services
from vedette.server.settings import Settings

ME = "/api/management/v1/useradm/users/me"
LOGOUT = "/api/management/v1/useradm/auth/logout"


def claims_of(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def test_login_gives_a_token_that_works_until_logout(server: RealServer) -> None:
    server.add_user(EMAIL)
    answer = server.client().post(LOGIN, auth=(EMAIL.upper(), PASSWORD))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jwt"
    claims = claims_of(answer.text)
    assert claims["mender.user"] is True
    assert claims["mender.tenant"] == server.tenant.id
    assert claims["exp"] - claims["iat"] == 604800
    client = server.client(answer.text)
    assert client.get(ME).json()["email"] == EMAIL
    assert client.post(LOGOUT).status_code == 202
    assert client.get(ME).status_code == 401


def test_some_clients_send_a_body_and_some_an_empty_one(server: RealServer) -> None:
    server.add_user(EMAIL)
    client = server.client()
    assert client.post(LOGIN, auth=(EMAIL, PASSWORD), headers={"Content-Type": "application/json"}).status_code == 200
    answer = client.post(LOGIN, auth=(EMAIL, PASSWORD), json={"no_expiry": True, "token2fa": ""})
    assert answer.status_code == 200
    assert "exp" not in claims_of(answer.text)
    assert client.post(LOGIN, auth=(EMAIL, PASSWORD), json={"no_expiry": "yes"}).status_code == 400


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "invalid or missing auth header"),
        ({"Authorization": "Bearer x"}, "invalid or missing auth header"),
        ({"Authorization": "Basic !!!"}, "invalid or missing auth header"),
        ({"Authorization": "Basic YW5u"}, "invalid or missing auth header"),  # no colon
    ],
)
def test_login_without_credentials(server: RealServer, headers: dict[str, str], text: str) -> None:
    answer = server.client().post(LOGIN, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, text)


@pytest.mark.parametrize(("email", "password"), [(EMAIL, "wrong"), (EMAIL, ""), ("bob@example.com", PASSWORD)])
def test_a_wrong_login_does_not_say_what_is_wrong(server: RealServer, email: str, password: str) -> None:
    server.add_user(EMAIL)
    answer = server.client().post(LOGIN, auth=(email, password))
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")


def test_the_same_work_is_done_for_an_account_that_does_not_exist(
    server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the time of the answer would tell who has an account."""
    server.add_user(EMAIL)
    done: list[str] = []
    real = passwords.Passwords._work

    def work(self: passwords.Passwords, password: str, stored: str | None) -> str:
        done.append("hash" if stored is None else "verify")
        return real(self, password, stored)

    server.client().post(LOGIN, auth=("nobody@example.com", "x"))  # prepares the hash of nobody
    monkeypatch.setattr(passwords.Passwords, "_work", work)
    for email in ("nobody@example.com", EMAIL):
        server.client().post(LOGIN, auth=(email, "x"))
    assert done == ["verify", "verify"]


def test_guessing_is_slowed_down_but_not_by_what_was_right(server: RealServer) -> None:
    server.add_user(EMAIL)
    client = server.client()
    for _ in range(12):
        assert client.post(LOGIN, auth=(EMAIL, PASSWORD)).status_code == 200
    for _ in range(10):
        assert client.post(LOGIN, auth=(EMAIL, "wrong")).status_code == 401
    answer = client.post(LOGIN, auth=(EMAIL, PASSWORD))
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 30


def test_a_user_has_ten_sessions_at_most(server: RealServer) -> None:
    server.add_user(EMAIL)
    clients = [server.client(server.login()) for _ in range(11)]
    assert [client.get(ME).status_code for client in clients] == [401] + [200] * 10


def test_the_token_of_a_device_is_not_one_of_a_user(server: RealServer, accept: Any, device: FakeDevice) -> None:
    accept(device)
    assert device.client().get(ME).status_code == 401


def test_a_session_ended_elsewhere_ends_here_soon(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process removes the session; only the database tells this one."""
    server.add_user(EMAIL)
    client = server.client(server.login())
    assert client.get(ME).status_code == 200

    async def elsewhere() -> None:
        async with open_services(server.services.settings) as other:
            user = (await access.recipients(other, server.tenant.id))[0]

            async def work(tx: Any) -> None:
                await tx.execute("DELETE FROM session WHERE tenant = :tenant AND user_id = :user", user=user.id)

            await other.db.write(UserScope(server.tenant.id), work)

    asyncio.run(elsewhere())
    for known in server.services.user_tokens._entries.values():
        assert known.fresh_until - server.services.clock.elapsed() <= tokens.RECHECK_S
        known.fresh_until = 0  # time passes
    assert client.get(ME).status_code == 401
    assert len(server.services.user_tokens) == 0


def test_an_expired_token_is_refused(tmp_path: Any) -> None:
    async def work() -> None:
        clock = FakeClock()
        async with open_services(Settings(data=tmp_path), clock) as services:
            tenant = await tenants.create_tenant(services, "t")
            await access.create_user(services, UserScope(tenant.id), EMAIL, PASSWORD)
            token = await access.login(services, EMAIL, PASSWORD, "here")
            clock.advance(604800 - 2)
            assert (await sessions.caller(services, token)).email == EMAIL
            clock.advance(3)  # within the time after which the database would be asked again
            with pytest.raises(Unauthenticated, match="expired"):
                await sessions.caller(services, token)

    asyncio.run(work())


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(new_key())


def test_what_is_signed_is_read_back(signer: Signer) -> None:
    token = signer.sign({"jti": "a", "sub": "b", "exp": 5, "mender.tenant": "t", "mender.device": True})
    assert signer.verify(token) == Claims(jti="a", sub="b", exp=5, tenant="t", device=True)


def test_no_changed_token_is_accepted(signer: Signer) -> None:
    """Each character counts: of header, claims and signature."""
    token = signer.sign({"jti": "a", "sub": "b"})
    for at in range(len(token)):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        if changed == token:
            continue
        try:
            assert signer.verify(changed) == signer.verify(token)  # the last bits of Base64 may mean nothing
            assert at == len(token) - 1
        except Unauthenticated:
            pass


def test_a_token_has_one_text(signer: Signer) -> None:
    """Else whoever has one has thousands, which fill the memory of tokens."""
    token = signer.sign({"jti": "j", "sub": "s", "mender.user": True})
    last = "B" if token[-1] == "A" else "A"
    for same in (token + "=", token[:-9] + "!!!!" + token[-9:], token[:-9] + "\n" * 4 + token[-9:], token[:-1] + last):
        with pytest.raises(Unauthenticated):
            signer.verify(same)


def test_a_token_that_chooses_its_own_algorithm_is_refused(signer: Signer) -> None:
    header, body, _ = signer.sign({"jti": "a", "sub": "b"}).split(".")
    assert header
    for alg in ("eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9"):
        for signature in ("", "AAAA"):
            with pytest.raises(Unauthenticated):
                signer.verify(f"{alg}.{body}.{signature}")
    with pytest.raises(Unauthenticated):
        Signer(new_key()).verify(signer.sign({"jti": "a", "sub": "b"}))


def test_the_cache_is_bounded_and_forgets_by_subject() -> None:
    cache: TokenCache[int] = TokenCache("token", size=3)
    for number in range(5):
        cache.put(f"token{number}", Verified(Claims(jti="", sub=""), f"subject{number % 2}", number, 0))
    assert [cache.get(f"token{number}") is not None for number in range(5)] == [False, False, True, True, True]
    cache.put("token2", Verified(Claims(jti="", sub=""), "subject0", 22, 0))  # again: now the newest
    cache.put("token5", Verified(Claims(jti="", sub=""), "subject1", 5, 0))
    assert cache.get("token3") is None
    cache.forget("subject0")
    assert [number for number in range(6) if cache.get(f"token{number}")] == [5]
    cache.forget("subject1")
    cache.forget("never seen")
    assert len(cache) == 0
    assert cache._by_subject == {}


def test_tries_refill_with_time() -> None:
    clock = FakeClock()
    limit = Limit(clock, burst=2, every_s=10)
    limit.take("a")
    limit.take("a")
    limit.take("b")
    with pytest.raises(TooMany) as refused:
        limit.take("a")
    assert refused.value.retry_after_s == pytest.approx(10)
    clock.advance(10)
    limit.take("a")
    limit.give_back("a")
    limit.take("a")
    with pytest.raises(TooMany):
        limit.take("a")
    clock.advance(10_000)
    limit.take("a")
    limit.take("a")
    with pytest.raises(TooMany):  # never more than the burst
        limit.take("a")


def test_too_many_logins_at_once_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 1)

    async def work() -> None:
        checker = passwords.Passwords()
        first = asyncio.create_task(checker.hash("a password"))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await checker.hash("another")
        assert await checker.check("a password", await first)
        assert not await checker.check("a passwort", first.result())
        assert not await checker.check("x", "not a hash")
        checker.close()

    asyncio.run(work())


@ON_SQLITE
def test_only_the_password_hash_is_stored(server: RealServer, admin: httpx.Client) -> None:
    files = [
        path.read_bytes() for path in server.services.settings.data.iterdir() if path.name.startswith("vedette.db")
    ]
    assert files
    assert not any(PASSWORD.encode() in content for content in files)
    assert any(b"$argon2id$" in content for content in files)


@pytest.mark.parametrize(
    ("address", "counts_for"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_whom_tries_count_for(address: str, counts_for: str) -> None:
    """One machine has as many IPv6 addresses as it likes."""
    assert neighbourhood(address) == counts_for
