"""Who manages users, and may not do everything: what he could make of somebody who may do more than he."""

import httpx
import pytest
from serving import EMAIL, PASSWORD, RealServer

from vedette.server.access import tenants
from vedette.server.access.roles import ADMIN, OBSERVER

USERADM = "/api/management/v1/useradm"
USERS = f"{USERADM}/users"
ROLES = "/api/management/v2/useradm/roles"
OLDER = f"{USERADM}/roles"
TENANTS = "/api/management/v2/tenantadm/tenants"
DEVICES = "/api/management/v1/inventory/devices"
FORBIDDEN = "forbidden by role-based access control"


@pytest.fixture
def provider(server: RealServer) -> httpx.Client:
    """An administrator of a service provider, in which Mike manages users."""
    made = server.run(tenants.create_tenant(server.services, "provider", service_provider=True))
    server.add_user(EMAIL, tenant=made.id)
    admin = server.client(server.login())
    people = {"name": "people", "permission_sets_with_scope": [{"name": "ManageUsers"}]}
    assert admin.post(ROLES, json=people).status_code == 201
    server.add_user("mike@example.com", tenant=made.id, roles=("people",))
    server.add_user("bob@example.com", tenant=made.id, roles=(OBSERVER,))
    return admin


@pytest.fixture
def mike(server: RealServer, provider: httpx.Client) -> httpx.Client:
    return server.client(server.login("mike@example.com"))


def id_of(client: httpx.Client, email: str) -> str:
    (found,) = client.get(USERS, params={"email": email}).json()
    user_id: str = found["id"]
    return user_id


def refused(*answers: httpx.Response) -> None:
    assert [(each.status_code, each.json()["error"]) for each in answers] == [(403, FORBIDDEN)] * len(answers)


def test_who_may_do_everything_by_paths_is_not_taken_over(provider: httpx.Client, mike: httpx.Client) -> None:
    """By his address he would be mailed a link to another password, and be an administrator in all but name."""
    http = [{"action": "http", "object": {"type": "any", "value": ".*"}}]
    assert provider.post(OLDER, json={"name": "paths", "permissions": http}).status_code == 201
    bob = id_of(provider, "bob@example.com")
    assert provider.put(f"{USERS}/{bob}", json={"roles": ["paths"]}).status_code == 204
    refused(mike.put(f"{USERS}/{bob}", json={"email": "mine@example.com"}), mike.delete(f"{USERS}/{bob}"))
    assert provider.put(f"{USERS}/{bob}", json={"email": "bobby@example.com"}).status_code == 204


def test_who_administers_another_tenant_is_not_taken_over_at_home(
    server: RealServer, provider: httpx.Client, mike: httpx.Client
) -> None:
    new = {"name": "child", "admin": {"email": "carl@example.com", "password": PASSWORD}}
    child = provider.post(TENANTS, json=new).headers["location"].rpartition("/")[2]
    bob = id_of(provider, "bob@example.com")
    assert provider.post(f"{USERS}/{bob}/assign", json={"tenant_ids": [child]}).status_code == 204
    assert mike.put(f"{USERS}/{bob}", json={"email": "b@example.com"}).status_code == 204, "he only looks on there"
    assert provider.post(f"{USERS}/{bob}/assign", json={"tenant_ids": [child], "role": ADMIN}).status_code == 204
    refused(mike.put(f"{USERS}/{bob}", json={"email": "mine@example.com"}), mike.delete(f"{USERS}/{bob}"))
    assert server.client(server.login("b@example.com")).get(f"{USERS}/tenants/{child}/token").status_code == 200
    assert provider.delete(f"{USERS}/{bob}").status_code == 204


def test_nobody_gives_in_a_customers_tenant_what_he_may_not_do_at_home(
    server: RealServer, provider: httpx.Client, mike: httpx.Client
) -> None:
    """He would see all devices of every customer, by himself or by somebody he has made up."""
    new = {"name": "child", "admin": {"email": "carl@example.com", "password": PASSWORD}}
    child = provider.post(TENANTS, json=new).headers["location"].rpartition("/")[2]
    bob, himself = id_of(provider, "bob@example.com"), id_of(provider, "mike@example.com")
    body = {"tenant_ids": [child], "role": OBSERVER}
    refused(*(mike.post(f"{USERS}/{each}/assign", json=body) for each in (bob, himself)))
    sees = [{"name": "ReadDevices", "scope": {"type": "DeviceGroups", "value": ["north"]}}, {"name": "ReadReleases"}]
    people = {"name": "people", "permission_sets_with_scope": [{"name": "ManageUsers"}, *sees]}
    assert provider.put(f"{ROLES}/people", json=people).status_code == 204
    refused(mike.post(f"{USERS}/{bob}/assign", json=body))  # a group is not the whole tenant
    sees[0].pop("scope")
    assert provider.put(
        f"{ROLES}/people", json=people | {"permission_sets_with_scope": [{"name": "ManageUsers"}, *sees]}
    )
    assert mike.post(f"{USERS}/{himself}/assign", json=body).status_code == 204
    refused(mike.post(f"{USERS}/{bob}/assign", json=body | {"role": "RBAC_ROLE_DEPLOYMENTS_MANAGER"}))


def test_a_role_that_is_taken_away_is_gone_from_tokens_for_programs_at_once(
    server: RealServer, provider: httpx.Client
) -> None:
    bob = server.client(server.login("bob@example.com"))
    program = server.client(bob.post(f"{USERADM}/settings/tokens", json={"name": "ci"}).text)
    assert program.get(DEVICES).status_code == 200
    assert provider.put(f"{USERS}/{id_of(provider, 'bob@example.com')}", json={"roles": []}).status_code == 204
    assert program.get(DEVICES).status_code == 403


def test_guessing_the_password_from_a_session_is_slowed_down(server: RealServer, provider: httpx.Client) -> None:
    """Whoever has got at a session must not find out the password by it, nor keep everybody else from logging in."""
    bob = server.client(server.login("bob@example.com"))

    def change(current: str) -> int:
        return bob.put(f"{USERS}/me", json={"password": "another good one", "current_password": current}).status_code

    statuses = [change(f"guess number {each}") for each in range(30)]
    assert (statuses[0], statuses[-1]) == (422, 429)
    assert change(PASSWORD) == 429
    assert server.login("bob@example.com"), "he himself still gets in"
