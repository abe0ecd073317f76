"""Everything the server can be told, from a file, the environment and the command line, in this order of strength."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from vedette.errors import Invalid

PREFIX: Final = "VEDETTE_"
Network = IPv4Network | IPv6Network
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
# Goes into a header and into SMTP as it is (RFC 5321, section 4.1.2: Dot-string and Domain; no quoting, no literals).
_MAIL_FROM: Final = re.compile(
    r"(?=.{3,254}\Z)(?=[^@]{1,64}@)[!#-'*+/-9=?A-Z^-~-]+(\.[!#-'*+/-9=?A-Z^-~-]+)*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
# The start of every link: a host and perhaps a path, but no password, query or blank.
_PUBLIC_URL: Final = re.compile(
    r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!$&'()*+,./:;=@A-Za-z0-9_~-]*)?"
)

_ISSUER: Final = re.compile(r"https://[^\s?#@]+|http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?(/[^\s?#@]*)?")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the server was told. A test compares the names with docs/settings.md.

    Raises:
        Invalid: a value that cannot work, naming the setting.
    """

    listen: str = "127.0.0.1:8080"  # HOST:PORT, IPv6 as [::1]:8080; port 0 takes any free one
    internal_listen: str = ""  # HOST:PORT of this machine alone; empty: internal paths are not served
    data: Path = field(default_factory=lambda: default_data())  # database, lock, everything that must survive
    database: str = ""  # URL; empty: SQLite inside `data`
    smtp: str = field(default="", repr=False)  # smtp://[user:password@]host:port; empty: no mail leaves
    mail_from: str = "vedette@localhost"
    public_url: str = ""  # as people reach the server, for links in mails; empty: http(s)://`listen`
    tls_cert: str = ""  # PEM files; both or none
    tls_key: str = ""
    trusted_proxies: str = ""  # addresses or networks, with commas between; only these are believed X-Forwarded-*
    oidc_issuer: str = ""  # URL of an identity provider (OpenID Connect); empty: people log in here only
    oidc_name: str = "single sign-on"  # what people know it by
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)  # empty: a public client, by PKCE alone
    oidc_tenant: str = "default"  # whose users they are
    oidc_groups_claim: str = "groups"
    oidc_roles: str = ""  # GROUP=ROLE, with commas between; empty: users and their roles are made here
    user_calls_per_minute: str = "0"  # of one user, to the management API and the pages; 0: any number
    device_calls_per_minute: str = "0"  # of one device
    alert_days: str = "365"  # alerts that came in longer ago are forgotten; 0: never
    log_level: str = "info"

    def __post_init__(self) -> None:
        self.address  # noqa: B018 - each of these refuses what cannot work
        self.internal_address  # noqa: B018
        self.proxies  # noqa: B018
        self.oidc_role_map  # noqa: B018
        if self.oidc_issuer and not (_ISSUER.fullmatch(self.oidc_issuer) and self.oidc_client_id):
            raise Invalid(
                "settings oidc_issuer and oidc_client_id: expected https://HOST[:PORT][/PATH] (http on this machine"
                " only) and what the provider calls this server"
            )
        self.calls_of_user  # noqa: B018
        self.calls_of_device  # noqa: B018
        self.days_of_alerts  # noqa: B018
        if self.smtp:
            _smtp(self.smtp)
        if self.public_url and not _PUBLIC_URL.fullmatch(self.public_url):
            raise Invalid("setting public_url: expected https://HOST[:PORT][/PATH], without a user, a query or blanks")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise Invalid("settings tls_cert and tls_key: give both or none")
        if self.log_level not in LOG_LEVELS:
            raise Invalid(f"setting log_level: {self.log_level!r} is none of {', '.join(LOG_LEVELS)}")
        if not _MAIL_FROM.fullmatch(self.mail_from):
            raise Invalid(
                f"setting mail_from: {self.mail_from!r} is not a plain mail address; expected one like"
                " vedette@example.com, in ASCII, without a name before it"
            )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        return _address("listen", self.listen)

    @property
    def internal_address(self) -> tuple[str, int] | None:
        """Host and port for internal paths, where nobody shows a token: on this machine alone."""
        if not self.internal_listen:
            return None
        host, port = _address("internal_listen", self.internal_listen)
        with suppress(ValueError):
            if ip_address(host).is_loopback:
                return host, port
        raise Invalid(
            f"setting internal_listen: {host[:80]!r} is no loopback address; who reaches it may do everything,"
            " so give 127.0.0.1:PORT or [::1]:PORT"
        )

    @property
    def proxies(self) -> tuple[Network, ...]:
        """From where `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
        try:
            return tuple(ip_network(each.strip()) for each in self.trusted_proxies.split(",") if each.strip())
        except ValueError as exc:
            raise Invalid(
                f"setting trusted_proxies: {exc}; expected addresses or networks, like 127.0.0.1, 10.0.0.0/8"
            ) from exc

    @property
    def oidc_role_map(self) -> Mapping[str, str]:
        """What the groups of the identity provider mean here."""
        pairs = [each.strip().rpartition("=") for each in self.oidc_roles.split(",") if each.strip()]
        if not all(group.strip() and role.strip() for group, _, role in pairs):
            raise Invalid("setting oidc_roles: expected GROUP=ROLE, with commas between")
        return {group.strip(): role.strip() for group, _, role in pairs}

    @property
    def calls_of_user(self) -> int:
        return _number("user_calls_per_minute", self.user_calls_per_minute)

    @property
    def calls_of_device(self) -> int:
        return _number("device_calls_per_minute", self.device_calls_per_minute)

    @property
    def days_of_alerts(self) -> int:
        return _number("alert_days", self.alert_days)

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data.absolute() / 'vedette.db'}"

    @property
    def base_url(self) -> str:
        """How people reach this server, without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        return f"{'https' if self.tls_cert else 'http'}://{self.listen}"


