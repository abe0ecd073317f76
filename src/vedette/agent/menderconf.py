"""The device's `mender.conf`: which server, whose tenant, which certificates. Read as the Mender client reads it.

Source: the published client configuration (`ServerURL`, `Servers`, `TenantToken`, `ServerCertificate`, `SkipVerify`,
`UpdatePollIntervalSeconds`); keys are compared without regard to case, as that client does. `DeviceKeyType` is ours.
"""

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vedette.errors import Invalid, NotFound, Unavailable

MAX_BYTES = 1 << 20
KEY_TYPES = ("ed25519", "rsa")


@dataclass(frozen=True, slots=True, kw_only=True)
class MenderConf:
    """Where this device belongs. Cannot be built with a URL that nobody can call."""

    server_url: str  # "https://host[:port][/prefix]", no slash at the end
    tenant_token: str = field(default="", repr=False)  # a secret: never shown
    server_certificate: Path | None = None  # one more CA to trust, PEM
    skip_verify: bool = False  # trust whoever answers
    key_type: str = "ed25519"  # of a key that must be made: one of KEY_TYPES
    update_poll_interval_s: int | None = None  # how often to ask for deployments; None: it does not say

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.server_url)
            port_ok = parts.port != 0
        except ValueError:
            port_ok = False
        if not port_ok or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise Invalid(f"server URL {self.server_url!r} is not of the form https://host[:port]")
        if "@" in parts.netloc:
            raise Invalid("the server URL must not hold a user name or password")

    @property
    def belonging(self) -> str:
        """Names server and tenant without telling the secret: what was learned there holds only there."""
        return f"{self.server_url} {zlib.crc32(self.tenant_token.encode()):08x}"


def read(path: Path) -> MenderConf:
    """What `path` says.

    Raises:
        NotFound: there is no such file, or it names no server.
        Invalid: it is not JSON, or a value is of the wrong kind; the sentence names the file and the key.
        Unavailable: it is there and cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(
            f"{path} does not exist: without a ServerURL in it nothing is sent, everything is kept"
        ) from None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise Invalid(f"{path} is larger than {MAX_BYTES} bytes")
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path} is not JSON: {error}") from None
    if not isinstance(table, dict):
        raise Invalid(f"{path} must hold one JSON object")
    return _parse({str(key).casefold(): value for key, value in table.items()}, path)


def _parse(table: dict[str, Any], path: Path) -> MenderConf:
    url = _text(table, "ServerURL", path) or _first_server(table, path)
    if not url:
        raise NotFound(f"{path} names no ServerURL: nothing is sent, everything is kept")
    certificate = _text(table, "ServerCertificate", path)
    skip_verify = table.get("skipverify") or False
    if not isinstance(skip_verify, bool):
        raise Invalid(f"{path}: SkipVerify must be true or false")
    key_type = (_text(table, "DeviceKeyType", path) or KEY_TYPES[0]).casefold()
    if key_type not in KEY_TYPES:
        raise Invalid(f"{path}: DeviceKeyType must be one of {', '.join(KEY_TYPES)}")
    try:
        return MenderConf(
            server_url=url.rstrip("/"),
            tenant_token=_text(table, "TenantToken", path),
            server_certificate=Path(certificate) if certificate else None,
            skip_verify=skip_verify,
            key_type=key_type,
            update_poll_interval_s=_interval(table, "UpdatePollIntervalSeconds"),
        )
    except Invalid as error:
        raise Invalid(f"{path}: {error}") from None


def _text(table: dict[str, Any], key: str, path: Path) -> str:
    """The text at `key` without surrounding space; "" when it is absent or null."""
    value = table.get(key.casefold())
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Invalid(f"{path}: {key} must be a text")
    return value.strip()


def _interval(table: dict[str, Any], key: str) -> int | None:
    """Seconds; None when it is absent, or none that count: no reason not to deliver alerts."""
    value = table.get(key.casefold())
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _first_server(table: dict[str, Any], path: Path) -> str:
    servers = table.get("servers") or []
    if not isinstance(servers, list) or not all(isinstance(server, dict) for server in servers):
        raise Invalid(f'{path}: Servers must be a list of objects like {{"ServerURL": "https://host"}}')
    for server in servers:
        if url := _text({str(key).casefold(): value for key, value in server.items()}, "ServerURL", path):
            return url
    return ""
