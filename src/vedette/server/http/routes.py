"""Routes out of handlers: one path, a handler for each method, and who may call them.

Authentication, limits and errors are dealt with here, so that a handler is one call of a service and one answer.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from vedette.errors import Denied, Unacceptable, Unauthenticated, VedetteError
from vedette.server.access import sessions
from vedette.server.access.permissions import FORBIDDEN, OWN_ACCOUNT, SEE_DEVICES, Call
from vedette.server.caller import Caller
from vedette.server.db import Tx
from vedette.server.http.answers import problem, refusal
from vedette.server.http.body import JSON_TYPE, bounded, check_announced
from vedette.server.services import Services

UserHandler = Callable[[Request, Caller], Awaitable[Response]]
PublicHandler = Callable[[Request], Awaitable[Response]]
Refused = Callable[[Request, VedetteError], Awaitable[Response]]

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE: Final = "JWT"


def user_route(
    path: str,
    handlers: Mapping[str, UserHandler],
    *,
    needs: Call | None = None,
    refused: Refused | None = None,
    consumes: str = JSON_TYPE,
) -> Route:
    """A route for users who are logged in and may make this call.

    Args:
        handlers: by method; HEAD and OPTIONS are added.
        needs: the call of the API that does the same, where this is none of it; see `access.permissions`.
        refused: makes the response to an error; the default is the error body of the API.
        consumes: the content type that bodies must have.
    """

    def with_caller(handler: UserHandler) -> PublicHandler:
        @wraps(handler)  # with what it says of itself, for openapi
        async def answer(request: Request) -> Response:
            return await handler(request, await caller_of(request, needs))

        return answer

    wrapped = {method: with_caller(handler) for method, handler in handlers.items()}
    return Route(path, Endpoint(wrapped, refused, consumes, needs, for_users=True))


def public_route(
    path: str, handlers: Mapping[str, PublicHandler], *, refused: Refused | None = None, consumes: str = JSON_TYPE
) -> Route:
    """A route for anybody; see `user_route`."""
    return Route(path, Endpoint(handlers, refused, consumes))


def services(request: Request) -> Services:
    """What this server is made of."""
    value: Services = request.scope["services"]
    return value


async def caller_of(request: Request, needs: Call | None = None) -> Caller:
    """The user whose token came with `request`, with what he may reach in this call, or in the call `needs`.

    Raises:
        Unauthenticated: there is none, or it is not valid now.
        TooMany: he calls too often.
        Denied: he may not do this, or not with the device in the path, which he sees.
        Denied: it came in a cookie, and a page of another site may have made the browser send it.
    """
    header = request.headers.get("authorization")
    if header is not None:
        token = bearer(header)
    elif COOKIE in request.cookies:
        if request.method not in SAFE:
            require_same_origin(request)
        token = request.cookies[COOKIE]
    else:
        raise Unauthenticated("Authorization not present in header")
    who = await sessions.caller(services(request), token)
    limit = services(request).user_calls
    if limit is not None:
        limit.take(who.user_id)
    call = needs or (request.method, request.scope["path"])
    caller = who.within(call)
    if who.home and request.method not in SAFE and OWN_ACCOUNT.match(call[1]):
        raise Unacceptable("you act in another tenant; your own account is changed at home")
    if request.method not in SAFE and caller.scope.groups is not None:
        await _refuse_what_is_only_seen(request, who, caller)
    return caller


async def _refuse_what_is_only_seen(request: Request, who: Caller, caller: Caller) -> None:
    """A device that the caller sees, but may not do this with, is refused and not denied to exist. Raises Denied."""
    device = request.path_params.get("device") or request.path_params.get("id")
    if device is None or not who.may(SEE_DEVICES):
        return
    seen = who.within(SEE_DEVICES)
    if seen.scope == caller.scope:
        return
    groups = caller.scope.groups or frozenset()
    group = await services(request).db.read(seen.scope, _group_of, device)
    if group is not None and group[0] not in groups:
        raise Denied(FORBIDDEN)


async def _group_of(tx: Tx, device: str) -> tuple[str | None] | None:
    """The group of a device that can be seen."""
    row = await tx.one("SELECT group_name FROM device WHERE {visible} AND id = :id", id=device)
    return None if row is None else (row["group_name"],)


def bearer(header: str | None) -> str:
    """The token of an Authorization header."""
    if not header:
        raise Unauthenticated("Authorization not present in header")
    words = header.split()
    if len(words) != 2:
        raise Unauthenticated("malformed Authorization header")
    if words[0].lower() != "bearer":
        raise Unauthenticated(f"unknown Authorization method {words[0][:20]}")
    return words[1]


def require_same_origin(request: Request) -> None:
    """Refuse what another site's page may have made a browser send: every browser says where it comes from.

    Raises:
        Denied: it comes from elsewhere, or does not say.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site in {"same-origin", "none"}:
            return
        raise Denied("cross-site request refused")
    own = {request.headers.get("host", ""), urlsplit(services(request).settings.base_url).netloc}
    origin = _netloc(request.headers.get("origin", ""))
    if not origin or origin not in own:
        raise Denied("cross-site request refused: a cookie counts only with this server's own Origin")


def _netloc(url: str) -> str:
    """Host and port of a URL; empty for what is none."""
    try:
        return urlsplit(url).netloc
    except ValueError:  # "http://["
        return ""


class Endpoint:
    """An ASGI application for one path."""

    def __init__(
        self,
        handlers: Mapping[str, PublicHandler],
        refused: Refused | None,
        consumes: str,
        needs: Call | None = None,
        *,
        for_users: bool = False,
    ) -> None:
        self.needs = needs
        self.for_users = for_users
        self.handlers = handlers  # as they were given: without HEAD
        self._handlers = dict(handlers)
        if "GET" in handlers:
            self._handlers.setdefault("HEAD", handlers["GET"])
        self._allow = ", ".join(sorted({*self._handlers, "OPTIONS"}))
        self._refused = refused or _refused
        self._consumes = consumes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, bounded(receive))
        try:
            response = await self._answer(request)
        except VedetteError as error:
            response = await self._refused(request, error)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        handler = self._handlers.get(request.method)
        if handler is None:
            allow = {"Allow": self._allow}
            if request.method == "OPTIONS":
                return Response(headers=allow)
            return problem(405, "method not allowed", request.scope["request_id"], allow)
        if request.method not in SAFE:
            check_announced(request.headers, self._consumes)
        return await handler(request)


async def _refused(request: Request, error: VedetteError) -> Response:
    return refusal(error, request.scope["request_id"])
