"""Devices that were made to hurt: strangers by the thousand, and ones that were let in and turn against the server."""

import json
from collections.abc import Callable

import httpx
import pytest
from serving import DEVAUTH, FakeDevice, RealServer

from vedette.server.alerts import store as alert_store
from vedette.server.db import SYSTEM, Tx
from vedette.server.db.core import DEVICE_TABLES
from vedette.server.devices import authentication, intake
from vedette.server.notify import service as notify

INVENTORY = "/api/devices/v1/inventory/device/attributes"
ALERT = "/api/devices/v1/devicemonitor/alert"
CONFIG = "/api/devices/v1/devicemonitor/config"
MONITOR = "/api/management/v1/devicemonitor/devices"
JSON = {"Content-Type": "application/json"}

Accept = Callable[[FakeDevice], str]


def pending(admin: httpx.Client) -> int:
    count: int = admin.get(f"{DEVAUTH}/devices/count", params={"status": "pending"}).json()["count"]
    return count


def test_strangers_fill_no_more_than_their_room(
    server: RealServer, admin: httpx.Client, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is known notices nothing, and there is room again as soon as somebody has decided."""
    monkeypatch.setattr(authentication, "MAX_PENDING", 3)
    friend = FakeDevice(server, {"sn": "friend"})
    accept(friend)
    waiting = [FakeDevice(server, {"sn": str(number)}) for number in range(3)]
    assert [each.request().status_code for each in waiting] == [401, 401, 401]
    late = FakeDevice(server, {"sn": "late"})
    for _ in range(2):
        answer = late.request()
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "300")
        assert answer.json()["error"].startswith("3 devices wait to be accepted already")
    assert pending(admin) == 3
    assert friend.request().status_code == 200
    assert friend.client().post(ALERT, json=[]).status_code == 204
    assert waiting[0].request().status_code == 401
    new_key = FakeDevice(server, friend.identity)  # no new device: a key more for one that is there
    assert new_key.request().status_code == 401
    accept(waiting[0])
    assert late.request().status_code == 401
    assert pending(admin) == 3


def test_room_for_strangers_is_counted_for_each_tenant(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "MAX_PENDING", 1)
    other = server.add_tenant("other")
    assert FakeDevice(server, {"sn": "1"}, tenant_token=other.token).request().status_code == 401
    assert FakeDevice(server, {"sn": "2"}, tenant_token=other.token).request().status_code == 429
    assert FakeDevice(server, {"sn": "2"}, tenant_token=server.tenant.token).request().status_code == 401


def test_many_at_once_do_not_slip_through(
    server: RealServer, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that looked while there was room find out when they are written down."""
    monkeypatch.setattr(authentication, "MAX_PENDING", 2)
    look_up = authentication._look_up

    async def blind(*args: object) -> object:
        try:
            return await look_up(*args)  # type: ignore[arg-type]
        except authentication.TooMany:
            return None

    monkeypatch.setattr(authentication, "_look_up", blind)
    assert [FakeDevice(server, {"sn": str(n)}).request().status_code for n in range(4)] == [401, 401, 429, 429]
    assert pending(admin) == 2


def test_keys_for_a_known_identity_fill_no_more_than_their_room(
    server: RealServer, admin: httpx.Client, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "MAX_PENDING_KEYS", 2)
    owner = FakeDevice(server, {"sn": "1"})
    device_id = accept(owner)
    statuses = [FakeDevice(server, owner.identity).request().status_code for _ in range(4)]
    assert statuses == [401, 401, 429, 429]
    assert owner.request().status_code == 200
    assert len(admin.get(f"{DEVAUTH}/devices/{device_id}").json()["auth_sets"]) == 3


@pytest.mark.parametrize(
    ("identity", "says"),
    [
        (json.dumps({str(number): 1 for number in range(65)}), "at most 64 keys"),
        ('{"a":' + "[" * 8 + "]" * 8 + "}", "nested more than 8 deep"),
        ('{"a":' + "[" * 900 + "]" * 900 + "}", "nested more than 8 deep"),
        ('{"a":' + "[" * 100_000 + "}", "not a JSON object"),
        ('{"a": 1e400}', "out of range"),
        ('{"a": "\\ud800"}', "not a JSON object"),
        ('{"a": "b\\u0000"}', "a NUL character"),  # PostgreSQL could not search it, for anybody
    ],
    ids=lambda text: text[:20],
)
def test_an_identity_that_is_too_much(server: RealServer, admin: httpx.Client, identity: str, says: str) -> None:
    answer = FakeDevice(server, {}).request(id_data=identity)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert pending(admin) == 0


@pytest.mark.parametrize(
    "identity",
    ['{"a":' + "9" * 300 + "}", '{"a":[[[[[[[1]]]]]]]}', r'{"":"\\u0000"}', '{"status":"accepted","id":"x"}',
     '{"a":null,"b":{"c":[1,{"d":true}]},"e":[],"f":[1,"a"]}', '{"name":"<script>alert(1)</script>\\u202e"}'],
)  # fmt: skip
def test_an_odd_identity_can_be_looked_at(server: RealServer, admin: httpx.Client, identity: str) -> None:
    assert FakeDevice(server, {}).request(id_data=identity).status_code == 401
    (device,) = admin.get(f"{DEVAUTH}/devices").json()
    assert device["status"] == "pending"
    for path in ("/devices", f"/devices/{device['id']}"):
        page = admin.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
    assert admin.get("/api/management/v1/inventory/devices").status_code == 200


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00Z"])
def test_a_time_that_is_none_is_refused_and_harms_nothing(
    admin: httpx.Client, device: FakeDevice, accept: Accept, at: str
) -> None:
    """It once was taken, and the history of the device could not be read any more."""
    device_id = accept(device)
    alert = {"name": "n", "level": "CRITICAL", "timestamp": at, "subject": {"name": "s", "type": "log", "status": ""}}
    answer = device.client().post(ALERT, json=[alert])
    assert answer.status_code == 400
    assert "timestamp" in answer.json()["error"]
    assert admin.get(f"{MONITOR}/{device_id}/alerts").json() == []


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59-12:00"])
def test_the_first_and_the_last_time_can_be_shown(
    admin: httpx.Client, device: FakeDevice, accept: Accept, at: str
) -> None:
    device_id = accept(device)
    alert = {"name": "n", "level": "CRITICAL", "timestamp": at, "subject": {"name": "s", "type": "log", "status": ""}}
    assert device.client().post(ALERT, json=[alert]).status_code == 204
    (stored,) = admin.get(f"{MONITOR}/{device_id}/alerts").json()
    for suffix in ("", f"/alerts/{stored['id']}", f"/alerts/{stored['id']}/text", f"/alerts/{stored['id']}/json"):
        assert admin.get(f"/devices/{device_id}{suffix}").status_code == 200, suffix
    assert len(admin.get(f"{MONITOR}/{device_id}/alerts/latest").json()) == 1


def test_a_configuration_that_was_taken_can_be_read(admin: httpx.Client, device: FakeDevice, accept: Accept) -> None:
    """Written again with what is optional, it is longer than what may come in."""
    device_id = accept(device)
    checks: list[dict[str, object]] = [{"name": "a", "type": "b"}] * 4000
    body = json.dumps([*checks, {"name": "c", "type": "d", "d": {"k": ""}}], separators=(",", ":"))
    body = body.replace('"k":""', '"k":"' + "x" * (1024 * 1024 - len(body)) + '"')
    assert device.client().post(CONFIG, content=body, headers=JSON).status_code == 204
    assert len(admin.get(f"{MONITOR}/{device_id}/config").json()) == 4001
    assert admin.get(f"/devices/{device_id}").status_code == 200


def test_what_a_device_says_of_itself_has_a_length(
    admin: httpx.Client, device: FakeDevice, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of 500 devices holds all that each of them says."""
    monkeypatch.setattr(intake, "MAX_TOTAL", 1000)
    device_id = accept(device)
    client = device.client()
    assert client.patch(INVENTORY, json=[{"name": "a", "value": "x" * 900}]).status_code == 200
    answer = client.patch(INVENTORY, json=[{"name": "b", "value": "x" * 98}])
    assert answer.status_code == 400
    assert "together longer than 1000" in answer.json()["error"]
    attributes = admin.get(f"/api/management/v1/inventory/devices/{device_id}").json()["attributes"]
    assert [each["name"] for each in attributes if each["scope"] == "inventory"] == ["a"]
    assert client.put(INVENTORY, json=[{"name": "b", "value": "x" * 900}]).status_code == 200


@pytest.mark.parametrize("path", [ALERT, CONFIG, INVENTORY])
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b"[" * 500_000, b"[null]", b'[{"name":' + b"[" * 5000 + b"]" * 5000 + b"}]", b"\xff",
             b'[{"name":"\\ud800"}]', b'[{"name":"a","type":"b","b":{"k":99999999999999999999}}]']
)  # fmt: skip
def test_a_body_that_is_not_what_it_should_be(device: FakeDevice, accept: Accept, path: str, body: bytes) -> None:
    accept(device)
    answer = device.client().request("PUT" if path == INVENTORY else "POST", path, content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_another_tenants_device_finds_and_changes_nothing(
    server: RealServer, admin: httpx.Client, device: FakeDevice, accept: Accept
) -> None:
    """The same identity and key with another tenant's token is another device; known ids do not help its users."""
    device_id = accept(device)
    theirs = server.add_tenant("theirs")
    twin = FakeDevice(server, device.identity, key=device.key, tenant_token=theirs.token)
    assert twin.request().status_code == 401
    server.add_user("eve@evil.test", tenant=theirs.id)
    eve = server.client(server.login("eve@evil.test"))
    (seen,) = eve.get(f"{DEVAUTH}/devices").json()
    assert seen["id"] != device_id
    auth = admin.get(f"{DEVAUTH}/devices/{device_id}").json()["auth_sets"][0]["id"]
    for method, path, body in (
        ("GET", f"{DEVAUTH}/devices/{device_id}", None),
        ("DELETE", f"{DEVAUTH}/devices/{device_id}", None),
        ("PUT", f"{DEVAUTH}/devices/{device_id}/auth/{auth}/status", {"status": "rejected"}),
        ("PUT", f"{DEVAUTH}/devices/{seen['id']}/auth/{auth}/status", {"status": "rejected"}),
        ("DELETE", f"{DEVAUTH}/devices/{device_id}/auth/{auth}", None),
        ("DELETE", f"{DEVAUTH}/tokens/{auth}", None),
        ("GET", f"{MONITOR}/{device_id}/alerts", None),
        ("GET", f"{MONITOR}/{device_id}/alerts/latest", None),
        ("GET", f"{MONITOR}/{device_id}/config", None),
        ("GET", f"/api/management/v1/inventory/devices/{device_id}", None),
        ("PUT", f"/api/management/v1/inventory/devices/{device_id}/tags", [{"name": "a", "value": "b"}]),
        ("PUT", f"/api/management/v1/inventory/devices/{device_id}/group", {"group": "g"}),
        ("GET", f"/devices/{device_id}", None),
    ):
        assert eve.request(method, path, json=body).status_code == 404, (method, path)
    before = admin.get(f"/api/management/v1/inventory/devices/{device_id}").json()
    assert eve.delete(f"/api/management/v1/inventory/devices/{device_id}").status_code == 204  # also when unknown
    assert eve.patch("/api/management/v1/inventory/groups/g/devices", json=[device_id]).json() == {}
    assert admin.get(f"/api/management/v1/inventory/devices/{device_id}").json() == before
    assert admin.get(f"{DEVAUTH}/devices/{device_id}").json()["status"] == "accepted"


def test_heavy_alerts_do_not_weigh_on_lists(
    admin: httpx.Client, device: FakeDevice, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One device can send a megabyte of log with each alert: 500 of them are no answer, and no page needs them."""
    monkeypatch.setattr(alert_store, "MAX_WEIGHT", 2 * 1024 * 1024)
    device_id = accept(device)
    client = device.client()
    for number in range(3):
        details = {"line_matching": {"line_number": 1, "data": "unmistakable" + "x" * 900_000}}
        subject = {"name": f"s{number}", "type": "log", "status": "", "details": details}
        alert = {"name": "n", "level": "CRITICAL", "timestamp": f"2026-01-01T00:00:0{number}Z", "subject": subject}
        assert client.post(ALERT, json=[alert]).status_code == 204
    for path, order in (("alerts", ["s2", "s1"]), ("alerts/latest", ["s0", "s1"])):
        answer = admin.get(f"{MONITOR}/{device_id}/{path}", params={"per_page": 500})
        assert (answer.status_code, "per_page" in answer.json()["error"]) == (413, True)
        listed = admin.get(f"{MONITOR}/{device_id}/{path}", params={"per_page": 2})
        assert [each["subject"]["name"] for each in listed.json()] == order
        assert listed.json()[0]["subject"]["details"]["line_matching"]["data"].startswith("unmistakable")
    assert len(admin.get(f"/devices/{device_id}").content) < 100_000


def test_decommissioning_leaves_nothing_behind(
    server: RealServer, admin: httpx.Client, device: FakeDevice, accept: Accept
) -> None:
    """What the compatible server cleans up by an internal call is part of the same step here."""
    device_id = accept(device)
    client = device.client()
    alert = {"name": "n", "level": "CRITICAL", "timestamp": "2026-01-01T00:00:00Z",
             "subject": {"name": "s", "type": "log", "status": ""}}  # fmt: skip
    assert client.post(ALERT, json=[alert]).status_code == 204
    assert server.run(notify.decide(server.services, 10)) == 1
    assert client.post(ALERT, json=[alert | {"level": "OK", "timestamp": "2026-01-01T00:00:01Z"}]).status_code == 204
    assert client.post(CONFIG, json=[{"name": "a", "type": "b"}]).status_code == 204
    assert client.put(INVENTORY, json=[{"name": "a", "value": "b"}]).status_code == 200

    async def rows(tx: Tx) -> dict[str, int]:
        return {
            table: await tx.value(f"SELECT count(*) FROM {table} WHERE {'id' if table == 'device' else 'device'} = :of",
                                  of=device_id)
            for table in sorted(DEVICE_TABLES)
        }  # fmt: skip

    before = server.run(server.services.db.read(SYSTEM, rows))
    assert {table for table, count in before.items() if count} >= {
        "device", "auth_set", "attribute", "alert", "subject", "monitor_config", "notification", "delivery"
    }  # fmt: skip
    assert admin.delete(f"{DEVAUTH}/devices/{device_id}").status_code == 204
    assert not any(server.run(server.services.db.read(SYSTEM, rows)).values())
    for answer in (client.post(ALERT, json=[alert]), client.post(CONFIG, json=[]), client.put(INVENTORY, json=[])):
        assert answer.status_code == 401
