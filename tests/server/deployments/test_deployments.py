"""Deployments from their making to their end, as a device and an administrator meet them."""

from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from serving import DEVAUTH, FakeDevice, RealServer

V1 = "/api/devices/v1/deployments/device/deployments"
V2 = "/api/devices/v2/deployments/device/deployments"
CONFIG = "/api/management/v1/deviceconfig/configurations/device"
DEPLOYMENTS = "/api/management/v1/deployments/deployments"
Accept = Callable[[FakeDevice], str]
IDLE = {"device_type": "qemux86-64", "artifact_name": "release-1"}
LOG = {
    "messages": [
        {"timestamp": "2026-08-22T10:05:58.123+02:00", "level": "info", "message": "begun"},
        {"timestamp": "2026-08-22T08:05:59Z", "level": "error", "message": "æ \u0000 end"},
    ]
}


@dataclass
class Fleet:
    """A device that is let in, and the administrator."""

    admin: httpx.Client
    client: httpx.Client
    device: str

    def configure(self, **values: str) -> None:
        assert self.admin.put(f"{CONFIG}/{self.device}", json=values).status_code == 204

    def deploy(self, **options: Any) -> str:
        answer = self.admin.post(f"{CONFIG}/{self.device}/deploy", json=options)
        assert answer.status_code == 200, answer.text
        made: str = answer.json()["deployment_id"]
        return made

    def poll(self, **changes: str) -> httpx.Response:
        return self.client.post(f"{V1}/next", json=IDLE | changes)

    def say(self, deployment: str, status: str, **more: str) -> int:
        return self.client.put(f"{V1}/{deployment}/status", json={"status": status, **more}).status_code

    def offered(self) -> str | None:
        answer = self.poll()
        return answer.json()["id"] if answer.status_code == 200 else None

    def shown(self, deployment: str) -> dict[str, Any]:
        found: dict[str, Any] = self.admin.get(f"{DEPLOYMENTS}/{deployment}").json()
        return found

    def entry(self, deployment: str) -> dict[str, Any]:
        (found,) = self.admin.get(f"{DEPLOYMENTS}/{deployment}/devices").json()
        return dict(found)


@pytest.fixture
def fleet(admin: httpx.Client, device: FakeDevice, accept: Accept) -> Fleet:
    device_id = accept(device)
    return Fleet(admin, device.client(), device_id)


def counted(shown: dict[str, Any]) -> dict[str, int]:
    return {status: number for status, number in shown["statistics"]["status"].items() if number}


def test_the_whole_road(fleet: Fleet) -> None:
    assert (fleet.poll().status_code, fleet.poll().content) == (204, b"")
    fleet.configure(timezone="Europe/Oslo")
    assert fleet.poll().status_code == 204, "what is wanted is not yet deployed"
    made = fleet.deploy()
    assert str(UUID(made)) == made
    answer = fleet.poll().json()
    source = answer["artifact"].pop("source")
    assert answer == {
        "id": made,
        "artifact": {
            "id": made + fleet.device,
            "artifact_name": f"configuration-{made}",
            "device_types_compatible": ["qemux86-64"],
        },
    }
    assert source["uri"].startswith("http://vedette.test/api/devices/v1/deployments/download/configuration/")
    shown = fleet.shown(made)
    assert (shown["status"], counted(shown)) == ("pending", {"pending": 1})
    for status in ("downloading", "downloading", "installing", "rebooting", "installing"):
        assert fleet.say(made, status) == 204
        assert fleet.entry(made)["status"] == status
        assert fleet.shown(made)["status"] == "inprogress"
    assert fleet.say(made, "success") == 204
    shown = fleet.shown(made)
    assert (shown["status"], counted(shown), shown["device_count"]) == ("finished", {"success": 1}, 1)
    assert shown["finished"] >= shown["created"]
    assert len(shown["statistics"]["status"]) == 13
    entry = fleet.entry(made)
    assert (entry["id"], entry["status"], entry["log"]) == (fleet.device, "success", False)
    assert entry["finished"] >= entry["started"] >= entry["created"]
    assert fleet.poll().status_code == 204


