"""A change of a layer, from the call that makes it to a real client of the API that has taken it up."""

import asyncio
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

import httpx
import pytest
from serving import DEADLINE_S, FakeDevice, RealServer

from vedette.server.configuration import rollout_steps

API = "/api/management/v1/vedette/configuration"
OWN = "/api/devices/v1/deviceconfig/configuration"
NEXT = "/api/devices/v1/deployments/device/deployments/next"
STATUS = "/api/devices/v1/deployments/device/deployments/{}/status"


@pytest.fixture
def working(server: RealServer) -> Iterator[None]:
    """The server does by itself what it does beside its requests."""
    task = asyncio.run_coroutine_threadsafe(rollout_steps.run(server.services), server.loop)
    yield
    task.cancel()
    with suppress(CancelledError):
        task.result(DEADLINE_S)


def soon(ask: Callable[[], Any]) -> Any:
    """What `ask` gives as soon as it is anything."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := ask()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


def content(artifact: bytes) -> Any:
    """The configuration in an artifact."""
    with tarfile.open(fileobj=io.BytesIO(artifact)) as outer:
        header = outer.extractfile("header.tar")
        assert header is not None
        with tarfile.open(fileobj=io.BytesIO(header.read())) as inner:
            data = inner.extractfile("headers/0000/meta-data")
            assert data is not None
            return json.load(data)


@pytest.mark.usefixtures("working")
def test_a_change_arrives_and_is_reported(
    admin: httpx.Client, device: FakeDevice, accept: Callable[[FakeDevice], str]
) -> None:
    device_id = accept(device)
    client, installed = device.client(), "none"

    def take() -> Any:
        nonlocal installed
        told = soon(lambda: (answer := client.post(NEXT, json=poll())).status_code == 200 and answer.json())
        values = content(admin.get(told["artifact"]["source"]["uri"].removeprefix("http://vedette.test")).content)
        for status in ("downloading", "installing", "success"):
            assert client.put(STATUS.format(told["id"]), json={"status": status}).status_code == 204
        installed = told["artifact"]["artifact_name"]
        assert client.get(OWN).json() == values
        assert client.put(OWN, json=values).status_code == 204
        return values

    def poll() -> dict[str, str]:
        return {"device_type": "box", "artifact_name": installed}

    def effective() -> Any:
        return admin.get(f"{API}/devices/{device_id}/effective").json()

    assert admin.put(f"{API}/layers/tenant", json={"values": {"a": "1", "b": "1"}}).status_code == 200
    assert take() == {"a": "1", "b": "1"}
    assert effective()["in_sync"]
    change = {"values": {"b": None, "c": "1"}, "rollout": {"waves": [100]}}
    made = admin.put(f"{API}/layers/groups/kiosks", json=change).json()
    admin.put(f"/api/management/v1/inventory/devices/{device_id}/group", json={"group": "kiosks"})
    assert take() == {"a": "1", "c": "1"}
    shown = effective()
    assert (shown["in_sync"], shown["group"], shown["deployment"]["status"]) == (True, "kiosks", "success")
    assert client.post(NEXT, json=poll()).status_code == 204
    assert admin.get(f"{API}/rollouts/{made['rollout']}").json()["state"] in {"running", "finished"}
