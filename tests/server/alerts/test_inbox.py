"""What is open in the whole fleet: one list, in order, narrowed by what people ask for, and by what they may see."""

from typing import Any

import httpx
import pytest
from fleet_of_two import ALPHA, BETA, Made, World
from serving import RealServer

PROBLEMS = "/api/management/v1/vedette/problems"
ALERT = "/api/devices/v1/devicemonitor/alert"


@pytest.fixture
def world(server: RealServer) -> World:
    return World(server)


def alert(number: int, level: str = "CRITICAL", kind: str = "log", name: str = "") -> dict[str, Any]:
    return {
        "name": name or f"alert {number}",
        "level": level,
        "timestamp": f"2026-11-23T12:00:{number:02d}Z",
        "subject": {"name": f"subject {number % 10}", "type": kind, "status": "FOUND"},
    }


def names(client: httpx.Client, **asked: Any) -> list[str]:
    answer = client.get(PROBLEMS, params=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-total-count"] == str(len(answer.json()))
    return [each["name"] for each in answer.json()]


def test_one_list_newest_first(world: World) -> None:
    """A problem is told with its newest alert, and with the time of the one that opened it."""
    device, admin = world.client("device"), world.client("admin")
    assert names(admin) == []
    sent = [alert(1), alert(2, kind="ports", level="WARNING"), alert(3), alert(13, level="CRITICAL_FLAPPING"), alert(4)]
    assert device.post(ALERT, json=[*sent, alert(24, level="OK")]).status_code == 204
    assert names(admin) == ["alert 13", "alert 2", "alert 1"]
    (first, *_) = admin.get(PROBLEMS).json()
    assert first["since"] == "2026-11-23T12:00:03.000Z"
    assert first["timestamp"] == "2026-11-23T12:00:13.000Z"
    assert first["level"] == "CRITICAL_FLAPPING"
    assert first["subject"] == {"type": "log", "name": "subject 3", "status": "FOUND"}

    assert names(admin, level="warning") == ["alert 2"]
    assert names(admin, type="log") == ["alert 13", "alert 1"]
    assert names(admin, type="log", level="CRITICAL") == ["alert 1"]
    assert names(admin, device=first["device_id"]) == ["alert 13", "alert 2", "alert 1"]
    assert names(admin, q="ALERT 1") == ["alert 13", "alert 1"]
    assert names(admin, q="subject 2") == ["alert 2"]
    assert names(admin, q="real") == ["alert 13", "alert 2", "alert 1"]  # the identity of the device
    assert names(admin, q="alert_1") == []  # no pattern
    assert names(admin, group=ALPHA) == []
    assert admin.get(PROBLEMS, params={"level": "NONE"}).status_code == 400
    assert admin.get(PROBLEMS, params={"q": "x" * 201}).status_code == 400


def test_pages(world: World) -> None:
    sent = [alert(number, kind=f"k{number}") for number in range(5)]
    assert world.client("device").post(ALERT, json=sent).status_code == 204
    answer = world.client("admin").get(PROBLEMS, params={"page": 2, "per_page": 2})
    assert [each["name"] for each in answer.json()] == ["alert 2", "alert 1"]
    assert answer.headers["x-total-count"] == "5"


def test_nobody_sees_problems_of_devices_that_he_may_not_see(world: World) -> None:
    alpha, beta = world.make(ALPHA, BETA)

    def told(name: str) -> set[str]:
        answer = world.client(name).get(PROBLEMS)
        assert answer.headers["x-total-count"] == str(len(answer.json()))
        return {each["device_id"] for each in answer.json()}

    def marks(name: str, made: Made) -> bool:
        return any(mark in world.client(name).get(PROBLEMS).text for mark in made.marks)

    assert {alpha.id, beta.id} <= told("admin")
    assert told("reads alpha") == {alpha.id}
    assert not marks("reads alpha", beta)
    assert told("other tenant") == set()
    assert world.client("no role").get(PROBLEMS).status_code == 403
    page = world.client("reads alpha").get("/problems")
    assert page.status_code == 200
    assert not any(mark in page.text for mark in beta.marks)
    assert alpha.id in page.text
