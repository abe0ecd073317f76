"""The configuration of a device for people: its card, and the page to change it, without any script."""

import html
import re
from collections.abc import Callable

import httpx
import pytest
from serving import FakeDevice, RealServer

from vedette.server.access.roles import OBSERVER

CONFIG = "/api/management/v1/deviceconfig/configurations/device"
V1 = "/api/devices/v1/deployments/device/deployments"
Accept = Callable[[FakeDevice], str]


@pytest.fixture
def page(admin: httpx.Client, device: FakeDevice, accept: Accept) -> str:
    """The path of the page of a device that is let in."""
    return f"/devices/{accept(device)}"


def fields(text: str) -> dict[str, str]:
    """What a browser would send of the form for a configuration, without its buttons."""
    found = dict(re.findall(r'<input [^>]*name="([^"]+)"[^>]* value="([^"]*)"', text))
    found |= {
        name: value.removeprefix("\n")
        for name, value in re.findall(r'<textarea name="([^"]+)"[^>]*>(.*?)</textarea>', text, re.S)
    }
    return {name: html.unescape(value) for name, value in found.items()}


def test_settings_are_saved_and_deployed(admin: httpx.Client, device: FakeDevice, page: str) -> None:
    assert "Nothing is configured for this device" in admin.get(page).text
    form = fields(admin.get(f"{page}/configuration").text)
    form |= {
        "name-1": " timezone ",
        "value-1": "Europe/Oslo",
        "name-2": "motd",
        "value-2": "a\r\n<b>",
        "action": "save",
    }
    answer = admin.post(f"{page}/configuration", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{page}#configuration")
    device_id = page.rpartition("/")[2]
    shown = admin.get(f"{CONFIG}/{device_id}").json()
    assert (shown["configured"], "deployment_id" in shown) == ({"timezone": "Europe/Oslo", "motd": "a\n<b>"}, False)
    text = admin.get(page).text
    for said in ("timezone", "Europe/Oslo", "&lt;b&gt;", "differs", "reported no configuration"):
        assert said in text, said

    form = fields(admin.get(f"{page}/configuration").text)
    assert [form[f"value-{n}"] for n in (1, 2)] == ["Europe/Oslo", "a\n<b>"]
    form |= {"name-2": "", "action": "deploy", "retries": "2"}
    assert admin.post(f"{page}/configuration", data=form).status_code == 303
    shown = admin.get(f"{CONFIG}/{device_id}").json()
    assert shown["configured"] == {"timezone": "Europe/Oslo"}
    client = device.client()
    told = client.post(f"{V1}/next", json={"device_type": "x", "artifact_name": "y"}).json()
    assert told["id"] == shown["deployment_id"]
    assert ">pending<" in admin.get(page).text
    client.put(f"{V1}/{told['id']}/status", json={"status": "success"})
    client.put("/api/devices/v1/deviceconfig/configuration", json={"timezone": "Europe/Oslo"})
    text = admin.get(page).text
    assert ">success<" in text
    assert "in sync" in text


def test_a_deployment_is_aborted_from_the_page(admin: httpx.Client, page: str) -> None:
    device_id = page.rpartition("/")[2]
    made = admin.post(f"{CONFIG}/{device_id}/deploy", json={}).json()["deployment_id"]
    action = f"{page}/deployments/{made}/abort"
    assert action in admin.get(page).text
    assert admin.post(action, data={"back": page}).headers["location"] == page
    text = admin.get(page).text
    assert ">aborted<" in text
    assert action not in text


def test_what_cannot_be_saved(admin: httpx.Client, page: str) -> None:
    good = fields(admin.get(f"{page}/configuration").text) | {"action": "save"}
    for wrong in (
        {"action": "x"},
        {"seen": "x"},
        {"action": "deploy", "retries": "-1"},
        {"name-1": "a", "name-2": "a"},
        {"name-1": "a", "value-1": "x" * 4097},
    ):
        assert admin.post(f"{page}/configuration", data=good | wrong).status_code == 400, wrong
    assert admin.post(f"{page}/configuration", data=good | {"name-1": "a"}).status_code == 303
    # The form is of before: somebody else has been here.
    assert admin.post(f"{page}/configuration", data=good | {"name-1": "b"}).status_code == 409
    assert admin.get("/devices/none/configuration").status_code == 404


def test_who_may_only_look(server: RealServer, admin: httpx.Client, page: str) -> None:
    device_id = page.rpartition("/")[2]
    admin.put(f"{CONFIG}/{device_id}", json={"timezone": "UTC"})
    admin.post(f"{CONFIG}/{device_id}/deploy", json={})
    server.add_user("eve@example.com", roles=(OBSERVER,))
    eve = server.client(server.login("eve@example.com"))
    text = eve.get(page).text
    assert "timezone" in text
    assert "/abort" not in text
    assert f"{page}/configuration" not in text
    for path in (f"{page}/configuration", f"{page}/deployments/x/abort"):
        assert eve.post(path, data={"action": "save"}).status_code == 403
    assert eve.get(f"{page}/configuration").status_code == 403


def test_a_device_that_is_not_let_in_has_no_card(admin: httpx.Client, device: FakeDevice) -> None:
    assert device.request().status_code == 401
    (pending,) = admin.get("/api/management/v2/devauth/devices").json()
    assert 'id="configuration"' not in admin.get(f"/devices/{pending['id']}").text
