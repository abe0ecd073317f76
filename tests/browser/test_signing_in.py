"""Getting in and out, and being led to where one wanted."""

import re

from playwright.sync_api import Page, expect

from conftest import PASSWORD, Tenant, Visitor


def sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_wrong_password_is_said_and_the_address_kept(visitor: Visitor, tenant: Tenant) -> None:
    page = visitor.page()
    page.goto("/login")
    sign_in(page, tenant.email, "wrong password")
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    expect(page.get_by_label("E-mail address")).to_have_value(tenant.email)
    expect(page.get_by_label("Password")).to_be_focused()
    visitor.complaints[:] = [
        each for each in visitor.complaints if "401" not in each
    ]  # the browser tells of the status


def test_in_by_the_way_one_wanted_and_out(visitor: Visitor, tenant: Tenant) -> None:
    page = visitor.page()
    page.goto("/settings")
    expect(page).to_have_url(re.compile(r"/login\?next=%2Fsettings$"))
    sign_in(page, tenant.email, PASSWORD)
    expect(page).to_have_url(re.compile("/settings$"))
    (cookie,) = [each for each in page.context.cookies() if each["name"] == "JWT"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/login$"))
    page.goto("/devices")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_token_is_dead_after_signing_out(visitor: Visitor, tenant: Tenant) -> None:
    page = visitor.page(tenant)
    page.goto("/devices")
    cookies = page.context.cookies()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/login$"))
    page.context.add_cookies(cookies)  # type: ignore[arg-type]
    page.goto("/devices")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_link_in_a_web_mailer_needs_no_second_login(visitor: Visitor, tenant: Tenant) -> None:
    """The cookie is strict: a browser withholds it on the way from another site."""
    page = visitor.page(tenant)
    link = f'<a href="{tenant.server.url}/settings">See the alert</a>'
    page.route("http://mail.example/", lambda route: route.fulfill(body=link, content_type="text/html"))
    page.goto("http://mail.example/")
    page.get_by_text("See the alert").click()
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()


def test_the_first_visit_is_light(visitor: Visitor, tenant: Tenant) -> None:
    """Login and the first page with all they load, uncompressed: under 100 kB."""
    page = visitor.page()
    sizes: dict[str, int] = {}
    page.on("requestfinished", lambda request: sizes.setdefault(request.url, len(request.response().body())))
    page.goto("/login")
    sign_in(page, tenant.email, PASSWORD)
    page.wait_for_load_state("load")
    expect(page.locator("#live")).to_have_text("Live")
    assert 0 < sum(size for url, size in sizes.items()) < 100_000, sizes
