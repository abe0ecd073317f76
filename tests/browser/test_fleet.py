"""The list of devices and the page of one, as they are and as they change."""

import re

import pytest
from playwright.sync_api import Page, expect

from conftest import Device, Server, Tenant, Visitor, alert, make_tenant
from vedette.server.access.roles import OBSERVER


def stay(page: Page) -> None:
    """Leave a trace that a reload would wipe out."""
    page.evaluate("window.stayed = true")


def stayed(page: Page) -> bool:
    return bool(page.evaluate("window.stayed === true"))


def live(page: Page) -> None:
    expect(page.locator("#live")).to_have_text("Live")


def test_the_first_device(visitor: Visitor, tenant: Tenant) -> None:
    """An empty fleet says how to begin; the device appears by itself and is accepted."""
    page = visitor.page(tenant)
    page.goto("/devices")
    expect(page.get_by_text("Connect your first device")).to_be_visible()
    expect(page.get_by_text(tenant.token)).to_be_hidden()
    page.get_by_text("Show the tenant token").click()
    expect(page.get_by_text(tenant.token)).to_be_visible()
    live(page)
    stay(page)
    device = tenant.device(mac="52:54:00:00:00:01")
    assert not device.ask()
    expect(page.locator("#fleet")).to_contain_text("mac=52:54:00:00:00:01")
    expect(page.locator("#fleet tbody")).to_contain_text("pending")
    assert stayed(page)
    page.get_by_role("button", name=re.compile("^Accept")).click()
    expect(page.locator("#fleet tbody")).not_to_contain_text("pending")
    assert device.ask()


def test_an_alert_marks_its_device_without_a_reload_and_its_end_takes_the_mark_away(
    visitor: Visitor, tenant: Tenant
) -> None:
    device = tenant.accepted_device()
    page = visitor.page(tenant)
    page.goto("/devices")
    live(page)
    stay(page)
    mark = page.locator(f"#device-{device.id}").get_by_role("link", name="monitoring")
    expect(mark).to_have_count(0)
    device.alert()
    expect(mark).to_contain_text("monitoring: 1 open alert")
    expect(page).to_have_title(re.compile(r"^\(1\) Devices"))
    device.alert("OK")
    expect(mark).to_have_count(0)
    assert stayed(page)


def test_devices_with_issues_can_be_picked(visitor: Visitor, tenant: Tenant) -> None:
    well, ill = tenant.accepted_device(sn="well"), tenant.accepted_device(sn="ill")
    ill.alert()
    page = visitor.page(tenant)
    page.goto("/devices")
    page.get_by_role("link", name="Devices with issues").click()
    expect(page.locator(f"#device-{ill.id}")).to_be_visible()
    expect(page.locator(f"#device-{well.id}")).to_have_count(0)
    page.get_by_label("Search devices").fill("no such device")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Nothing found")).to_be_visible()
    page.goto("/devices?q=well")
    expect(page.locator(f"#device-{well.id}")).to_be_visible()
    expect(page.locator(f"#device-{ill.id}")).to_have_count(0)


def test_the_page_of_a_device_lives(visitor: Visitor, tenant: Tenant) -> None:
    device = tenant.accepted_device()
    page = visitor.page(tenant)
    page.goto(f"/devices/{device.id}")
    expect(page.get_by_text("No alert yet")).to_be_visible()
    expect(page.get_by_text("No alert monitor is currently configured for this device")).to_be_visible()
    live(page)
    stay(page)
    settings = {"pattern": "CVE.*HIGH", "path": "/tmp/results-scan", "expire_seconds": 172_800}
    device.report({"name": "results-scan.sh", "type": "log", "status": "enabled", "log": settings})
    expect(page.locator("main")).to_contain_text("2 days")
    device.inventory(hostname="gateway-1", ipv4_eth0=["10.0.0.1/24", "10.0.0.2/24"])
    device.alert()
    expect(page.get_by_text("1 service reported issues")).to_be_visible()
    expect(page.get_by_role("heading", name="Open alerts")).to_be_visible()
    device.alert(name="Service sshd not running", type="service", details=None)
    expect(page.get_by_text("2 services reported issues")).to_be_visible()
    device.alert("OK")
    device.alert("OK", name="Service sshd not running", type="service", details=None)
    expect(page.get_by_text("reported issues")).to_have_count(0)
    expect(page.locator("[id^=alert-]")).to_have_count(4)
    assert stayed(page)


