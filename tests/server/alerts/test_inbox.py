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


# --- taking problems over --------------------------------------------------------------------------------------------


def acknowledgement(problem: dict[str, Any]) -> str:
    return f"/api/management/v1/vedette/devices/{problem['device_id']}/problems/{problem['alert_id']}/acknowledgement"


def problem_of(world: World, number: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in world.client("admin").get(PROBLEMS).json() if each["subject"]["name"] == f"subject {number}"
    )
    return found


def test_a_problem_is_taken_over_and_given_back(world: World) -> None:
    device, admin = world.client("device"), world.client("admin")
    assert device.post(ALERT, json=[alert(1), alert(2)]).status_code == 204
    assert problem_of(world)["acknowledged"] is None
    body = {"note": "a disk is on its way", "until": "2099-01-01T00:00:00Z"}
    assert admin.put(acknowledgement(problem_of(world)), json=body).status_code == 204
    told = problem_of(world)["acknowledged"]
    assert (told["by"], told["note"], told["until"]) == (
        "user0@example.com", "a disk is on its way", "2099-01-01T00:00:00.000Z",
    )  # fmt: skip
    assert names(admin, acknowledged="true") == ["alert 1"]
    assert names(admin, acknowledged="false") == ["alert 2"]

    # Another alert of the same problem: it is still taken care of.
    assert device.post(ALERT, json=[alert(11)]).status_code == 204
    assert problem_of(world)["acknowledged"]["note"] == "a disk is on its way"
    assert admin.put(acknowledgement(problem_of(world))).status_code == 204  # anew, without a body
    assert problem_of(world)["acknowledged"]["note"] == ""
    assert admin.delete(acknowledgement(problem_of(world))).status_code == 204
    assert admin.delete(acknowledgement(problem_of(world))).status_code == 204
    assert problem_of(world)["acknowledged"] is None
    log = admin.get("/api/management/v1/auditlogs/logs").json()
    assert sum("acknowledged by" in (each.get("change") or "") for each in log) == 3


def test_a_problem_that_comes_again_is_a_new_one(world: World) -> None:
    device, admin = world.client("device"), world.client("admin")
    assert device.post(ALERT, json=[alert(1)]).status_code == 204
    before = problem_of(world)
    assert admin.put(acknowledgement(before), json={"note": "mine"}).status_code == 204
    assert device.post(ALERT, json=[alert(11, level="OK")]).status_code == 204
    assert admin.put(acknowledgement(before)).status_code == 404  # it is over
    assert device.post(ALERT, json=[alert(21)]).status_code == 204
    assert problem_of(world)["acknowledged"] is None


def test_an_acknowledgement_ends_with_its_time(world: World) -> None:
    device, admin = world.client("device"), world.client("admin")
    assert device.post(ALERT, json=[alert(1)]).status_code == 204
    where = acknowledgement(problem_of(world))
    past = admin.put(where, json={"until": "2020-01-01T00:00:00Z"})
    assert past.status_code == 400
    assert "yet to come" in past.json()["error"]
    assert admin.put(where, json={"until": "2099-01-01T00:00:00Z"}).status_code == 204
    world.execute("UPDATE acknowledgement SET until_at = 1 WHERE {visible:acknowledgement}")
    assert problem_of(world)["acknowledged"] is None


@pytest.mark.parametrize("body", [{"note": "x" * 1001}, {"note": "a\0b"}, {"until": "tomorrow"}, {"note": 1}, []])
def test_what_is_no_acknowledgement_is_refused(world: World, body: Any) -> None:
    assert world.client("device").post(ALERT, json=[alert(1)]).status_code == 204
    assert world.client("admin").put(acknowledgement(problem_of(world)), json=body).status_code == 400
    assert problem_of(world)["acknowledged"] is None


def test_only_who_manages_a_device_takes_its_problems_over(world: World) -> None:
    alpha, beta = world.make(ALPHA, BETA)

    def take(name: str, made: Made) -> int:
        return (
            world.client(name)
            .put(f"/api/management/v1/vedette/devices/{made.id}/problems/{made.alert}/acknowledgement")
            .status_code
        )

    assert take("observer", alpha) == 403
    assert take("reads alpha", alpha) == 403
    assert take("manages alpha", beta) == 403  # seen, not managed
    assert take("other tenant", alpha) == 404
    assert take("manages alpha", alpha) == 204
    assert world.client("observer").get(PROBLEMS, params={"acknowledged": "true"}).json()[0]["device_id"] == alpha.id


def test_by_the_page(world: World) -> None:
    assert world.client("device").post(ALERT, json=[alert(1)]).status_code == 204
    found, admin = problem_of(world), world.client("admin")
    form = f"/devices/{found['device_id']}/problems/{found['alert_id']}/acknowledgement"
    ours = {"Origin": str(admin.base_url), "Content-Type": "application/x-www-form-urlencoded"}
    answer = admin.post(form, content="note=%3Cb%3Emine&for=1h&back=/problems?type=log", headers=ours)
    assert (answer.status_code, answer.headers["location"]) == (303, "/problems?type=log")
    page = admin.get("/problems").text
    assert "&lt;b&gt;mine" in page
    assert "<b>mine" not in page
    assert admin.post(form, content="action=withdraw", headers=ours).status_code == 303
    assert problem_of(world)["acknowledged"] is None
