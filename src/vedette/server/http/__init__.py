"""The conventions that every endpoint of the API shares, each written once.

`routes` makes routes out of handlers and decides who may call them; `answers` turns results and errors into
responses; `body` reads requests within limits; `paging` is the one way lists are cut; `asgi` wraps it all.
Source of the conventions: the published API of the compatible server (docs/compatibility.md).
"""

from vedette.server.caller import Caller
from vedette.server.http.answers import json_response, refusal
from vedette.server.http.body import decode, decode_or_none
from vedette.server.http.paging import Page, page_of, paged
from vedette.server.http.routes import public_route, require_same_origin, services, user_route

__all__ = [
    "Caller",
    "Page",
    "decode",
    "decode_or_none",
    "json_response",
    "page_of",
    "paged",
    "public_route",
    "refusal",
    "require_same_origin",
    "services",
    "user_route",
]
