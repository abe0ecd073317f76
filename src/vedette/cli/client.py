"""Calls of the server's API over HTTP.

The standard library's client, so that the commands need nothing beside it: one connection kept open, certificates
always checked, no redirect followed (it would carry the token elsewhere), every answer bounded.
"""

import json
import math
import ssl
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, RemoteDisconnected
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, unquote, urlencode, urlsplit

from vedette import __version__
from vedette.cli.errors import Usage
from vedette.errors import (
    Busy,
    Changed,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    TooLarge,
    TooMany,
    Unacceptable,
    Unauthenticated,
    Unavailable,
    VedetteError,
)

TIMEOUT_S: Final = 30.0  # for the server to say something
TRIES: Final = 4  # of a call that changes nothing, while the server asks for patience
MAX_WAIT_S: Final = 60.0  # between two of them; whoever asks for more is refused at once
MAX_ANSWER: Final = 64 * 1024 * 1024  # bytes
BLOCK: Final = 256 * 1024  # bytes of a stream at once
PAGE: Final = 500  # the most that the server gives at once
MAX_ITEMS: Final = 10_000  # of a list, unless --limit says otherwise

_ERRORS: Final[Mapping[int, type[VedetteError]]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    409: Conflict,
    412: Changed,
    413: TooLarge,
    422: Unacceptable,
    503: Busy,
}

