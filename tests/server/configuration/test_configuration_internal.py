"""What other programs of this machine do with configurations and deployments."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from serving import FakeDevice, RealServer

from vedette.server.app import make_internal_app

CONFIG = "/api/management/v1/deviceconfig/configurations/device"
DEPLOYMENTS = "/api/management/v1/deployments/deployments"
Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(server: RealServer) -> Ask:
    """Asks the internal application, below its tenant: service, method, path."""
    transport = httpx.ASGITransport(make_internal_app(server.services))

    def work(service: str, method: str, path: str, body: Any = None) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(
                    method, f"/api/internal/v1/{service}/tenants/{server.tenant.id}/{path}", json=body
                )

        answer: httpx.Response = server.run(send())
        return answer

    return work


@pytest.fixture
def device_id(device: FakeDevice, accept: Callable[[FakeDevice], str]) -> str:
    return accept(device)


def test_configurations(admin: httpx.Client, ask: Ask, device_id: str) -> None:
    path = f"configurations/device/{device_id}"
    assert ask("deviceconfig", "POST", "devices", {"device_id": device_id}).status_code == 201
    assert ask("deviceconfig", "POST", "devices", {"device_id": device_id}).status_code == 409
    assert ask("deviceconfig", "POST", "devices", {"device_id": "none"}).status_code == 404
    admin.put(f"{CONFIG}/{device_id}", json={"a": "1", "b": "2"})
    assert ask("deviceconfig", "PATCH", path, {"b": "3", "c": "4"}).status_code == 204
    assert admin.get(f"{CONFIG}/{device_id}").json()["configured"] == {"a": "1", "b": "3", "c": "4"}
    assert ask("deviceconfig", "PATCH", path, {str(number): "" for number in range(101)}).status_code == 400
    assert ask("deviceconfig", "PATCH", path, {"a": "x" * 4097}).status_code == 400
    assert ask("deviceconfig", "PATCH", "configurations/device/none", {}).status_code == 404
    made = ask("deviceconfig", "POST", f"{path}/deploy", {}).json()["deployment_id"]
    assert admin.get(f"{DEPLOYMENTS}/{made}").json()["status"] == "pending"
    assert ask("deviceconfig", "DELETE", f"devices/{device_id}").status_code == 204
    assert admin.get(f"{CONFIG}/{device_id}").json()["configured"] == {}


def test_deployments(admin: httpx.Client, ask: Ask, device: FakeDevice, device_id: str) -> None:
    made = str(uuid4())
    path = f"configuration/deployments/{made}/devices/{device_id}"
    body = {"name": "by hand", "configuration": {"a": "b"}, "retries": 1}
    answer = ask("deployments", "POST", path, body)
    assert (answer.status_code, answer.headers["location"]) == (201, f"./deployments/{made}")
    assert ask("deployments", "POST", path, body).status_code == 409
    shown = admin.get(f"{DEPLOYMENTS}/{made}").json()
    assert (shown["name"], shown["artifact_name"], shown["retries"]) == ("by hand", f"configuration-{made}", 1)
    as_text = body | {"configuration": '{"a":"b"}'}
    assert ask("deployments", "POST", path.replace(made, str(uuid4())), as_text).status_code == 201
    for wrong in (path.replace(made, "x"), path.replace(device_id, "none").replace(made, str(uuid4()))):
        assert ask("deployments", "POST", wrong, body).status_code in {400, 404}
    for changes in ({"configuration": {"a": 1}}, {"configuration": "x"}, {"name": ""}, {"retries": -1}):
        answer = ask("deployments", "POST", path.replace(made, str(uuid4())), body | changes)
        assert answer.status_code == 400, changes
    polled = device.client().post(
        "/api/devices/v1/deployments/device/deployments/next", json={"device_type": "x", "artifact_name": "y"}
    )
    assert polled.json()["id"] == made
