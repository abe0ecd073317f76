"""Whoever sees one group is told nothing of the devices of another: by no list, count, page, mail or stream."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fleet_of_two import ALPHA, BETA, Made, World
from serving import DEADLINE_S, real_server
from starlette.routing import Route

from vedette.server.access import service as access
from vedette.server.app import routes
from vedette.server.settings import Settings

# Only deliveries to oneself are shown.
OTHERWISE = {"/api/management/v1/vedette/devices/{device}/alerts/{alert}/deliveries"}
INVENTORY = "/api/management/v1/inventory"
SEARCH = "/api/management/v2/inventory/filters/search"
NAMES = "/api/management/v2/inventory/filters/attributes"
STATISTICS = "/api/management/v2/inventory/statistics"
GET = sorted(
    route.path
    for route in routes()
    if isinstance(route, Route) and "GET" in getattr(route.app, "_handlers", ()) and route.path != "/live"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data = tmp_path_factory.mktemp("data")
    with real_server(Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")) as server:
        yield World(server)


@pytest.fixture(scope="module")
def devices(world: World) -> list[Made]:
    """Two of alpha, three of beta; and one of the world's own, in no group."""
    made = world.make(ALPHA, ALPHA, BETA, BETA, BETA)
    admin, path = world.client("admin"), "/api/management/v1/deviceconfig/configurations/device/"
    for each in made:
        assert admin.put(path + each.id, json={"key": each.secret}).status_code == 204
        each.deployment = admin.post(f"{path}{each.id}/deploy", json={"retries": 0}).json()["deployment_id"]
    return made


@pytest.fixture(scope="module")
def saved(world: World) -> str:
    """A filter that finds every device."""
    body = {"name": "all", "terms": [{"scope": "identity", "attribute": "status", "type": "$eq", "value": "accepted"}]}
    where: str = world.client("admin").post("/api/management/v2/inventory/filters", json=body).headers["location"]
    return where.rpartition("/")[2]


def filled(path: str, device: Made, saved: str) -> str:
    path = path.replace("/filters/{id}", f"/filters/{saved}").replace("/groups/{name}", f"/groups/{device.group}")
    path = re.sub(r"/(devices?)/\{\w+\}", rf"/\1/{device.id}", path)
    path = path.replace("{deployment}", device.deployment)
    path = path.replace("{auth}", device.auth).replace("{alert}", device.alert)
    return re.sub(r"\{[\w:]+\}", "00000000-0000-4000-8000-000000000000", path)


def tells_of(answer: httpx.Response, devices: list[Made]) -> bool:
    text = answer.text + json.dumps(dict(answer.headers))
    return any(mark in text for each in devices for mark in each.marks)


@pytest.mark.parametrize("name", ["reads alpha", "no role", "users", "other tenant"])
def test_nothing_that_is_read_tells_of_other_groups(world: World, devices: list[Made], saved: str, name: str) -> None:
    client, admin = world.client(name), world.client("admin")
    alpha, beta = devices[:2], devices[2:]
    told: dict[str, bool] = {}
    for path in GET:
        if "/download/" in path or path.startswith(("/static/", "/api/devices/")):
            continue
        told[path] = tells_of(admin.get(filled(path, beta[0], saved)), beta)
        for device in (alpha[0], beta[0]):
            answer = client.get(filled(path, device, saved))
            asked = {device.id, device.auth, device.alert, device.deployment} if device is beta[0] else set()
            text = answer.text
            for mark in asked:  # what was asked for may be said again: in a link to this page
                text = text.replace(mark, "")
            assert not any(mark in text for each in beta for mark in each.marks), path
            if (
                name == "reads alpha"
                and answer.status_code == 200
                and told[path]
                and device is alpha[0]
                and path not in OTHERWISE
            ):
                assert tells_of(answer, alpha), f"{path} hides too much"
    assert sum(told.values()) >= 15  # an administrator is told of them


@pytest.mark.parametrize("body", [{}, {"text": "secret"}, {"sort": [{"scope": "identity", "attribute": "sn"}]}])
def test_searches_find_and_count_what_is_seen(world: World, devices: list[Made], body: dict[str, object]) -> None:
    found = world.client("reads alpha").post(SEARCH, json=body | {"per_page": 1})
    assert (len(found.json()), found.headers["x-total-count"]) == (1, "2")
    every = world.client("reads alpha").post(SEARCH, json=body | {"per_page": 500})
    assert {each["id"] for each in every.json()} == {each.id for each in devices[:2]}
    assert len(world.client("manages alpha").post(SEARCH, json=body | {"per_page": 500}).json()) == 5
    beta = [each.id for each in devices[2:]]
    assert world.client("reads alpha").post(SEARCH, json={"device_ids": beta}).json() == []
    group = {"scope": "system", "attribute": "group", "type": "$eq", "value": BETA}
    assert world.client("reads alpha").post(SEARCH, json={"filters": [group]}).headers["x-total-count"] == "0"
    by_auth = world.client("reads alpha").post("/api/management/v2/devauth/devices/search", json={"id": beta})
    assert by_auth.json() == []