Query = Sequence[tuple[str, object | None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        """The body as a value. Raises Unavailable when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as exc:
            raise Unavailable("the answer is not JSON: is this address a Vedette server?") from exc


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of the server."""

    items: list[Any]
    more: bool  # the server has more than was asked for


def server_url(text: str) -> str:
    """The address of a server in the one form it is stored and compared in: scheme, host, port. Raises Usage."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Usage(f"{text!r} is not the address of a server; give one like https://vedette.example.com") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        raise Usage(f"{text!r} is not the address of a server; give one like https://vedette.example.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise Usage("the address of a server has no user, no password and no query")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")


def on_this_machine(url: str) -> bool:
    """Whether nobody can listen on the way to `url`."""
    return _loopback(urlsplit(url).hostname or "")


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def path(template: str, *parts: str) -> str:
    """`template` with each {} filled in, such that no part can name another path. Raises Usage when one is empty."""
    if not all(parts) or any(part in {".", ".."} for part in parts):
        raise Usage("a name or id is empty, or a dot")
    return template.format(*(quote(part, safe="") for part in parts))


class Client:
    """The server at `url`, asked with `token`; without one, as nobody."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        ca: Path | None = None,
        timeout_s: float = TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not token.isascii() or not token.isprintable() or " " in token:
            raise Usage("this is no token: a token is one word of letters, digits, dots, - and _")
        self.url = url
        self._token = token
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._connection: HTTPConnection | None = None
        self._prefix = ""  # of request targets, for a proxy
        self._extra: dict[str, str] = {}  # headers for a proxy
        self._tls = _tls(ca) if url.startswith("https:") else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, where: str, query: Query = ()) -> Any:
        """The JSON found there."""
        return self.call("GET", where, query).json()

    def call(
        self,
        method: str,
        where: str,
        query: Query = (),
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        safe: bool | None = None,
    ) -> Answer:
        """Ask, and give the answer if it is not a refusal.

        Args:
            query: pairs; those with None are left out.
            body: JSON-able; None sends none.
            safe: whether asking twice does no harm, so that it may be tried again; the default goes by the method.
        Raises:
            VedetteError: the server refuses, in its own words; or it cannot be reached (`Unavailable`).
        """
        safe = method in {"GET", "HEAD"} if safe is None else safe
        for left in reversed(range(TRIES)):
            response = self._send(method, where, query, body, headers or {}, safe=safe)
            answer = Answer(response.status, response.headers, self._read(response))
            if answer.status < 300:
                return answer
            error = refusal(answer)
            wait = _retry_after(answer)
            if not (safe and left and answer.status in {429, 503}) or wait is None or wait > MAX_WAIT_S:
                raise error
            self._sleep(wait)
        raise AssertionError("the last try ends above")

    def pages(
        self, where: str, query: Query = (), *, limit: int | None = None, size: int = PAGE, body: Any = None
    ) -> Listed:
        """A list that comes in pages, up to `limit` items; `MAX_ITEMS` when that is None.

        What moves from one page to the next meanwhile is not shown twice.

        Args:
            size: items a page; fewer are asked for when that many are too much for one answer.
            body: for the search that takes its question as a body, and says no more than the total.
        """
        most = MAX_ITEMS if limit is None else limit
        size = max(1, min(size, most))
        items: dict[object, Any] = {}
        number = 1
        while True:
            try:
                if body is None:
                    answer = self.call("GET", where, [*query, ("page", number), ("per_page", size)])
                else:
                    asked = {**body, "page": number, "per_page": size}
                    answer = self.call("POST", where, query, body=asked, safe=True)
            except TooLarge:
                if size == 1:
                    raise
                before = (number - 1) * size
                size //= 2
                number = before // size + 1  # where the page that was too large began
                continue
            found = answer.json()
            if not isinstance(found, list):
                raise Unavailable("the answer is not a list: is this address a Vedette server?")
            for each in found:
                items.setdefault(each["id"] if isinstance(each, dict) and "id" in each else repr(each), each)
            total = answer.headers.get("X-Total-Count", "")
            more = number * size < int(total) if total.isdigit() else len(found) == size
            if not found or not more or len(items) >= most:
                return Listed(list(items.values())[:most], more=bool(found) and (more or len(items) > most))
            number += 1

    def stream(self, where: str, query: Query = (), *, accept: str, by_line: bool = False) -> Iterator[bytes]:
        """An answer piece by piece, while it comes. Raises as `call` does, also when it is cut off."""
        response = self._send("GET", where, query, None, {"Accept": accept}, safe=True)
        if response.status >= 300:
            raise refusal(Answer(response.status, response.headers, self._read(response)))
        read = response.readline if by_line else response.read
        try:
            while piece := self._piece(read):
                yield piece
        finally:
            self.close()

    def _send(
        self, method: str, where: str, query: Query, body: object, headers: Mapping[str, str], *, safe: bool
    ) -> HTTPResponse:
        target = where
        if pairs := [(name, value) for name, value in query if value is not None]:
            target += "?" + urlencode(pairs)
        data = None if body is None else json.dumps(body).encode()
        lines = {"User-Agent": f"vedette/{__version__}", "Accept": "application/json", **headers}
        if self._token:
            lines.setdefault("Authorization", f"Bearer {self._token}")
        if data is not None:
            lines["Content-Type"] = "application/json"
        try:
            used = self._connection is not None
            try:
                return self._once(method, target, data, lines)
            except (RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if not (used and safe):
                    raise
                self.close()  # the server had closed the connection that we kept: nothing has been asked yet
                return self._once(method, target, data, lines)
        except (OSError, HTTPException, UnicodeError) as exc:
            self.close()
            raise self._unreachable(exc) from exc

    def _once(self, method: str, target: str, data: bytes | None, headers: Mapping[str, str]) -> HTTPResponse:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request(method, self._prefix + target, data, {**self._extra, **headers})
        return self._connection.getresponse()

    def _connect(self) -> HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        proxy = _proxy(parts.scheme, parts.hostname)
        host, port = parts.hostname, parts.port
        if proxy is not None:
            host, port = proxy.host, proxy.port
        connection = (
            HTTPConnection(host, port, timeout=self._timeout_s)
            if self._tls is None
            else HTTPSConnection(host, port, timeout=self._timeout_s, context=self._tls)
        )
        if proxy is not None and self._tls is not None:
            connection.set_tunnel(parts.hostname, parts.port or 443, proxy.headers)
        elif proxy is not None:
            self._prefix, self._extra = self.url, proxy.headers
        return connection

    def _read(self, response: HTTPResponse) -> bytes:
        try:
            body = response.read(MAX_ANSWER + 1)
        except (OSError, HTTPException) as exc:
            self.close()
            raise self._unreachable(exc) from exc
        if len(body) > MAX_ANSWER:
            self.close()
            raise TooLarge(f"the answer is larger than {MAX_ANSWER // 1024**2} MiB; ask for less with --limit")
        return body

    def _piece(self, read: Callable[[int], bytes]) -> bytes:
        try:
            return read(BLOCK)
        except (OSError, HTTPException) as exc:
            raise self._unreachable(exc) from exc

    def _unreachable(self, exc: Exception) -> VedetteError:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return Unavailable(f"{self.url}: its certificate is not trusted: {exc.verify_message}; see --ca")
        if isinstance(exc, TimeoutError):
            return Unavailable(f"{self.url} did not answer within {self._timeout_s:g} s; see --timeout")
        reason = (exc.strerror if isinstance(exc, OSError) else "") or str(exc) or type(exc).__name__
        return Unavailable(f"{self.url} cannot be reached: {reason}")


def refusal(answer: Answer) -> VedetteError:
    """The error that the server told, with the id under which its log knows the request."""
    if 300 <= answer.status < 400:
        return Unavailable(f"the server says it is at {answer.headers.get('Location', 'another address')}; use that")
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        said = None
    said = said if isinstance(said, dict) else {}
    text = str(said.get("error") or f"the server answers {answer.status}")
    request_id = str(said.get("request_id") or answer.headers.get("X-MEN-RequestID") or "")
    wait = _retry_after(answer)
    if answer.status in {429, 503} and wait is not None:
        text += f"; try again in {wait:g} s"
    if request_id:
        text += f" (request {request_id})"
    if answer.status == 429:
        return TooMany(text, retry_after_s=wait or 1.0)
    return _ERRORS.get(answer.status, VedetteError)(text)


def _retry_after(answer: Answer) -> float | None:
    """Seconds to wait. Source: RFC 9110, section 10.2.3; a date there counts as not given."""
    try:
        seconds = float(answer.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _tls(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as exc:
        raise Usage(f"--ca {ca}: no certificates can be read there: {exc.strerror or exc}") from exc


@dataclass(frozen=True, slots=True)
class _Proxy:
    host: str
    port: int
    headers: dict[str, str]


def _proxy(scheme: str, host: str) -> _Proxy | None:
    """The proxy that the environment names for this host: HTTPS_PROXY, HTTP_PROXY, NO_PROXY."""
    address = urllib.request.getproxies().get(scheme)
    if not address or _loopback(host) or urllib.request.proxy_bypass(host):
        return None
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname:
        raise Usage(f"the proxy for {scheme} in the environment is not of the form http://host:port")
    headers = {}
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + b64encode(secret.encode()).decode()
    return _Proxy(parts.hostname, port, headers)
