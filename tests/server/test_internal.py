"""What other programs of this machine may ask, and that nobody else may."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fleet_of_two import ALPHA, BETA, World
from serving import DEVAUTH, EMAIL, FakeDevice, RealServer, real_server

from vedette.errors import Invalid
from vedette.server.app import internal_routes, make_internal_app, routes
from vedette.server.http.internal import is_loopback
from vedette.server.settings import Settings

INTERNAL = "/api/internal/v1"
Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data = tmp_path_factory.mktemp("data")
    with real_server(Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")) as server:
        yield World(server)


@pytest.fixture(scope="module")
def ask(world: World) -> Ask:
    return asker(world.server)


def asker(server: RealServer) -> Ask:
    """Asks the internal application of the same server."""
    transport = httpx.ASGITransport(make_internal_app(server.services))

    def work(method: str, path: str, *, host: str = "127.0.0.1:9090", **more: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                return await client.request(method, INTERNAL + path, **more)

        answer: httpx.Response = server.run(send())
        return answer

    return work


def test_internal_paths_are_not_on_the_public_port(world: World) -> None:
    public = {route.path for route in routes()}  # type: ignore[attr-defined]
    mine = {route.path for route in internal_routes()}  # type: ignore[attr-defined]
    services = {f"{INTERNAL}/{{service}}/alive", f"{INTERNAL}/{{service}}/health"}
    assert public & mine == {"/alive", "/health", "/api/v1/health", *services}
    assert len(mine) > 15
    path = f"{INTERNAL}/tenantadm/tenants/{world.server.tenant.id}/status"
    assert world.client("admin").put(path, json={"status": "suspended"}).status_code == 404


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("evil.example:9090", {}),
        ("127.0.0.1.evil.example", {}),
        ("127.0.0.1:9090", {"Origin": "http://127.0.0.1:9090"}),
        ("localhost", {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_browsers_are_refused(world: World, ask: Ask, host: str, headers: dict[str, str]) -> None:
    path = f"/devauth/tenants/{world.server.tenant.id}/devices/count"
    assert ask("GET", path, host=host, headers=headers).status_code == 403
    assert ask("GET", path, host="localhost").status_code == 200


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("127.0.0.1", True), ("127.0.0.1:80", True), ("[::1]:80", True), ("[::1]", True), ("localhost:1", True),
        ("", False), ("10.0.0.1", False), ("localhost.evil", False), ("127.0.0.1@x", False), ("[::2]:1", False),
    ],
)  # fmt: skip
def test_what_is_this_machine(host: str, good: bool) -> None:
    assert is_loopback(host) is good


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.com:1", "127.0.0.1", "127.0.0.1:x"])
def test_it_listens_on_this_machine_alone(listen: str) -> None:
    with pytest.raises(Invalid, match="setting internal_listen"):
        Settings(internal_listen=listen)


def verify(ask: Ask, kind: str, token: str, method: str, uri: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-Method": method, "X-Forwarded-Uri": uri}
    return ask("GET", f"/{kind}/verify", headers=headers)


@pytest.mark.parametrize(
    ("name", "method", "uri", "status", "groups"),
    [
        ("admin", "GET", "/api/management/v1/inventory/devices?page=1", 200, None),
        ("observer", "GET", "/api/management/v1/inventory/devices", 200, None),
        ("observer", "PUT", "/api/management/v1/inventory/devices/x/group", 403, None),
        ("manages alpha", "GET", "/api/management/v1/inventory/devices", 200, "alpha,beta"),
        ("manages alpha", "PUT", "/api/management/v1/inventory/devices/x/group", 200, "alpha"),
        ("no role", "GET", "/api/management/v1/inventory/devices", 403, None),
        ("no role", "GET", "/api/management/v1/useradm/users/me", 200, ""),
        ("no role", "GET", "/api/management/v1/useradm/roles/../users", 403, None),
        ("no role", "GET", "/api/management/v1/useradm/roles/%2e%2e/users", 403, None),
        ("revoked", "GET", "/api/management/v1/inventory/devices", 401, None),
        ("expired", "GET", "/api/management/v1/inventory/devices", 401, None),
        ("device", "GET", "/api/management/v1/inventory/devices", 401, None),
        ("admin", "GET", "/api/devices/v1/inventory/device/attributes", 401, None),
    ],
)
def test_a_gateway_asks_for_a_user(
    world: World, ask: Ask, name: str, method: str, uri: str, status: int, groups: str | None
) -> None:
    answer = verify(ask, "useradm/auth", world.tokens[name], method, uri)
    assert (answer.status_code, answer.headers.get("x-men-rbac-inventory-groups")) == (status, groups)


def test_a_gateway_asks_for_a_device(world: World, ask: Ask) -> None:
    good = "/api/devices/v1/inventory/device/attributes"
    cases = [
        (world.tokens["device"], good, 200),
        (world.tokens["admin"], good, 401),
        ("nonsense", good, 401),
        (world.tokens["device"], "/api/management/v1/inventory/devices", 401),
    ]
    for token, uri, status in cases:
        assert verify(ask, "devauth/tokens", token, "PUT", uri).status_code == status


def test_a_gateway_that_does_not_say_for_what_is_told_so(world: World, ask: Ask) -> None:
    headers = {"Authorization": f"Bearer {world.tokens['admin']}"}
    assert ask("GET", "/useradm/auth/verify", headers=headers).status_code == 400


def test_a_path_that_could_be_read_in_two_ways_is_not_answered_for(world: World, ask: Ask) -> None:
    for uri in ("//api/management/v1/useradm/users/me", "/api/management/v1/useradm/users/me#/../x"):
        assert verify(ask, "useradm/auth", world.tokens["no role"], "GET", uri).status_code == 400


def test_devices_are_listed_counted_and_looked_at(world: World, ask: Ask) -> None:
    tenant = f"tenants/{world.server.tenant.id}"
    (alpha,) = world.make(ALPHA)
    assert alpha.id in {each["id"] for each in ask("GET", f"/devauth/{tenant}/devices?per_page=500").json()}
    assert ask("GET", f"/devauth/{tenant}/devices/count?status=accepted").json()["count"] >= 1
    assert ask("GET", f"/devauth/{tenant}/devices/{alpha.id}/status").json() == {"status": "accepted"}
    assert ask("GET", f"/inventory/{tenant}/devices/{alpha.id}/groups").json() == {"groups": [ALPHA]}
    assert ask("POST", f"/inventory/{tenant}/devices/{alpha.id}/reindex?service=devicemonitor").status_code == 200
    users = ask("GET", f"/useradm/{tenant}/devices/{alpha.id}/users").json()["emails"]
    assert len(users) == 4  # admin, observer, reads alpha, manages alpha
    for path in (f"/devauth/{tenant}/devices/none/status", f"/inventory/{tenant}/devices/none/groups"):
        assert ask("GET", path).status_code == 404
    other = "tenants/no-such-tenant"
    assert ask("GET", f"/devauth/{other}/devices").json() == []
    assert ask("GET", f"/devauth/{other}/devices/{alpha.id}/status").status_code == 404


def test_alerts_are_counted_and_forgotten(world: World, ask: Ask) -> None:
    tenant = f"/devicemonitor/tenants/{world.server.tenant.id}"
    alpha, beta = world.make(ALPHA, BETA)
    counts = {each["id"]: each for each in ask("GET", f"{tenant}/devices?per_page=500").json()}
    assert counts[alpha.id] == {"id": alpha.id, "alerts": True, "alerts_open_count": 1, "alerts_total_count": 1}
    (latest,) = ask("GET", f"{tenant}/devices/{alpha.id}/alerts/latest").json()
    assert latest["name"] == alpha.secret
    assert ask("DELETE", f"{tenant}/devices/{alpha.id}").status_code == 204
    assert ask("DELETE", f"{tenant}/devices/none").status_code == 204
    counts = {each["id"]: each for each in ask("GET", f"{tenant}/devices?per_page=500").json()}
    assert [counts[each.id]["alerts_total_count"] for each in (alpha, beta)] == [0, 1]
    assert world.client("admin").get(f"/devices/{alpha.id}").status_code == 200
    assert ask("DELETE", tenant).status_code == 204
    assert not any(each["alerts"] for each in ask("GET", f"{tenant}/devices?per_page=500").json())


def test_devices_that_are_gone_are_told_of(world: World, ask: Ask) -> None:
    tenant = f"/inventory/tenants/{world.server.tenant.id}"
    alpha, beta = world.make(ALPHA, BETA)
    body = [{"id": alpha.id, "revision": 1}, {"id": "none"}]
    assert ask("POST", f"{tenant}/devices/status/accepted", json=body).status_code == 200
    assert ask("POST", f"{tenant}/devices/status/decommissioned", json=body).status_code == 200
    found = [world.client("admin").get(f"{DEVAUTH}/devices/{each.id}").status_code for each in (alpha, beta)]
    assert found == [404, 200]
    assert ask("POST", f"{tenant}/devices/status/lost", json=[]).status_code == 400


def test_tenants_are_known_by_their_token_limited_and_suspended(tmp_path: Any) -> None:
    with real_server(Settings(listen="127.0.0.1:0", data=tmp_path, public_url="http://vedette.test")) as server:
        ask = asker(server)
        tenant = server.tenant
        header = {"Authorization": f"Bearer {tenant.token}"}
        found = ask("GET", "/tenantadm/tenants/verify", headers=header)
        assert (found.status_code, found.json()["id"]) == (200, tenant.id)
        assert ask("GET", "/tenantadm/tenants/verify", headers={"Authorization": "Bearer x"}).status_code == 401
        limits = f"/devauth/tenant/{tenant.id}/limits/max_devices"
        assert ask("GET", limits).json() == {"limit": 0}
        assert ask("PUT", limits, json={"limit": 5}).status_code == 204
        assert ask("GET", limits).json() == {"limit": 5}
        assert ask("DELETE", limits).status_code == 204
        assert ask("GET", limits.replace(tenant.id, "none")).status_code == 404
        server.add_user(EMAIL)
        admin = server.client(server.login())
        status = f"/tenantadm/tenants/{tenant.id}/status"
        assert ask("PUT", status, json={"status": "suspended"}).status_code == 204
        assert ask("GET", "/tenantadm/tenants/verify", headers=header).status_code == 401
        assert admin.get("/api/management/v1/useradm/users/me").status_code == 401
        assert ask("PUT", status, json={"status": "active"}).status_code == 204
        assert admin.get("/api/management/v1/useradm/users/me").status_code == 200
        assert ask("PUT", status, json={"status": "asleep"}).status_code == 400
        assert ask("PUT", "/tenantadm/tenants/none/status", json={"status": "active"}).status_code == 404


def test_attributes_are_told(world: World, ask: Ask) -> None:
    (alpha,) = world.make(ALPHA)
    device = f"/inventory/tenants/{world.server.tenant.id}/device/{alpha.id}"
    own = [{"name": "alerts", "value": True}, {"name": "alert_count", "value": 99}, {"name": "depth", "value": 3}]
    assert ask("PATCH", f"{device}/attribute/scope/monitor", json=own).status_code == 200
    mixed = [
        {"name": "status", "value": "rejected", "scope": "identity"},
        {"name": "group", "value": BETA, "scope": "system"},
        {"name": "site", "value": "oslo", "scope": "tags"},
        {"name": "os", "value": "debian"},
    ]
    assert ask("PATCH", f"{device}/attributes", json=mixed).status_code == 200
    shown = world.client("admin").get(f"/api/management/v1/inventory/devices/{alpha.id}").json()["attributes"]
    values = {(each["scope"], each["name"]): each["value"] for each in shown}
    assert values["monitor", "depth"] == 3
    assert (values["tags", "site"], values["inventory", "os"]) == ("oslo", "debian")
    assert values["monitor", "alert_count"] != 99
    assert (values["identity", "status"], values["system", "group"]) == ("accepted", ALPHA)
    old, new = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
    for since, status in ((old, 412), (new, 200), ("yesterday", 400)):
        answer = ask("PATCH", f"{device}/attributes", json=[], headers={"If-Unmodified-Since": since})
        assert answer.status_code == status
    too_many = [{"name": f"n{each}", "value": 1} for each in range(101)]
    for path, body, status in (
        (f"{device}/attribute/scope/nothing", [], 400),
        (f"{device}/attributes", too_many, 400),
        (f"{device}/attributes", [{"name": "x", "value": None}], 400),
        (device.replace(alpha.id, "none") + "/attributes", [], 404),
        (device.replace(world.server.tenant.id, "none") + "/attributes", [], 404),
    ):
        assert ask("PATCH", path, json=body).status_code == status


def test_a_device_is_told_of_before_it_comes(world: World, ask: Ask) -> None:
    path, device_id = f"/inventory/tenants/{world.server.tenant.id}/devices", str(uuid4())
    mac = [{"name": "mac", "value": "told", "scope": "identity"}]
    body = {"id": device_id, "attributes": [*mac, {"name": "os", "value": "debian"}]}
    assert ask("POST", path, json=body).status_code == 201
    admin = world.client("admin")
    assert admin.get(f"{DEVAUTH}/devices/{device_id}").json()["status"] == "noauth"
    for again, status in ((body, 409), ({**body, "id": str(uuid4())}, 409), ({"id": "x", "attributes": mac}, 400),
                          ({"id": str(uuid4())}, 400)):  # fmt: skip
        assert ask("POST", path, json=again).status_code == status
    device = FakeDevice(world.server, {"mac": "told"}, tenant_token=world.server.tenant.token)
    assert device.request().status_code == 401
    found = admin.get(f"{DEVAUTH}/devices/{device_id}").json()
    assert (found["status"], len(found["auth_sets"])) == ("pending", 1)


def test_other_programs_write_into_the_audit_log(world: World, ask: Ask) -> None:
    path = f"/auditlogs/tenants/{world.server.tenant.id}/logs"
    entry: dict[str, Any] = {
        "actor": {"id": "u-1", "type": "user", "email": "Zoe@example.com"},
        "action": "open_terminal",
        "object": {"id": "d-1", "type": "device", "device": {"id": "d-1", "identity_data": "{}"}},
        "change": "x" * 100_000,
        "meta": {"session_id": ["s"]},
    }
    assert ask("POST", path, json=entry).status_code == 201
    logs = "/api/management/v1/auditlogs/logs"
    (shown,) = world.client("admin").get(logs, params={"actor_email": "zoe@example.com"}).json()
    assert (shown["action"], shown["object"]) == ("open_terminal", entry["object"])
    assert len(shown["change"]) < 70_000
    for change, status in (
        ({"time": "2001-01-01T00:00:00Z"}, 400),
        ({"time": "9999-01-01T00:00:00Z"}, 400),
        ({"object": {"id": 5, "type": "device"}}, 400),
        ({"object": {"id": "5", "type": "device", "device": "x"}}, 400),
        ({"action": "a\nb"}, 400),
        ({"actor": {"id": "\0", "type": "user"}}, 400),
    ):
        assert ask("POST", path, json={**entry, **change}).status_code == status
    assert ask("POST", "/auditlogs/tenants/none/logs", json=entry).status_code == 404
    assert world.client("admin").post(INTERNAL + path, json=entry).status_code == 404, "not on the public port"


def test_tokens_of_devices_are_killed(world: World, ask: Ask) -> None:
    device = world.client("device")
    report = ("PUT", "/api/devices/v1/inventory/device/attributes")
    assert device.request(*report, json=[]).status_code == 200
    assert ask("DELETE", "/devauth/tokens").status_code == 400
    where = f"/devauth/tokens?tenant_id={world.server.tenant.id}"
    assert ask("DELETE", f"{where}&device_id=none").status_code == 204
    assert device.request(*report, json=[]).status_code == 200
    assert ask("DELETE", where).status_code == 204
    assert device.request(*report, json=[]).status_code == 401
