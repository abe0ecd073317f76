"""A real OpenID provider in a process of its own: prints its port, serves until it is killed.

    python identity_provider.py '[{"sub": "ann", "email": "ann@example.com", "email_verified": true}]'

The provider does not check PKCE itself, so that is done here, in front of it.
"""

import base64
import hashlib
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

warnings.simplefilter("ignore")  # of its libraries
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import oidc_provider_mock  # noqa: E402
import werkzeug.serving  # noqa: E402

Start = Callable[..., Any]


class Pkce:
    """Refuses a code whose verifier does not fit to the challenge it was given for. Source: RFC 7636, section 4.6."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._challenges: dict[str, str] = {}

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/oauth2/token" and not self._fits(environ):
            start("400 Bad Request", [("Content-Type", "application/json")])
            return [b'{"error": "invalid_grant"}']
        asked = parse_qs(environ.get("QUERY_STRING", ""))

        def noticing(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            for name, value in headers:
                for code in parse_qs(urlsplit(value).query).get("code", []) if name.lower() == "location" else []:
                    assert asked["code_challenge_method"] == ["S256"]
                    (self._challenges[code],) = asked["code_challenge"]
            return start(status, headers, *rest)

        found: Iterable[bytes] = self._app(environ, noticing)
        return found

    def _fits(self, environ: dict[str, Any]) -> bool:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        form = parse_qs(body.decode())
        digest = hashlib.sha256(form.get("code_verifier", [""])[0].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return self._challenges.get(form.get("code", [""])[0]) == challenge


def main() -> None:
    people = [oidc_provider_mock.User(sub=each.pop("sub"), claims=each) for each in json.loads(sys.argv[1])]
    app = Pkce(oidc_provider_mock.app(require_nonce=True, user_claims=people))
    server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
