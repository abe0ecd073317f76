"""Who asks, when a reverse proxy asks for them: believed from proxies that are trusted, and from nobody else."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from vedette.server.settings import Network

Address = IPv4Address | IPv6Address

MAX_HOPS: Final = 32  # proxies in a row


class Proxied:
    """Puts the client and scheme that a trusted proxy tells of into the scope of each request."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = _address(scope["client"][0]) if scope.get("client") else None
        if peer is not None and self._trusts(peer):
            told = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            scope["client"] = (str(self._origin(peer, b",".join(told).decode("latin-1"))), 0)
            schemes = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
            if schemes and (last := schemes[-1].rpartition(b",")[2].strip().lower()) in {b"http", b"https"}:
                scope["scheme"] = last.decode()
        await self._app(scope, receive, send)

    def _origin(self, peer: Address, told: str) -> Address:
        """From the nearest hop on, the first one that is not trusted: what it says itself may be a lie."""
        origin = peer
        for hop in reversed(told.split(",")[-MAX_HOPS:]):
            address = _address(hop.strip())
            if address is None:
                break
            origin = address
            if not self._trusts(address):
                break
        return origin

    def _trusts(self, address: Address) -> bool:
        return any(address.version == each.version and address in each for each in self._trusted)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