def test_what_is_said_twice_changes_nothing(fleet: Fleet) -> None:
    made = fleet.deploy()
    assert fleet.offered() == fleet.offered() == made
    assert fleet.say(made, "installing", substate="half-way") == 204
    assert fleet.entry(made)["substate"] == "half-way"
    before = fleet.entry(made)
    assert fleet.say(made, "installing", substate="half-way") == 204
    assert fleet.entry(made) == before
    for _ in range(2):
        assert fleet.say(made, "success") == 204
    ended = fleet.entry(made)
    assert fleet.say(made, "installing") == 204, "what has ended does not begin again"
    assert fleet.entry(made) == ended
    assert fleet.shown(made)["status"] == "finished"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"status": "pending"}, 400),
        ({"status": "aborted"}, 400),
        ({"status": "nonsense"}, 400),
        ({}, 400),
        ({"status": "installing", "substate": "x" * 201}, 400),
        ({"status": "installing", "substate": "x" * 200}, 204),
    ],
)
def test_statuses_that_a_device_can_say(fleet: Fleet, body: dict[str, str], status: int) -> None:
    made = fleet.deploy()
    assert fleet.client.put(f"{V1}/{made}/status", json=body).status_code == status


def test_a_device_speaks_for_itself_only(server: RealServer, fleet: Fleet, accept: Accept) -> None:
    other = FakeDevice(server, {"sn": "2"})
    accept(other)
    client, made = other.client(), fleet.deploy()
    assert client.post(f"{V1}/next", json=IDLE).status_code == 204
    for path, body in (("status", {"status": "success"}), ("log", LOG)):
        assert client.put(f"{V1}/{made}/{path}", json=body).status_code == 404
        assert fleet.client.put(f"{V1}/none/{path}", json=body).status_code == 404
    assert fleet.shown(made)["status"] == "pending"


def test_deployments_come_in_their_order(fleet: Fleet) -> None:
    first, second, third = (fleet.deploy() for _ in range(3))
    assert fleet.offered() == first
    assert fleet.say(first, "failure") == 204
    assert fleet.offered() == second
    # A device that has finished something newer never gets what is older.
    assert fleet.say(third, "success") == 204
    assert fleet.offered() is None
    assert [fleet.entry(each)["status"] for each in (first, second, third)] == ["failure", "aborted", "success"]
    assert {fleet.shown(each)["status"] for each in (first, second, third)} == {"finished"}


def test_what_has_failed_is_offered_again_as_often_as_was_wished(fleet: Fleet) -> None:
    made = fleet.deploy(retries=2)
    for attempt in range(3):
        assert fleet.offered() == made
        assert fleet.say(made, "installing") == 204
        for _ in range(2):  # the answer to the first was lost
            assert fleet.say(made, "failure") == 204
        assert fleet.entry(made)["attempts"] == attempt + 1
        assert fleet.entry(made)["status"] == ("failure" if attempt == 2 else "pending")
        assert fleet.shown(made)["status"] == ("finished" if attempt == 2 else "inprogress")
    assert fleet.offered() is None
    for retries in (-1, 101, "1"):
        assert fleet.admin.post(f"{CONFIG}/{fleet.device}/deploy", json={"retries": retries}).status_code == 400


def test_a_device_that_has_it_already_is_done(fleet: Fleet) -> None:
    first, second = fleet.deploy(), fleet.deploy()
    assert fleet.offered() == first
    answer = fleet.poll(artifact_name=f"configuration-{first}")  # it has, but its word did not arrive
    assert answer.json()["id"] == second
    assert fleet.entry(first)["status"] == "already-installed"
    assert fleet.say(second, "already-installed") == 204
    assert fleet.poll(artifact_name=f"configuration-{first}").status_code == 204
    assert counted(fleet.shown(second)) == {"already-installed": 1}


@pytest.mark.parametrize("changes", [{"device_type": "other"}, {"artifact_name": "other"}])
def test_a_device_that_becomes_another_meanwhile_has_failed(fleet: Fleet, changes: dict[str, str]) -> None:
    made = fleet.deploy()
    assert fleet.offered() == made
    assert fleet.poll(**changes).status_code == 409
    assert fleet.entry(made)["status"] == "failure"
    assert fleet.poll(**changes).status_code == 204


