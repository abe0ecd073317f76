"""Authentication of the device: the request, the token, and the file in which the token outlives the child."""

import base64
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vedette.agent.menderconf import MenderConf
from vedette.agent.paths import Paths
from vedette.agent.uplink.backoff import NotAccepted
from vedette.agent.uplink.transport import Transport

PATH = "/api/devices/v1/authentication/auth_requests"
MAX_TOKEN = 16 * 1024  # what fits a header line with most servers


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What the server lets this device in with, and whether it announced itself as ours when giving it."""

    value: str
    ours: bool

    def __repr__(self) -> str:
        return f"Token(ours={self.ours})"  # the value is a secret


def authenticate(transport: Transport, conf: MenderConf, paths: Paths) -> Token:
    """Ask the server for a token, making the device's key when there is none yet.

    Raises:
        NotAccepted: the server knows the device now, but does not let it in.
        TryLater: no answer, or none that makes sense.
        Invalid, Unavailable: identity or key cannot be had.
    """
    from vedette.agent import identity, keys  # `keys` is slow to import, and a cached token needs neither

    key = keys.load_or_make(paths.key, conf.key_type)
    request = {"id_data": _compact(identity.identity(paths)), "pubkey": key.public_pem()}
    if conf.tenant_token:
        request["tenant_token"] = conf.tenant_token
    body = _compact(request).encode()  # these very bytes are signed and sent
    signature = base64.b64encode(key.sign(body)).decode()
    answer = transport.request("POST", PATH, body, {"X-MEN-Signature": signature})
    if answer.status == 401:
        raise NotAccepted(f"{conf.server_url} has not accepted this device: {answer.says}")
    token = answer.body.decode("ascii", errors="replace").strip()
    if answer.status != 200 or answer.is_page or not fits_a_header(token):
        raise transport.trouble("authentication", answer)
    return Token(value=token, ours=answer.headers.get("X-Vedette") is not None)


class TokenFile:
    """The last token in a file of mode 0600, valid for one server, tenant and key: when one changes, it is gone."""

    def __init__(self, path: Path, conf: MenderConf, key: Path) -> None:
        self._path, self._conf, self._key = path, conf, key

    def load(self) -> Token | None:
        try:
            with self._path.open("rb") as file:
                kept = json.loads(file.read(2 * MAX_TOKEN))
            if kept["belongs"] != self._belongs():
                return None
            return Token(value=str(kept["token"]), ours=bool(kept["ours"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # it costs one authentication

    def save(self, token: Token) -> None:
        """Keep it for the next child. A failure costs that one an authentication, so it is no error."""
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        kept = {"belongs": self._belongs(), "token": token.value, "ours": token.ours}
        with suppress(OSError):
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(descriptor, json.dumps(kept).encode())
            finally:
                os.close(descriptor)
            temporary.replace(self._path)

    def forget(self) -> None:
        with suppress(OSError):
            self._path.unlink()

    def _belongs(self) -> list[str | int]:
        try:
            key = self._key.stat()
        except OSError:
            return [self._conf.belonging]
        return [self._conf.belonging, key.st_ino, key.st_mtime_ns]


def _compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def fits_a_header(token: str) -> bool:
    """To a device a token is opaque: one word that can be sent back."""
    return 0 < len(token) <= MAX_TOKEN and token.isascii() and token.isprintable() and " " not in token
