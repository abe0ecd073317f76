"""One alert with its piece of a log; and whatever else a device may put there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from conftest import Device, Tenant, Visitor, alert

HOSTILE = (
    "\u202e</title></textarea><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}\x1b[31m\u2028&amp;'\""
    + "W" * 300
)


def open_first(page: Page, device: Device) -> None:
    page.goto(f"/devices/{device.id}")
    page.locator("[id^=alert-] a").first.click()


def test_the_matching_line_is_marked_and_in_sight(visitor: Visitor, tenant: Tenant) -> None:
    device = tenant.accepted_device()
    device.alert()
    page = visitor.page(tenant, viewport={"width": 1000, "height": 900})
    open_first(page, device)
    expect(page.get_by_role("heading", name="Log file contains CVE.*HIGH")).to_be_visible()
    expect(page.locator(".excerpt li")).to_have_count(61)
    expect(page.locator("#match .number")).to_have_text("1031")
    expect(page.locator("#match")).to_contain_text("CVE-2026-12345")
    box = page.locator(".excerpt")
    assert box.evaluate("box => box.scrollTop") > 0
    inside = """box => {
        const outer = box.getBoundingClientRect(), inner = document.getElementById("match").getBoundingClientRect();
        return inner.top >= outer.top && inner.bottom <= outer.bottom;
    }"""
    assert box.evaluate(inside)


def test_whether_it_is_still_open(visitor: Visitor, tenant: Tenant) -> None:
    device = tenant.accepted_device()
    device.alert()
    page = visitor.page(tenant)
    open_first(page, device)
    expect(page.get_by_text("still open")).to_be_visible()
    expect(page.locator("#live")).to_have_text("Live")
    device.alert("OK")
    expect(page.get_by_text("still open")).to_have_count(0)


def test_copy_and_keep(visitor: Visitor, tenant: Tenant, tmp_path: Path) -> None:
    device = tenant.accepted_device()
    device.alert()
    page = visitor.page(tenant, permissions=["clipboard-read", "clipboard-write"])
    open_first(page, device)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "> 1031  scanner[4711]: CVE-2026-12345 severity HIGH in openssl" in copied.splitlines()
    with page.expect_download() as text:
        page.get_by_role("link", name="Text").click()
    text.value.save_as(tmp_path / "alert.txt")
    assert (tmp_path / "alert.txt").read_text() == copied
    with page.expect_download() as record:
        page.get_by_role("link", name="JSON").click()
    record.value.save_as(tmp_path / "alert.json")
    kept = json.loads((tmp_path / "alert.json").read_text())
    assert kept["device_id"] == device.id
    assert kept["subject"]["details"]["line_matching"]["line_number"] == 1031


def test_without_javascript_the_line_is_a_link_away(visitor: Visitor, tenant: Tenant) -> None:
    device = tenant.accepted_device()
    device.alert()
    page = visitor.page(tenant, java_script_enabled=False)
    open_first(page, device)
    page.get_by_role("link", name="Matching line 1031").click()
    expect(page).to_have_url(re.compile("#match$"))
    expect(page.locator("#match")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)


@pytest.mark.parametrize(
    "odd",
    [
        alert(details=None),
        alert("WARNING", details={}),
        alert("CRITICAL_FLAPPING", details={"description": ""}),
        alert("UNKNOWN", name="", type="", status="", details={"lines_before": [], "lines_after": []}),
        alert(details={"line_matching": {"line_number": 0, "data": ""}}),
        alert(details={"lines_before": [{"line_number": 9_007_199_254_740_993, "data": "x" * 4000}]}),
    ],
    ids=["none", "empty", "no words", "nothing at all", "empty line", "great number"],
)
def test_whatever_is_missing_the_pages_are_there(visitor: Visitor, tenant: Tenant, odd: dict[str, Any]) -> None:
    device = tenant.accepted_device()
    device.alerts(odd)
    page = visitor.page(tenant)
    open_first(page, device)
    details = odd["subject"].get("details") or {}
    has_lines = bool("line_matching" in details or details.get("lines_before"))
    expect(page.get_by_role("heading", name="Log excerpt")).to_have_count(int(has_lines))
    expect(page.get_by_role("link", name="JSON")).to_have_count(1)


@pytest.mark.parametrize("width", [360, 1280])
def test_a_hostile_device_is_only_shown(visitor: Visitor, tenant: Tenant, width: int) -> None:
    """Nothing it says runs, or pushes what is around it out of its place; what it says can be read."""
    device = tenant.accepted_device(**{"mac": HOSTILE, HOSTILE: "1"})
    line = {"line_number": 1, "data": HOSTILE}
    details = {"description": HOSTILE, "lines_before": [line], "line_matching": line | {"line_number": 2}}
    device.alert(name=HOSTILE, type=HOSTILE, status=HOSTILE, details=details | {"lines_after": [line]})
    device.report({"name": HOSTILE, "type": "log", "status": "enabled", "log": {"pattern": HOSTILE, "path": HOSTILE}})
    device.inventory(**{"hostname": HOSTILE, HOSTILE: [HOSTILE, HOSTILE]})
    tenant.device(sn=HOSTILE).ask()  # its words also stand in the buttons that let it in
    page = visitor.page(tenant, viewport={"width": width, "height": 800})
    for path in ("/devices", f"/devices/{device.id}"):
        page.goto(path)
        look(page, width)
    open_first(page, device)
    look(page, width)
    expect(page.locator("#match")).to_contain_text("<script>alert(2)</script>")
    expect(page.locator("#match")).to_contain_text("U+202E")


def look(page: Page, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("main img, main script").count() == 0
    assert "49" not in page.title()


@pytest.mark.parametrize("path", ["/devices", "/devices/{id}", "/settings", "/login", "/devices/none"])
def test_pages_fit_a_narrow_screen(visitor: Visitor, tenant: Tenant, path: str) -> None:
    device = tenant.accepted_device()
    device.alert()
    page = visitor.page(tenant if path != "/login" else None, viewport={"width": 360, "height": 640})
    page.goto(path.format(id=device.id))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    visitor.complaints[:] = [each for each in visitor.complaints if "404" not in each]
