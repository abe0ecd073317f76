"""Pages as they are asked for: what every answer carries, who is refused and how, when a live stream ends."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from starlette.requests import Request

from vedette.clock import FakeClock
from vedette.errors import TooMany
from vedette.server.access import service as access
from vedette.server.access import sessions, tenants
from vedette.server.access.permissions import SEE_ALERTS
from vedette.server.app import make_app
from vedette.server.caller import Caller
from vedette.server.db import UserScope
from vedette.server.services import Services, open_services
from vedette.server.settings import Settings
from vedette.server.web import live

EMAIL: Final = "ann@example.com"
PASSWORD: Final = "correct horse battery staple"
HOST: Final = "http://127.0.0.1:8080"
OURS: Final = {"Origin": HOST}


class Site:
    """A server and a browser-like client that keeps cookies and follows nothing."""

    def __init__(self, services: Services, client: httpx.AsyncClient) -> None:
        self.services = services
        self.client = client

    async def token(self) -> str:
        return await access.login(self.services, EMAIL, PASSWORD, "127.0.0.1")

    async def sign_in(self) -> str:
        token = await self.token()
        self.client.cookies.set("JWT", token)
        return token


@asynccontextmanager
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_services(Settings(data=tmp_path), FakeClock()) as services:
        tenant = await tenants.create_tenant(services, "acme")
        await access.create_user(services, UserScope(tenant.id), EMAIL, PASSWORD)
        transport = httpx.ASGITransport(make_app(services))
        async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
            yield Site(services, client)


def visit(tmp_path: Path, story: Callable[[Site], Awaitable[None]]) -> None:
    async def run() -> None:
        async with site(tmp_path) as made:
            await story(made)

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/login", "/devices", "/devices?show=issues", "/settings", "/devices/none", "/"])
def test_every_page_is_strict(tmp_path: Path, path: str) -> None:
    async def story(site: Site) -> None:
        if path != "/login":
            await site.sign_in()
        answer = await site.client.get(path)
        if path == "/":
            assert (answer.status_code, answer.headers["location"]) == (302, "/devices")
            return
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert not re.search(r"\sstyle=|<style|<script(?![^>]*\ssrc=\"/static/)", answer.text)

    visit(tmp_path, story)


def test_a_form_of_another_site_changes_nothing(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.sign_in()
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
            answer = await site.client.post("/settings/alert-email", data={"enabled": "off"}, headers=headers)
            assert answer.status_code == 403
            assert (await site.client.post("/logout", headers=headers)).status_code == 403
        assert "Nobody is mailed" not in (await site.client.get("/settings")).text
        answer = await site.client.post("/settings/alert-email", data={"enabled": "off"}, headers=OURS)
        assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
        assert "Nobody is mailed" in (await site.client.get("/settings")).text

    visit(tmp_path, story)


def test_another_site_cannot_sign_somebody_in(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        form = {"email": EMAIL, "password": PASSWORD}
        answer = await site.client.post("/login", data=form, headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers

    visit(tmp_path, story)


def test_too_many_tries_are_slowed_down_in_words(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        form = {"email": EMAIL, "password": "wrong password"}
        for _ in range(40):
            answer = await site.client.post("/login", data=form, headers=OURS)
            if answer.status_code != 401:
                break
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert f'value="{EMAIL}"' in answer.text

    visit(tmp_path, story)


def test_an_open_page_whose_session_ends_is_led_to_the_login_and_back(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        headers = {"HX-Request": "true", "HX-Current-URL": f"{HOST}/devices?show=issues"}
        answer = await site.client.get("/devices", headers=headers)
        assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login?next=%2Fdevices%3Fshow%3Dissues")
        elsewhere = await site.client.get("/devices", headers={**headers, "HX-Current-URL": "http://evil.example//x/"})
        assert elsewhere.headers["hx-redirect"] == "/login"

    visit(tmp_path, story)


@pytest.mark.parametrize("body", ["enabled=perhaps", "", "&".join(["a=1"] * 100), "enabled=%ff%00", "enabled"])
def test_a_form_that_makes_no_sense_gets_a_sentence(tmp_path: Path, body: str) -> None:
    async def story(site: Site) -> None:
        await site.sign_in()
        headers = {**OURS, "Content-Type": "application/x-www-form-urlencoded"}
        answer = await site.client.post("/settings/alert-email", content=body, headers=headers)
        assert answer.status_code == 400
        assert "That did not work" in answer.text

    visit(tmp_path, story)


# --- the live stream ---------------------------------------------------------------------------------------------


async def stream(site: Site) -> tuple[Caller, AsyncIterator[bytes]]:
    token = await site.token()
    caller = (await sessions.caller(site.services, token)).within(SEE_ALERTS)
    headers = [(b"authorization", f"Bearer {token}".encode())]
    request = Request({"type": "http", "method": "GET", "path": "/live", "headers": headers, "services": site.services})
    return caller, live.events(request, caller, site.services.live.subscribe(caller.scope))


def test_a_change_is_told_to_who_may_see_it(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        caller, events = await stream(site)
        assert (await anext(events)).startswith(b"event: beat\n")
        site.services.live.publish("another tenant", None, "not-ours")
        site.services.live.publish(caller.scope.tenant, None, "b")
        site.services.live.publish(caller.scope.tenant, None, "a")
        assert await anext(events) == b'event: changed\ndata: ["a","b"]\n\n'

    visit(tmp_path, story)


def test_a_quiet_stream_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEAT_S", 0.01)

    async def story(site: Site) -> None:
        _, events = await stream(site)
        for _ in range(3):
            assert (await anext(events)).startswith(b"event: beat\n")

    visit(tmp_path, story)


@pytest.mark.parametrize("change", [True, False])
def test_a_stream_ends_with_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bool) -> None:
    """Whether something happens or not, nothing is told to somebody who has signed out."""
    monkeypatch.setattr(live, "BEAT_S", 0.01)

    async def story(site: Site) -> None:
        caller, events = await stream(site)
        await anext(events)
        await access.logout(site.services, caller)
        if change:
            site.services.live.publish(caller.scope.tenant, None, "a")
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    visit(tmp_path, story)


def test_streams_are_bounded_for_each_user_and_counted_down(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        streams = live.Streams()
        token = await site.token()
        caller = (await sessions.caller(site.services, token)).within(SEE_ALERTS)
        headers = [(b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "method": "GET", "path": "/live", "headers": headers, "services": site.services}
        answers = [await streams.answer(Request(scope), caller) for _ in range(live.MAX_STREAMS)]
        with pytest.raises(TooMany):
            await streams.answer(Request(scope), caller)

        async def gone() -> dict[str, str]:
            return {"type": "http.disconnect"}

        async def nowhere(message: object) -> None:
            pass

        assert len(site.services.live) == live.MAX_STREAMS
        for answer in answers:
            await answer(scope, gone, nowhere)
        assert len(site.services.live) == 0
        await (await streams.answer(Request(scope), caller))(scope, gone, nowhere)

    visit(tmp_path, story)
