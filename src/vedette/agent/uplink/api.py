"""Calls to the device API with the device's token: renewed once when it is refused."""

from collections.abc import Callable, Mapping
from typing import Protocol

from vedette.agent.uplink.auth import Token
from vedette.agent.uplink.transport import Answer, Transport


class Tokens(Protocol):
    """Where the last token is kept."""

    def load(self) -> Token | None: ...

    def save(self, token: Token) -> None: ...

    def forget(self) -> None: ...


class Api:
    """The server as this device may call it."""

    def __init__(self, transport: Transport, tokens: Tokens, authenticate: Callable[[], Token]) -> None:
        self._transport, self._tokens, self._authenticate = transport, tokens, authenticate
        self._token = tokens.load()

    def token(self) -> Token:
        """The token at hand, or a new one. Raises what `auth.authenticate` raises."""
        if self._token is None:
            self._token = self._authenticate()
            self._tokens.save(self._token)
        return self._token

    def call(
        self,
        what: str,
        method: str,
        path: str,
        make_body: Callable[[bool], bytes],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send `make_body(the server is ours)` and give the answer when it judges the request itself: 2xx, 304 or 4xx.

        Raises:
            NotAccepted: the token is refused and no new one is given.
            TryLater: no answer; 401 to a new token, 429, 5xx, a redirect; a page for people, which no API sends.
        """
        renewed = self._token is None
        answer = self._send(method, path, make_body, headers)
        if answer.status == 401:
            self._forget()
            if not renewed:
                answer = self._send(method, path, make_body, headers)
                if answer.status == 401:
                    self._forget()
        done = 200 <= answer.status < 300 or answer.status == 304  # nothing new: only for who asks so
        judged = 400 <= answer.status < 500 and answer.status not in (401, 408, 425, 429)
        too_large = answer.status == 413  # also from what stands in front of the API, with its own page
        if too_large or ((done or judged) and not answer.is_page):
            return answer
        raise self.trouble(what, answer)

    def trouble(self, what: str, answer: Answer) -> Exception:
        """The error for an answer that the caller cannot make sense of."""
        return self._transport.trouble(what, answer)

    def _send(
        self, method: str, path: str, make_body: Callable[[bool], bytes], headers: Mapping[str, str] | None
    ) -> Answer:
        token = self.token()
        sent = {**(headers or {}), "Authorization": f"Bearer {token.value}"}
        return self._transport.request(method, path, make_body(token.ours), sent)

    def _forget(self) -> None:
        self._token = None
        self._tokens.forget()