def test_a_deployment_is_called_off(fleet: Fleet) -> None:
    made, path = fleet.deploy(), f"{DEPLOYMENTS}/{{}}/status"
    assert fleet.offered() == made
    assert fleet.say(made, "downloading") == 204
    for wrong in ({"status": "finished"}, {}):
        assert fleet.admin.put(path.format(made), json=wrong).status_code == 400
    assert fleet.admin.put(path.format(made), json={"status": "aborted"}).status_code == 204
    for status in ("downloading", "installing", "failure", "success"):
        assert fleet.say(made, status) == 409
    assert fleet.offered() is None
    assert (fleet.entry(made)["status"], fleet.shown(made)["status"]) == ("aborted", "finished")
    answer = fleet.admin.put(path.format(made), json={"status": "aborted"})
    assert (answer.status_code, answer.json()["error"]) == (422, "Deployment already finished")
    assert fleet.admin.put(path.format("none"), json={"status": "aborted"}).status_code == 404


def test_all_of_a_device_is_called_off_and_forgotten(fleet: Fleet) -> None:
    done, waiting = fleet.deploy(), fleet.deploy()
    assert fleet.say(done, "success") == 204
    assert fleet.client.put(f"{V1}/{done}/log", json=LOG).status_code == 204
    path = f"{DEPLOYMENTS}/devices/{fleet.device}"
    listed = fleet.admin.get(path)
    assert [each["deployment"]["id"] for each in listed.json()] == [waiting, done]
    assert [each["device"]["status"] for each in listed.json()] == ["pending", "success"]
    assert listed.headers["x-total-count"] == "2"
    assert fleet.admin.delete(path).status_code == 204
    assert fleet.entry(waiting)["status"] == "aborted"
    assert fleet.admin.delete(f"{path}/history").status_code == 204
    assert fleet.admin.get(path).json() == []
    assert fleet.admin.get(f"{DEPLOYMENTS}/{done}/devices").json() == []
    assert fleet.admin.get(f"{DEPLOYMENTS}/{done}/devices/{fleet.device}/log").status_code == 404
    assert counted(fleet.shown(done)) == {"success": 1}
    for method in ("GET", "DELETE"):
        assert fleet.admin.request(method, f"{DEPLOYMENTS}/devices/none").status_code == 404


def test_a_decommissioned_device_leaves_its_numbers(fleet: Fleet) -> None:
    done, waiting = fleet.deploy(), fleet.deploy()
    assert fleet.say(done, "failure") == 204
    assert fleet.admin.delete(f"{DEVAUTH}/devices/{fleet.device}").status_code == 204
    assert fleet.say(waiting, "installing") == 401
    assert counted(fleet.shown(done)) == {"failure": 1}
    assert counted(fleet.shown(waiting)) == {"decommissioned": 1}
    assert fleet.shown(waiting)["status"] == "finished"
    assert fleet.admin.get(f"{DEPLOYMENTS}/{waiting}/devices").json() == []


def test_the_log_of_a_device(fleet: Fleet) -> None:
    made = fleet.deploy()
    path = f"{DEPLOYMENTS}/{made}/devices/{fleet.device}/log"
    assert fleet.admin.get(path).status_code == 404
    for wrong in ({}, {"messages": []}, {"messages": [{"level": "info", "message": "x"}]},
                  {"messages": [{"timestamp": "yesterday", "level": "info", "message": "x"}]}):  # fmt: skip
        assert fleet.client.put(f"{V1}/{made}/log", json=wrong).status_code == 400
    assert fleet.client.put(f"{V1}/{made}/log", json=LOG).status_code == 204
    answer = fleet.admin.get(path)
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == "2026-08-22T08:05:58.123Z info: begun\n2026-08-22T08:05:59.000Z error: æ \x00 end\n"
    assert fleet.entry(made)["log"] is True
    shorter = {"messages": LOG["messages"][:1]}
    assert fleet.client.put(f"{V1}/{made}/log", json=shorter).status_code == 204
    assert fleet.admin.get(path).text == "2026-08-22T08:05:58.123Z info: begun\n"


