"""Results and errors as responses: the one place where an error becomes a status."""

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import Response

from vedette.errors import TooMany, VedetteError

JSON: Final = "application/json; charset=utf-8"
STATUS: Final[Mapping[str, int]] = {
    "invalid": 400,
    "unauthenticated": 401,
    "denied": 403,
    "not_found": 404,
    "conflict": 409,
    "changed": 412,
    "too_large": 413,
    "wrong_content_type": 415,
    "unacceptable": 422,
    "too_many": 429,
    "busy": 503,
    "unavailable": 503,
}
RETRY_AFTER_S: Final = 5  # told to clients when the server itself cannot take more
CHALLENGE: Final = 'Bearer realm="ManagementJWT"'

log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as JSON."""
    return Response(_encode(value), status, dict(headers or {}), JSON)


def refusal(error: VedetteError, request_id: str) -> Response:
    """The response that says `error`. What clients must not learn (500, 503) goes to the log only."""
    status = STATUS.get(error.code, 500)
    headers: dict[str, str] = {}
    text = str(error)
    if status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    elif status == 429:
        assert isinstance(error, TooMany)
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    elif status == 503:
        log.warning("request %s: %s", request_id, text)
        text = "service unavailable"
        headers["Retry-After"] = str(RETRY_AFTER_S)
    elif status == 500:
        log.error("request %s: %s", request_id, text, exc_info=error)
        text = "internal error"
    return problem(status, text, request_id, headers)


def problem(status: int, text: str, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error body as every client knows it."""
    return json_response({"error": text, "request_id": request_id}, status, headers)
