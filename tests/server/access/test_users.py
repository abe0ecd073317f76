"""Users and tenants."""

from typing import Any

import httpx
import pytest
from serving import EMAIL, LOGIN, PASSWORD, RealServer

from vedette.server.access.roles import ADMIN, OBSERVER

USERS = "/api/management/v1/useradm/users"
FORBIDDEN = "forbidden by role-based access control"


@pytest.fixture
def observer(server: RealServer, admin: httpx.Client) -> httpx.Client:
    server.add_user("eve@example.com", roles=(OBSERVER,))
    return server.client(server.login("eve@example.com"))


def test_a_user_is_made_seen_changed_and_removed(server: RealServer, admin: httpx.Client) -> None:
    made = admin.post(USERS, json={"email": "Bob@Example.com", "password": "bobs long secret"})
    assert made.status_code == 201
    where = made.headers["location"]
    bob = admin.get(where).json()
    assert bob["id"] == where.rpartition("/")[2]
    assert bob["email"] == "bob@example.com"
    assert bob["roles"] == [ADMIN]
    assert "password" not in admin.get(USERS).text
    assert [user["email"] for user in admin.get(USERS).json()] == [EMAIL, "bob@example.com"]
    assert [user["id"] for user in admin.get(USERS, params={"email": "BOB@example.com"}).json()] == [bob["id"]]
    assert admin.put(where, json={"roles": [OBSERVER]}).status_code == 204
    assert admin.get(where).json()["roles"] == [OBSERVER]
    assert server.client().post(LOGIN, auth=("bob@example.com", "bobs long secret")).status_code == 200
    assert admin.delete(where).status_code == 204
    assert admin.get(where).status_code == 404
    assert admin.delete(where).status_code == 204
    assert server.client().post(LOGIN, auth=("bob@example.com", "bobs long secret")).status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"email": "b@example.com", "password": "short"}, 422, "password: must be minimum 8 characters long"),
        ({"email": "bobbybrown@example.com", "password": "BobbyBrown"}, 422, "password is too similar to the email"),
        ({"email": "b@example.com", "password": "é" * 9}, 422, "password: must be ASCII characters only"),
        ({"email": "b@example.com", "password": "x" * 257}, 422, "password: must be maximum 256 characters long"),
        ({"email": "nonsense", "password": PASSWORD}, 422, "email: must be a valid email address"),
        ({"email": "a@b.c\r\nBcc: x@y.z", "password": PASSWORD}, 422, "email: must be a valid email address"),
        ({"email": "a@" + "b" * 260, "password": PASSWORD}, 422, "email: must be a valid email address"),
        ({"email": EMAIL, "password": PASSWORD}, 422, "user with a given email already exists"),
        ({"email": "b@example.com", "password": PASSWORD, "roles": ["KING"]}, 422, "there is no role 'KING'"),
        ({"email": "b@example.com", "send_reset_password": True}, 422, "this server has no mail server"),
        ({"email": "b@example.com"}, 400, "invalid request body: Object missing required field `password`"),
        ({"email": 5, "password": PASSWORD}, 400, "invalid request body: Expected `str`, got `int` - at `$.email`"),
    ],
)
def test_what_is_no_good_user_is_refused(admin: httpx.Client, body: Any, status: int, text: str) -> None:
    answer = admin.post(USERS, json=body)
    assert (answer.status_code, answer.json()["error"][: len(text)]) == (status, text)
    assert len(admin.get(USERS).json()) == 1


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "no update information provided"),
        ({"password": "a new password"}, 422, "current password mismatch"),
        ({"password": "a new password", "current_password": "wrong"}, 422, "current password mismatch"),
        ({"email": "new@example.com"}, 422, "current password mismatch"),
        ({"password": "short", "current_password": PASSWORD}, 422, "password: must be minimum 8 characters long"),
    ],
)
def test_a_change_of_oneself_that_is_refused(admin: httpx.Client, body: Any, status: int, text: str) -> None:
    answer = admin.put(f"{USERS}/me", json=body)
    assert (answer.status_code, answer.json()["error"]) == (status, text)


def test_a_new_password_ends_the_other_sessions(server: RealServer, admin: httpx.Client) -> None:
    other = server.client(server.login())
    assert other.get(f"{USERS}/me").status_code == 200
    change = {"password": "a new password", "current_password": PASSWORD}
    assert admin.put(f"{USERS}/me", json=change).status_code == 204
    assert admin.get(f"{USERS}/me").status_code == 200
    assert other.get(f"{USERS}/me").status_code == 401
    assert server.client().post(LOGIN, auth=(EMAIL, PASSWORD)).status_code == 401
    server.login(password="a new password")