def default_data() -> Path:
    """/var/lib/vedette for root, else the user's own data directory (XDG Base Directory Specification)."""
    if os.geteuid() == 0:
        return Path("/var/lib/vedette")
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".local/share") / "vedette"


NAMES: Final = tuple(each.name for each in fields(Settings))
NOT_SETTINGS: Final = frozenset({"CONFIG", "SERVER", "TOKEN", "CA"})
"""What begins as settings do in the environment and is none: the file of settings; what clients read (docs/cli.md)."""


def load(options: Mapping[str, str], environ: Mapping[str, str], config: Path | None = None) -> Settings:
    """Settings from `options` over `environ` over the TOML file `config` over the defaults.

    Args:
        options: by setting name; only those that were given.
        environ: `VEDETTE_` and the name in capitals; `VEDETTE_CONFIG` names the file when `config` is None.
    Raises:
        Invalid: an unknown name (with the nearest one that exists), a value of the wrong type, an unreadable file.
    """
    if config is None and environ.get(PREFIX + "CONFIG"):
        config = Path(environ[PREFIX + "CONFIG"])
    values: dict[str, Any] = {} if config is None else _read(config)
    for key, value in environ.items():
        if key.startswith(PREFIX) and key.removeprefix(PREFIX) not in NOT_SETTINGS:
            values[_known(key.removeprefix(PREFIX).lower(), f"environment variable {key}")] = value
    values |= options
    if "data" in values:
        if not values["data"]:
            raise Invalid("setting data: give a directory, not an empty text")
        values["data"] = Path(values["data"])
    return Settings(**values)


def _address(name: str, text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise Invalid(f"setting {name}: {text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _read(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise Invalid(f"settings file {path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise Invalid(f"settings file {path}: {exc}") from exc
    for name, value in table.items():
        _known(name, f"settings file {path}: key {name}")
        if not isinstance(value, str):
            raise Invalid(f"settings file {path}: {name} needs a string in quotes")
    return table


def _known(name: str, where: str) -> str:
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.0)
        raise Invalid(f"{where}: there is no setting {name!r}; the nearest is {near[0]!r}")
    return name


def _number(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text):
        raise Invalid(f"setting {name}: {text[:40]!r} is no number from 0 to 999999")
    return int(text)


def _smtp(url: str) -> None:
    """Refuse what is no SMTP server, without repeating a password."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"smtp", "smtps"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        good = False
    if not good:
        raise Invalid("setting smtp: expected smtp://[user:password@]host:port")
