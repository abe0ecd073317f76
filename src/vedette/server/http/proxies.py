"""Who asks, when a reverse proxy asks for them: believed from proxies that are trusted, and from nobody else."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from vedette.server.settings import Network

Address = IPv4Address | IPv6Address

MAX_HOPS: Final = 32  # proxies in a row
_HOST: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


class Proxied:
    """Puts the client and scheme that a trusted proxy tells of into the scope of each request."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = _address(scope["client"][0]) if scope.get("client") else None
        if peer is not None and self._trusts(peer):
            told = b",".join(_header(scope, b"x-forwarded-for"))
            scope["client"] = (str(self._origin(peer, told.decode("latin-1"))), 0)
            scope["scheme"] = _told_scheme(scope)
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
        return _trusts(address, self._trusted)


def origin_of(scope: Scope, trusted: Sequence[Network]) -> str | None:
    """How a request that has not gone through `Proxied` reached us: "https://HOST:PORT"; None: it does not say."""
    peer = _address(scope["client"][0]) if trusted and scope.get("client") else None
    scheme: str = scope["scheme"]
    hosts = _header(scope, b"host")
    if peer is not None and _trusts(peer, trusted):
        scheme = _told_scheme(scope)
        hosts = _header(scope, b"x-forwarded-host") or hosts
    host = hosts[-1].rpartition(b",")[2].strip().decode("latin-1") if hosts else ""
    return f"{scheme}://{host}" if _HOST.fullmatch(host) else None


def _told_scheme(scope: Scope) -> str:
    """As a proxy that is trusted says it; else as it is."""
    schemes = _header(scope, b"x-forwarded-proto")
    if schemes and (last := schemes[-1].rpartition(b",")[2].strip().lower()) in {b"http", b"https"}:
        return last.decode()
    scheme: str = scope["scheme"]
    return scheme


def _header(scope: Scope, wanted: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == wanted]


def _trusts(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address.version == each.version and address in each for each in trusted)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