def test_nobody_sets_the_password_of_another(server: RealServer, admin: httpx.Client) -> None:
    bob = server.add_user("bob@example.com")
    answer = admin.put(f"{USERS}/{bob.id}", json={"password": "a new password"})
    assert (answer.status_code, answer.json()["error"]) == (422, "password cannot be modified")


def test_an_address_belongs_to_one_user_in_all_tenants(server: RealServer, admin: httpx.Client) -> None:
    other = server.add_tenant("other")
    server.add_user("bob@example.com", tenant=other.id)
    change = {"email": "bob@example.com", "current_password": PASSWORD}
    answer = admin.put(f"{USERS}/me", json=change)
    assert (answer.status_code, answer.json()["error"]) == (422, "user with a given email already exists")


def test_users_of_another_tenant_do_not_exist(server: RealServer, admin: httpx.Client) -> None:
    other = server.add_tenant("other")
    bob = server.add_user("bob@example.com", tenant=other.id)
    assert admin.get(f"{USERS}/{bob.id}").status_code == 404
    assert admin.put(f"{USERS}/{bob.id}", json={"roles": [OBSERVER]}).status_code == 404
    assert admin.delete(f"{USERS}/{bob.id}").status_code == 204
    theirs = server.client(server.login("bob@example.com"))
    assert theirs.get(f"{USERS}/me").json()["roles"] == [ADMIN]
    assert [user["email"] for user in theirs.get(USERS).json()] == ["bob@example.com"]


def test_an_observer_changes_nothing(admin: httpx.Client, observer: httpx.Client) -> None:
    assert observer.get(f"{USERS}/me").status_code == 200
    mine = observer.get(f"{USERS}/me").json()["id"]
    refused = [
        observer.get(USERS),
        observer.post(USERS, json={"email": "b@example.com", "password": PASSWORD}),
        observer.put(f"{USERS}/me", json={"roles": [ADMIN]}),
        observer.put(f"{USERS}/{mine}", json={"roles": [ADMIN]}),
        observer.delete(f"{USERS}/{admin.get(f'{USERS}/me').json()['id']}"),
        observer.delete("/api/management/v2/devauth/devices/x"),
        observer.post("/api/management/v2/devauth/devices", json={"identity_data": {"a": "b"}, "pubkey": "x"}),
        observer.put("/api/management/v1/inventory/devices/x/group", json={"group": "g"}),
        observer.put("/api/management/v1/inventory/devices/x/tags", json=[]),
    ]
    assert [(answer.status_code, answer.json()["error"]) for answer in refused] == [(403, FORBIDDEN)] * len(refused)


def test_a_role_that_is_taken_away_is_gone_at_once(server: RealServer, admin: httpx.Client) -> None:
    bob = server.add_user("bob@example.com")
    client = server.client(server.login("bob@example.com"))
    assert client.get(USERS).status_code == 200
    assert admin.put(f"{USERS}/{bob.id}", json={"roles": [OBSERVER]}).status_code == 204
    assert client.get(USERS).status_code == 401  # an update ends the sessions of the user


def test_the_tenant_of_a_user(server: RealServer, admin: httpx.Client) -> None:
    found = admin.get("/api/management/v1/tenantadm/user/tenant").json()
    assert found["id"] == server.tenant.id
    assert found["tenant_token"] == server.tenant.token
    assert {addon["name"] for addon in found["addons"] if addon["enabled"]} == {"configure", "troubleshoot", "monitor"}


def test_ones_own_password_the_newer_way(server: RealServer, admin: httpx.Client) -> None:
    where, new = "/api/management/v2/useradm/users/me", {"password": "a new password"}
    assert admin.put(where, json=new).json()["error"] == "current password mismatch"
    assert admin.put(where, json=new | {"current_password": PASSWORD}).status_code == 204
    server.login(password="a new password")


def test_what_clients_read_at_start(admin: httpx.Client, observer: httpx.Client) -> None:
    base = "/api/management/v1/useradm"
    assert admin.get(f"{base}/limits").json()["users"]["count"] == 2
    for client in (admin, observer):
        (plan,) = client.get(f"{base}/plans").json()
        assert plan["features"]["rbac"]
        assert client.get(f"{base}/plan_binding").json()["plan"] == plan
        assert client.get("/api/management/v2/useradm/roles").status_code == 200
