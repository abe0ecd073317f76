"""`make screenshots`: the pictures of README and docs, taken of the real programs with a real browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from vedette.demo import story
from vedette.demo.stage import Stage

IMAGES = Path(__file__).with_name("images")
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip


@contextmanager
def logged_in(scene: story.Scene) -> Iterator[Page]:
    """A page of a user who has just logged in, at the device list."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(ARGUMENTS))
        try:
            page = browser.new_page(viewport={"width": 1100, "height": 720}, color_scheme="light")
            page.goto(scene.url)
            page.fill("input[name=email]", story.EMAIL)
            page.fill("input[name=password]", scene.password)
            page.keyboard.press("Enter")
            page.wait_for_url("**/devices*")
            yield page
        finally:
            browser.close()


def ignore(_mail: EmailMessage) -> None:
    return


def main() -> None:
    with Stage(print) as stage:
        scene = story.set_up(stage, port=0, expiry_s=86400, on_mail=ignore)
        story.line_in_a_file(scene)
        story.line_from_a_command(scene)
        story.wait_until("both alerts are open", lambda: scene.api.alert_count(scene.device) == 2)
        IMAGES.mkdir(exist_ok=True)
        with logged_in(scene) as page:
            page.screenshot(path=IMAGES / "devices.png", clip={"x": 0, "y": 0, "width": 1100, "height": 320})
            page.goto(f"{scene.url}/devices/{scene.device}")
            page.screenshot(path=IMAGES / "device.png")
            page.click("text=Log file contains CVE")
            page.wait_for_url("**/alerts/*")
            page.screenshot(path=IMAGES / "alert.png")


if __name__ == "__main__":
    main()
