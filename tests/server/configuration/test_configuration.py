"""The configuration of a device: as it is wanted, deployed and reported."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from serving import DEVAUTH, FakeDevice, RealServer

OWN = "/api/devices/v1/deviceconfig/configuration"
CONFIG = "/api/management/v1/deviceconfig/configurations/device"
NEXT = "/api/devices/v1/deployments/device/deployments/next"
AUDIT = "/api/management/v1/auditlogs/logs"
Accept = Callable[[FakeDevice], str]


def test_wanted_and_reported(admin: httpx.Client, device: FakeDevice, accept: Accept) -> None:
    device_id = accept(device)
    client, path = device.client(), f"{CONFIG}/{device_id}"
    empty = admin.get(path).json()
    assert empty.keys() == {"id", "configured", "reported", "updated_ts"}
    assert (empty["id"], empty["configured"], empty["reported"]) == (device_id, {}, {})
    assert client.get(OWN).json() == {}

    wanted = {"timezone": "Europe/Oslo", "motto": "æ\u0000\n"}
    assert admin.put(path, json=wanted).status_code == 204
    assert client.get(OWN).json() == wanted
    reported = {"timezone": "UTC"}
    answer = client.put(OWN, json=reported)
    assert (answer.status_code, answer.content) == (204, b"")
    shown = admin.get(path).json()
    assert (shown["configured"], shown["reported"]) == (wanted, reported)
    assert shown["reported_ts"] >= shown["updated_ts"] > empty["updated_ts"]
    # Both replace.
    assert admin.put(path, json={"a": "b"}).status_code == 204
    assert client.put(OWN, json={}).status_code == 204
    shown = admin.get(path).json()
    assert (shown["configured"], shown["reported"]) == ({"a": "b"}, {})


def test_a_deployment_takes_what_is_wanted_then(admin: httpx.Client, device: FakeDevice, accept: Accept) -> None:
    device_id = accept(device)
    path = f"{CONFIG}/{device_id}"
    admin.put(path, json={"a": "1"})
    assert admin.post(f"{path}/deploy").status_code == 400
    made = admin.post(f"{path}/deploy", json={}).json()["deployment_id"]
    admin.put(path, json={"a": "2"})
    assert admin.get(path).json()["deployment_id"] == made
    answer = device.client().post(NEXT, json={"device_type": "x", "artifact_name": "y"}).json()
    uri = answer["artifact"]["source"]["uri"].removeprefix("http://vedette.test")
    assert b'{"a":"1"}' in admin.get(uri).content


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"a": 1}, 400),
        ({"a": None}, 400),
        ({"a": {"b": "c"}}, 400),
        (["a"], 400),
        ({"": "x"}, 400),
        ({"k" * 4097: "x"}, 400),
        ({"a": "x" * 4097}, 400),
        ({"k" * 4096: "x" * 4096}, 204),
        ({str(number): "" for number in range(1001)}, 400),
        ({str(number): "" for number in range(1000)}, 204),
        ({f"{number:02}": "x" * 4094 for number in range(16)}, 204),
        ({f"{number:02}": "x" * 4094 for number in range(17)}, 400),
    ],
)
def test_what_can_be_a_configuration(
    admin: httpx.Client, device: FakeDevice, accept: Accept, body: Any, status: int
) -> None:
    device_id = accept(device)
    assert admin.put(f"{CONFIG}/{device_id}", json=body).status_code == status
    assert device.client().put(OWN, json=body).status_code == status


def test_devices_without_a_record(server: RealServer, admin: httpx.Client, device: FakeDevice) -> None:
    assert device.request().status_code == 401
    (pending,) = admin.get(f"{DEVAUTH}/devices").json()
    for device_id in ("none", pending["id"]):
        assert admin.get(f"{CONFIG}/{device_id}").status_code == 404
        assert admin.post(f"{CONFIG}/{device_id}/deploy", json={}).status_code == 404
    assert admin.put(f"{CONFIG}/none", json={}).status_code == 404
    assert admin.put(f"{CONFIG}/{pending['id']}", json={"a": "b"}).status_code == 204
    assert admin.get(f"{CONFIG}/{pending['id']}").json()["configured"] == {"a": "b"}
    assert admin.get(OWN).status_code == server.client().get(OWN).status_code == 401


def test_it_goes_with_its_device(admin: httpx.Client, device: FakeDevice, accept: Accept) -> None:
    device_id = accept(device)
    admin.put(f"{CONFIG}/{device_id}", json={"a": "b"})
    client = device.client()
    assert admin.delete(f"{DEVAUTH}/devices/{device_id}").status_code == 204
    assert admin.get(f"{CONFIG}/{device_id}").status_code == 404
    assert client.get(OWN).status_code == client.put(OWN, json={}).status_code == 401
    again = accept(device)
    assert admin.get(f"{CONFIG}/{again}").json()["configured"] == {}


def test_who_has_changed_what_is_written_down(admin: httpx.Client, device: FakeDevice, accept: Accept) -> None:
    device_id = accept(device)
    admin.put(f"{CONFIG}/{device_id}", json={"timezone": "UTC"})
    made = admin.post(f"{CONFIG}/{device_id}/deploy", json={}).json()["deployment_id"]
    admin.put(f"/api/management/v1/deployments/deployments/{made}/status", json={"status": "aborted"})
    entries = {each["action"]: each for each in admin.get(AUDIT).json()}
    for action in ("set_configuration", "deploy_configuration"):
        assert entries[action]["object"]["id"] == device_id
        assert entries[action]["change"] == '{"timezone": "UTC"}'
    assert entries["abort"]["object"]["deployment"]["name"] == f"configuration-{made}"


def test_another_tenant_sees_and_changes_nothing(
    server: RealServer, admin: httpx.Client, device: FakeDevice, accept: Accept
) -> None:
    device_id = accept(device)
    admin.put(f"{CONFIG}/{device_id}", json={"a": "b"})
    server.add_user("eve@example.org", tenant=server.add_tenant("other").id)
    eve = server.client(server.login("eve@example.org"))
    assert eve.get(f"{CONFIG}/{device_id}").status_code == 404
    assert eve.put(f"{CONFIG}/{device_id}", json={}).status_code == 404
    assert eve.post(f"{CONFIG}/{device_id}/deploy", json={}).status_code == 404
    assert admin.get(f"{CONFIG}/{device_id}").json()["configured"] == {"a": "b"}