def test_newer_clients_ask_by_v2(fleet: Fleet) -> None:
    control_map = {"priority": 1, "states": {"ArtifactInstall_Enter": {"action": "pause"}}}
    made = fleet.deploy(update_control_map=control_map)
    provides = IDLE | {"rootfs-image.version": "1"}
    answer = fleet.client.post(f"{V2}/next", json={"device_provides": provides}).json()
    assert (answer["id"], "update_control_map" in answer) == (made, False)
    asked = {"device_provides": provides, "update_control_map": True}
    answer = fleet.client.post(f"{V2}/next", json=asked).json()
    assert answer["update_control_map"] == control_map | {"id": made}
    answer = fleet.client.get(f"{V2}/{made}/update_control_map")
    assert answer.json()["update_control_map"] == control_map | {"id": made}
    assert fleet.client.get(f"{V1}/next", params=IDLE).json()["id"] == made
    assert fleet.client.get(f"{V2}/{fleet.deploy()}/update_control_map").status_code == 404
    fleet.admin.put(f"{DEPLOYMENTS}/{made}/status", json={"status": "aborted"})
    assert fleet.client.get(f"{V2}/{made}/update_control_map").status_code == 404
    for params in ({}, {"device_type": "x"}, {"artifact_name": "x"}):
        assert fleet.client.get(f"{V1}/next", params=params).status_code == 400
    for body in ({}, {"device_provides": {}}, {"device_provides": IDLE | {"device_type": "\0"}}):
        assert fleet.client.post(f"{V2}/next", json=body).status_code == 400


def test_lists_of_deployments(fleet: Fleet) -> None:
    fleet.configure(timezone="Europe/Oslo", password="pw")
    made = [fleet.deploy() for _ in range(3)]
    assert fleet.say(made[0], "success") == 204
    assert fleet.say(made[1], "installing") == 204

    def ids(**params: Any) -> list[str]:
        answer = fleet.admin.get(DEPLOYMENTS, params=params)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()]

    assert ids() == made[::-1]
    assert ids(sort="asc") == made
    assert (ids(status="pending"), ids(status="inprogress"), ids(status="finished")) == (
        [made[2]],
        [made[1]],
        [made[0]],
    )
    assert (len(ids(type="configuration")), ids(type="software")) == (3, [])
    assert ids(search=made[1][:13].upper()) == [made[1]]
    assert ids(search="%") == ids(created_after="4000000000") == ids(created_before="1") == []
    answer = fleet.admin.get(DEPLOYMENTS, params={"per_page": 2, "page": 2})
    assert ([each["id"] for each in answer.json()], answer.headers["x-total-count"]) == ([made[0]], "3")
    for wrong in ({"status": "x"}, {"type": "x"}, {"sort": "x"}, {"created_after": "x"}, {"per_page": "501"}):
        assert fleet.admin.get(DEPLOYMENTS, params=wrong).status_code == 400
    shown = fleet.shown(made[0])
    assert b64decode(shown["configuration"]) == b'{"timezone":"Eur...<omitted>","password":"pw...<omitted>"}'
    assert (shown["type"], shown["max_devices"], shown["name"]) == ("configuration", 1, f"configuration-{made[0]}")
    assert fleet.admin.get(f"{DEPLOYMENTS}/{made[0]}/statistics").json()["success"] == 1
    assert fleet.admin.get(f"{DEPLOYMENTS}/{made[0]}/device_list").json() == [fleet.device]
    path = f"{DEPLOYMENTS}/{made[1]}/devices/list"
    for status, number in (("", 1), ("active", 1), ("inprogress", 1), ("finished", 0), ("installing", 1), ("pause", 0)):
        answer = fleet.admin.get(path, params={"status": status})
        assert (len(answer.json()), answer.headers["x-total-count"]) == (number, str(number)), status
    asked = {"deployment_ids": [made[2], "none", made[0]]}
    stats = {
        each["id"]: each["stats"] for each in fleet.admin.post(f"{DEPLOYMENTS}/statistics/list", json=asked).json()
    }
    assert (stats.keys(), stats[made[2]]["pending"], stats[made[0]]["success"]) == ({made[0], made[2]}, 1, 1)
    for ids_asked in ([], ["x"] * 101):
        answer = fleet.admin.post(f"{DEPLOYMENTS}/statistics/list", json={"deployment_ids": ids_asked})
        assert answer.status_code == 400
    for tail in ("", "/statistics", "/devices", "/devices/list", "/device_list", f"/devices/{fleet.device}/log"):
        assert fleet.admin.get(f"{DEPLOYMENTS}/none{tail}").status_code == 404, tail


