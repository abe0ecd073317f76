"""Parts of a body: a client that has lost its connection goes on where it was. Source: RFC 9110, section 14."""

import re
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.server.http.answers import problem

_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def sliced(request: Request, content: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """`content`, or the one part of it that is asked for. What cannot be understood, or has changed, is all of it.

    Args:
        headers: of the answer; with an ETag where `content` can change.
    """
    whole = Response(content, headers={**headers, "Accept-Ranges": "bytes"})
    whole.headers["Content-Type"] = media_type  # as it is: Starlette would say a charset too
    asked = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if asked is None or asked.group() == "bytes=-" or request.method != "GET":
        return whole
    condition = request.headers.get("if-range")
    if condition is not None and condition != headers.get("ETag"):
        return whole
    first, last = _bounds(asked[1], asked[2], len(content))
    if first > last:
        unsatisfied = {"Content-Range": f"bytes */{len(content)}"}
        return problem(416, "the range lies outside", request.scope["request_id"], unsatisfied)
    part = Response(content[first : last + 1], 206, dict(headers))
    part.headers["Content-Type"] = media_type
    part.headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return part


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """The first and last byte; the first is behind the last where nothing is left."""
    if not first:  # so many at the end
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1
