"""The guard of the internal listener, where nobody shows a token: who reaches it may do everything.

It listens on a loopback address only (`settings.internal_listen`). What a web page makes a browser on this machine send
there is refused: browsers say where a request comes from, and by which name they went.
"""

import re
from ipaddress import ip_address

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from vedette.server.http.answers import problem


class Local:
    """Wraps the internal application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Request(scope).headers
        if "origin" in headers or "sec-fetch-site" in headers or not is_loopback(headers.get("host", "")):
            await problem(403, "internal paths are not for browsers", scope["request_id"])(scope, receive, send)
            return
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether `host`, perhaps with a port, is this machine by its number or as localhost."""
    name = re.sub(r":[0-9]*$", "", host) if host.startswith("[") or host.count(":") == 1 else host
    name = name.removeprefix("[").removesuffix("]")
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
