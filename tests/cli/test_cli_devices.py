"""Devices, groups, filters, alerts and configurations, as people type them."""

import json
from pathlib import Path

from serving import FakeDevice, RealServer
from typed import ALERT, ATTRIBUTES, MAC, Vedette, alert


def accepted(ann: Vedette, device: FakeDevice) -> str:
    (done,) = ann("devices", "accept", MAC, "--json").json()
    assert done["status"] == "accepted"
    device_id: str = done["id"]
    return device_id


def test_a_device_is_let_in_and_thrown_out(ann: Vedette, device: FakeDevice) -> None:
    assert f"mac={MAC}" in ann("devices", "list", "--status", "pending").out
    device_id = accepted(ann, device)
    assert device.request().status_code == 200
    assert ann("devices", "list", "--status", "pending", "--json").json() == []
    assert ann("devices", "accept", device_id).status == 0, "accepted is accepted"
    assert ann("devices", "reject", device_id).out == f"rejected {device_id}\n"
    assert device.request().status_code == 401
    assert ann("devices", "decommission", MAC).status == 2, "nobody was asked"
    assert ann("devices", "decommission", MAC, "--yes").status == 0
    assert ann("devices", "show", device_id).status == 4


def test_all_that_wait_are_let_in_at_once(ann: Vedette, server: RealServer, device: FakeDevice) -> None:
    others = [FakeDevice(server, {"mac": f"02:00:00:00:00:0{number}"}) for number in range(3)]
    for each in others:
        each.request()
    assert len(ann("devices", "accept", "--all-pending", "--json").json()) == 4
    assert all(each.request().status_code == 200 for each in (device, *others))
    assert ann("devices", "accept", "--all-pending").err == "vedette: no device is waiting\n"
    for wrong in ((), (MAC, "--all-pending"), ("--all-pending", "--key", "x")):
        assert ann("devices", "accept", *wrong).status == 2


def test_which_of_several_keys_is_never_guessed(ann: Vedette, server: RealServer, device: FakeDevice) -> None:
    """Somebody who knows the identity of a device may have sent the second."""
    other = FakeDevice(server, {"mac": MAC})
    other.request()
    done = ann("devices", "accept", MAC)
    assert (done.status, "2 keys" in done.err) == (2, True)
    found = ann("devices", "show", MAC, "--json").json()
    of_other = next(each["id"] for each in found["auth_sets"] if each["pubkey"] == other.pem)
    assert ann("devices", "accept", MAC, "--key", of_other).status == 0
    assert (other.request().status_code, device.request().status_code) == (200, 401)
    assert ann("devices", "dismiss", MAC, of_other, "--yes").status == 0
    assert other.request().status_code == 401


def test_who_is_meant_is_certain_or_nothing_is_done(ann: Vedette, server: RealServer, device: FakeDevice) -> None:
    device_id = accepted(ann, device)
    assert ann("devices", "show", device_id[:6], "--json").json()["id"] == device_id
    other = FakeDevice(server, {"mac": MAC, "sn": "2"})  # shares the address
    other.request()
    done = ann("devices", "decommission", MAC, "--yes")
    assert (done.status, "several" in done.err) == (2, True)
    assert ann("devices", "show", "de:ad:be", "--json").status == 4, "a part of a value is no name"
    assert ann("devices", "count", "--json").json() == {"count": 2}


def test_a_device_is_announced(ann: Vedette, server: RealServer, tmp_path: Path) -> None:
    device = FakeDevice(server, {"mac": "02:00:00:00:00:09"})
    key = tmp_path / "device.pub"
    key.write_text(device.pem)
    words = ("devices", "preauthorize", "--identity", "mac=02:00:00:00:00:09", "--key", str(key))
    assert ann(*words, "--json").json()["status"] == "preauthorized"
    assert device.request().status_code == 200
    assert ann(*words).status == 1, "it is there already"
    key.write_text("-----BEGIN PRIVATE KEY-----")
    done = ann(*words)
    assert (done.status, "private" in done.err) == (2, True)


def test_what_a_device_says_does_not_steer_the_terminal(ann: Vedette, device: FakeDevice) -> None:
    accepted(ann, device)
    nasty = "\x1b]0;owned\x07\x9b2J\u202eevil\r\n"
    device.client().put(ATTRIBUTES, json=[{"name": "os\x1b[31m", "value": nasty}])
    for words in (("attributes", MAC), ("attributes",), ("attributes", MAC, "--json"), ("list", "--json")):
        done = ann("devices", *words)
        assert done.status == 0, done.err
        assert all(each.isprintable() for line in done.out.split("\n") for each in line), done.out
    assert nasty in [each["value"] for each in ann("devices", "attributes", MAC, "--json").json()]


