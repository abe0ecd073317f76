"""What an address of a connectivity check means."""

import re
from dataclasses import dataclass
from typing import Final

from vedette.errors import Invalid

HTTP, HTTPS, TCP, DNS = "http", "https", "tcp", "dns"
MAX_LENGTH: Final = 2048
PORTS: Final = {HTTP: 80, HTTPS: 443, DNS: 53}
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to try. For DNS: `path` is the name to resolve, `host` the server to ask ("": as the system does)."""

    kind: str
    host: str
    port: int
    path: str = ""
    credentials: str = ""  # user:password


def target(address: str) -> Target:
    """Read `http://...`, `https://...`, `tcp://HOST:PORT`, `HOST:PORT`, `dns:NAME[@SERVER[:PORT]]`, or `HOST`.

    A mere host is a web server's.

    Raises:
        Invalid: it is none of these.
    """
    if not address:
        raise Invalid("CONNECTIVITY_ADDRESS is missing")
    if len(address) > MAX_LENGTH or not address.isprintable() or " " in address:
        raise Invalid(f"CONNECTIVITY_ADDRESS {address[:80]!r} is no address: it holds blanks or is too long")
    scheme, colon, rest = address.partition("://")
    if not colon:
        if address.startswith("dns:"):
            return _dns(address, address.removeprefix("dns:"))
        host, port = _host_and_port(address, address)
        if port is None:
            return Target(kind=HTTP, host=host, port=PORTS[HTTP], path="/")
        return Target(kind=TCP, host=host, port=port)
    scheme = scheme.lower()
    if scheme == DNS:
        return _dns(address, rest)
    if scheme == TCP:
        host, port = _host_and_port(address, rest.removesuffix("/"))
        if port is None:
            raise Invalid(f"{address!r} names no port; write tcp://HOST:PORT")
        return Target(kind=TCP, host=host, port=port)
    if scheme not in (HTTP, HTTPS):
        raise Invalid(f"{scheme[:20]!r} is none of http, https, tcp, dns, the ways in which an address can be tried")
    end = re.search(r"[/?#]", rest)
    where, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    credentials, _, where = where.rpartition("@")
    host, port = _host_and_port(scheme + "://" + where, where)
    path = path.partition("#")[0]
    if not path.startswith("/"):
        path = "/" + path
    if not path.isascii():
        raise Invalid("the path of CONNECTIVITY_ADDRESS holds characters that must be written as %XX")
    return Target(
        kind=scheme, host=host, port=PORTS[scheme] if port is None else port, path=path, credentials=credentials
    )


def _dns(address: str, rest: str) -> Target:
    name, at, server = rest.partition("@")
    labels = name.removesuffix(".").split(".")
    if not _HOST.fullmatch(name) or any(not 1 <= len(label) <= 63 for label in labels) or len(name) > 253:
        raise Invalid(f"{name[:80]!r} in {address[:80]!r} is no name that could be resolved")
    host, port = _host_and_port(address, server) if at else ("", None)
    return Target(kind=DNS, host=host, port=PORTS[DNS] if port is None else port, path=name)


def _host_and_port(address: str, text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        good = bool(bracket) and (not rest or rest.startswith(":")) and bool(_IPV6.fullmatch(host))
        colon, port = rest[:1], rest[1:]
    elif text.count(":") > 1:  # an IPv6 address without brackets
        host, colon, port = text, "", ""
        good = bool(_IPV6.fullmatch(host))
    else:
        host, colon, port = text.partition(":")
        good = bool(_HOST.fullmatch(host))
    if not good:
        raise Invalid(f"{host[:80]!r} is no name and no address of a host")
    if not colon:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise Invalid(f"{port[:20]!r} is no port: a number from 1 to 65535")
    return host, int(port)
