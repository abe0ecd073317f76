"""Static files under names that hold a hash of their content, so that browsers may keep them for ever.

They are few and small: read once, kept in memory, with a gzip twin where that is shorter.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file as it is sent."""

    url: str
    content_type: str
    body: bytes
    gzipped: bytes | None  # None: would not be shorter


def _walk(folder: Traversable, prefix: str = "") -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found |= _walk(entry, f"{prefix}{entry.name}/")
        elif any(entry.name.endswith(ending) for ending in CONTENT_TYPES):
            found[prefix + entry.name] = entry.read_bytes()
    return found


def _asset(name: str, body: bytes) -> Asset:
    stem, _, ending = name.rpartition(".")
    digest = hashlib.sha256(body).hexdigest()[:16]
    packed = gzip.compress(body, 9, mtime=0)
    return Asset(
        url=f"/static/{stem}.{digest}.{ending}",
        content_type=CONTENT_TYPES[f".{ending}"],
        body=body,
        gzipped=packed if len(packed) < len(body) else None,
    )


@cache
def _assets() -> Mapping[str, Asset]:
    """Every asset by the name it has in the source tree, such as `vendor/htmx.min.js`."""
    folder = files("vedette.server.web") / "static"
    return {name: _asset(name, body) for name, body in _walk(folder).items()}


@cache
def _by_url() -> Mapping[str, Asset]:
    return {asset.url: asset for asset in _assets().values()}


def asset_url(name: str) -> str:
    """The path under which a page asks for `name`. KeyError: there is no such file."""
    return _assets()[name].url


async def _serve(request: Request) -> Response:
    asset = _by_url().get(request.url.path)
    if asset is None:
        return PlainTextResponse(
            "no such file\n", 404, {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        )
    headers = {
        "Content-Type": asset.content_type,
        "Cache-Control": FOR_EVER,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if asset.gzipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.gzipped, headers={**headers, "Content-Encoding": "gzip"})
    return Response(asset.body, headers=headers)


async def _favicon(request: Request) -> Response:
    """Asked for by browsers whatever the page says."""
    return Response(
        _assets()["mark.svg"].body,
        headers={"Content-Type": CONTENT_TYPES[".svg"], "Cache-Control": "public, max-age=86400"},
    )


ROUTES: Final = [Route("/static/{path:path}", _serve), Route("/favicon.ico", _favicon)]
