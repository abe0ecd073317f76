"""The description of the API: as the document for programs, and as a page to read. For anybody: it tells no secrets."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vedette.server.http import public_route, services
from vedette.server.openapi import reading
from vedette.server.openapi.operation import operation
from vedette.server.web.pages import environment, page
from vedette.server.web.routes import public_page_route

DOCUMENT: Final = "/api/openapi.json"
PAGE: Final = "/api/docs"


def routes(document: Callable[[], dict[str, Any]]) -> list[Route]:
    """Where the description is found.

    Args:
        document: makes it; asked once, when somebody wants it.
    """

    @cache
    def encoded() -> bytes:
        return msgspec.json.encode(document())

    @cache
    def text() -> Markup:
        made = document()
        template = environment().get_template("openapi/parts.html")
        return Markup(template.render(by_tag=reading.operations(made), shapes=list(reading.shapes(made))))  # noqa: S704  of a template, which escapes

    @operation("Fetch this document", answers=dict[str, Any])
    async def get_document(_: Request) -> Response:
        return Response(encoded(), headers={"Content-Type": "application/json", "Cache-Control": "no-cache"})

    async def get_page(request: Request) -> Response:
        return page(request, "openapi/docs.html", now=services(request).clock.now(), text=text(), document=DOCUMENT)

    return [public_route(DOCUMENT, {"GET": get_document}), public_page_route(PAGE, {"GET": get_page})]
