"""The outermost layer: every answer has a request id, and nothing that goes wrong inside leaks out."""

import logging
import re
from random import getrandbits
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vedette.server.http.answers import problem
from vedette.server.services import Services

HEADER: Final = b"x-men-requestid"
_ACCEPTABLE: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")

log = logging.getLogger(__name__)


class Conventions:
    """Wraps the application. Puts `request_id` and `services` into the scope of each request."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # uvicorn is told to offer neither websockets nor lifespan
            raise RuntimeError(f"no {scope['type']} here")
        request_id = request_id_of(scope)
        scope["request_id"] = request_id
        scope["services"] = self._services
        started = False

        async def labelled(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, labelled)
        except ClientDisconnect:  # in the middle of what he sends: nobody is there to be answered
            return
        except Exception:
            # The path, not the query: it may hold what people do not want in logs.
            log.exception("request %s: %s %s failed", request_id, scope["method"], scope["path"])
            if started:  # the answer is broken already; uvicorn cuts the connection
                raise
            await problem(500, "internal error", request_id)(scope, receive, labelled)


def request_id_of(scope: Scope) -> str:
    """The id the client chose, when it can safely be repeated in a header and a log; else a new one."""
    for name, value in scope["headers"]:
        if name == HEADER and _ACCEPTABLE.fullmatch(value):
            text: str = value.decode()
            return text
    # Of the form of a version 4 UUID. It is no secret: the operating system's randomness would cost a call for each.
    text = f"{getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"
