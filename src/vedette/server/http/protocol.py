"""HTTP as uvicorn reads it, within limits that it does not have: clients that never end a request, or its head.

Without these a stranger holds as many connections as he likes for nothing, and fills the memory with one header.
"""

import asyncio
from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD: Final = 64 * 1024  # bytes of a request line with its headers
REQUEST_S: Final = 120.0  # for a whole request to come in: 1 MiB over a very slow line


class Patient(HttpToolsProtocol):
    """One connection. A request that comes in one piece, as nearly all do, costs nothing here."""

    _patience: asyncio.TimerHandle | None = None
    _unread = False  # a request has begun and not ended
    _in_head = False
    _head = 0  # bytes of it, as far as it has come

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = self.loop.call_later(REQUEST_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._unread:
            self._rest()
            return
        if self._patience is None:
            self._patience = self.loop.call_later(REQUEST_S, self._too_slow)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(431, f"the headers are longer than {MAX_HEAD} bytes")

    def on_message_begin(self) -> None:
        self._unread = self._in_head = True
        self._head = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # after the body nobody asks for them, and there may be any number
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._unread = False
        super().on_message_complete()

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
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                f"Content-Length: {len(text) + 1}\r\nConnection: close\r\n\r\n{text}\n"
            )
            self.transport.write(head.encode("ascii"))
        self.transport.close()
