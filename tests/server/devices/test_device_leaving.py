"""A device with a long history leaves in small steps, and is dead from the first."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from serving import DEVAUTH, FakeDevice, RealServer

from vedette.server.db import SYSTEM, Tx
from vedette.server.devices import leaving

ALERT = "/api/devices/v1/devicemonitor/alert"
TABLES = ("device", "auth_set", "attribute", "alert", "subject", "delivery", "notification", "forgotten")


def history(count: int) -> list[dict[str, Any]]:
    subject = {"type": "log", "status": "x"}
    return [
        {
            "name": f"n{number}",
            "level": "CRITICAL",
            "timestamp": f"2026-08-22T12:00:00.{number:06}Z",
            "subject": subject | {"name": f"s{number % 3}"},
        }
        for number in range(count)
    ]


async def rows(tx: Tx) -> int:
    return sum([await tx.value(f"SELECT count(*) FROM {table}") for table in TABLES])


@pytest.mark.parametrize("waits", [False, True])
def test_little_by_little(
    server: RealServer,
    admin: httpx.Client,
    device: FakeDevice,
    accept: Callable[[FakeDevice], str],
    monkeypatch: pytest.MonkeyPatch,
    waits: bool,
) -> None:
    monkeypatch.setattr(leaving, "AT_ONCE", 20)
    if not waits:
        monkeypatch.setattr(leaving, "WAIT_S", 0)
    id = accept(device)
    speaker = device.client()
    headers = {"Content-Type": "application/json"}
    assert speaker.post(ALERT, content=json.dumps(history(100)), headers=headers).status_code == 204
    url = f"{DEVAUTH}/devices/{id}"
    assert admin.delete(url).status_code == 204
    assert speaker.post(ALERT, content=json.dumps(history(3)), headers=headers).status_code == 401
    if not waits:
        told = admin.get(url).json()
        assert (told["decommissioning"], told["status"]) == (True, "rejected")
        assert device.request().status_code == 401
        assert admin.get(f"{DEVAUTH}/devices/count", params={"status": "accepted"}).json() == {"count": 0}
        assert server.run(leaving.leave_marked(server.services)) == 1
    assert admin.get(url).status_code == 404
    assert server.run(server.services.db.read(SYSTEM, rows)) == 0
    assert device.request().status_code == 401  # and begins anew
    (anew,) = admin.get(f"{DEVAUTH}/devices").json()
    assert (anew["status"], anew["id"] != id, anew["decommissioning"]) == ("pending", True, False)


def test_each_step_is_small(
    server: RealServer,
    admin: httpx.Client,
    device: FakeDevice,
    accept: Callable[[FakeDevice], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two steps others write."""
    monkeypatch.setattr(leaving, "AT_ONCE", 20)
    monkeypatch.setattr(leaving, "WAIT_S", 0)
    id = accept(device)
    body = json.dumps(history(100))
    assert device.client().post(ALERT, content=body, headers={"Content-Type": "application/json"}).status_code == 204
    before = server.run(server.services.db.read(SYSTEM, rows))
    assert admin.delete(f"{DEVAUTH}/devices/{id}").status_code == 204
    after = server.run(server.services.db.read(SYSTEM, rows))
    assert 0 < before - after <= 40
