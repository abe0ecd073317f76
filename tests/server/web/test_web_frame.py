"""The frame of all pages: what browsers may keep, what they may run, and where a login leads."""

import asyncio
import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette

import vedette.server
from vedette.server.web import assets
from vedette.server.web.routes import local_path

SERVER = Path(vedette.server.__file__).parent
TEMPLATES = sorted(SERVER.glob("*/templates/*.html"))
FIRST_PAGE = ("vedette.css", "page.js", "live.js", "vendor/htmx.min.js", "mark.svg")


def get(path: str, encoding: str = "identity") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=assets.ROUTES))
        async with httpx.AsyncClient(transport=transport, base_url="http://here.example") as client:
            return await client.get(path, headers={"Accept-Encoding": encoding})

    return asyncio.run(ask())


@pytest.mark.parametrize("name", FIRST_PAGE)
def test_files_may_be_kept_for_ever(name: str) -> None:
    plain = get(assets.asset_url(name))
    packed = get(assets.asset_url(name), "gzip")
    assert plain.status_code == packed.status_code == 200
    assert "immutable" in plain.headers["cache-control"]
    assert packed.headers.get("content-encoding") == "gzip"
    assert plain.content == packed.content == (SERVER / "web/static" / name).read_bytes()


def test_other_content_has_another_name() -> None:
    assert assets._asset("a.css", b"one").url != assets._asset("a.css", b"two").url


@pytest.mark.parametrize(
    "path", ["/static/vedette.css", "/static/%2e%2e/pages.py", "/static/vedette.0000000000000000.css"]
)
def test_what_is_not_there_is_not_kept(path: str) -> None:
    answer = get(path)
    assert answer.status_code == 404
    assert "no-store" in answer.headers["cache-control"]


def test_all_files_of_a_page_together_are_small() -> None:
    """Under 80 kB as they lie here, so that with the page itself the first visit stays below 100 kB."""
    assert sum((SERVER / "web/static" / name).stat().st_size for name in FIRST_PAGE) < 80_000


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parents[1].name}/{path.name}")
def test_no_template_needs_inline_code(path: Path) -> None:
    """The content security policy would refuse it; and nothing is ever marked as safe by hand."""
    text = path.read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:|hx-on", text)
    assert not re.search(r"\|\s*safe\b|autoescape", text)


@given(st.text() | st.from_regex(r"[/\\]{1,3}.{0,20}"))
@example("//elsewhere.example/")
@example("/\\elsewhere.example/")
@example("/\t/elsewhere.example/")
@example("https://elsewhere.example/")
@example("javascript:alert(1)")
def test_a_login_never_leads_elsewhere(text: str) -> None:
    target = local_path(text)
    assert urlsplit(urljoin("https://here.example/login", target)).netloc == "here.example"
    assert "\\" not in target
    assert target.isprintable()


def test_a_login_leads_back() -> None:
    assert local_path("/devices/1?page=2#match") == "/devices/1?page=2#match"
