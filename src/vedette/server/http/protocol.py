"""HTTP as uvicorn reads it, within limits that it does not have: clients that never end a request, or its head, and
more of them at once than there are files to open.

Without these a stranger holds as many connections as he likes for nothing, and fills the memory with one header.
"""

import asyncio
from http import HTTPStatus
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD: Final = 64 * 1024  # bytes of a request line with its headers
MAX_HEADERS: Final = 1000  # with those that come after the body
REQUEST_S: Final = 120.0  # for a whole request to come in: 1 MiB over a very slow line
SURPLUS_S: Final = 1.0  # for one connection too many to begin its request, which is then told to come back
RETRY_AFTER_S: Final = 5


class Patient(HttpToolsProtocol):
    """One connection. A request that comes in one piece, as nearly all do, costs nothing here: whether it is complete
    is seen from what uvicorn keeps anyway, for a callback more on each request would cost a tenth of the intake."""

    most: ClassVar[int] = 10_000
    """Connections at once. The process sets it once, to what it may open."""

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
