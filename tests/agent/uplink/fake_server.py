"""A device API on a real socket that answers as it is told, and remembers what it was asked."""

import base64
import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

AUTH = "/api/devices/v1/authentication/auth_requests"
ALERT = "/api/devices/v1/devicemonitor/alert"
CONFIG = "/api/devices/v1/devicemonitor/config"
INVENTORY = "/api/devices/v1/inventory/device/attributes"


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    connection: int  # port of the asking side: one number, one connection

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False  # close the connection instead of answering
    close_after: bool = False  # answer, then close without having said so


HTML = {"Content-Type": "text/html; charset=utf-8"}


class FakeServer:
    """Accepts the device and everything it sends, unless `on` says otherwise for a path."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.on: dict[str, Callable[[Asked], Reply]] = {}
        self.ours = True
        self.tokens = 0
        self.valid_token: str | None = None  # None: any that was given
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, body, self.client_address[1])
                outer.asked.append(asked)
                reply = outer.answer(asked)
                if reply.drop:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.status != 204:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
                self.close_connection = reply.close_after

            do_POST = do_PATCH = do_GET = do_PUT = handle_any  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # the device went away in the middle: some tests do that

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, asked: Asked) -> Reply:
        if (special := self.on.get(asked.path)) is not None:
            return special(asked)
        if asked.path == AUTH:
            return self.accept(asked)
        if self.valid_token and asked.headers.get("authorization") != f"Bearer {self.valid_token}":
            return Reply(status=401, body=b'{"error": "unauthorized", "request_id": "1"}')
        return Reply(status=200) if asked.path == INVENTORY else Reply()

    def accept(self, asked: Asked) -> Reply:
        """What the API does: the signature is checked over the bytes as they came."""
        key = load_pem_public_key(asked.json["pubkey"].encode())
        assert isinstance(key, Ed25519PublicKey)
        key.verify(base64.b64decode(asked.headers["x-men-signature"]), asked.body)
        self.tokens += 1
        token = f"head.body{self.tokens}.signature"
        headers = {"Content-Type": "application/jwt"} | ({"X-Vedette": "1"} if self.ours else {})
        return Reply(status=200, body=token.encode(), headers=headers)

    def to(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]


def pending(_asked: Asked) -> Reply:
    return Reply(status=401, body=b'{"error": "dev auth: unauthorized", "request_id": "7"}')


def in_turn(*replies: Reply) -> Callable[[Asked], Reply]:
    """One after the other; the last one for ever."""
    left = list(replies)

    def answer(_asked: Asked) -> Reply:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer
