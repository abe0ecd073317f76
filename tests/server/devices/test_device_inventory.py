"""What is known of devices, and finding them by it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import EMAIL, FakeDevice, RealServer, real_server

from vedette.server.alerts import intake
from vedette.server.db import DeviceScope
from vedette.server.devices.attribute_store import encoded
from vedette.server.settings import Settings
from vedette.wire import incoming

Accept = Callable[[FakeDevice], str]
REPORT = "/api/devices/v1/inventory/device/attributes"
V1 = "/api/management/v1/inventory"
V2 = "/api/management/v2/inventory"


def attributes(admin: httpx.Client, device_id: str, scope: str = "inventory") -> dict[str, Any]:
    found = admin.get(f"{V1}/devices/{device_id}").json()["attributes"]
    return {each["name"]: each["value"] for each in found if each["scope"] == scope}


def test_put_replaces_and_patch_adds(admin: httpx.Client, device: FakeDevice, accept: Accept) -> None:
    device_id = accept(device)
    client = device.client()
    body = [{"name": "os", "value": "a"}, {"name": "n", "value": 5}, {"name": "os", "value": "b"}]
    answer = client.put(REPORT, json=body)
    assert (answer.status_code, answer.content) == (200, b"")
    assert attributes(admin, device_id) == {"os": "b", "n": 5}
    assert client.patch(REPORT, json=[{"name": "l", "value": ["x", "y"], "scope": "identity"}]).status_code == 200
    assert attributes(admin, device_id) == {"os": "b", "n": 5, "l": ["x", "y"]}
    assert client.put("/api/0.1.0/attributes", json=[{"name": "os", "value": "c"}]).status_code == 200
    assert attributes(admin, device_id) == {"os": "c"}
    assert attributes(admin, device_id, "identity") == {**device.identity, "status": "accepted"}
    assert admin.delete(f"{V1}/devices/{device_id}").status_code == 204
    assert attributes(admin, device_id) == {}
    assert attributes(admin, device_id, "identity") == {**device.identity, "status": "accepted"}


def test_what_has_not_changed_is_not_written(
    server: RealServer, admin: httpx.Client, device: FakeDevice, accept: Accept
) -> None:
    device_id = accept(device)
    client = device.client()
    client.put(REPORT, json=[{"name": "os", "value": "a"}])
    before = admin.get(f"{V1}/devices/{device_id}").json()["updated_ts"]
    client.put(REPORT, json=[{"name": "os", "value": "a"}])
    assert admin.get(f"{V1}/devices/{device_id}").json()["updated_ts"] == before
    client.put(REPORT, json=[{"name": "os", "value": "a", "description": "new"}])
    assert admin.get(f"{V1}/devices/{device_id}").json()["updated_ts"] > before


@pytest.mark.parametrize(
    "value", [True, None, {"a": 1}, [1, "a"], [True], [None], [["a"]], "x" * 70_000]
)  # fmt: skip
def test_values_that_no_attribute_can_have(device: FakeDevice, accept: Accept, admin: httpx.Client, value: Any) -> None:
    device_id = accept(device)
    answer = device.client().put(REPORT, json=[{"name": "good", "value": "x"}, {"name": "bad", "value": value}])
    assert answer.status_code == 400
    assert "'bad'" in answer.json()["error"]
    assert attributes(admin, device_id) == {}  # all or nothing


def test_there_is_a_most_of_attributes(device: FakeDevice, accept: Accept, admin: httpx.Client) -> None:
    device_id = accept(device)
    client = device.client()
    many = [{"name": f"n{number}", "value": number} for number in range(101)]
    assert client.put(REPORT, json=many).status_code == 400
    assert client.put(REPORT, json=many[:100]).status_code == 200
    assert client.patch(REPORT, json=many[100:]).status_code == 400
    assert client.patch(REPORT, json=[{"name": "", "value": 1}]).status_code == 400
    assert len(attributes(admin, device_id)) == 100


def test_tags_and_their_etag(admin: httpx.Client, device: FakeDevice, accept: Accept) -> None:
    device_id = accept(device)
    here = f"{V1}/devices/{device_id}"
    assert "etag" not in admin.get(here).headers
    assert admin.put(f"{here}/tags", json=[{"name": "name", "value": "kiln"}]).status_code == 200
    first = admin.get(here).headers["etag"]
    assert admin.patch(
        f"{here}/tags", json=[{"name": "site", "value": "north"}], headers={"If-Match": first}
    ).is_success
    second = admin.get(here).headers["etag"]
    assert second != first
    refused = admin.put(f"{here}/tags", json=[], headers={"If-Match": first})
    assert refused.status_code == 412
    assert attributes(admin, device_id, "tags") == {"name": "kiln", "site": "north"}
    assert all("timestamp" in each for each in admin.get(here).json()["attributes"] if each["scope"] == "tags")
    assert admin.put(f"{here}/tags", json=[], headers={"If-Match": second}).status_code == 200
    assert attributes(admin, device_id, "tags") == {}
    many = [{"name": f"n{number}", "value": "x"} for number in range(21)]
    assert admin.put(f"{here}/tags", json=many).status_code == 400
    assert admin.put(f"{V1}/devices/nobody/tags", json=[]).status_code == 404


def test_groups(server: RealServer, admin: httpx.Client, accept: Accept) -> None:
    ids = [accept(FakeDevice(server, {"n": str(number)})) for number in range(3)]
    assert admin.get(f"{V1}/groups").json() == []
    assert admin.get(f"{V1}/devices/{ids[0]}/group").json() == {"group": None}
    assert admin.put(f"{V1}/devices/{ids[0]}/group", json={"group": "north"}).status_code == 204
    for name in ("", "a b", "x" * 257, "ä"):
        assert admin.put(f"{V1}/devices/{ids[0]}/group", json={"group": name}).status_code == 400
    assert admin.put(f"{V1}/devices/nobody/group", json={"group": "north"}).status_code == 404
    joined = admin.patch(f"{V1}/groups/south/devices", json=[*ids, ids[0], "nobody"])
    assert joined.json() == {"matched_count": 3, "updated_count": 3}
    assert admin.get(f"{V1}/groups").json() == ["south"]
    listed = admin.get(f"{V1}/groups/south/devices", params={"per_page": 2})
    assert (listed.json(), listed.headers["x-total-count"]) == (sorted(ids)[:2], "3")
    assert attributes(admin, ids[0], "system")["group"] == "south"
    assert admin.delete(f"{V1}/devices/{ids[0]}/group/north").status_code == 404
    assert admin.delete(f"{V1}/devices/{ids[0]}/group/south").status_code == 204
    gone = admin.request("DELETE", f"{V1}/groups/south/devices", json=[ids[0], ids[1]])
    assert gone.json() == {"matched_count": 1, "updated_count": 1}
    assert admin.delete(f"{V1}/groups/south").json() == {"matched_count": 1, "updated_count": 1}
    assert admin.get(f"{V1}/groups").json() == []
    assert admin.get(f"{V1}/groups/south/devices").status_code == 404
    assert admin.patch(f"{V1}/groups/south/devices", json=[]).status_code == 400


# --- searching -------------------------------------------------------------------------------------------------------

FLEET: dict[str, list[dict[str, Any]]] = {
    "a": [
        {"name": "os", "value": "Debian 12"},
        {"name": "n", "value": 5},
        {"name": "ips", "value": ["10.0.0.1", "::1"]},
    ],
    "b": [{"name": "os", "value": "debian 11"}, {"name": "n", "value": "5"}, {"name": "odd", "value": 'q"u\\o%t_e'}],
    "c": [{"name": "os", "value": "Alpine"}, {"name": "n", "value": 5.5}, {"name": "ips", "value": [7, 8.5]}],
    "d": [],
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """Four devices, the last never accepted; and their ids."""
    with real_server(Settings(listen="127.0.0.1:0", data=tmp_path_factory.mktemp("fleet"))) as server:
        server.add_user(EMAIL)
        admin = server.client(server.login())
        ids = {}
        for name, report in FLEET.items():
            device = FakeDevice(server, {"name": name})
            device.request()
            found = admin.post(f"{V2}/filters/search", json={"filters": [f("identity", "name", "$eq", name)]}).json()
            ids[found[0]["id"]] = name
            if name == "d":
                continue
            (sets,) = (
                each["auth_sets"]
                for each in admin.get("/api/management/v2/devauth/devices", params={"id": found[0]["id"]}).json()
            )
            admin.put(
                f"/api/management/v2/devauth/devices/{found[0]['id']}/auth/{sets[0]['id']}/status",
                json={"status": "accepted"},
            )
            assert device.client().put(REPORT, json=report).status_code == 200
        alert = {"name": "x", "level": "CRITICAL", "timestamp": "2026-01-01T00:00:00Z",
                 "subject": {"name": "s", "type": "log", "status": "x"}}  # fmt: skip
        (first,) = (key for key, name in ids.items() if name == "a")
        device = FakeDevice(server, {"name": "a"})
        assert admin.put(f"{V1}/devices/{first}/group", json={"group": "north"}).status_code == 204
        server.run(raise_alert(server, first, alert))
        yield admin, ids


async def raise_alert(server: RealServer, device_id: str, alert: dict[str, Any]) -> None:
    """As if the device had sent it."""
    scope = DeviceScope(server.tenant.id, device_id)
    await intake.accept(server.services, scope, incoming.alerts(json.dumps([alert]).encode()))


def f(scope: str, attribute: str, kind: str, value: Any) -> dict[str, Any]:
    return {"scope": scope, "attribute": attribute, "type": kind, "value": value}


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([], "abcd"),
        ([f("inventory", "os", "$eq", "Debian 12")], "a"),
        ([f("inventory", "n", "$eq", 5)], "a"),
        ([f("inventory", "n", "$eq", 5.0)], "a"),
        ([f("inventory", "n", "$eq", "5")], "b"),
        ([f("inventory", "n", "$eq", True)], ""),
        ([f("inventory", "n", "$eq", None)], ""),
        ([f("inventory", "n", "$ne", 5)], "bcd"),
        ([f("inventory", "n", "$gt", 5)], "c"),
        ([f("inventory", "n", "$gte", 5)], "ac"),
        ([f("inventory", "n", "$lt", 5.5)], "a"),
        ([f("inventory", "n", "$lte", 5.5)], "ac"),
        ([f("inventory", "n", "$ltne", 5.5)], "ad"),
        ([f("inventory", "os", "$gt", "B")], "ab"),
        ([f("inventory", "n", "$gt", True)], ""),
        ([f("inventory", "n", "$in", [5, "5"])], "ab"),
        ([f("inventory", "n", "$in", [])], ""),
        ([f("inventory", "n", "$nin", [5, "5"])], "cd"),
        ([f("inventory", "ips", "$eq", "::1")], "a"),
        ([f("inventory", "ips", "$eq", 8.5)], "c"),
        ([f("inventory", "ips", "$ne", "::1")], "bcd"),
        ([f("inventory", "ips", "$gt", 7)], "c"),
        ([f("inventory", "ips", "$exists", True)], "ac"),
        ([f("inventory", "ips", "$exists", False)], "bd"),
        ([f("inventory", "os", "$regex", "Deb")], "a"),
        ([f("inventory", "os", "$regex", "/deb/i")], "ab"),
        ([f("inventory", "os", "$regex", ".*1[12]$")], "ab"),
        ([f("inventory", "os", "$regex", "(")], ""),
        ([f("inventory", "os", "$regex", "/deb/i"), f("inventory", "n", "$exists", True)], "ab"),
        ([f("inventory", "odd", "$eq", 'q"u\\o%t_e')], "b"),
        ([f("identity", "status", "$eq", "pending")], "d"),
        ([f("identity", "status", "$in", ["accepted", "rejected"])], "abc"),
        ([f("identity", "name", "$regex", "[ab]")], "ab"),
        ([f("monitor", "alerts", "$eq", True)], "a"),
        ([f("monitor", "alerts", "$eq", False)], "bcd"),
        ([f("monitor", "alerts", "$ne", True)], "bcd"),
        ([f("monitor", "alert_count", "$gte", 1)], "a"),
        ([f("monitor", "alert_count", "$eq", "1")], ""),
        ([f("system", "group", "$eq", "north")], "a"),
        ([f("system", "group", "$ne", "north")], "bcd"),
        ([f("system", "group", "$exists", False)], "bcd"),
        ([f("system", "tier", "$eq", "standard")], "abcd"),
        ([f("system", "tier", "$in", ["micro", "system"])], ""),
        ([f("system", "test_device", "$eq", True)], ""),
        ([f("system", "test_device", "$ne", True)], "abcd"),
        ([f("system", "created_ts", "$gt", "2020-01-01T00:00:00Z")], "abcd"),
        ([f("system", "created_ts", "$lt", "2020-01-01T00:00:00Z")], ""),
        ([f("system", "check_in_time", "$exists", False)], "d"),
        ([f("nonsense", "x", "$eq", "y")], ""),
        ([f("inventory", "'; DROP TABLE device; --", "$eq", "'")], ""),
    ],
)
def test_filters(fleet: tuple[httpx.Client, dict[str, str]], filters: list[dict[str, Any]], names: str) -> None:
    admin, ids = fleet
    answer = admin.post(f"{V2}/filters/search", json={"filters": filters})
    assert answer.status_code == 200, answer.text
    assert sorted(ids[each["id"]] for each in answer.json()) == list(names)
    assert answer.headers["x-total-count"] == str(len(names))


@pytest.mark.parametrize(
    "body",
    [
        {"filters": [f("inventory", "os", "$near", "x")]},
        {"filters": [{"attribute": "os", "type": "$eq", "value": "x"}]},
        {"filters": [f("inventory", "os", "$in", "x")]},
        {"filters": [f("inventory", "os", "$eq", ["x"])]},
        {"filters": [f("inventory", "os", "$exists", "yes")]},
        {"filters": [f("inventory", "os", "$regex", 5)]},
        {"filters": [f("inventory", "os", "$eq", "x")] * 65},
        {"per_page": 501},
        {"page": 0},
        {"page": "1"},
        {"sort": [{"scope": "inventory", "attribute": "os", "order": "up"}]},
    ],
)
def test_searches_that_make_no_sense(fleet: tuple[httpx.Client, dict[str, str]], body: dict[str, Any]) -> None:
    assert fleet[0].post(f"{V2}/filters/search", json=body).status_code == 400


@pytest.mark.parametrize(
    ("text", "names"),
    [("debian", "ab"), ("10.0.0", "a"), ('q"u\\o%t_e', "b"), ("%", "b"), ("_", "b"), ("nothing", ""), ("lpi", "c")],
)
def test_searching_for_text(fleet: tuple[httpx.Client, dict[str, str]], text: str, names: str) -> None:
    admin, ids = fleet
    found = admin.post(f"{V2}/filters/search", json={"text": text}).json()
    assert sorted(ids[each["id"]] for each in found) == list(names)


def test_order_pages_and_selection(fleet: tuple[httpx.Client, dict[str, str]]) -> None:
    admin, ids = fleet
    wanted = {"sort": [{"scope": "identity", "attribute": "name", "order": "desc"}], "per_page": 3}
    pages = [admin.post(f"{V2}/filters/search", json={**wanted, "page": page}).json() for page in (1, 2)]
    assert [[ids[each["id"]] for each in page] for page in pages] == [["d", "c", "b"], ["a"]]
    select = {"device_ids": list(ids)[:2], "attributes": [{"scope": "inventory", "attribute": "os"}]}
    found = admin.post(f"{V2}/filters/search", json=select).json()
    assert [[each["name"] for each in one["attributes"]] for one in found] == [["os", "updated_ts"]] * 2


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "abcd"),
        ("n=5", "ab"),
        ("n=eq:5.5", "c"),
        ("os=Alpine", "c"),
        ("inventory/os=Alpine", "c"),
        ("identity/status=pending", "d"),
        ("monitor/alerts=true", "a"),
        ("group=north", "a"),
        ("has_group=True", "a"),
        ("has_group=false&identity/status=accepted", "bc"),
        ("n=nan", ""),
        ("n=" + "9" * 4000, ""),
    ],
)
def test_the_older_list(fleet: tuple[httpx.Client, dict[str, str]], query: str, names: str) -> None:
    admin, ids = fleet
    answer = admin.get(f"{V1}/devices?{query}")
    assert answer.status_code == 200, answer.text
    assert sorted(ids[each["id"]] for each in answer.json()) == list(names)
    assert answer.headers["x-total-count"] == str(len(names))


def test_the_older_order(fleet: tuple[httpx.Client, dict[str, str]]) -> None:
    admin, ids = fleet
    up = admin.get(f"{V1}/devices?sort=identity/name:asc").json()
    down = admin.get(f"{V1}/devices?sort=identity/name").json()
    assert [ids[each["id"]] for each in up] == list("abcd")
    assert [ids[each["id"]] for each in down] == list("dcba")
    assert admin.get(f"{V1}/devices?sort=os:up").status_code == 400
    assert admin.get(f"{V1}/devices?has_group=5").status_code == 400


def test_names_and_numbers(fleet: tuple[httpx.Client, dict[str, str]]) -> None:
    names = fleet[0].get(f"{V2}/filters/attributes").json()
    assert names[0] == {"scope": "identity", "name": "name", "count": 4}
    assert {"scope": "inventory", "name": "ips", "count": 2} in names
    statistics = fleet[0].get(f"{V2}/statistics").json()["devices_by_status"]
    assert (statistics["accepted"]["standard"], statistics["pending"]["standard"]) == (3, 1)


@given(st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.text()))
def test_what_is_stored_is_what_was_said(value: Any) -> None:
    assert json.loads(encoded(value)) == value
    assert encoded(json.loads(encoded(value))) == encoded(value)
