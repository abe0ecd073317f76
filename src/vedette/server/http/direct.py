"""The shortest way of a call: one that came in one piece, and is answered without a task of its own.

Only what cannot be understood in two ways goes this way. `recognise` knows less of HTTP than a parser, and hands on to
the parser whatever it does not know: a request is taken here only when these bytes are all of it and nothing else.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from vedette.server.db import Promise
from vedette.server.http.body import JSON_TYPE

MAX_HEAD: Final = 8192  # bytes

_END: Final = b"\r\n\r\n"
_TOKEN: Final = b"!#$%&'*+.^_`|~-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TEXT: Final = bytes([*b"\t", *range(0x20, 0x7F), *range(0x80, 0x100)])
_PATH_STARTS: Final = len(b"POST ")
_JSON: Final = JSON_TYPE.encode()
_CHANGES_MEANING: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te"})

Headers = Mapping[bytes, bytes]
"""By lower-case name; each is there once."""


class Direct(Protocol):
    """Serves the POSTs of one path."""

    def __call__(self, headers: Headers, body: bytes, done: Promise) -> bool:
        """Take the call; `done` hears when it is to be answered (204), or the error.

        Returns:
            False: it is not for here. Nothing has happened yet, and it goes the usual way.
        """
        ...


def path_of(data: bytes) -> bytes | None:
    """Where a POST that begins so goes to; None: it is no POST."""
    if not data.startswith(b"POST "):
        return None
    end = data.find(b" ", _PATH_STARTS, MAX_HEAD)
    return data[_PATH_STARTS:end] if end > 0 else None


def recognise(data: bytes, path: bytes) -> tuple[Headers, bytes] | None:
    """Headers and body of a plain POST of JSON to `path` that `data` is all of; None: something else, or not all."""
    end = data.find(_END, 0, MAX_HEAD)
    first, *lines = data[: max(end, 0)].split(b"\r\n")
    if first != b"POST %b HTTP/1.1" % path:
        return None
    headers = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not (name and colon) or name.translate(None, _TOKEN) or value.translate(None, _TEXT):
            return None
        headers[name.lower()] = value.strip(b" \t")
    if len(headers) != len(lines):  # one of them twice
        return None
    length = headers.get(b"content-length", b"")
    if not length.isdigit() or len(length) > 9 or int(length) != len(data) - end - len(_END):
        return None
    if headers.get(b"content-type") != _JSON or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    if not _CHANGES_MEANING.isdisjoint(headers):
        return None
    return headers, data[end + len(_END) :]
