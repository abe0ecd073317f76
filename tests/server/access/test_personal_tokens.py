"""Tokens that people make for their programs."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from serving import EMAIL, PASSWORD, RealServer

from vedette.clock import FakeClock, SystemClock
from vedette.server.access import personal_tokens
from vedette.server.db import SYSTEM

TOKENS = "/api/management/v1/useradm/settings/tokens"
ME = "/api/management/v1/useradm/users/me"
LOGS = "/api/management/v1/auditlogs/logs"


def make(client: httpx.Client, name: str = "ci", **more: Any) -> str:
    answer = client.post(TOKENS, json={"name": name, **more})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/jwt"
    return answer.text


def test_a_token_works_until_it_is_removed(server: RealServer, admin: httpx.Client) -> None:
    program = server.client(make(admin))
    assert program.get(ME).json()["email"] == EMAIL
    (shown,) = admin.get(TOKENS).json()
    assert set(shown) == {"id", "name", "created_ts", "last_used"}
    assert shown["name"] == "ci"
    assert admin.delete(f"{TOKENS}/{shown['id']}").status_code == 204
    assert program.get(ME).status_code == 401
    assert admin.delete(f"{TOKENS}/{shown['id']}").status_code == 404
    assert admin.get(ME).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": ""}, 400),
        ({"name": "  "}, 400),
        ({"name": "a\nb"}, 400),
        ({"name": "x" * 256}, 400),
        ({}, 400),
        ({"name": "a", "expires_in": -1}, 400),
        ({"name": "a", "expires_in": 31_536_001}, 400),
        ({"name": "a", "expires_in": 31_536_000}, 200),
        ({"name": "a", "expires_in": 0}, 200),
        ({"name": "a", "expires_in": None}, 200),
        ({"name": "a", "expires_in": "1"}, 400),
    ],
)
def test_what_may_be_asked_for(admin: httpx.Client, body: dict[str, Any], status: int) -> None:
    assert admin.post(TOKENS, json=body).status_code == status


def test_names_are_unique_and_ten_are_enough(admin: httpx.Client) -> None:
    make(admin, "0")
    assert admin.post(TOKENS, json={"name": "0"}).status_code == 409
    for number in range(1, 10):
        make(admin, str(number))
    assert admin.post(TOKENS, json={"name": "10"}).status_code == 422
    assert admin.post(TOKENS, json={"name": "0"}).status_code == 409


def test_a_token_expires(server: RealServer, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    program = server.client(make(admin, expires_in=60))
    (shown,) = admin.get(TOKENS).json()
    assert "expiration_date" in shown
    assert program.get(ME).status_code == 200
    later = FakeClock(wall=SystemClock().now() + timedelta(seconds=61))
    monkeypatch.setattr(server.services.clock, "now", later.now, raising=False)
    server.services.user_tokens.doubt()
    assert program.get(ME).status_code == 401
    assert admin.get(ME).status_code == 200


def test_last_used_is_exact_to_five_minutes(
    server: RealServer, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = server.client(make(admin))
    assert "last_used" not in admin.get(TOKENS).json()[0]
    clock = FakeClock(wall=SystemClock().now())
    monkeypatch.setattr(server.services.clock, "now", clock.now, raising=False)
    seen = []
    for minutes in (0, 4, 2):
        clock.advance(60 * minutes)
        server.services.user_tokens.doubt()
        assert program.get(ME).status_code == 200
        seen.append(admin.get(TOKENS).json()[0]["last_used"])
    assert seen[0] == seen[1] != seen[2]


def test_everybody_has_his_own(server: RealServer, admin: httpx.Client) -> None:
    make(admin)
    (shown,) = admin.get(TOKENS).json()
    server.add_user("bob@example.com")
    bob = server.client(server.login("bob@example.com"))
    assert bob.get(TOKENS).json() == []
    assert bob.delete(f"{TOKENS}/{shown['id']}").status_code == 404
    assert server.client(make(bob)).get(ME).json()["email"] == "bob@example.com"


def test_they_die_with_the_user_and_with_his_password(server: RealServer, admin: httpx.Client) -> None:
    bob = server.add_user("bob@example.com")
    session = server.client(server.login("bob@example.com"))
    program = server.client(make(session))
    new = {"password": "another good one", "current_password": PASSWORD}
    assert program.get(ME).status_code == 200
    assert session.put(ME, json=new).status_code == 204
    assert program.get(ME).status_code == 401
    again = server.client(make(session))
    assert again.get(ME).status_code == 200
    assert admin.delete(f"/api/management/v1/useradm/users/{bob.id}").status_code == 204
    assert again.get(ME).status_code == 401


def test_logging_out_with_one_ends_it_alone(server: RealServer, admin: httpx.Client) -> None:
    program, other = server.client(make(admin)), server.client(make(admin, "other"))
    assert program.post("/api/management/v1/useradm/auth/logout").status_code == 202
    assert program.get(ME).status_code == 401
    assert other.get(ME).status_code == admin.get(ME).status_code == 200
    assert [each["name"] for each in admin.get(TOKENS).json()] == ["other"]


def test_a_suspended_tenant_has_none(server: RealServer, admin: httpx.Client) -> None:
    program = server.client(make(admin))

    async def suspend(tx: Any) -> None:
        await tx.execute("UPDATE tenant SET status = 'suspended'")

    server.run(server.services.db.write(SYSTEM, suspend))
    server.services.user_tokens.doubt()
    assert program.get(ME).status_code == 401


def test_the_log_knows_the_name_and_not_the_token(server: RealServer, admin: httpx.Client) -> None:
    token = make(admin, "nightly")
    admin.delete(f"{TOKENS}/{admin.get(TOKENS).json()[0]['id']}")
    entries = admin.get(LOGS, params={"object_type": "user_access_token"}).json()
    assert [each["action"] for each in entries] == ["delete", "create"]
    assert "nightly" in entries[1]["change"]
    assert token not in str(entries)
    assert personal_tokens.MAX_TOKENS == 10


def test_a_token_that_leaks_does_not_live_on_in_others(server: RealServer, admin: httpx.Client) -> None:
    """Nor does it turn off what keeps whoever has it from logging in."""
    program = server.client(make(admin, expires_in=60))
    for answer in (
        program.post(TOKENS, json={"name": "for ever"}),
        program.post(f"{ME}/2fa/disable"),
    ):
        assert (answer.status_code, answer.json()["error"]) == (403, personal_tokens.SESSION_ONLY)
    assert [each["name"] for each in admin.get(TOKENS).json()] == ["ci"]
    assert admin.post(f"{ME}/2fa/disable").status_code == 200
