"""Who was told of an alert, and why or why not: as a page and as JSON, of a real server."""

from collections.abc import Callable

import httpx
from serving import EMAIL, FakeDevice, RealServer

from vedette.server.access.roles import OBSERVER
from vedette.server.notify import service

ALERT = {
    "name": "Log file contains CVE",
    "level": "CRITICAL",
    "timestamp": "2026-08-22T08:05:58Z",
    "subject": {"name": "s", "type": "log", "status": "LOGCONTAINS"},
}


def test_on_the_page_of_the_alert_and_as_json(
    server: RealServer, admin: httpx.Client, device: FakeDevice, accept: Callable[[FakeDevice], str]
) -> None:
    server.add_user("bob@example.com", roles=(OBSERVER,))
    device_id = accept(device)
    assert device.client().post("/api/devices/v1/devicemonitor/alert", json=[ALERT]).status_code == 204
    (alert,) = admin.get(f"/api/management/v1/devicemonitor/devices/{device_id}/alerts").json()
    page = f"/devices/{device_id}/alerts/{alert['id']}"
    path = f"/api/management/v1/vedette/devices/{device_id}/alerts/{alert['id']}/deliveries"

    assert admin.get(path).json() == []
    assert "only just come in" in admin.get(page).text
    assert "still open" in admin.get(page).text

    assert server.run(service.decide(server.services, 10)) == 1
    first, second = admin.get(path).json()
    assert first.keys() == {
        "user_id", "channel", "address", "state", "reason", "attempts", "created_ts", "ended_ts"
    }  # fmt: skip
    assert (first["address"], first["state"], first["reason"]) == (
        EMAIL, "withheld", "no mail server is configured (setting smtp)"
    )  # fmt: skip
    assert second["address"] == "bob@example.com"
    shown = admin.get(page).text
    for text in (EMAIL, "bob@example.com", "not told", "no mail server is configured"):
        assert text in shown

    bob = server.client(server.login("bob@example.com"))
    assert [each["address"] for each in bob.get(path).json()] == ["bob@example.com"]
    assert EMAIL not in bob.get(page).text
    assert "not told" in bob.get(page).text

    eve = server.add_tenant("theirs")
    server.add_user("eve@example.com", tenant=eve.id)
    stranger = server.client(server.login("eve@example.com"))
    assert stranger.get(path).status_code == stranger.get(page).status_code == 404
    assert server.client().get(path).status_code == 401
    assert admin.post(path).status_code == 405


def test_when_there_is_nobody_to_be_told(
    server: RealServer, admin: httpx.Client, device: FakeDevice, accept: Callable[[FakeDevice], str]
) -> None:
    device_id = accept(device)
    device.client().post("/api/devices/v1/devicemonitor/alert", json=[ALERT])
    (alert,) = admin.get(f"/api/management/v1/devicemonitor/devices/{device_id}/alerts").json()
    server.run(service.decide(server.services, 10))
    server.add_user("bob@example.com", roles=(OBSERVER,))  # too late
    bob = server.client(server.login("bob@example.com"))
    assert "You were not" in bob.get(f"/devices/{device_id}/alerts/{alert['id']}").text
