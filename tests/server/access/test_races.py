"""Two things at once: what was true when it was looked at need not be true when it is written."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from serving import EMAIL, LOGIN, PASSWORD, RealServer

from vedette.server.access import sessions, store
from vedette.server.access.passwords import Passwords
from vedette.server.access.signer import Claims
from vedette.server.db import UserScope
from vedette.server.services import Services

USERS = "/api/management/v1/useradm/users"


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Awaitable[Any]]) -> None:
    """Something happens while a password is checked, which takes its time."""
    check = Passwords.check

    async def slow(self: Passwords, password: str, stored: str | None) -> bool:
        good = await check(self, password, stored)
        monkeypatch.setattr(Passwords, "check", check)
        await act()
        return good

    monkeypatch.setattr(Passwords, "check", slow)


def test_an_address_that_somebody_else_takes_at_the_same_time(
    server: RealServer, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = server.add_user("bob@example.com")

    async def not_yet(*_: object) -> bool:
        return False

    monkeypatch.setattr(store, "email_taken", not_yet)
    answer = admin.put(f"{USERS}/{bob.id}", json={"email": EMAIL})
    assert (answer.status_code, answer.json()["error"]) == (422, "user with a given email already exists")
    assert admin.get(f"{USERS}/{bob.id}").json()["email"] == "bob@example.com"


def test_a_user_who_is_removed_while_he_logs_in(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = server.add_user("bob@example.com")

    async def remove() -> None:
        await server.services.db.write(UserScope(server.tenant.id), store.remove_user, bob.id)

    meanwhile(monkeypatch, remove)
    assert server.client().post(LOGIN, auth=(bob.email, PASSWORD)).status_code == 401


def test_a_password_that_is_changed_while_the_old_one_logs_in(
    server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who changes it because somebody else knows it must find that one thrown out."""
    server.add_user("bob@example.com")
    bob = server.client(server.login("bob@example.com"))
    new = {"password": "another good one", "current_password": PASSWORD}

    async def change() -> None:
        answer = await asyncio.to_thread(bob.put, f"{USERS}/me", json=new)
        assert answer.status_code == 204

    meanwhile(monkeypatch, change)
    assert server.client().post(LOGIN, auth=("bob@example.com", PASSWORD)).status_code == 401
    assert server.client().post(LOGIN, auth=("bob@example.com", "another good one")).status_code == 200


def test_a_role_that_changes_while_it_is_read_is_not_remembered(
    server: RealServer, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles, devices = "/api/management/v2/useradm/roles", "/api/management/v1/inventory/devices"
    assert admin.post(roles, json={"name": "r", "permission_sets_with_scope": [{"name": "ReadDevices"}]}).is_success
    server.add_user("bob@example.com", roles=("r",))
    bob = server.client(server.login("bob@example.com"))
    find = sessions._found

    async def slow(services: Services, claims: Claims) -> sessions.Found | None:
        found = await find(services, claims)
        monkeypatch.setattr(sessions, "_found", find)
        assert (await asyncio.to_thread(admin.put, f"{roles}/r", json={})).status_code == 204
        return found

    monkeypatch.setattr(sessions, "_found", slow)
    assert bob.get(devices).status_code == 200  # it was so when it was asked
    assert bob.get(devices).status_code == 403
