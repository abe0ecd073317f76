"""The token and the server of a Mender client that runs on this device, over the system bus.

Where there is one, the device has an identity with the server already: a second would show it twice. The client is
asked, never started. Its token stays its own: it is not kept in a file, and every child asks anew.
Source: the published interface io.mender.Authentication1.
"""

from collections.abc import Callable
from typing import Final

from vedette.agent import log
from vedette.agent.bus.connection import (
    BUS,
    BUS_PATH,
    Call,
    Connection,
    Lost,
    Reply,
    Signal,
)
from vedette.agent.loop import Loop
from vedette.agent.uplink.auth import Token, fits_a_header
from vedette.agent.uplink.backoff import NotAccepted, TryLater

NAME: Final = "io.mender.AuthenticationManager"
PATH: Final = "/io/mender/AuthenticationManager"
INTERFACE: Final = "io.mender.Authentication1"
CHANGED: Final = "JwtTokenStateChange"

ANSWER_S: Final = 10.0
"""Longest wait for an answer of the bus or the client."""
FETCH_S: Final = 20.0
"""Longest wait for a new token, for which the client must speak with the server."""


def find() -> "MenderClient | None":
    """The Mender client on this device, None when there is none."""
    client: MenderClient | None = None
    try:
        client = MenderClient()
        if client.is_there():
            return client
    except Lost as exc:
        log.debug(f"no Mender client is asked for a token: the system bus: {exc}")
    if client is not None:
        client.close()
    return None


class MenderClient:
    """A conversation with it. `load`, `save` and `forget` are those of a store of tokens, `fetch` authenticates.

    Raises:
        Lost: there is no bus.
    """

    def __init__(self) -> None:
        self._loop = Loop()
        self._lost = ""
        self._owner = ""  # the client's own name on the bus: only what comes from there is believed
        self._changes: list[tuple[str, str]] = []  # tokens and servers that the client told of
        self._server_url = ""
        try:
            self._connection = Connection(
                self._loop, on_up=self._loop.stop, on_signal=self._on_signal, on_lost=self._on_lost
            )
            self._wait(lambda: bool(self._connection.name), ANSWER_S, "the system bus")
        except BaseException:
            self._loop.close()
            raise

    def is_there(self) -> bool:
        """Is a client on the bus? Raises Lost when the bus is gone."""
        reply = self._ask(_bus_call("GetNameOwner", NAME))
        self._owner = "" if reply.error else str(reply.body[0])
        return bool(self._owner)

    @property
    def server_url(self) -> str:
        """Where the token is good, without a slash at the end; "" when the client did not say. Known after `load`."""
        return self._server_url

    def load(self) -> Token | None:
        """The token that the client has; None when it has none. Raises TryLater when it does not answer."""
        try:
            reply = self._ask(_client_call("GetJwtToken"))
        except Lost as exc:
            raise TryLater(f"the Mender client was to give its token: {exc}") from None
        if reply.error or len(reply.body) != 2:
            raise TryLater(f"the Mender client gave no token: {reply.sentence or 'it answered something else'}")
        return self._take(str(reply.body[0]), str(reply.body[1]))

    def fetch(self) -> Token:
        """Have the client get a new token.

        Raises:
            NotAccepted: it got none.
            TryLater: it does not answer.
        """
        try:
            rule = f"type='signal',sender='{NAME}',interface='{INTERFACE}',member='{CHANGED}'"
            self._ask(_bus_call("AddMatch", rule))
            if not self.is_there():
                raise Lost("it is no longer there")
            self._changes.clear()
            reply = self._ask(_client_call("FetchJwtToken"))
            if reply.error:
                raise TryLater(f"the Mender client fetched no token: {reply.sentence}")
            self._wait(lambda: bool(self._changes), FETCH_S, "the Mender client")
        except Lost as exc:
            raise TryLater(f"the Mender client was to fetch a token: {exc}") from None
        token = self._take(*self._changes[-1])
        if token is None:
            raise NotAccepted("the Mender client of this device got no token: its server has not accepted it")
        return token

    def save(self, token: Token) -> None:
        """The client keeps it."""

    def forget(self) -> None:
        """The client keeps it; `fetch` makes it get another."""

    def close(self) -> None:
        self._connection.close()
        self._loop.close()

    def _take(self, token: str, server_url: str) -> Token | None:
        self._server_url = server_url.strip().rstrip("/")
        token = token.strip()
        return Token(value=token, ours=False) if fits_a_header(token) else None

    def _on_signal(self, signal: Signal) -> None:
        kind = (signal.sender, signal.interface, signal.member, signal.signature)
        if kind == (self._owner, INTERFACE, CHANGED, "ss") and signal.body is not None:
            self._changes.append((str(signal.body[0]), str(signal.body[1])))
            self._loop.stop()

    def _on_lost(self, reason: str) -> None:
        self._lost = reason
        self._loop.stop()

    def _ask(self, call: Call) -> Reply:
        replies: list[Reply] = []

        def answered(reply: Reply) -> None:
            replies.append(reply)
            self._loop.stop()

        self._connection.call(call, answered)
        self._wait(lambda: bool(replies), ANSWER_S, call.destination)
        return replies[0]

    def _wait(self, done: Callable[[], bool], within_s: float, who: str) -> None:
        """Run the loop until `done`. Raises Lost when the connection ends or it takes too long."""
        timer = self._loop.call_later(within_s, self._loop.stop)
        try:
            while not done():
                if self._lost:
                    raise Lost(self._lost)
                if not timer.pending:
                    raise Lost(f"{who} gave no answer within {within_s:g} s")
                self._loop.run()
        finally:
            timer.cancel()


def _bus_call(member: str, argument: str) -> Call:
    return Call(destination=BUS, path=BUS_PATH, interface=BUS, member=member, signature="s", body=(argument,))


def _client_call(member: str) -> Call:
    return Call(destination=NAME, path=PATH, interface=INTERFACE, member=member)
