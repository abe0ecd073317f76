"""Headers that tell browsers to be strict, on every answer that people may come to see."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
# Of the compatible API. Browsers have dropped it: what protects pages is their content security policy.
XSS: Final = (b"x-xss-protection", b"1; mode=block")
# This host only: whether its neighbours speak https is not ours to say.
STRICT_TRANSPORT: Final = (b"strict-transport-security", b"max-age=31536000")


class Strict:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        """`https`: people come by https whatever a request looks like here, for a proxy stands before."""
        self._app = app
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stricter(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name == NO_SNIFF[0] for name, _ in headers):
                    headers.append(NO_SNIFF)
                headers.append(XSS)
                if self._https or scope["scheme"] == "https":
                    headers.append(STRICT_TRANSPORT)
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, stricter)
