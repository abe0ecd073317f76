"""Layers of configurations: what counts for a device, versions, who sees and changes what."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rolling import API, DEVICES, GROUPS, TENANT, Fleet, fleet
from serving import PASSWORD

from vedette.server.access.permissions import Grant, Rights, Role
from vedette.server.access.role_service import create as create_role
from vedette.server.caller import Caller
from vedette.server.configuration.layers import Layer, changes, digest, drift, merge
from vedette.server.db import UserScope

COMPAT = "/api/management/v1/deviceconfig/configurations/device"
KEYS = st.sampled_from("abcde")
SAID = st.dictionaries(KEYS, st.none() | st.text(max_size=2))


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path) as made:
        yield made


# --- what counts -----------------------------------------------------------------------------------------------------


@given(SAID, SAID, SAID)
def test_the_innermost_layer_that_says_something_counts(tenant: Any, group: Any, device: Any) -> None:
    found = merge(Layer("tenant", 1, tenant), Layer("group", 2, group), Layer("device", 3, device))
    for key in {*tenant, *group, *device, "z"}:
        inner_first = (("device", device), ("group", group), ("tenant", tenant))
        level, value = next(((name, said[key]) for name, said in inner_first if key in said), ("", None))
        assert found.values.get(key) == value
        assert (key in found.origins) == (value is not None)
        if value is not None:
            assert found.origins[key].level == level
        outer = [said[key] for said in (tenant, group, device) if key in said][:-1]
        assert [each.value for each in found.shadowed if each.key == key] == outer
        assert (key in found.unset) == (value is None and any(each is not None for each in outer))
    assert digest(found.values) == digest(dict(sorted(found.values.items(), reverse=True)))


@given(SAID, SAID)
def test_changes_lead_from_one_to_the_other(before: Any, after: Any) -> None:
    result = dict(before)
    for each in changes(before, after):
        assert (each.had, each.before) == (each.key in before, before.get(each.key))
        if each.has:
            result[each.key] = each.after
        else:
            del result[each.key]
    assert result == after
    assert not changes(after, after)


def test_drift() -> None:
    found = drift({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"})
    assert (found.missing, found.extra, found.different) == (["a"], ["d"], ["b"])
    assert found
    assert not drift({"a": "1"}, {"a": "1"})


def test_what_counts_for_a_device_and_where_it_comes_from(ours: Fleet) -> None:
    (device,), (other,) = ours.add(1, "kiosks"), ours.add(1)
    ours.put(TENANT, {"a": "tenant", "b": "tenant", "c": "tenant", "d": "tenant"})
    ours.put(f"{GROUPS}/kiosks", {"b": "group", "c": None, "e": "group"})
    ours.put(f"{DEVICES}/{device}", {"a": "device", "e": None}, deploy=False)
    ours.settle()
    for _ in range(3):
        ours.take_all([device, other])
        ours.pass_time(600)
    assert ours.wanted(other) == dict.fromkeys("abcd", "tenant")
    found = ours.effective(device)
    assert {key: (each["value"], each["layer"]) for key, each in found["values"].items()} == {
        "a": ("device", "device"),
        "b": ("group", "group"),
        "d": ("tenant", "tenant"),
    }
    assert {(each["key"], each["layer"], each["value"]) for each in found["shadowed"]} == {
        ("a", "tenant", "tenant"),
        ("b", "tenant", "tenant"),
        ("c", "tenant", "tenant"),
        ("e", "group", "group"),
    }
    assert sorted((each["key"], each["layer"]) for each in found["unset"]) == [("c", "group"), ("e", "device")]
    assert (found["group"], found["deployment"]["status"]) == ("kiosks", "success")
    assert found["drift"] == {"missing": ["a", "b", "d"], "extra": [], "different": []}
    assert not found["in_sync"]


# --- versions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["tenant", "group", "device"])
def test_every_change_is_a_version_and_any_can_be_taken_back(ours: Fleet, level: str) -> None:
    (device,) = ours.add(1, "kiosks")
    path = {"tenant": TENANT, "group": f"{GROUPS}/kiosks", "device": f"{DEVICES}/{device}"}[level]
    empty = ours.get(path)
    assert (empty["type"], empty["version"], empty["values"]) == (level, 0, {})
    assert ours.put(path, {"a": "1", "b": None}, comment="first")["version"] == 1
    assert ours.put(path, {"a": "1", "b": None}) == {"version": 1, "changed": False}
    answer = ours.admin.patch(path, json={"values": {"c": "3"}, "remove": ["b", "x"], "expected_version": 1})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["version"], answer.headers["etag"]) == (2, '"2"')
    shown = ours.admin.get(path)
    assert (shown.headers["etag"], shown.json()["values"]) == ('"2"', {"a": "1", "c": "3"})

    for stale in ({"headers": {"If-Match": '"1"'}}, {"json": {"values": {}, "expected_version": 1}}):
        answer = ours.admin.put(path, **{"json": {"values": {}}, **stale})  # type: ignore[arg-type]
        assert answer.status_code == 412, answer.text
    assert ours.admin.put(path, json={"values": {}}, headers={"If-Match": "x"}).status_code == 400

    answer = ours.admin.post(f"{path}/revert", json={"version": 1, "comment": "back"})
    assert (answer.status_code, answer.json()["version"]) == (200, 3)
    assert ours.get(path)["values"] == {"a": "1", "b": None}
    assert ours.admin.post(f"{path}/revert", json={"version": 9}).status_code == 404

    newest, second, first = ours.get(f"{path}/versions")
    assert (newest["reverted_to"], newest["comment"], first["comment"]) == (1, "back", "first")
    assert first["author"] == "ann@example.com"
    assert second["changes"] == [{"key": "b", "before": None}, {"key": "c", "after": "3"}]
    assert first["changes"] == [{"key": "a", "after": "1"}, {"key": "b", "after": None}]
    page = ours.admin.get(f"{path}/versions", params={"per_page": 1, "page": 2})
    assert ([each["version"] for each in page.json()], page.headers["x-total-count"]) == ([2], "3")
    assert page.json() == [second]
    assert ours.get(f"{path}/versions/2")["values"] == {"a": "1", "c": "3"}
    assert ours.admin.get(f"{path}/versions/4").status_code == 404
    for wrong in (2**70, "x"):
        assert ours.admin.get(f"{path}/versions/{wrong}").status_code == 404


def test_old_versions_are_forgotten(ours: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vedette.server.configuration.layer_service.KEPT", 3)
    for number in range(5):
        ours.put(f"{GROUPS}/x", {"a": str(number)}, rollout={"waves": [100]})
        ours.settle()
    assert [each["version"] for each in ours.get(f"{GROUPS}/x/versions")] == [5, 4, 3]
    assert len(ours.get(f"{API}/rollouts")) == 3


def test_wrong_settings_are_refused_with_all_reasons(ours: Fleet) -> None:
    (device,) = ours.add(1)
    wrong = {"security.cve.severity": "urgent", "security.cve.severty": "high", "fine": "x"}
    for path in (TENANT, f"{GROUPS}/x", f"{DEVICES}/{device}"):
        answer = ours.admin.put(path, json={"values": wrong})
        assert answer.status_code == 400
        assert "security.cve.severity: 'urgent' is none of" in answer.json()["error"]
        assert "security.cve.severty: cve has no setting" in answer.json()["error"]
        assert ours.get(path)["version"] == 0
        assert ours.admin.post(f"{path}/preview", json={"values": wrong}).status_code == 400
    answer = ours.admin.put(f"{COMPAT}/{device}", json=wrong)
    assert (answer.status_code, "severty" in answer.json()["error"]) == (400, True)
    pattern = {"monitor.check.log.a.LOG_PATTERN": "a(", "monitor.check.log.a.LOG_FILE": "/x"}
    assert "not a valid pattern" in ours.admin.put(TENANT, json={"values": pattern}).json()["error"]
    assert ours.admin.put(f"{GROUPS}/no%20group", json={"values": {}}).status_code == 400
    assert ours.admin.put(TENANT, json={"values": {"a": "x" * 4097}}).status_code == 400
    assert ours.admin.put(TENANT, json={"values": {"a": "x"}, "comment": "x" * 1001}).status_code == 400


def test_a_check_must_be_whole_with_the_layers_around_it(ours: Fleet) -> None:
    file, pattern = {"monitor.check.log.a.LOG_FILE": "/x"}, {"monitor.check.log.a.LOG_PATTERN": "x"}
    (device,) = ours.add(1, "x")
    for path in (TENANT, f"{GROUPS}/x", f"{DEVICES}/{device}"):
        answer = ours.admin.put(path, json={"values": file})
        assert (answer.status_code, "LOG_PATTERN is missing" in answer.json()["error"]) == (400, True)
    ours.put(TENANT, file | pattern, rollout={"waves": [100]})
    ours.settle()
    ours.put(f"{GROUPS}/x", {"monitor.check.log.a.LOG_FILE": "/y"})
    answer = ours.admin.put(TENANT, json={"values": {}})
    assert (answer.status_code, "with the layer of the group x" in answer.json()["error"]) == (400, True)
    ours.put(f"{DEVICES}/{device}", {"monitor.check.log.a.LOG_FILE": "/z"})
    assert (
        ours.admin.put(f"{DEVICES}/{device}", json={"values": {"monitor.check.log.a.LOG_FILE": None}}).status_code
        == 400
    )


@pytest.mark.parametrize(
    "rollout",
    [
        {"waves": []},
        {"waves": [1, 10]},
        {"waves": [10, 1, 100]},
        {"waves": [0, 100]},
        {"soak_s": -1},
        {"max_failure_percent": 101},
        {"max_failures": -1},
        {"retries": 101},
        {"waves": "all"},
    ],
)
def test_how_a_rollout_may_go(ours: Fleet, rollout: Any) -> None:
    answer = ours.admin.put(TENANT, json={"values": {"a": "1"}, "rollout": rollout})
    assert answer.status_code == 400, answer.text
    assert ours.get(TENANT)["version"] == 0


def test_the_layer_of_a_device_and_the_other_way_to_it(ours: Fleet) -> None:
    (device,) = ours.add(1)
    made = ours.put(f"{DEVICES}/{device}", {"a": "1", "b": None})
    assert ours.take(device) == {"a": "1"}
    assert ours.effective(device)["deployment"] == {"id": made["deployment"], "status": "success"}
    assert ours.get(f"{COMPAT}/{device}")["configured"] == {"a": "1"}
    assert ours.admin.put(f"{COMPAT}/{device}", json={"a": "2"}).status_code == 204
    found = ours.get(f"{DEVICES}/{device}")
    assert (found["version"], found["values"]) == (2, {"a": "2", "b": None}), "it cannot see what is to be absent"
    assert ours.put(f"{DEVICES}/{device}", {"a": "3"}, deploy=False) == {"version": 3, "changed": True}
    assert ours.take(device) is None
    assert ours.admin.get(f"{DEVICES}/nobody").status_code == 404
    assert ours.admin.put(f"{DEVICES}/nobody", json={"values": {"a": "1"}}).status_code == 404
    assert ours.admin.get(f"{DEVICES}/nobody/versions").status_code == 404


# --- preview ---------------------------------------------------------------------------------------------------------


def test_what_a_change_would_do(ours: Fleet) -> None:
    kiosks, others = ours.add(3, "kiosks"), ours.add(2)
    ours.put(TENANT, {"a": "1", "b": "1"})
    ours.put(f"{GROUPS}/kiosks", {"a": "group"})
    ours.put(f"{DEVICES}/{others[0]}", {"a": "own"}, deploy=False)
    found = ours.admin.post(f"{TENANT}/preview", json={"values": {"a": "2", "b": "1"}}).json()
    assert found["changes"] == [{"key": "a", "before": "1", "after": "2"}]
    assert (found["version"], found["devices"], found["affected"], found["exact"]) == (1, 5, 1, True)
    assert found["shadowed"] == [
        {"key": "a", "by": "device", "devices": 1},
        {"key": "a", "by": "group", "group": "kiosks", "devices": 3},
    ]
    assert found["sample"] == [{"device": others[1], "changes": [{"key": "a", "before": "1", "after": "2"}]}]
    assert found["rollout"]["state"] == "running"
    found = ours.admin.post(f"{GROUPS}/kiosks/preview", json={"values": {"b": None}, "merge": True}).json()
    assert (found["devices"], found["affected"], len(found["sample"])) == (3, 3, 3)
    assert {each["device"] for each in found["sample"]} == set(kiosks)
    assert found["sample"][0]["changes"] == [{"key": "b", "before": "1"}]
    found = ours.admin.post(f"{GROUPS}/kiosks/preview", json={"values": {"b": "1"}, "merge": True}).json()
    assert (found["changes"], found["affected"]) == ([{"key": "b", "after": "1"}], 0), "it is so already"
    found = ours.admin.post(f"{DEVICES}/{others[0]}/preview", json={"values": {}}).json()
    assert found["sample"] == [{"device": others[0], "changes": [{"key": "a", "before": "own", "after": "1"}]}]
    ours.put(TENANT, {"a": "2"})
    found = ours.admin.post(f"{TENANT}/preview", json={"version": 1}).json()
    assert [each["key"] for each in found["changes"]] == ["a", "b"]
    assert ours.get(TENANT)["version"] == 2, "nothing was changed"
    for wrong in ({}, {"values": {}, "version": 1}):
        assert ours.admin.post(f"{TENANT}/preview", json=wrong).status_code == 400


# --- who -------------------------------------------------------------------------------------------------------------


def somebody(ours: Fleet, name: str, *grants: Grant) -> httpx.Client:
    maker = Caller(scope=UserScope(ours.server.tenant.id, None), user_id="", email="", session="", rights=Rights(True))
    ours.server.run(create_role(ours.server.services, maker, Role(name=name, grants=grants)))
    ours.server.add_user(f"{name}@example.com", roles=(name,))
    client: httpx.Client = ours.server.client(ours.server.login(f"{name}@example.com", PASSWORD))
    return client


def test_who_sees_and_changes_which_layer(ours: Fleet) -> None:
    ours.add(1, "a"), ours.add(1, "b")
    ours.put(TENANT, {"everywhere": "1", "shadowed": "1"})
    ours.put(f"{GROUPS}/a", {"shadowed": "2"})
    made = ours.put(f"{GROUPS}/b", {"secret": "2"})
    only_a = somebody(
        ours, "only-a", Grant("ReadDevices", frozenset({"a"})), Grant("ConfigureDevices", frozenset({"a"}))
    )
    reads = somebody(
        ours, "reads", Grant("ReadDevices", frozenset({"a", "b"})), Grant("ConfigureDevices", frozenset({"a"}))
    )
    body = {"values": {"x": "1"}}

    assert only_a.get(f"{GROUPS}/b").status_code == only_a.put(f"{GROUPS}/b", json=body).status_code == 404
    assert only_a.get(f"{GROUPS}/b/versions").status_code == 404
    assert only_a.post(f"{GROUPS}/b/preview", json=body).status_code == 404
    assert reads.get(f"{GROUPS}/b").status_code == 200
    assert reads.put(f"{GROUPS}/b", json=body).status_code == 403
    assert only_a.put(TENANT, json=body).status_code == only_a.post(f"{TENANT}/preview", json=body).status_code == 403
    assert only_a.get(f"{TENANT}/versions").status_code == only_a.get(f"{TENANT}/versions/1").status_code == 403

    shown = only_a.get(TENANT).json()
    assert (shown["values"], "author" in shown) == ({"everywhere": "1"}, False)
    assert [(each["type"], each.get("group"), each["keys"]) for each in only_a.get(f"{API}/layers").json()] == [
        ("tenant", None, 1),
        ("group", "a", 1),
    ]
    assert len(ours.get(f"{API}/layers")) == 3
    assert [each["devices"] for each in ours.get(f"{API}/layers")] == [2, 1, 1]

    assert [each.get("group") for each in only_a.get(f"{API}/rollouts").json()] == ["a"]
    other = f"{API}/rollouts/{made['rollout']}"
    assert only_a.get(other).status_code == only_a.post(f"{other}/pause", json={}).status_code == 404
    assert only_a.get(f"{other}/devices").status_code == 404
    assert reads.get(other).status_code == 200
    assert (
        reads.post(f"{other}/pause", json={}).status_code == reads.post(f"{other}/rollback", json={}).status_code == 403
    )
    assert only_a.put(f"{GROUPS}/a", json=body).status_code == 200


def test_another_tenant(ours: Fleet) -> None:
    (device,) = ours.add(1, "a")
    ours.put(TENANT, {"a": "1"})
    made = ours.put(f"{GROUPS}/a", {"a": "1"})
    ours.server.add_user("eve@example.org", tenant=ours.server.add_tenant("other").id)
    eve = ours.server.client(ours.server.login("eve@example.org"))
    assert eve.get(TENANT).json()["version"] == eve.get(f"{GROUPS}/a").json()["version"] == 0
    assert eve.get(f"{API}/layers").json() == eve.get(f"{API}/rollouts").json() == []
    assert eve.get(f"{API}/rollouts/{made['rollout']}").status_code == 404
    assert eve.get(f"{API}/devices/{device}/effective").status_code == 404


def test_what_was_changed_is_in_the_audit_log(ours: Fleet) -> None:
    made = ours.put(f"{GROUPS}/a", {"a": "1", "wifi.password": "hush"}, comment="why")
    ours.act(made["rollout"], "pause")
    entries = ours.get("/api/management/v1/auditlogs/logs")
    assert [each["action"] for each in entries[:2]] == ["update", "set_configuration"]
    assert '+a: "1"' in entries[1]["change"]
    assert "hush" not in str(entries)
    assert '-state: "running"' in entries[0]["change"]
    assert entries[1]["actor"]["email"] == "ann@example.com"