def test_old_alerts_are_a_page_away(visitor: Visitor, tenant: Tenant) -> None:
    device = tenant.accepted_device()
    device.alerts(*(alert(name=f"Alert number {number}", type=f"t{number}") for number in range(45)))
    page = visitor.page(tenant)
    page.goto(f"/devices/{device.id}")
    history = page.locator("[id^=alert-]")
    expect(history).to_have_count(20)
    expect(history.first).to_contain_text("Alert number 44")
    page.get_by_role("link", name="Older").click()
    page.get_by_role("link", name="Older").click()
    expect(history).to_have_count(5)
    expect(history.last).to_contain_text("Alert number 0")
    page.goto(f"/devices/{device.id}?page=nonsense")
    expect(history).to_have_count(20)


def test_a_server_that_comes_back_is_found_again(visitor: Visitor, tenant: Tenant, server: Server) -> None:
    device = tenant.accepted_device()
    page = visitor.page(tenant)
    page.goto(f"/devices/{device.id}")
    live(page)
    stay(page)
    server.stop()
    expect(page.locator("#live")).to_have_text("Reconnecting")
    server.start()
    device.alert()
    live(page)
    expect(page.get_by_text("1 service reported issues")).to_be_visible()
    assert stayed(page)
    visitor.complaints[:] = [each for each in visitor.complaints if "ERR_" not in each]  # the server was not there


@pytest.mark.parametrize(
    "path", ["/devices/00000000-0000-4000-8000-000000000000", "/devices/x/alerts/y", "/devices/%00"]
)
def test_what_is_not_there_or_not_ours_is_said_plainly(visitor: Visitor, tenant: Tenant, path: str) -> None:
    page = visitor.page(tenant)
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    visitor.complaints[:] = [each for each in visitor.complaints if "404" not in each]


def test_nobody_sees_another_tenants_devices(visitor: Visitor, tenant: Tenant, server: Server) -> None:
    device = tenant.accepted_device()
    device.alert()
    page = visitor.page(make_tenant(server, "strangers"))
    page.goto("/devices")
    expect(page.get_by_text("Connect your first device")).to_be_visible()
    live(page)
    device.alert("OK")
    page.goto(f"/devices/{device.id}")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    visitor.complaints[:] = [each for each in visitor.complaints if "404" not in each]


def test_who_may_only_look_is_shown_no_buttons(visitor: Visitor, server: Server) -> None:
    observed = make_tenant(server, "observed", OBSERVER)
    observed.device(sn="waits").ask()
    page = visitor.page(observed)
    page.goto("/devices")
    expect(page.locator("#fleet tbody")).to_contain_text("pending")
    expect(page.get_by_role("button", name=re.compile("^(Accept|Reject)"))).to_have_count(0)
    page.goto("/settings")
    expect(page.get_by_role("button", name="alert e-mails")).to_have_count(0)
    assert observed.token not in page.content()


def test_settings_switch_the_mails(visitor: Visitor, tenant: Tenant) -> None:
    page = visitor.page(tenant)
    page.goto("/settings")
    page.get_by_role("button", name="Turn off alert e-mails").click()
    expect(page.get_by_text("Nobody is mailed")).to_be_visible()
    page.get_by_role("button", name="Turn on alert e-mails").click()
    expect(page.get_by_text("Nobody is mailed")).to_have_count(0)


def test_the_theme_is_remembered(visitor: Visitor, tenant: Tenant) -> None:
    page = visitor.page(tenant, color_scheme="light")
    page.goto("/devices")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#theme").click()  # light
    assert page.evaluate(ground) == light
    page.locator("#theme").click()  # dark
    dark = page.evaluate(ground)
    assert dark != light
    page.goto("/settings")
    assert page.evaluate(ground) == dark
    expect(page.locator("#theme")).to_have_accessible_name("Dark theme, change it")


def test_by_keyboard(visitor: Visitor, tenant: Tenant) -> None:
    device = tenant.accepted_device()
    page = visitor.page(tenant)
    page.goto("/devices")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('tbody') !== null"):
            break
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/devices/{device.id}$"))


@pytest.mark.parametrize("path", ["/devices", "/devices?show=pending", "/devices/{id}", "/settings"])
def test_without_javascript(visitor: Visitor, tenant: Tenant, path: str) -> None:
    device: Device = tenant.accepted_device()
    device.alert()
    page = visitor.page(tenant, java_script_enabled=False)
    page.goto(path.format(id=device.id))
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("#theme")).to_be_hidden()
    if "{id}" in path:
        expect(page.get_by_text("1 service reported issues")).to_be_visible()
