"""Going through long lists, a page at a time. People who type a wrong number get the first page, not an error."""

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

MAX_NUMBER = 1_000_000


def page_number(request: Request) -> int:
    """What the query parameter `page` asks for, from 1."""
    text = request.query_params.get("page", "1")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1
    return min(max(number, 1), MAX_NUMBER)


def link(path: str, **parameters: object) -> str:
    """`path` with those query parameters that say something."""
    pairs = {key: value for key, value in parameters.items() if value}
    return f"{path}?{urlencode(pairs)}" if pairs else path


@dataclass(frozen=True, slots=True)
class Pages:
    """Where in a list this page stands."""

    number: int
    size: int
    total: int
    previous: str  # addresses; empty: there is none
    next: str

    @property
    def first_item(self) -> int:
        return (self.number - 1) * self.size + 1

    @property
    def last_item(self) -> int:
        return min(self.number * self.size, self.total)

    @property
    def several(self) -> bool:
        return self.total > self.size or self.number > 1


def pages(path: str, *, number: int, size: int, total: int, **parameters: object) -> Pages:
    """The place of page `number`; `parameters` go on being asked for."""
    last = max(1, -(-total // size))
    return Pages(
        number,
        size,
        total,
        previous=link(path, **parameters, page=min(number - 1, last) if number > 2 else 0) if number > 1 else "",
        next=link(path, **parameters, page=number + 1) if number < last else "",
    )
