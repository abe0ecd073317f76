"""Roles: made, read in both forms, changed and removed; what they do to who is logged in."""

from typing import Any

import httpx
import pytest
from serving import EMAIL, RealServer

from vedette.server.access.permissions import MAX_PATH, MAX_RULES, Grant, Permission, Rights, Role
from vedette.server.access.permissions_table import PERMISSION_SETS, ROLES, of_everybody
from vedette.server.access.roles import ADMIN, OBSERVER

V1, V2 = "/api/management/v1/useradm", "/api/management/v2/useradm"
USERS = f"{V1}/users"
DEVICES = "/api/management/v1/inventory/devices"
NORTH = {"name": "ReadDevices", "scope": {"type": "DeviceGroups", "value": ["north"]}}
FORBIDDEN = "forbidden by role-based access control"


@pytest.fixture
def bob(server: RealServer, admin: httpx.Client) -> httpx.Client:
    """Somebody who has the role `north`, and no other."""
    body = {"name": "north", "description": "the north", "permission_sets_with_scope": [NORTH]}
    assert admin.post(f"{V2}/roles", json=body).status_code == 201
    server.add_user("bob@example.com", roles=("north",))
    return server.client(server.login("bob@example.com"))


def test_a_role_is_made_seen_changed_and_removed(admin: httpx.Client) -> None:
    body = {"name": "north", "description": "the north", "permission_sets_with_scope": [NORTH, {"name": "ReadUsers"}]}
    made = admin.post(f"{V2}/roles", json=body)
    assert (made.status_code, made.headers["location"]) == (201, f"{V2}/roles/north")
    assert admin.get(f"{V2}/roles/north").json() == body
    assert [each["name"] for each in admin.get(f"{V2}/roles").json()] == [*ROLES, "north"]
    assert admin.post(f"{V2}/roles", json=body).status_code == 409
    change = {"description": "less", "permission_sets_with_scope": [NORTH]}
    assert admin.put(f"{V2}/roles/north", json=change).status_code == 204
    assert admin.get(f"{V2}/roles/north").json() == {"name": "north", **change}
    assert admin.delete(f"{V2}/roles/north").status_code == 204
    answers = [admin.get(f"{V2}/roles/north"), admin.put(f"{V2}/roles/north", json=change)]
    assert [each.status_code for each in [*answers, admin.delete(f"{V2}/roles/north")]] == [404] * 3


def test_lists_of_roles_are_paged_when_asked(admin: httpx.Client) -> None:
    page = admin.get(f"{V2}/roles", params={"page": 2, "per_page": 2})
    assert [each["name"] for each in page.json()] == [*ROLES][2:4]
    assert page.headers["x-total-count"] == str(len(ROLES))


def test_the_older_form_says_the_same(admin: httpx.Client) -> None:
    permissions = [
        {"action": "VIEW_DEVICE", "object": {"type": "DEVICE_GROUP", "value": "north"}},
        {"action": "VIEW_DEVICE", "object": {"type": "DEVICE_GROUP", "value": "south"}},
        {"action": "CREATE_DEPLOYMENT", "object": {"type": "any", "value": "any"}},
        {"action": "http", "object": {"type": "GET", "value": "^/api/management/v1/useradm/users$"}},
    ]
    assert admin.post(f"{V1}/roles", json={"name": "old", "permissions": permissions}).status_code == 201
    assert admin.get(f"{V1}/roles/old").json() == {"name": "old", "description": "", "permissions": permissions}
    newer = admin.get(f"{V2}/roles/old").json()
    both = {"type": "DeviceGroups", "value": ["north", "south"]}
    assert newer["permission_sets_with_scope"] == [{"name": "ReadDevices", "scope": both}, {"name": "DeployToDevices"}]
    every = {each["name"]: each["permissions"] for each in admin.get(f"{V1}/roles").json()}
    assert every[ADMIN] == [{"action": "any", "object": {"type": "any", "value": "any"}}]
    assert {"action": "VIEW_DEVICE", "object": {"type": "any", "value": "any"}} in every[OBSERVER]


