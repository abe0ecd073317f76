"""The logins of this account on this machine: one file that only its owner can read.

A token is kept with the address of the server that gave it, and shown to no other.
"""

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from vedette.errors import Invalid, Unavailable

NAME: Final = "logins.json"
MAX_SIZE: Final = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One server, and the token for it."""

    token: str = field(repr=False)
    email: str
    ca: str = ""  # path of the certificates it is trusted by; empty: those of the machine
    personal: bool = False  # the token was made elsewhere, and does not end with a logout here
    plain: bool = False  # its user accepts that others on the way can read along


@dataclass(frozen=True, slots=True)
class Logins:
    """All of them, and which one counts when no server is named."""

    current: str = ""
    by_server: Mapping[str, Login] = field(default_factory=dict)

    def with_login(self, server: str, login: Login) -> "Logins":
        """The same with this one, which becomes the current one."""
        return Logins(server, {**self.by_server, server: login})

    def without(self, server: str) -> "Logins":
        """The same without this one."""
        rest = {name: login for name, login in self.by_server.items() if name != server}
        return replace(self, by_server=rest, current="" if self.current == server else self.current)


def directory(environ: Mapping[str, str]) -> Path:
    """Where the file is. Source: XDG Base Directory Specification 0.8: relative paths do not count."""
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():
        base = Path(environ.get("HOME") or Path.home()) / ".config"
    return base / "vedette"


def load(where: Path) -> Logins:
    """The logins stored in the directory `where`; none when there is no file.

    Raises:
        Invalid: others can read or could have written the file, or it is not what `store` writes.
    """
    file = where / NAME
    try:
        with file.open("rb") as opened:
            state = os.fstat(opened.fileno())
            if state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077:
                raise Invalid(f"{file} must belong to you and be open to nobody else: chmod 600, or log in again")
            text = opened.read(MAX_SIZE + 1)
    except FileNotFoundError:
        return Logins()
    except OSError as exc:
        raise Unavailable(f"{file} cannot be read: {exc.strerror}") from exc
    try:
        table: dict[str, Any] = json.loads(text)
        logins = {server: Login(**each) for server, each in table["logins"].items()}
        return Logins(str(table["current"]), logins)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise Invalid(f"{file} is damaged; remove it and log in again") from exc


def store(where: Path, logins: Logins) -> None:
    """Replace what is stored: all of it or nothing. Raises Unavailable."""
    table = {"current": logins.current, "logins": {name: asdict(each) for name, each in logins.by_server.items()}}
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        where.chmod(0o700)
        handle, name = tempfile.mkstemp(dir=where, prefix=NAME)  # readable by nobody else, from the beginning
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                json.dump(table, opened, indent=2)
                opened.flush()
                os.fsync(opened.fileno())
            Path(name).replace(where / NAME)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as exc:
        raise Unavailable(f"the login cannot be stored in {where}: {exc.strerror}") from exc
