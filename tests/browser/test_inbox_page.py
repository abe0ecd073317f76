"""The inbox: what is wrong in the fleet, found, narrowed, and gone when it is called off; as a person does it."""

from playwright.sync_api import expect

from conftest import Tenant, Visitor


def test_problems_of_the_fleet_in_one_list(visitor: Visitor, tenant: Tenant) -> None:
    first, second = tenant.accepted_device(sn="one"), tenant.accepted_device(sn="two")
    page = visitor.page(tenant)
    page.goto("/problems")
    expect(page.get_by_role("heading", name="Nothing is wrong")).to_be_visible()

    first.alert(name="Log file contains CVE.*HIGH")
    expect(page.get_by_role("link", name="Log file contains CVE.*HIGH")).to_be_visible()  # without a reload
    second.alert("WARNING", name="Port tcp 0.0.0.0:8080 is open", type="ports")
    expect(page.get_by_role("link", name="Port tcp 0.0.0.0:8080 is open")).to_be_visible()

    page.get_by_role("link", name="WARNING").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="All levels").click()
    page.get_by_role("searchbox").fill("CVE")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Log file contains CVE.*HIGH").click()
    expect(page.get_by_role("heading", name="Log file contains CVE.*HIGH")).to_be_visible()

    page.go_back()
    first.alert("OK", name="Log file contains CVE.*HIGH")
    expect(page.get_by_text("No open problem matches")).to_be_visible()


def test_hostile_names_stay_text(visitor: Visitor, tenant: Tenant) -> None:
    device = tenant.accepted_device(sn="<img src=x onerror=alert(1)>")
    device.alert(name="<script>alert(1)</script> \u202e" + "w" * 600, type="<b>log</b>")
    page = visitor.page(tenant, viewport={"width": 360, "height": 740})
    page.goto("/problems?q=%3Cscript%3E")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_problem_is_taken_over(visitor: Visitor, tenant: Tenant) -> None:
    tenant.accepted_device(sn="one").alert(name="Disk storage has grown")
    page = visitor.page(tenant)
    page.goto("/problems")
    row = page.locator("tbody tr")
    row.get_by_text("Acknowledge").click()
    row.get_by_label("Note").fill("a bigger one is on its way")
    row.get_by_label("For").select_option("1 day")
    row.get_by_role("button", name="I take it").click()
    expect(row).to_contain_text("a bigger one is on its way")
    expect(row).to_contain_text(tenant.email)
    page.get_by_role("link", name="Nobody's yet").click()
    expect(page.get_by_text("No open problem matches")).to_be_visible()
    page.get_by_role("link", name="Acknowledged").click()
    row.get_by_role("button", name="Take back").click()
    page.goto("/problems")
    expect(row.get_by_text("Acknowledge")).to_be_visible()