def test_counts_statistics_groups_and_names_are_of_what_is_seen(world: World, devices: list[Made]) -> None:
    client = world.client("reads alpha")
    assert client.get("/api/management/v2/devauth/devices/count").json() == {"count": 2}
    assert client.get(STATISTICS).json()["devices_by_status"]["accepted"]["standard"] == 2
    assert client.get(f"{INVENTORY}/groups").json() == [ALPHA]
    assert client.get(f"{INVENTORY}/devices").headers["x-total-count"] == "2"
    names = {each["name"]: each["count"] for each in client.get(NAMES).json()}
    assert names == {"sn": 2, "name": 2, f"name-{devices[0].secret}": 1, f"name-{devices[1].secret}": 1}
    page = client.get("/devices").text
    assert 'Devices with issues <span class="badge critical">2</span>' in page
    assert "Accept" not in page


def test_buttons_are_there_for_who_may_use_them(world: World) -> None:
    alpha, beta = world.make(ALPHA, BETA)

    for device in (alpha, beta):
        world.execute("UPDATE device SET status = 'pending' WHERE {visible} AND id = :id", id=device.id)
        world.execute(
            "UPDATE auth_set SET status = 'pending' WHERE tenant = :tenant AND EXISTS (SELECT 1 FROM device"
            " WHERE {visible} AND device.id = auth_set.device AND device.id = :id)",
            id=device.id,
        )
    shown = {
        (name, device.group): "Accept" in world.client(name).get(f"/devices/{device.id}").text
        for name in ("admin", "observer", "manages alpha")
        for device in (alpha, beta)
    }
    assert shown == {
        ("admin", ALPHA): True, ("admin", BETA): True,
        ("observer", ALPHA): False, ("observer", BETA): False,
        ("manages alpha", ALPHA): True, ("manages alpha", BETA): False,
    }  # fmt: skip
    page = world.client("manages alpha").get("/devices?show=pending").text
    assert [f"/devices/{each.id}/status" in page for each in (alpha, beta)] == [True, False]
    settings = {name: world.client(name).get("/settings").text for name in ("admin", "observer", "manages alpha")}
    assert ["Turn off" in text for text in settings.values()] == [True, False, False]


def test_mails_go_to_who_may_see_the_device(world: World) -> None:
    people = world.server.run(access.recipients(world.server.services, world.server.tenant.id))
    emails = {name: f"user{number}@example.com" for number, name in enumerate(world.people)}
    seen = {group: {each.email for each in people if each.sees(group)} for group in (ALPHA, BETA, None)}
    both = {emails[name] for name in ("admin", "observer", "manages alpha")}
    assert seen[ALPHA] == both | {emails["reads alpha"]}
    assert seen[BETA] == both
    assert seen[None] == {emails["admin"], emails["observer"]}


def test_the_live_stream_names_what_is_seen(world: World, devices: list[Made]) -> None:
    publish, tenant = world.server.services.live.publish, world.server.tenant.id
    with world.client("reads alpha").stream("GET", "/live") as answer, ThreadPoolExecutor(1) as reader:
        lines = answer.iter_lines()
        assert next(lines) == "event: beat"
        for group, device in ((BETA, devices[2].id), (None, "none"), (ALPHA, devices[0].id)):
            world.server.loop.call_soon_threadsafe(publish, tenant, group, device)
        told = reader.submit(lambda: next(line for line in lines if line.startswith("data: [")))
        assert json.loads(told.result(DEADLINE_S)[6:]) == [devices[0].id]


def test_a_stream_ends_before_it_tells_what_may_no_longer_be_seen(world: World) -> None:
    server, admin = world.server, world.client("admin")
    (alpha,) = world.make(ALPHA)
    role = {"name": "for now", "permission_sets_with_scope": [{"name": "ReadDevices"}]}
    assert admin.post("/api/management/v2/useradm/roles", json=role).status_code == 201
    server.add_user("guest@example.com", roles=("for now",))
    with server.client(server.login("guest@example.com")).stream("GET", "/live") as answer, ThreadPoolExecutor(1) as on:
        lines = answer.iter_lines()
        assert next(lines) == "event: beat"
        assert admin.delete("/api/management/v2/useradm/roles/for now").status_code == 204
        server.loop.call_soon_threadsafe(server.services.live.publish, server.tenant.id, ALPHA, alpha.id)
        assert not any(alpha.id in line for line in on.submit(lambda: list(lines)).result(DEADLINE_S))


def test_a_page_that_is_refused_leads_somewhere(world: World) -> None:
    answer = world.client("no role").get("/devices")
    assert answer.status_code == 403
    assert "Your roles do not allow this." in answer.text
    assert 'href="/settings"' in answer.text
    assert world.client("no role").get("/settings").status_code == 200
