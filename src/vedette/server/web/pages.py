"""Turning templates into pages: one environment, everything escaped, strict headers on every page."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from vedette.server.web import filters
from vedette.server.web.assets import asset_url

# Whose templates there are; a page is named "devices/list.html".
FOLDERS: Final = ("web", "access", "devices", "configuration", "alerts", "notify", "openapi")
# No inline script or style, nothing from elsewhere, in no frame; forms go home only.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",  # what a device says is not for the disk of a shared computer
}
THEMES: Final = ("light", "dark")


@cache
def environment() -> Environment:
    """The one template environment. A name that a template misspells is an error, not an empty string."""
    env = Environment(
        loader=PrefixLoader({name: PackageLoader(f"vedette.server.{name}") for name in FOLDERS}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        seen=filters.seen,
        plain=filters.plain,
        absolute=filters.absolute,
        iso=filters.iso,
        relative=filters.relative,
        counted=filters.counted,
        duration=filters.duration,
        identity=filters.identity,
        label=filters.label,
        level_class=filters.level_class,
    )
    env.globals.update(asset=asset_url)
    return env


def page(
    request: Request,
    template: str,
    *,
    now: datetime,
    email: str = "",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Response:
    """Render `template` in the frame.

    Args:
        now: what relative times are relative to.
        email: who is logged in; empty: nobody, the frame has no menu.
        context: what the template asks for.
    """
    theme = request.cookies.get("theme", "")
    frame = {
        "path": request.url.path,
        "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        "theme": theme if theme in THEMES else "",
        "now": now,
        "email": email,
    }
    text = environment().get_template(template).render(frame | context)
    # A lone surrogate cannot be sent; it must not cost the page.
    body = text.encode("utf-8", "replace")
    return Response(body, status, {**PAGE_HEADERS, **(headers or {})}, media_type="text/html")