def test_another_tenant_sees_and_stops_nothing(server: RealServer, fleet: Fleet) -> None:
    made = fleet.deploy()
    server.add_user("eve@example.org", tenant=server.add_tenant("other").id)
    eve = server.client(server.login("eve@example.org"))
    assert eve.get(DEPLOYMENTS).json() == []
    for tail in ("", "/devices", f"/devices/{fleet.device}/log"):
        assert eve.get(f"{DEPLOYMENTS}/{made}{tail}").status_code == 404
    assert eve.put(f"{DEPLOYMENTS}/{made}/status", json={"status": "aborted"}).status_code == 404
    assert eve.delete(f"{DEPLOYMENTS}/devices/{fleet.device}").status_code == 404
    assert fleet.offered() == made


def test_who_sees_some_groups_sees_their_deployments(server: RealServer, admin: httpx.Client, accept: Accept) -> None:
    """Lists, numbers, logs and aborts; and what is left of devices that are gone is for who sees all."""
    devices = [FakeDevice(server, {"sn": each}) for each in ("seen", "hidden")]
    seen, hidden = (Fleet(admin, each.client(), device_id) for each in devices if (device_id := accept(each)))
    for fleet, group in ((seen, "north"), (hidden, "south")):
        answer = admin.put(f"/api/management/v1/inventory/devices/{fleet.device}/group", json={"group": group})
        assert answer.status_code == 204
    sets = [
        {"name": name, "scope": {"type": "DeviceGroups", "value": ["north"]}}
        for name in ("ReadDevices", "DeployToDevices")
    ]
    role = {"name": "north", "description": "", "permission_sets_with_scope": sets}
    assert admin.post("/api/management/v2/useradm/roles", json=role).status_code == 201
    server.add_user("eve@example.com", roles=("north",))
    eve = server.client(server.login("eve@example.com"))
    mine, other = seen.deploy(), hidden.deploy()
    assert hidden.client.put(f"{V1}/{other}/log", json=LOG).status_code == 204
    listed = eve.get(DEPLOYMENTS)
    assert ([each["id"] for each in listed.json()], listed.headers["x-total-count"]) == ([mine], "1")
    for tail in ("", "/statistics", "/devices", "/devices/list", "/device_list", f"/devices/{hidden.device}/log"):
        assert eve.get(f"{DEPLOYMENTS}/{other}{tail}").status_code == 404, tail
    asked = {"deployment_ids": [mine, other]}
    answer = eve.post(f"{DEPLOYMENTS}/statistics/list", json=asked)
    assert [each["id"] for each in answer.json()] == [mine]
    assert eve.put(f"{DEPLOYMENTS}/{other}/status", json={"status": "aborted"}).status_code == 404
    assert eve.delete(f"{DEPLOYMENTS}/devices/{hidden.device}").status_code in {403, 404}
    assert eve.get(f"{CONFIG}/{hidden.device}").status_code == 404
    assert hidden.offered() == other
    assert eve.put(f"{DEPLOYMENTS}/{mine}/status", json={"status": "aborted"}).status_code == 204
    assert admin.delete(f"{DEVAUTH}/devices/{seen.device}").status_code == 204
    assert eve.get(f"{DEPLOYMENTS}/{mine}").status_code == 404
    assert counted(seen.shown(mine)) == {"aborted": 1}
