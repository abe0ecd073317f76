"""Deployments from their making to their end, as a device and an administrator meet them."""

import json
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
