"""The event stream of open pages: says which devices have changed; the page then asks again for what it shows.

Events: `changed` with a JSON array of device ids, or null: look at everything; `beat` when nothing has happened.
Source: HTML Standard, section 9.2, server-sent events.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from vedette.errors import TooMany, VedetteError
from vedette.server.access.permissions import SEE_ALERTS
from vedette.server.caller import Caller
from vedette.server.http.routes import caller_of, services, user_route
from vedette.server.live import Changed, Subscription

BEAT_S: Final = 15.0  # keeps proxies from closing the stream, and shows the page that it lives
PAUSE_S: Final = 0.25  # after a change; what happens meanwhile comes as one
MAX_STREAMS: Final = 32  # open pages of one user in this process
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}


class Streams:
    """Counts how many streams each user has open."""

    def __init__(self) -> None:
        self._open: Counter[tuple[str, str]] = Counter()

    async def answer(self, request: Request, caller: Caller) -> Response:
        """Open a stream.

        Raises:
            TooMany: this user has enough of them.
        """
        if request.method == "HEAD":
            return Response(headers=HEADERS, media_type="text/event-stream")
        user = (caller.scope.tenant, caller.user_id)
        if self._open[user] >= MAX_STREAMS:
            raise TooMany(f"more than {MAX_STREAMS} pages are open; close some", retry_after_s=30)
        self._open[user] += 1
        subscription = services(request).live.subscribe(caller.scope)

        def release() -> None:
            subscription.close()
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]

        return _Stream(events(request, caller, subscription), release)


async def events(request: Request, caller: Caller, subscription: Subscription) -> AsyncIterator[bytes]:
    """What is sent, until the session ends or may see something else than before."""
    yield _event("beat", b"0")
    while True:
        changed: Changed = frozenset()
        try:
            async with asyncio.timeout(BEAT_S):
                changed = await anext(subscription)
        except TimeoutError:
            pass
        except StopAsyncIteration:
            return
        try:
            if (await caller_of(request, SEE_ALERTS)).scope != caller.scope:
                return  # the page comes back at once, with what its user may see now
        except VedetteError:  # logged out, or the database is gone: the page tries again
            return
        if changed is not None and not changed:
            yield _event("beat", b"0")
            continue
        yield _event("changed", msgspec.json.encode(None if changed is None else sorted(changed)))
        await asyncio.sleep(PAUSE_S)


def _event(name: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


class _Stream(StreamingResponse):
    """A stream that lets go of what it holds, however it ends."""

    def __init__(self, content: AsyncIterator[bytes], release: Callable[[], None]) -> None:
        super().__init__(content, headers=HEADERS, media_type="text/event-stream")
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()


ROUTES: Final = [user_route("/live", {"GET": Streams().answer}, needs=SEE_ALERTS)]
