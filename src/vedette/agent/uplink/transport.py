"""HTTP to one server over one keep-alive connection, bounded in time and size.

Knows nothing of alerts or tokens. Proxies named in the environment are not used: mender.conf says where a device goes.
"""

import http.client
import json
import signal
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from urllib.parse import urljoin, urlsplit

from vedette import __version__
from vedette.agent.menderconf import MenderConf
from vedette.agent.uplink.backoff import TryLater, retry_after_s
from vedette.clock import Clock

SILENCE_S = 20.0  # longest wait for the next bytes
EXCHANGE_S = 60.0  # longest time for one request and its answer, name resolution included
MAX_ANSWER = 256 * 1024  # bytes; the API's answers to devices are far smaller
MAX_REDIRECTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said. `body` is cut at MAX_ANSWER bytes, or as many as its transport takes."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def is_page(self) -> bool:
        """It is a page for people: no answer of the API, but of something between it and us."""
        return self.headers.get_content_type() in ("text/html", "application/xhtml+xml")

    @property
    def says(self) -> str:
        """The status and, of an error, the beginning of its text, for the log. (A good answer may be a secret.)"""
        if self.is_page:
            return f"{self.status} and a page for people"
        text = self.body.decode(errors="replace") if self.status >= 400 else ""
        with suppress(ValueError, LookupError, TypeError, RecursionError):
            text = str(json.loads(text)["error"])  # without the request id, which differs each time
        return f"{self.status} {' '.join(text[:200].split())}".rstrip()


class Transport:
    """Requests to the server of `conf`, one after the other. `close()` when done."""

    def __init__(
        self, conf: MenderConf, tls: "ssl.SSLContext | None", clock: Clock, max_answer: int = MAX_ANSWER
    ) -> None:
        self._max_answer = max_answer
        self._server = conf.server_url
        self._origin = urlsplit(conf.server_url)
        self._tls = tls
        self._clock = clock
        self._connection: http.client.HTTPConnection | None = None

    def request(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one JSON request and read the answer. `path` starts with a slash, behind the server URL's own path.

        A kept connection may have died unseen; then it is tried once more on a new one, so the same request can
        arrive twice. Redirects are followed by 307 and 308 to the same origin only.

        Raises:
            TryLater: no answer could be had; the sentence names the server and what was wrong.
        """
        target = self._origin.path.rstrip("/") + path
        sent = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"vedette-agent/{__version__}",
            **headers,
        }
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._exchange(method, target, body, sent)
            if answer.status not in (307, 308):
                break
            to = urlsplit(urljoin(self._url(target), answer.headers.get("Location", "")))
            if (to.scheme, to.netloc) != (self._origin.scheme, self._origin.netloc):
                break
            target = to.path + ("?" + to.query if to.query else "")
        return answer

    def trouble(self, what: str, answer: Answer) -> TryLater:
        """The error for an answer that says nothing about the request itself: what was sent is kept."""
        if 300 <= answer.status < 400:
            to = answer.headers.get("Location", "nowhere")[:200]
            return TryLater(f"{self._server} sends the {what} on to {to!r}: if that is right, name it in mender.conf")
        wait = retry_after_s(answer.headers.get("Retry-After"), self._clock.now())
        return TryLater(f"{self._server} answered the {what} with {answer.says}", retry_after_s=wait)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _url(self, target: str) -> str:
        return f"{self._origin.scheme}://{self._origin.netloc}{target}"

    def _exchange(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        reused = self._connection is not None
        try:
            with time_limit(EXCHANGE_S):
                try:
                    return self._once(method, target, body, headers)
                except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError):
                    self.close()
                    if not reused:
                        raise
                    return self._once(method, target, body, headers)
        except (OSError, http.client.HTTPException, UnicodeError, ValueError) as error:
            self.close()
            raise TryLater(f"{self._server} gave no answer: {_reason(error)}", answered=False) from error

    def _once(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request(method, target, body, dict(headers))
        response = self._connection.getresponse()
        answer = Answer(status=response.status, headers=response.headers, body=response.read(self._max_answer))
        if not response.isclosed():  # more than we read: what follows on this connection is no answer
            self.close()
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        host = self._origin.hostname or ""
        if self._tls is not None:
            return http.client.HTTPSConnection(host, self._origin.port, timeout=SILENCE_S, context=self._tls)
        return http.client.HTTPConnection(host, self._origin.port, timeout=SILENCE_S)


def tls_context(conf: MenderConf) -> "tuple[ssl.SSLContext | None, list[str]]":
    """How to speak TLS with the server, None for plain http; and what a person should be warned about."""
    if urlsplit(conf.server_url).scheme == "http":
        return None, [f"{conf.server_url} is not encrypted: anyone on the way can read the alerts and the token"]
    context = ssl.create_default_context()
    warnings: list[str] = []
    if conf.server_certificate is not None:
        try:
            context.load_verify_locations(cafile=conf.server_certificate)
        except (OSError, ssl.SSLError) as error:
            warnings.append(
                f"ServerCertificate {conf.server_certificate} is not used, only the system's own: {_reason(error)}"
            )
    if conf.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        warnings.append("SkipVerify is on in mender.conf: whoever answers is taken for the server")
    return context, warnings


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End the body by `TimeoutError` when it takes too long in all, however it waits. Main thread only."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message});"
            " a private CA is named by ServerCertificate in mender.conf"
        )
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved ({error.strerror})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