def test_permission_sets_are_listed(admin: httpx.Client) -> None:
    found = {each["name"]: each for each in admin.get(f"{V2}/permission_sets").json()}
    assert found["ReadUsers"]["permissions"] == [
        {"action": "http", "object": {"type": "GET", "value": "^/api/management/(v[1-9])/useradm/"}}
    ]
    assert found["ReadDevices"]["supported_scope_types"] == ["DeviceGroups"]
    assert found["ReadReleases"]["supported_scope_types"] == ["ReleaseTags"]


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "invalid request body: Object missing required field `name`"),
        ({"name": ""}, 422, "role name: give 1 to 256 printable characters, without /"),
        ({"name": "a/b"}, 422, "role name: give 1 to 256 printable characters, without /"),
        ({"name": "x" * 257}, 422, "role name: give 1 to 256 printable characters, without /"),
        ({"name": "x", "description": "x" * 5000}, 422, "role description: at most 4096 characters"),
        ({"name": ADMIN}, 409, f"there is a role '{ADMIN}' already"),
        ({"name": "x", "permission_sets_with_scope": [{"name": "King"}]}, 422, "there is no permission set 'King'"),
        ({"name": "x", "permission_sets_with_scope": [{"name": "Basic"}]}, 422, "there is no permission set 'Basic'"),
        (
            {"name": "x", "permission_sets_with_scope": [{**NORTH, "name": "SuperUser"}]},
            422,
            "permission set SuperUser cannot be narrowed to DeviceGroups",
        ),
        (
            {"name": "x", "permission_sets_with_scope": [{**NORTH, "scope": {"type": "DeviceGroups", "value": []}}]},
            422,
            "permission set ReadDevices: name 1 to 500 DeviceGroups",
        ),
        (
            {"name": "x", "permission_sets_with_scope": [{**NORTH, "scope": {"type": "Moon", "value": ["a"]}}]},
            422,
            "there is no scope type 'Moon', only DeviceGroups, ReleaseTags",
        ),
        ({"name": "x", "permission_sets_with_scope": [NORTH] * 16}, 422, "a role has at most 15 permission sets"),
        (
            {"name": "x", "permissions": [{"action": "http", "object": {"type": "GET", "value": "("}}]},
            422,
            "permission: '(' is no regular expression",
        ),
        (
            {"name": "x", "permissions": [{"action": "http", "object": {"type": "EAT", "value": "x"}}]},
            422,
            "permission: no method 'EAT'",
        ),
        (
            {"name": "x", "permissions": [{"action": "VIEW_DEVICE", "object": {"type": "DEVICE_ID", "value": "x"}}]},
            422,
            "a permission VIEW_DEVICE is for DEVICE_GROUP or any, not for 'DEVICE_ID'",
        ),
        (
            {"name": "x", "permissions": [{"action": "FLY", "object": {"type": "any"}}]},
            422,
            "there is no action 'FLY'",
        ),
    ],
)
def test_what_is_no_role_is_refused(admin: httpx.Client, body: Any, status: int, text: str) -> None:
    answer = admin.post(f"{V2}/roles", json=body)
    assert (answer.status_code, answer.json()["error"][: len(text)]) == (status, text)
    assert len(admin.get(f"{V2}/roles").json()) == len(ROLES)


def test_roles_of_every_tenant_stay_as_they_are(admin: httpx.Client) -> None:
    for name in ROLES:
        answers = [admin.put(f"{V2}/roles/{name}", json={}), admin.delete(f"{V2}/roles/{name}")]
        assert [each.status_code for each in answers] == [422, 422]
        assert "stays as it is" in answers[0].json()["error"]


def test_roles_of_another_tenant_do_not_exist(server: RealServer, bob: httpx.Client) -> None:
    other = server.add_tenant("other")
    server.add_user("eve@example.com", tenant=other.id)
    eve = server.client(server.login("eve@example.com"))
    assert [each["name"] for each in eve.get(f"{V2}/roles").json()] == [*ROLES]
    answers = [eve.get(f"{V2}/roles/north"), eve.put(f"{V2}/roles/north", json={}), eve.delete(f"{V2}/roles/north")]
    assert [each.status_code for each in answers] == [404] * 3
    body = {"email": "x@example.com", "password": "a good password", "roles": ["north"]}
    assert eve.post(USERS, json=body).status_code == 422
    assert bob.get(DEVICES).status_code == 200


