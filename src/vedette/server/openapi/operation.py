"""What a handler of the API says of itself, in one place beside it. What can be known by rule is not said here.

The rules, and what comes of all this, are in `openapi.document`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from vedette.server.http.paging import MAX_PAGE, MAX_PER_PAGE, PER_PAGE

H = TypeVar("H", bound=Callable[..., Any])

JSON: Final = "application/json"
JWT: Final = "application/jwt"

Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""A time in an answer: RFC 3339, UTC."""
By = Literal["user", "device", "password", "nobody"]
"""Who calls: with the token of a user or of a device, with a password (HTTP Basic), or without anything."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter, a header that a request may have, or a part of the path of which there is more to say.

    Args:
        kind: what msgspec knows; a list for one that may be repeated.
    """

    name: str
    description: str
    kind: Any = str
    place: Literal["query", "header", "path"] = "query"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no refusal, or a refusal with a body of its own.

    Args:
        kind: of its body; None: it has none.
        headers: that it may have, beside those of every answer.
        json: what else it may be, as JSON; None: nothing else.
    """

    kind: Any = None
    media: str = JSON
    headers: tuple[str, ...] = ()
    description: str = ""
    json: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One handler, for people and programs."""

    summary: str
    body: Any = None
    body_required: bool = True
    parameters: tuple[Parameter, ...] = ()
    answers: Mapping[int, Answer] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    by: By | None = None


PAGED: Final = (
    Parameter("page", "Which page, from 1.", Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)]),
    Parameter(
        "per_page",
        f"How many at most on a page; {PER_PAGE} if not given.",
        Annotated[int, msgspec.Meta(ge=1, le=MAX_PER_PAGE)],
    ),
)
Seconds = Annotated[int, msgspec.Meta(ge=0, lt=10**11, extra_json_schema={"format": "unix-time"})]
"""A unix time in a query: seconds since 1970."""


def words(known: Iterable[str]) -> msgspec.Meta:
    """Which words a text may be. Only described: the rules of the slice refuse others, in words that clients know."""
    return msgspec.Meta(extra_json_schema={"enum": [str(each) for each in known]})


def bounds(**schema: int | str) -> msgspec.Meta:
    """What JSON Schema can say of a value, such as `maxLength`. Only described, as `words`."""
    return msgspec.Meta(extra_json_schema=schema)


Order = Annotated[str, words(("asc", "desc"))]
Flag = Annotated[str, words(("true", "false"))]
"""In a query."""


def operation(
    summary: str,
    *,
    body: Any = None,
    body_required: bool = True,
    query: Sequence[Parameter] = (),
    headers: Sequence[Parameter] = (),
    path: Sequence[Parameter] = (),
    answers: Any = None,
    errors: Sequence[int] = (),
    by: By | None = None,
) -> Callable[[H], H]:
    """Describe a handler of the API.

    Args:
        summary: what it does, in a few words.
        body: what it reads: the very type it decodes.
        query: its parameters; those of a list that is cut into pages are PAGED.
        path: parts of it that are not just the id or name of something.
        answers: by status: the type of the JSON, an `Answer`, or None for no body. A type alone means 200.
        errors: statuses of refusals that are not to be known by rule.
        by: who calls, where the kind of the route does not tell.
    """
    of_status = answers if isinstance(answers, Mapping) else {200: answers}
    described = Operation(
        summary=summary,
        body=body,
        body_required=body_required,
        parameters=(*path, *query, *headers),
        answers={status: each if isinstance(each, Answer) else Answer(each) for status, each in of_status.items()},
        errors=tuple(errors),
        by=by,
    )
    for status in (*described.answers, *described.errors):
        HTTPStatus(status)  # a slip of the pen is noticed at the start

    def attach(handler: H) -> H:
        handler.__dict__["operation"] = described
        return handler

    return attach


def paged_list(kind: Any, *, counted: bool = True) -> Answer:
    """A list that is cut into pages."""
    return Answer(list[kind], headers=("Link", "X-Total-Count") if counted else ("Link",))


def operation_of(handler: object) -> Operation | None:
    """What `operation` was told of this handler, or of one that is wrapped in it."""
    found = getattr(handler, "operation", None)
    return found if isinstance(found, Operation) else None


TOKEN: Final = Answer(str, JWT, description="A token, as it is.")
