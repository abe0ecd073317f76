"""The outermost layer: every answer has a request id, and nothing that goes wrong inside leaks out."""

import logging
import re
from itertools import count
from random import getrandbits
from typing import Final
from uuid import uuid4

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vedette.server.http.answers import problem
from vedette.server.services import Services

HEADER: Final = b"x-men-requestid"
_ACCEPTABLE: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")

_PROCESS: Final = str(uuid4())[:-12]
_LAST: Final = (1 << 48) - 1
_number: Final = count(getrandbits(48))

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
    return request_id(next((value for name, value in scope["headers"] if name == HEADER), b""))


def request_id(given: bytes) -> str:
    """As `request_id_of`; `given` is the value of its header, empty where there is none."""
    if _ACCEPTABLE.fullmatch(given):
        return given.decode()
    # Of the form of a version 4 UUID. It is no secret: what is random of it, is so for the process.
    return f"{_PROCESS}{next(_number) & _LAST:012x}"