def test_a_changed_role_counts_at_once_for_who_is_logged_in(admin: httpx.Client, bob: httpx.Client) -> None:
    assert bob.get(DEVICES).status_code == 200
    assert bob.get(USERS).status_code == 403
    sets: list[Any] = [{"name": "ReadUsers"}]
    assert admin.put(f"{V2}/roles/north", json={"permission_sets_with_scope": sets}).status_code == 204
    assert bob.get(DEVICES).status_code == 403
    assert bob.get(USERS).status_code == 200
    assert admin.delete(f"{V2}/roles/north").status_code == 204
    answer = bob.get(USERS)
    assert (answer.status_code, answer.json()["error"]) == (403, FORBIDDEN)
    assert bob.get(f"{USERS}/me").json()["roles"] == []


def test_a_role_made_again_under_its_name_is_not_theirs_who_had_the_old(admin: httpx.Client, bob: httpx.Client) -> None:
    assert admin.delete(f"{V2}/roles/north").status_code == 204
    body = {"name": "north", "permission_sets_with_scope": [{"name": "ReadUsers"}]}
    assert admin.post(f"{V2}/roles", json=body).status_code == 201
    assert bob.get(USERS).status_code == 403


def test_who_manages_users_does_not_make_himself_an_administrator(server: RealServer, admin: httpx.Client) -> None:
    admin.post(f"{V2}/roles", json={"name": "people", "permission_sets_with_scope": [{"name": "ManageUsers"}]})
    admin.post(f"{V2}/roles", json={"name": "all", "permission_sets_with_scope": [{"name": "SuperUser"}]})
    http = [{"action": "http", "object": {"type": "any", "value": ".*"}}]
    admin.post(f"{V1}/roles", json={"name": "paths", "permissions": http})
    mike = server.add_user("mike@example.com", roles=("people",))
    boss = server.add_user("boss@example.com", roles=("all",))
    client = server.client(server.login("mike@example.com"))
    new = {"email": "new@example.com", "password": "a good password"}
    refused = [
        client.put(f"{USERS}/{mike.id}", json={"roles": [ADMIN]}),
        client.put(f"{USERS}/me", json={"roles": ["people", "all"]}),
        client.put(f"{USERS}/me", json={"roles": ["people", "paths"]}),
        client.post(USERS, json=new),  # without roles: an administrator
        client.post(USERS, json={**new, "roles": ["all"]}),
        client.put(f"{USERS}/{boss.id}", json={"email": "mine@example.com"}),
        client.put(f"{USERS}/{boss.id}", json={"roles": []}),
        client.delete(f"{USERS}/{boss.id}"),
        client.post(f"{V2}/roles", json={"name": "x", "permission_sets_with_scope": [{"name": "SuperUser"}]}),
        client.post(f"{V1}/roles", json={"name": "x", "permissions": http}),
        client.put(f"{V2}/roles/people", json={"permission_sets_with_scope": [{"name": "SuperUser"}]}),
        client.put(f"{V2}/roles/all", json={"permission_sets_with_scope": [{"name": "ReadUsers"}]}),
        client.delete(f"{V2}/roles/paths"),
    ]
    assert [(each.status_code, each.json()["error"]) for each in refused] == [(403, FORBIDDEN)] * len(refused)
    assert client.post(USERS, json={**new, "roles": [OBSERVER]}).status_code == 201
    assert client.put(f"{USERS}/me", json={"roles": ["people", OBSERVER]}).status_code == 204


def test_the_last_administrator_stays(server: RealServer, admin: httpx.Client) -> None:
    me = admin.get(f"{USERS}/me").json()["id"]
    text = f"this is the last user with the role {ADMIN}; give it to somebody else first"
    for answer in (admin.delete(f"{USERS}/{me}"), admin.put(f"{USERS}/me", json={"roles": [OBSERVER]})):
        assert (answer.status_code, answer.json()["error"]) == (422, text)
    server.add_user("bob@example.com")
    assert admin.put(f"{USERS}/me", json={"roles": [OBSERVER]}).status_code == 204
    assert [each["email"] for each in server.client(server.login("bob@example.com")).get(USERS).json()] == [
        EMAIL,
        "bob@example.com",
    ]


# --- the decision itself ---------------------------------------------------------------------------------------------

GET_DEVICES = ("GET", DEVICES)


def rights(*roles: Role) -> Rights:
    return Rights.of(roles, PERMISSION_SETS)


