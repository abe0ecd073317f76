"""Answers to people and programs are compressed when they ask for it; to devices, of live streams and downloads never.

What devices get is a few bytes, a live stream must not wait for a full buffer, a download may be asked for in parts.
Cookies are `SameSite=Strict`, so nobody else can make a browser ask for our pages and measure how well they compress.
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

LEVEL: Final = 5  # the rest costs much and saves little
AS_IT_IS: Final = ("/api/devices/", "/api/internal/", "/api/0.1.0/", "/live")


class Compressed:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._gzip = GZipMiddleware(app, compresslevel=LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = not scope["path"].startswith(AS_IT_IS) and accepts_gzip(Headers(scope=scope).get("accept-encoding"))
        await (self._gzip if wanted else self._app)(scope, receive, send)


def accepts_gzip(header: str | None) -> bool:
    """Whether Accept-Encoding names gzip, and not to refuse it. Source: RFC 9110, section 12.5.3."""
    for each in (header or "")[:1000].lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0").rstrip(".") not in {"q=", "q=0"}
    return False
