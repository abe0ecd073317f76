"""Tenants that a service provider makes, users who act in several, suspended and removed tenants."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from postgresql import ON_SQLITE
from serving import DEVAUTH, EMAIL, LOGIN, PASSWORD, FakeDevice, RealServer

from vedette.server.access import service as access
from vedette.server.access import tenant_service, tenants
from vedette.server.access.roles import ADMIN, OBSERVER
from vedette.server.db import SYSTEM, Tx, UserScope

USERADM = "/api/management/v1/useradm"
USERS = f"{USERADM}/users"
OWN = "/api/management/v1/tenantadm/user/tenant"
TENANTS = "/api/management/v2/tenantadm/tenants"
DEVICES = "/api/management/v1/inventory/devices"
NEW = {"name": "child", "admin": {"email": "carl@example.com", "password": PASSWORD}, "device_limit": 3}


@pytest.fixture
def provider(server: RealServer) -> httpx.Client:
    """An administrator of a service provider."""
    made = server.run(tenants.create_tenant(server.services, "provider", service_provider=True))
    server.add_user(EMAIL, tenant=made.id)
    server.add_user("bob@example.com", tenant=made.id, roles=(OBSERVER,))
    return server.client(server.login())


@pytest.fixture
def child(provider: httpx.Client) -> str:
    """The id of a tenant that the provider has made."""
    answer = provider.post(TENANTS, json=NEW)
    assert answer.status_code == 202, answer.text
    return answer.headers["location"].rpartition("/")[2]


def test_a_tenant_is_made_seen_changed_and_removed(server: RealServer, provider: httpx.Client, child: str) -> None:
    own = provider.get(OWN).json()
    assert own["service_provider"] is True
    (found,) = provider.get(TENANTS).json()
    assert (found["id"], found["name"], found["device_limit"], found["parent_tenant_id"]) == (
        child,
        "child",
        3,
        own["id"],
    )
    carl = server.client(server.login("carl@example.com"))
    assert carl.get(OWN).json()["parent_tenant_id"] == own["id"]
    assert [each["email"] for each in carl.get(USERS).json()] == ["carl@example.com"]
    assert carl.get(TENANTS).status_code == 403
    assert provider.put(f"{TENANTS}/{child}/child", json={"name": "kid", "device_limit": 7}).status_code == 204
    found = carl.get(OWN).json()
    assert (found["name"], found["device_limit"], found["device_count"]) == ("kid", 7, 0)
    assert provider.post(f"{TENANTS}/{child}/remove/start").status_code == 202
    assert carl.get(OWN).status_code == 401
    assert server.client().post(LOGIN, auth=("carl@example.com", PASSWORD)).status_code == 401
    assert server.run(tenant_service.remove_marked(server.services)) == 1
    assert provider.get(TENANTS).json() == []
    assert provider.get(f"{TENANTS}/{child}").status_code == 404


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"name": "provider"}, 409, "there is a tenant 'provider' already"),
        ({"name": ""}, 400, "tenant name ''"),
        ({"admin": {"email": "x"}}, 422, "email: must be a valid email address"),
        ({"admin": {"email": "new@example.com", "password": "short"}}, 422, "password: must be minimum"),
        ({"admin": {"email": "dave@example.com", "password": PASSWORD}}, 422, "user with a given email already exists"),
        ({"admin": {"email": "new@example.com"}}, 422, "this server has no mail server"),
        ({"device_limit": -1}, 422, "device_limit: give 0"),
        ({"users": [{"email": "dave@example.com"}]}, 422, "'dave@example.com' is no user of this tenant"),
        ({"users": [{"email": "bob@example.com", "role": "KING"}]}, 422, "there is no role 'KING' in a new tenant"),
    ],
)
def test_what_is_no_tenant_is_refused_and_leaves_none(
    server: RealServer, provider: httpx.Client, change: dict[str, Any], status: int, text: str
) -> None:
    server.add_user("dave@example.com", tenant=server.add_tenant("other").id)
    answer = provider.post(TENANTS, json=NEW | change)
    assert (answer.status_code, answer.json()["error"][: len(text)]) == (status, text)
    assert provider.get(TENANTS).json() == []


def test_tenants_of_others_do_not_exist(server: RealServer, provider: httpx.Client, child: str) -> None:
    other = server.run(tenants.create_tenant(server.services, "other", service_provider=True))
    server.add_user("eve@example.com", tenant=other.id)
    eve = server.client(server.login("eve@example.com"))
    assert eve.get(TENANTS).json() == []
    answers = [
        eve.get(f"{TENANTS}/{child}"),
        eve.put(f"{TENANTS}/{child}/child", json={"name": "mine"}),
        eve.post(f"{TENANTS}/{child}/remove/start"),
        eve.post(f"{USERS}/eve@example.com/assign", json={"tenant_ids": [child]}),
        eve.get(f"{USERS}/tenants/{child}/token"),
    ]
    assert [each.status_code for each in answers] == [404] * 5
    assert provider.get(f"{TENANTS}/{child}").json()["name"] == "child"


def test_a_user_acts_in_another_tenant_and_at_home(server: RealServer, provider: httpx.Client, child: str) -> None:
    bob = server.client(server.login("bob@example.com"))
    assert bob.get(f"{USERS}/tenants/{child}/token").status_code == 404
    answer = provider.post(f"{USERS}/bob@example.com/assign", json={"tenant_ids": [child], "role": ADMIN})
    assert answer.status_code == 204
    answer = bob.get(f"{USERS}/tenants/{child}/token")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jwt")
    away = server.client(answer.text)
    assert away.get(OWN).json()["id"] == child
    assert away.get(f"{USERS}/me").json()["roles"] == [ADMIN]
    assert [each["email"] for each in away.get(USERS).json()] == ["bob@example.com", "carl@example.com"]
    assert bob.get(f"{USERS}/me").json()["roles"] == [OBSERVER]  # at home he is what he was
    assert bob.get(USERS).status_code == 403
    home = away.get(f"{USERS}/tenants/{provider.get(OWN).json()['id']}/token").text
    assert server.client(home).get(OWN).json()["name"] == "provider"
    people = server.run(access.recipients(server.services, child))
    assert {each.email for each in people if each.sees(None)} == {"bob@example.com", "carl@example.com"}
    for answer in (
        away.put(f"{USERS}/me", json={"password": "another good one", "current_password": PASSWORD}),
        away.post(f"{USERADM}/settings/tokens", json={"name": "x", "expires_in": 60}),
        away.post(f"{USERADM}/settings/me", json={"a": "b"}),
    ):
        assert answer.status_code == 422, answer.text
    assert away.post(f"{USERADM}/auth/logout").status_code == 202
    assert away.get(OWN).status_code == 401
    assert bob.get(OWN).status_code == 200


def test_a_member_is_let_go(server: RealServer, provider: httpx.Client, child: str) -> None:
    provider.post(f"{USERS}/bob@example.com/assign", json={"tenant_ids": [child]})
    bob = server.client(server.login("bob@example.com"))
    away = server.client(bob.get(f"{USERS}/tenants/{child}/token").text)
    assert away.get(DEVICES).status_code == 200
    carl = server.client(server.login("carl@example.com"))
    bob_id = bob.get(f"{USERS}/me").json()["id"]
    assert carl.put(f"{USERS}/{bob_id}", json={"email": "x@example.com"}).status_code == 422
    assert carl.put(f"{USERS}/{bob_id}", json={"roles": []}).status_code == 204
    assert away.get(DEVICES).status_code == 403
    assert carl.delete(f"{USERS}/{bob_id}").status_code == 204
    assert away.get(OWN).status_code == 401
    assert bob.get(DEVICES).status_code == 200


def test_a_token_for_a_program_opens_no_other_tenant(server: RealServer, provider: httpx.Client, child: str) -> None:
    provider.post(f"{USERS}/{EMAIL}/assign", json={"tenant_ids": [child]})
    token = provider.post(f"{USERADM}/settings/tokens", json={"name": "x", "expires_in": 60}).text
    assert server.client(token).get(f"{USERS}/tenants/{child}/token").status_code == 403


def test_addresses_are_known_or_not(provider: httpx.Client) -> None:
    known = [provider.get(f"{USERS}/exists", params={"email": each}).json() for each in (EMAIL.upper(), "x@y.example")]
    assert known == [{"exists": True}, {"exists": False}]


def test_a_suspended_tenant_lets_nobody_in(
    server: RealServer, admin: httpx.Client, device: FakeDevice, accept: Callable[[FakeDevice], str]
) -> None:
    accept(device)
    client = device.client()
    report = ("PUT", "/api/devices/v1/inventory/device/attributes")
    assert client.request(*report, json=[]).status_code == 200
    server.run(tenant_service.set_status(server.services, server.tenant.id, "suspended"))
    assert [admin.get(OWN).status_code, client.request(*report, json=[]).status_code] == [401, 401]
    assert [server.client().post(LOGIN, auth=(EMAIL, PASSWORD)).status_code, device.request().status_code] == [401, 401]
    server.run(tenant_service.set_status(server.services, server.tenant.id, "active"))
    assert [admin.get(OWN).status_code, client.request(*report, json=[]).status_code] == [200, 200]


@ON_SQLITE
def test_nothing_is_left_of_a_tenant_that_was_removed(server: RealServer, provider: httpx.Client, child: str) -> None:
    carl = server.client(server.login("carl@example.com"))
    carl.post("/api/management/v2/useradm/roles", json={"name": "x"})
    carl.post(
        "/api/management/v2/inventory/filters",
        json={"name": "x", "terms": [{"scope": "a", "attribute": "b", "type": "$eq", "value": 1}]},
    )
    carl.post(f"{USERADM}/settings", json={"a": "b"})
    carl.post(f"{USERADM}/settings/tokens", json={"name": "x", "expires_in": 60})
    provider.post(f"{USERS}/bob@example.com/assign", json={"tenant_ids": [child]})
    token = provider.get(f"{TENANTS}/{child}").json()["tenant_token"]
    for number in range(3):
        assert FakeDevice(server, {"sn": str(number)}, tenant_token=token).request().status_code == 401
    assert len(carl.get(f"{DEVAUTH}/devices").json()) == 3
    provider.post(f"{TENANTS}/{child}/remove/start")
    server.run(tenant_service.remove_marked(server.services))

    async def rows(tx: Tx) -> dict[str, int]:
        names = [row["name"] for row in await tx.all("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        owned = [
            name
            for name in names
            if any(row["name"] == "tenant" for row in await tx.all(f"PRAGMA table_info('{name}')"))
        ]
        assert len(owned) > 15
        return {name: await tx.value(f'SELECT count(*) FROM "{name}" WHERE tenant = :t', t=child) for name in owned}

    assert {name for name, count in server.run(server.services.db.read(SYSTEM, rows)).items() if count} == set()
    own = UserScope(server.run(tenants.tenant_named(server.services, "provider")).id, None)
    assert server.run(server.services.db.read(own, _users)) == 2


async def _users(tx: Tx) -> int:
    count: int = await tx.value('SELECT count(*) FROM "user" WHERE tenant = :tenant')
    return count


def test_a_name_that_another_tenant_has(provider: httpx.Client, child: str) -> None:
    assert provider.put(f"{TENANTS}/{child}/child", json={"name": "default"}).status_code == 409
    assert provider.get(f"{TENANTS}/{child}").json()["name"] == "child"


def test_how_many_devices_a_tenant_has_is_for_who_sees_them_all(server: RealServer, admin: httpx.Client) -> None:
    north = {"name": "ReadDevices", "scope": {"type": "DeviceGroups", "value": ["north"]}}
    role = {"name": "north", "permission_sets_with_scope": [north]}
    assert admin.post("/api/management/v2/useradm/roles", json=role).status_code == 201
    shown = []
    for number, roles in enumerate([(OBSERVER,), ("north",), ()]):
        server.add_user(f"u{number}@example.com", roles=roles)
        shown.append("device_count" in server.client(server.login(f"u{number}@example.com")).get(OWN).json())
    assert shown == [True, False, False]