def test_devices_are_found_by_what_they_report(ann: Vedette, device: FakeDevice) -> None:
    device_id = accepted(ann, device)
    body = [{"name": "os", "value": "debian"}, {"name": "cpus", "value": 4}, {"name": "slots", "value": "4"}]
    device.client().put(ATTRIBUTES, json=body)
    ann("devices", "tag", MAC, "site=oslo")
    device.client().post(ALERT, json=[alert()])

    def found(*words: str) -> bool:
        ids = [each["id"] for each in ann("devices", "search", *words, "--json").json()]
        assert ids in ([device_id], [])
        return bool(ids)

    for yes in (
        ["os=debian"], ["os=arch,debian"], ["cpus=4"], ["slots=4"], ['slots="4"'], ["cpus>=4"], ["cpus<4.5"],
        ["os~deb.*"], ["os!=arch"], ["nothing!=there"], ["tags/site"], ["!tags/nothing"], ["monitor/alerts=true"],
        ["monitor/alert_count>0", "identity/status=accepted"], ["system/created_ts>2020-01-01T00:00:00Z"],
        [f"identity/id={device_id}"], ["--text", "debian"],
    ):  # fmt: skip
        assert found(*yes), yes
    for no in (
        ["os=arch"],
        ["cpus>4"],
        ['cpus="4"'],
        ["!tags/site"],
        ["os!=debian"],
        ["os=debian", "cpus=5"],
        ["site"],
    ):
        assert not found(*no), no
    for wrong in (["=x"], ["!os=debian"], ["os=debian", "--sort", ""]):
        assert ann("devices", "search", *wrong).status == 2, wrong


def test_tags_of_others_stay(ann: Vedette, device: FakeDevice) -> None:
    accepted(ann, device)
    ann("devices", "tag", MAC, "name=gate 7", "site=oslo")
    assert ann("devices", "tag", "gate 7", "floor=2", "--json").json()["tags"] == {
        "name": "gate 7", "site": "oslo", "floor": "2",
    }  # fmt: skip
    assert ann("devices", "tag", MAC, "--remove", "nothing").status == 4
    assert ann("devices", "tag", MAC, "--remove", "floor", "--json").json()["tags"] == {
        "name": "gate 7",
        "site": "oslo",
    }
    assert ann("devices", "tag", MAC, "a=b", "--replace", "--json").json()["tags"] == {"a": "b"}
    words = (
        "devices",
        "tag",
        "--json",
        MAC,
        "--remove",
        "a",
        "c=d",
        "--server",
        ann("whoami", "--json").json()["server"],
    )
    assert ann(*words, "e=f").json()["tags"] == {"c": "d", "e": "f"}, "options stand anywhere"
    assert ann("devices", "tag", MAC).status == 2


def test_groups_and_saved_filters(ann: Vedette, device: FakeDevice) -> None:
    device_id = accepted(ann, device)
    assert ann("groups", "add", "oslo", MAC, "--json").json() == {"updated_count": 1}
    assert ann("groups", "list").out == "GROUP\noslo\n"
    assert ann("groups", "show", "oslo", "--json").json() == [device_id]
    assert ann("groups", "show", "bergen").status == 4
    assert ann("devices", "list", "--group", "oslo", "--json").json()[0]["id"] == device_id
    assert ann("groups", "delete", "oslo", "--yes").status == 0
    assert ann("groups", "list", "--json").json() == []
    made = ann("filters", "add", "mine", f"identity/mac={MAC}", "--json").json()["id"]
    assert [each["id"] for each in ann("filters", "devices", "mine", "--json").json()] == [device_id]
    assert ann("filters", "change", "mine", "--rename", "yours").status == 0
    assert ann("filters", "show", "yours", "--json").json()["terms"][0]["attribute"] == "mac"
    assert ann("filters", "delete", made, "--yes").status == 0
    assert ann("filters", "show", made).status == 4


