"""The one way lists are cut into pages, and how the answer says where the others are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.http.answers import json_response

PER_PAGE: Final = 20
MAX_PER_PAGE: Final = 500
MAX_PAGE: Final = 10**9  # keeps every offset within 64 bits


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted: the `number`-th (from 1) of `size` items each."""

    number: int = 1
    size: int = PER_PAGE

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


def page_of(request: Request) -> Page:
    """What the query parameters `page` and `per_page` ask for.

    Raises:
        Invalid: not a positive number, or more than is given at once; the texts are those clients know.
    """
    number = _positive(request.query_params.get("page", "1"), "page")
    size = _positive(request.query_params.get("per_page", str(PER_PAGE)), "per_page")
    if size > MAX_PER_PAGE:
        raise Invalid(f'parameter "per_page" above limit (max: {MAX_PER_PAGE})')
    return Page(number, size)


def _positive(text: str, name: str) -> int:
    try:
        number = int(text) if text.isascii() and len(text) < 20 else None
    except ValueError:
        number = None
    if number is None:
        raise Invalid(f'invalid {name} query: "{text[:100]}"')
    if number < 1 or number > MAX_PAGE:
        raise Invalid(f"invalid {name} query: value must be a non-zero positive integer")
    return number


def paged(
    request: Request, page: Page, items: Sequence[Any], total: int | None = None, *, more: bool | None = None
) -> Response:
    """A page of a list, with `Link` headers and, where the total is known, `X-Total-Count`.

    Args:
        items: JSON-able, of this page only.
        total: of the whole list; None where counting is not part of the answer.
        more: whether a next page exists, where `total` is None; the default guesses from a full page.
    """
    if total is not None:
        more = page.offset + len(items) < total
    elif more is None:
        more = len(items) == page.size
    response = json_response(items)
    for link in _links(request, page, total, more=more):
        response.headers.append("Link", link)
    if total is not None:
        response.headers["X-Total-Count"] = str(total)
    return response


def _links(request: Request, page: Page, total: int | None, *, more: bool) -> Iterator[str]:
    def link(number: int, relation: str) -> str:
        pairs = [(key, value) for key, value in request.query_params.multi_items() if key not in {"page", "per_page"}]
        query = urlencode(sorted([*pairs, ("page", str(number)), ("per_page", str(page.size))]))
        return f'<{request.url.path}?{query}>; rel="{relation}"'

    yield link(1, "first")
    if page.number > 1:
        yield link(page.number - 1, "prev")
    if more:
        yield link(page.number + 1, "next")
    if total is not None:
        yield link(max(1, -(-total // page.size)), "last")
