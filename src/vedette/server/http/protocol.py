"""HTTP as uvicorn reads it, within limits that it does not have: clients that never end a request, or its head, and
more of them at once than there are files to open.

Without these a stranger holds as many connections as he likes for nothing, and fills the memory with one header.
"""

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from vedette.errors import VedetteError
from vedette.server.http.answers import problem, refusal
from vedette.server.http.asgi import HEADER, request_id
from vedette.server.http.direct import Direct, path_of, recognise

MAX_HEAD: Final = 64 * 1024  # bytes of a request line with its headers
MAX_HEADERS: Final = 1000  # with those that come after the body
REQUEST_S: Final = 120.0  # for a whole request to come in: 1 MiB over a very slow line
SURPLUS_S: Final = 1.0  # for one connection too many to begin its request, which is then told to come back
RETRY_AFTER_S: Final = 5

log = logging.getLogger(__name__)


class Patient(HttpToolsProtocol):
    """One connection. A request that comes in one piece, as nearly all do, costs nothing here: whether it is complete
    is seen from what uvicorn keeps anyway, for a callback more on each request would cost a tenth of the intake."""

    most: ClassVar[int] = 10_000
    """Connections at once. The process sets it once, to what it may open."""
    direct: ClassVar[Mapping[bytes, Direct]] = {}
    """By exact path, what is served without a task of its own."""

    _patience: asyncio.TimerHandle | None = None
    _surplus = False  # one too many
    _head = 0  # bytes of a head, as far as it has come

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._surplus = len(self.connections) > self.most
        self._patience = self.loop.call_later(SURPLUS_S if self._surplus else REQUEST_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._surplus:  # after its first bytes: who is hung up on before he speaks does not hear why
            self._refuse(503, "the server has too many connections; come back in a few seconds")
            return
        if self.direct and self._idle and self._served_directly(data):
            return
        super().data_received(data)
        cycle = self.cycle
        if cycle is not None and cycle.scope is self.scope and not cycle.more_body:
            if self._patience is not None:
                self._rest()
            return
        if self._patience is None:
            self._patience = self.loop.call_later(REQUEST_S, self._too_slow)
        self._head = self._head + len(data) if self._in_head else 0
        if self._head > MAX_HEAD:
            self._refuse(431, f"the headers are longer than {MAX_HEAD} bytes")
        elif self.headers is not None and len(self.headers) > MAX_HEADERS:  # those after the body come to them
            self._refuse(431, f"there are more than {MAX_HEADERS} headers")

    @property
    def _idle(self) -> bool:
        """All that came has been read and answered: what comes now begins a request."""
        cycle = self.cycle
        answered = cycle is None or (cycle.response_complete and not cycle.more_body)
        return answered and not self._in_head and not self.pipeline

    def _served_directly(self, data: bytes) -> bool:
        path = path_of(data) or b""
        direct = self.direct.get(path)
        if direct is None or (found := recognise(data, path)) is None:
            return False
        headers, body = found
        before = self.cycle
        call = _DirectCall(self, headers.get(HEADER, b""))
        self.cycle = call  # type: ignore[assignment]
        if not direct(headers, body, call):
            self.cycle = before
            return False
        if self._patience is not None:
            self._rest()
        return True

    def after_direct(self, call: "_DirectCall") -> None:
        """It has been answered: go on with what came behind it, or wait for more."""
        if not call.keep_alive:
            self.transport.close()
        if self.pipeline or self.timeout_keep_alive_task is None or not call.keep_alive:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1

    def timeout_keep_alive_handler(self) -> None:
        """Close what has been idle for so long. It is set when a connection falls idle, and not anew for each call that
        was served directly: so it may come early, or in the middle of one."""
        self.timeout_keep_alive_task = None
        cycle: object = self.cycle
        if isinstance(cycle, _DirectCall):
            left = self.timeout_keep_alive - (self.loop.time() - cycle.answered_at) if cycle.response_complete else 1.0
            if left > 0:
                self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
                return
        super().timeout_keep_alive_handler()

    @property
    def _in_head(self) -> bool:
        """A request has begun, and its headers have not ended: uvicorn makes a cycle when they do."""
        return self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)

    @property
    def _unread(self) -> bool:
        """A request has begun and not ended."""
        return self._in_head or (self.cycle is not None and self.cycle.more_body)

    def _rest(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        self._patience = None
        if self._unread:
            self._refuse(408, f"the request did not come within {REQUEST_S:g} seconds")
        else:
            self.transport.close()

    def _refuse(self, status: int, text: str) -> None:
        """Say why, unless an answer is on its way already, and hang up."""
        busy = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not busy and not self.transport.is_closing():
            later = f"Retry-After: {RETRY_AFTER_S}\r\n" if status == 503 else ""
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                f"{later}Content-Length: {len(text) + 1}\r\nConnection: close\r\n\r\n{text}\n"
            )
            self.transport.write(head.encode("ascii"))
        self.transport.close()


class _Event:
    """Nobody waits for a message of a direct call."""

    def set(self) -> None:
        """Uvicorn says that there is one."""


class _DirectCall:
    """A direct call that waits for its answer. It stands where uvicorn keeps a cycle, and is a `Promise` as well."""

    __slots__ = ("_id", "_protocol", "answered_at", "disconnected", "keep_alive", "response_complete", "scope")

    response_started = False
    more_body = False
    message_event = _Event()

    def __init__(self, protocol: Patient, request_id: bytes) -> None:
        self._protocol, self._id = protocol, request_id
        self.scope = protocol.scope
        self.answered_at = 0.0
        self.keep_alive = True
        self.disconnected = self.response_complete = False

    def cancelled(self) -> bool:
        return self.disconnected

    def set_result(self, _: Any, /) -> None:
        self._answer(204, (), b"", request_id(self._id))

    def set_exception(self, exception: BaseException, /) -> None:
        own_id = request_id(self._id)
        if isinstance(exception, VedetteError):
            response = refusal(exception, own_id)
        else:
            log.error("request %s: a call served directly has failed", own_id, exc_info=exception)
            response = problem(500, "internal error", own_id)
        self._answer(response.status_code, response.raw_headers, bytes(response.body), own_id)

    def _answer(self, status: int, headers: Any, body: bytes, own_id: str) -> None:
        protocol = self._protocol
        lines = [b"%b: %b\r\n" % pair for pair in (*protocol.server_state.default_headers, *headers)]
        close = b"" if self.keep_alive else b"connection: close\r\n"
        protocol.transport.write(
            b"%b%b%b: %b\r\n%b\r\n%b" % (STATUS_LINE[status], b"".join(lines), HEADER, own_id.encode(), close, body)
        )
        self.response_complete = True
        self.answered_at = protocol.loop.time()
        protocol.after_direct(self)
