"""Codes from an app at login."""

import base64
import re
from datetime import timedelta
from typing import Any

import httpx
import pyotp
import pytest
from serving import EMAIL, LOGIN, PASSWORD, RealServer

from vedette.clock import FakeClock, SystemClock
from vedette.server.access.roles import OBSERVER
from vedette.server.db import SYSTEM

USERADM = "/api/management/v1/useradm"
ME = f"{USERADM}/users/me"
LOGS = "/api/management/v1/auditlogs/logs"


@pytest.fixture
def clock(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Time stands still, so that codes do not change in the middle of a test."""
    made = FakeClock(wall=SystemClock().now().replace(second=15), since_boot=SystemClock().elapsed())
    monkeypatch.setattr(server.services.clock, "now", made.now, raising=False)
    return made


def secret_of(server: RealServer) -> str:
    async def work(tx: Any) -> Any:
        return await tx.value("SELECT secret FROM second_factor")

    secret: str = server.run(server.services.db.read(SYSTEM, work))
    return secret


def code(server: RealServer, clock: FakeClock, steps: int = 0) -> str:
    return pyotp.TOTP(secret_of(server)).at(clock.wall + timedelta(seconds=30 * steps))


def set_up(server: RealServer, admin: httpx.Client, clock: FakeClock) -> None:
    assert admin.post(f"{ME}/2fa/enable").status_code == 200
    assert admin.put(f"{USERADM}/2faverify", json={"token2fa": code(server, clock)}).status_code == 202
    clock.advance(30)


def log_in(server: RealServer, token2fa: str = "", password: str = PASSWORD) -> httpx.Response:
    return server.client().post(LOGIN, auth=(EMAIL, password), json={"no_expiry": False, "token2fa": token2fa})


def test_the_road_from_nothing_to_a_login_with_a_code(
    server: RealServer, admin: httpx.Client, clock: FakeClock
) -> None:
    assert admin.get(ME).json()["tfa_status"] == "disabled"
    assert admin.get(f"{USERADM}/2faqr").status_code == 400
    assert admin.post(f"{ME}/2fa/enable").status_code == 200
    assert admin.get(ME).json()["tfa_status"] == "unverified"
    picture = base64.b64decode(admin.get(f"{USERADM}/2faqr").json()["qr"])
    assert picture.startswith(b"\x89PNG")
    assert log_in(server).status_code == 200, "it does not count yet"
    assert admin.put(f"{USERADM}/2faverify", json={"token2fa": "000000"}).status_code == 401
    assert admin.put(f"{USERADM}/2faverify", json={"token2fa": code(server, clock)}).status_code == 202
    assert admin.get(ME).json()["tfa_status"] == "enabled"
    assert admin.get(f"{USERADM}/2faqr").status_code == 400, "the secret is never shown again"
    clock.advance(30)
    missing = log_in(server)
    assert (missing.status_code, "2fa" in missing.json()["error"]) == (401, True)
    wrong = log_in(server, "123456" if code(server, clock) != "123456" else "654321")
    assert (wrong.status_code, "2fa" in wrong.json()["error"]) == (401, True)
    assert log_in(server, code(server, clock)).status_code == 200


def test_without_the_password_nobody_hears_of_it(server: RealServer, admin: httpx.Client, clock: FakeClock) -> None:
    set_up(server, admin, clock)
    for answer in (log_in(server, password="wrong"), log_in(server, code(server, clock), password="wrong")):
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")


def test_no_code_counts_twice(server: RealServer, admin: httpx.Client, clock: FakeClock) -> None:
    assert admin.post(f"{ME}/2fa/enable").status_code == 200
    first = code(server, clock)
    assert admin.put(f"{USERADM}/2faverify", json={"token2fa": first}).status_code == 202
    assert log_in(server, first).status_code == 401
    assert log_in(server, code(server, clock, -1)).status_code == 401, "nor an older one"
    clock.advance(30)
    second = code(server, clock)
    assert log_in(server, f" {second[:3]} {second[3:]}").status_code == 200
    assert log_in(server, second).status_code == 401


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)])
def test_half_a_minute_is_forgiven(
    server: RealServer, admin: httpx.Client, clock: FakeClock, steps: int, status: int
) -> None:
    set_up(server, admin, clock)
    clock.advance(300)
    assert log_in(server, code(server, clock, steps)).status_code == status


@pytest.mark.parametrize("guess", ["", "1", "1234567", "abcdef", "١٢٣٤٥٦", "\ud7ff", "0" * 5000])
def test_what_is_no_code(server: RealServer, admin: httpx.Client, clock: FakeClock, guess: str) -> None:
    set_up(server, admin, clock)
    assert log_in(server, guess).status_code == 401


def test_guessing_is_slow(server: RealServer, admin: httpx.Client, clock: FakeClock) -> None:
    set_up(server, admin, clock)
    right = {code(server, clock, steps) for steps in (-1, 0, 1)}
    guesses = [f"{number:06}" for number in range(20) if f"{number:06}" not in right]
    statuses = [log_in(server, guess).status_code for guess in guesses]
    assert statuses[:5] == [401] * 5
    assert set(statuses[5:]) == {429}
    assert log_in(server, code(server, clock)).status_code == 429, "the right one has to wait, too"


def test_it_can_be_turned_off(server: RealServer, admin: httpx.Client, clock: FakeClock) -> None:
    set_up(server, admin, clock)
    assert admin.post(f"{ME}/2fa/enable").status_code == 400
    clock.advance(30)
    right = code(server, clock)
    wrong = ({}, {"current_password": "wrong"}, {"token2fa": ""}, {"token2fa": "123456" if right != "123456" else "1"})
    for body in wrong:  # whoever has found an open session
        answer = admin.post(f"{ME}/2fa/disable", json=body)
        assert (answer.status_code, "2fa" in answer.json()["error"]) == (422, True)
    assert admin.post(f"{ME}/2fa/disable").status_code == 422
    assert log_in(server).status_code == 401
    assert admin.post(f"{ME}/2fa/disable", json={"token2fa": right}).status_code == 200
    assert admin.post(f"{ME}/2fa/disable").status_code == 200, "there is none any more"
    assert log_in(server).status_code == 200
    assert admin.put(f"{USERADM}/2faverify", json={"token2fa": "000000"}).status_code == 400


def test_it_is_turned_off_by_the_password_and_guessing_that_is_slow(
    server: RealServer, admin: httpx.Client, clock: FakeClock
) -> None:
    set_up(server, admin, clock)

    def off(password: str) -> int:
        return admin.post(f"{ME}/2fa/disable", json={"current_password": password}).status_code

    assert off(PASSWORD) == 200
    clock.advance(300)
    set_up(server, admin, clock)
    statuses = [off(f"guess number {each}") for each in range(30)]
    assert (statuses[0], statuses[-1]) == (422, 429)
    assert off(PASSWORD) == 429


def test_only_administrators_turn_that_of_others_off(server: RealServer, admin: httpx.Client, clock: FakeClock) -> None:
    set_up(server, admin, clock)
    ann = admin.get(ME).json()["id"]
    server.add_user("bob@example.com", roles=(OBSERVER,))
    server.add_user("cal@example.com")
    other = server.add_tenant("other")
    server.add_user("eve@example.com", tenant=other.id)
    bob, cal, eve = (server.client(server.login(f"{name}@example.com")) for name in ("bob", "cal", "eve"))
    assert bob.post(f"{USERADM}/users/{ann}/2fa/disable").status_code == 403
    assert eve.post(f"{USERADM}/users/{ann}/2fa/disable").status_code == 404
    assert cal.post(f"{USERADM}/users/{ann}/2fa/enable").status_code == 403
    assert cal.post(f"{USERADM}/users/none/2fa/enable").status_code == 404
    assert log_in(server).status_code == 401
    assert cal.post(f"{USERADM}/users/{ann}/2fa/disable").status_code == 200
    assert log_in(server).status_code == 200
    assert bob.post(f"{ME}/2fa/enable").status_code == 200, "an observer has his own"


def test_an_address_that_is_not_verified(server: RealServer, admin: httpx.Client) -> None:
    async def unverified(tx: Any) -> None:
        await tx.execute('UPDATE "user" SET verified = 0')

    server.run(server.services.db.write(SYSTEM, unverified))
    assert admin.get(ME).json()["verified"] is False
    assert admin.post(f"{ME}/2fa/enable").status_code == 403


def test_the_log_knows_of_it_and_nobody_reads_the_secret(
    server: RealServer, admin: httpx.Client, clock: FakeClock
) -> None:
    set_up(server, admin, clock)
    secret = secret_of(server)
    admin.post(f"{ME}/2fa/disable", json={"current_password": PASSWORD}).raise_for_status()
    entries = admin.get(LOGS, params={"object_type": "user", "sort": "asc"}).json()
    changes = [re.findall(r'\+status: "(\w+)"', each.get("change", "")) for each in entries]
    assert [each[0] for each in changes if each] == ["unverified", "enabled", "disabled"]
    for text in (admin.get(ME).text, admin.get(f"{USERADM}/users").text, str(entries)):
        assert secret not in text


def test_the_page_asks_for_the_code(server: RealServer, admin: httpx.Client, clock: FakeClock) -> None:
    set_up(server, admin, clock)
    client, same = server.client(), {"Sec-Fetch-Site": "same-origin"}
    assert 'name="code"' not in client.get("/login").text
    form = {"email": EMAIL, "password": PASSWORD}
    asked = client.post("/login", data=form, headers=same)
    assert (asked.status_code, 'name="code"' in asked.text) == (401, True)
    wrong = client.post("/login", data=form | {"code": "12"}, headers=same)
    assert (wrong.status_code, "not right" in wrong.text) == (401, True)
    assert client.post("/login", data=form | {"code": code(server, clock)}, headers=same).status_code == 303


def test_without_a_mail_server_the_page_offers_no_mails(server: RealServer) -> None:
    assert "/password" not in server.client().get("/login").text.replace('type="password"', "")
    start = "/api/management/v1/useradm/auth/password-reset/start"
    assert server.client().post(start, json={"email": EMAIL}).status_code == 202