def test_alerts_of_the_fleet_and_of_a_device(ann: Vedette, server: RealServer, device: FakeDevice) -> None:
    device_id = accepted(ann, device)
    quiet = FakeDevice(server, {"mac": "02:00:00:00:00:02"})
    quiet.request()
    ann("devices", "accept", "--all-pending")
    assert ann("alerts", "list", "--open", "--json").json() == []
    device.client().post(ALERT, json=[alert(), alert("other", "OK", "2026-11-23T08:00:01Z") | {"subject": {
        "name": "sshd", "type": "service", "status": "running"}}])  # fmt: skip
    (only,) = ann("alerts", "list", "--open", "--json").json()
    assert only["device_id"] == device_id
    assert [each["name"] for each in ann("alerts", "list", "--device", MAC, "--json").json()] == ["other", only["name"]]
    assert len(ann("alerts", "list", "--device", MAC, "--limit", "1", "--json").json()) == 1
    late = ("alerts", "list", "--device", MAC, "--after", "2026-11-23T08:00:00.5Z", "--json")
    assert [each["name"] for each in ann(*late).json()] == ["other"]
    shown = ann("alerts", "show", MAC, only["id"]).out
    assert ">      3  a \\x1b[2Jx\n" in shown
    assert shown.index("before") < shown.index("a \\x1b") < shown.index("after")
    assert ann("alerts", "show", MAC, only["id"][:-1] + "0").status == 4
    assert ann("alerts", "why", MAC, only["id"], "--json").json() == []
    assert ann("alerts", "list").status == 2
    assert ann("alerts", "list", "--follow", "--limit", "3").status == 2


def test_settings_of_a_device(ann: Vedette, device: FakeDevice, tmp_path: Path) -> None:
    device_id = accepted(ann, device)
    assert ann("config", "set", MAC, "timezone=Europe/Oslo", "a=b=c").status == 0
    assert ann("config", "set", MAC, "--unset", "a", "--file", "-", stdin='{"secret": "x"}').status == 0
    assert ann("config", "get", MAC, "--json").json()["configured"] == {"timezone": "Europe/Oslo", "secret": "x"}
    for wrong in ("[]", '{"a": 1}', "{", "[" * 100_000):
        assert ann("config", "set", MAC, "--file", "-", stdin=wrong).status == 2
    assert ann("config", "status", MAC, "--json").json()["in_sync"] is False
    deployment = ann("config", "set", MAC, "b=1", "--replace", "--deploy", "--json").json()["deployment_id"]
    assert ann("deployments", "show", deployment, "--json").json()["status"] == "pending"
    assert ann("deployments", "wait", deployment, "--seconds", "0.01").status == 5, "it has not begun"
    state = f"/api/devices/v1/deployments/device/deployments/{deployment}"
    with device.client() as client:
        query = {"device_type": "x", "artifact_name": "y"}
        assert client.get("/api/devices/v1/deployments/device/deployments/next", params=query).status_code == 200
        message = {"timestamp": "2026-11-23T08:00:00Z", "level": "error", "message": "no such zone\x1b[2J"}
        assert client.put(state + "/status", json={"status": "installing"}).status_code == 204
        assert client.put(state + "/status", json={"status": "failure"}).status_code == 204
        assert client.put(state + "/log", json={"messages": [message]}).status_code == 204
        assert client.put("/api/devices/v1/deviceconfig/configuration", json={"b": "1"}).status_code == 204
    done = ann("deployments", "wait", deployment)
    assert (done.status, "failure" in done.err) == (1, True)
    assert "no such zone\\x1b[2J" in ann("deployments", "log", deployment, MAC).out
    assert ann("deployments", "statistics", deployment, "--json").json()[0]["stats"]["failure"] == 1
    assert ann("deployments", "devices", deployment, "--json").json()[0]["id"] == device_id
    assert ann("deployments", "list", "--device", MAC, "--json").json()[0]["id"] == deployment
    assert ann("config", "status", MAC, "--json").json()["in_sync"] is True
    assert ann("deployments", "abort", deployment, "--yes").status == 1, "it has ended"
    assert ann("deployments", "abort").status == 2


def test_any_other_call(ann: Vedette, device: FakeDevice) -> None:
    search = "/api/management/v2/inventory/filters/search"
    assert len(ann("api", "POST", search, "--body", stdin=json.dumps({"per_page": 5})).json()) == 1
    assert ann("api", "GET", "/api/management/v1/nothing").status == 4
    for wrong in ("api/x", "//elsewhere/x", "/a b", "/a\r\nX: y"):
        assert ann("api", "GET", wrong).status == 2, wrong
    assert ann("api", "POST", search, "--body", stdin="{").status == 2