def test_groups_are_a_union_and_all_devices_win() -> None:
    north, south = (Role(name=name, grants=(Grant("ReadDevices", frozenset({name})),)) for name in ("north", "south"))
    assert rights(north, south).groups(GET_DEVICES) == {"north", "south"}
    assert rights(north, ROLES[OBSERVER]).groups(GET_DEVICES) is None
    assert rights(north).reach(GET_DEVICES, "north")
    assert not rights(north).reach(GET_DEVICES, "south")
    assert not rights(north).reach(GET_DEVICES, None)


def test_groups_count_for_each_action() -> None:
    role = Role(name="x", grants=(Grant("ReadDevices"), Grant("ManageDevices", frozenset({"a"})), Grant("ReadUsers")))
    assert rights(role).groups(GET_DEVICES) is None
    assert rights(role).groups(("PUT", "/api/management/v1/inventory/devices/x/group")) == {"a"}
    assert not rights(role).may(("PUT", "/api/management/v1/useradm/users/x"))


@pytest.mark.parametrize(
    "call",
    [
        ("GET", "/"),
        ("GET", "/api/management/v1/inventory"),
        ("POST", DEVICES),
        ("DELETE", f"{DEVICES}/x"),
        ("GET", f"/x{DEVICES}"),
        ("GET", "/api/management/v10/inventory/devices"),
        ("GET", f"{DEVICES}/\n"),
        ("GET", f"{DEVICES}/{'x' * MAX_PATH}"),
        ("get", DEVICES),
    ],
)
def test_what_no_permission_names_is_refused(call: tuple[str, str]) -> None:
    assert not of_everybody(OBSERVER).may(call)


def test_one_is_oneself_to_the_end_of_the_path() -> None:
    """`$` alone would also match before a line feed at the end, which another user's id may have."""
    assert of_everybody().may(("PUT", "/api/management/v1/useradm/users/me"))
    for path in ("me\n", "me/", "me2", "you"):
        assert not of_everybody().may(("PUT", f"/api/management/v1/useradm/users/{path}"))


def test_a_pattern_that_never_ends_allows_nothing() -> None:
    slow = Role(name="slow", rules=(Permission("any", "(a+)+$"),))
    assert not rights(slow).may(("GET", "a" * 1000 + "b"))


def test_patterns_of_one_user_do_not_stop_everybody() -> None:
    """They are asked at every call, where all wait: measured in work, for any time depends on the machine."""
    slow = Permission("any", r"(?:\w{1,200}|/){1,200}[!,]")
    roles = [Role(name=f"r{each}", rules=(slow,) * 50) for each in range(64)]
    assert len(rights(*roles).entries) == MAX_RULES + 1
    assert not rights(*roles).may(("GET", "/api/management/v1/" + "a" * 900))
    good = rights(Role(name="r", rules=(Permission("any", r"/api/management/v[0-9]/(inventory|devauth)/.*devices.*"),)))
    assert good.may(("GET", "/api/management/v1/inventory/" + "a" * 100 + "/devices/" + "b" * 100))


def test_a_user_has_so_many_patterns_and_no_more(admin: httpx.Client) -> None:
    http = [{"action": "http", "object": {"type": "GET", "value": f"/x{each}"}} for each in range(60)]
    for name in ("one", "two"):
        assert admin.post(f"{V1}/roles", json={"name": name, "permissions": http}).status_code == 201
    new = {"email": "new@example.com", "password": "a good password"}
    assert admin.post(USERS, json={**new, "roles": ["one", "two"]}).status_code == 422
    assert admin.post(USERS, json={**new, "roles": ["one"]}).status_code == 201


def test_rules_of_paths_are_confined_to_the_groups_beside_them() -> None:
    rule = Permission("any", "/api/")
    assert rights(Role(name="x", rules=(rule,))).groups(("POST", "/api/x")) is None
    confined = Role(name="x", rules=(rule,), grants=(Grant("ReadDevices", frozenset({"a"})),))
    assert rights(confined).groups(("POST", "/api/x")) == {"a"}


def test_a_role_that_is_gone_allows_nothing() -> None:
    assert not rights().may(GET_DEVICES)
    assert rights().groups(("GET", "/api/management/v1/useradm/users/me")) == frozenset()
