"""Reading a request within limits: bytes are counted while they come, chunked or not."""

from typing import Any, ClassVar, Final, TypeVar, overload

import msgspec
from starlette.requests import Request
from starlette.types import Message, Receive

from vedette.errors import Busy, Invalid, TooLarge

T = TypeVar("T")

MAX_BODY: Final = 1024 * 1024  # bytes
MAX_WAITING: Final = 64 * 1024 * 1024  # bytes of all bodies that have begun and not ended
JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "application/x-www-form-urlencoded"


class WrongContentType(Invalid):
    """The body is of a kind that this endpoint does not read."""

    code = "wrong_content_type"


class _Bounded:
    """A `receive` that counts."""

    waiting: ClassVar[int] = 0  # bytes of bodies that have begun and not ended, of all requests together

    __slots__ = ("_limit", "_receive", "_total", "_waits")

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit = receive, limit
        self._total = 0
        self._waits = 0  # our part of `waiting`

    async def __call__(self) -> Message:
        message = await self._receive()
        self._total += len(message.get("body", b""))
        if self._total > self._limit:
            raise too_large(self._limit)
        if message.get("more_body", False):
            _Bounded.waiting += self._total - self._waits
            self._waits = self._total
            if _Bounded.waiting > MAX_WAITING:
                raise Busy("too many requests are coming in slowly; try again in a few seconds")
        elif self._waits:
            self._let_go()
        return message

    def _let_go(self) -> None:
        _Bounded.waiting -= self._waits
        self._waits = 0

    def __del__(self) -> None:  # with its request, however that has ended
        self._let_go()


def bounded(receive: Receive, limit: int = MAX_BODY) -> Receive:
    """`receive`, raising TooLarge as soon as more than `limit` bytes of body have come.

    It raises Busy when bodies that come in pieces, of all requests together, take more memory than there is for them:
    thousands of clients may each be within their limit.
    """
    return _Bounded(receive, limit)


def too_large(limit: int = MAX_BODY) -> TooLarge:
    return TooLarge(f"the body is larger than {limit} bytes; send it in smaller pieces")


def check_announced(headers: Any, expected: str = JSON_TYPE, limit: int = MAX_BODY) -> None:
    """Refuse a body by its headers, before it is read. A chunked body announces nothing and passes.

    Raises:
        Invalid: the length or the type cannot be understood.
        TooLarge: more is announced than `limit`.
        WrongContentType: not `expected`.
    """
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and len(length) < 20):
        raise Invalid("invalid Content-Length header")
    if int(length) == 0:
        return
    if int(length) > limit:
        raise too_large(limit)
    check_content_type(headers.get("content-type", ""), expected)


def check_content_type(value: str, expected: str = JSON_TYPE) -> None:
    """`value` of a Content-Type header must be `expected`; parameters are allowed."""
    kind = value.partition(";")[0].strip().lower()
    if kind == expected:
        return
    if value and kind.count("/") != 1:
        raise Invalid(f"cannot parse Content-Type header {value[:100]!r}")
    raise WrongContentType(f"Bad Content-Type, expected '{expected}'")


@overload
async def decode(request: Request, kind: type[T]) -> T: ...
@overload
async def decode(request: Request, kind: Any = ...) -> Any: ...
async def decode(request: Request, kind: Any = Any) -> Any:
    """The body as JSON of the shape `kind` (anything that msgspec can check).

    Raises:
        Invalid: no JSON, or of another shape; the message names the place by JSON path.
        TooLarge: more than the server reads.
    """
    return parse(await request.body(), kind)


async def decode_or_none(request: Request, kind: type[T]) -> T | None:
    """As `decode`; None for an empty body."""
    body = await request.body()
    return parse(body, kind) if body else None


def parse(body: bytes, kind: Any) -> Any:
    """As `decode`, from bytes."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as exc:
        raise Invalid(f"invalid request body: {exc}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise Invalid(f"failed to decode request body: {exc}") from exc
    except RecursionError as exc:
        raise Invalid("failed to decode request body: too deeply nested") from exc
