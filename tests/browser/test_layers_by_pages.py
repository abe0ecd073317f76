"""The road of an operator: one security configuration for a group, by pages alone, and what becomes of it."""

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from conftest import Device, Tenant, Visitor

REPORT = "deviceconfig/configuration"


def boat(tenant: Tenant, number: int) -> Device:
    """A device of the group boats."""
    device = tenant.accepted_device(mac=f"02:00:00:00:00:0{number}")
    headers = {"Authorization": f"Bearer {tenant.jwt()}"}
    url = f"{tenant.server.url}/api/management/v1/inventory/devices/{device.id}/group"
    assert httpx.put(url, headers=headers, json={"group": "boats"}).status_code == 204
    return device


def take(device: Device, status: str = "success") -> dict[str, str]:
    """The device takes what it is given, once there is something; what it then has."""
    headers = {"Authorization": f"Bearer {device.token}"}
    base = f"{device.tenant.server.url}/api/devices/v1/deployments/device/deployments"
    query = {"device_type": "box", "artifact_name": "x"}
    transport = httpx.HTTPTransport(retries=1)
    with httpx.Client(headers=headers, transport=transport) as client:
        for _ in range(300):
            answer = client.get(f"{base}/next", params=query, timeout=30)
            if answer.status_code == 200:
                break
            client.get(f"{device.tenant.server.url}/alive")
        assert answer.status_code == 200, "nothing came"
        assert client.put(f"{base}/{answer.json()['id']}/status", json={"status": status}).status_code == 204
        wanted: dict[str, str] = client.get(
            f"{device.tenant.server.url}/api/devices/v1/deviceconfig/configuration"
        ).json()
    if status == "success":
        device.send("PUT", REPORT, wanted)
    return wanted


def edit(page: Page) -> None:
    page.goto("/devices")
    page.get_by_role("link", name="Configuration", exact=True).click()
    page.get_by_role("link", name="Change the configuration of boats").click()


def fill(page: Page, kind: str, setting: str, value: str) -> None:
    section = page.locator("details", has=page.locator("summary strong", has_text=re.compile(f"^{kind}$")))
    if section.get_attribute("open") is None:
        section.locator("summary").click()
    found = section.get_by_label(setting, exact=True)
    if found.evaluate("each => each.tagName") == "SELECT":
        found.select_option(value)
    else:
        found.fill(value)


def test_one_security_configuration_for_a_group(visitor: Visitor, tenant: Tenant) -> None:
    device = boat(tenant, 1)
    page = visitor.page(tenant)
    edit(page)
    fill(page, "ports", "enabled", "true")
    fill(page, "ports", "allow", "tcp/22\ntcp/443")
    page.get_by_label("Name of setting 1").fill("timezone")
    page.get_by_label("Value of setting 1", exact=True).fill("Europe/Oslo")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("1 device of 1 would get other settings")).to_be_visible()
    ports = page.get_by_role("group", name="ports", exact=True)
    expect(ports.get_by_label("allow", exact=True)).to_have_value("tcp/22 tcp/443")
    page.get_by_label("Why").fill("the new harbour")
    page.get_by_label("Between waves").fill("0")
    page.get_by_label("Waves", exact=True).fill("50 100")
    page.get_by_role("button", name="Start the rollout").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Group boats, version 1")
    page.get_by_label("Why").fill("half a sentence")
    with page.expect_response(re.compile("/configuration/rollouts/")):  # it follows by itself, and disturbs nobody
        pass
    expect(page.get_by_label("Why")).to_have_value("half a sentence")
    assert take(device)["security.ports.allow"] == "tcp/22 tcp/443"
    expect(page.get_by_text("finished", exact=True)).to_be_visible(timeout=20_000)  # by itself: nobody reloads
    expect(page.get_by_role("img", name="1 done, 0 failed, 0 at it, 0 waiting")).to_be_visible()

    page.goto(f"/devices/{device.id}")
    card = page.locator("section", has=page.get_by_role("heading", name="Configuration"))
    expect(card.get_by_text("in sync")).to_be_visible()
    expect(card.get_by_text("for its group, v1")).to_have_count(3)
    device.send("PUT", REPORT, {"timezone": "Europe/Oslo", "security.ports.allow": "tcp/22"})
    expect(card.get_by_text("differs")).to_be_visible()


def test_a_bad_change_is_refused_where_it_was_typed(visitor: Visitor, tenant: Tenant) -> None:
    boat(tenant, 1)
    page = visitor.page(tenant)
    edit(page)
    fill(page, "ports", "dwell", "soon")
    fill(page, "logins", "failures", "many")
    page.get_by_role("button", name="Preview").click(no_wait_after=True)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("security.ports.dwell")
    expect(alert).to_contain_text("security.logins.failures")
    expect(page.get_by_label("dwell", exact=True)).to_have_value("soon")
    visitor.complaints.clear()  # the browser's note of status 400


def test_a_failing_change_is_stopped_and_taken_back_without_javascript(visitor: Visitor, tenant: Tenant) -> None:
    device = boat(tenant, 1)
    page = visitor.page(tenant, java_script_enabled=False)
    edit(page)
    page.get_by_label("Name of setting 1").fill("colour")
    page.get_by_label("Value of setting 1", exact=True).fill("green")
    page.get_by_role("button", name="Preview").click()
    page.get_by_label("Begin later, when somebody resumes it").check()
    page.get_by_role("button", name="Start the rollout").click()
    expect(page.get_by_text("paused", exact=True)).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("running", exact=True)).to_be_visible()
    take(device, "failure")
    for _ in range(100):
        page.reload()
        if page.get_by_text("halted", exact=True).count():
            break
        page.wait_for_timeout(100)
    expect(page.get_by_role("heading", name="Failed")).to_be_visible()
    expect(page.get_by_role("link", name="02:00:00:00:00:01")).to_be_visible()
    page.get_by_label("Why").fill("it failed")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Group boats, version 2")
    page.get_by_role("link", name="Group boats").click()
    expect(page.get_by_role("link", name="Take back version 1")).to_be_visible()
    page.get_by_role("link", name="Take back version 1").click()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("colour", exact=True)).to_be_visible()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("path", ["", "/tenant", "/tenant/edit", "/groups/boats", "/groups/boats/edit"])
def test_nothing_is_wider_than_the_page(visitor: Visitor, tenant: Tenant, path: str, width: int) -> None:
    boat(tenant, 1)
    page = visitor.page(tenant, viewport={"width": width, "height": 800})
    page.goto(f"/configuration{path}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
