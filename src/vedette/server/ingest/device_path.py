"""One path for devices: who calls, a body within limits, one call of a service, mostly a bare status."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from vedette.errors import VedetteError
from vedette.server.db import DeviceScope
from vedette.server.devices import sessions
from vedette.server.http.answers import problem, refusal
from vedette.server.http.body import MAX_BODY, bounded, check_announced
from vedette.server.http.routes import bearer
from vedette.server.services import Services


@dataclass(slots=True)
class Call:
    """What an authenticated device asks."""

    device: DeviceScope
    body: bytes  # all of it
    headers: Mapping[str, str]  # by lower-case name
    scope: Scope


Handler = Callable[[Services, Call], Awaitable[int | Response]]
"""Returns an answer, or the status of one without body."""

_EMPTY: Final[Message] = {"type": "http.response.body", "body": b""}
_NO_HEADERS: Final[list[tuple[bytes, bytes]]] = []
_NO_LENGTH: Final = [(b"content-length", b"0")]  # else it would be sent in chunks, of which there are none
_HAVE_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class DevicePath:
    """An ASGI application; see `server.http.routes` for its slower and richer brother for people."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = handlers
        self._allow = {"Allow": ", ".join(sorted({*handlers, "OPTIONS"}))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self.handlers.get(scope["method"])
        try:
            if handler is None:
                response = self._other(scope)
            else:
                services: Services = scope["services"]
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
                device = await sessions.device(services, bearer(headers.get("authorization")))
                body = b""
                if scope["method"] in _HAVE_BODY:
                    check_announced(headers)
                    whole = await _read(receive)
                    if whole is None:
                        return
                    body = whole
                answer = await handler(services, Call(device, body, headers, scope))
                if isinstance(answer, int):
                    headers_out = _NO_HEADERS if answer == 204 else _NO_LENGTH
                    await send({"type": "http.response.start", "status": answer, "headers": headers_out})
                    await send(_EMPTY)
                    return
                response = answer
        except VedetteError as error:
            response = refusal(error, scope["request_id"])
        await response(scope, receive, send)

    def _other(self, scope: Scope) -> Response:
        if scope["method"] == "OPTIONS":
            return Response(headers=self._allow)
        return problem(405, "method not allowed", scope["request_id"], self._allow)


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None if the device hung up before its end.

    Raises:
        TooLarge: as soon as more than the limit has come.
    """
    receive = bounded(receive, MAX_BODY)
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
