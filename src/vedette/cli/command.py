"""What a command is made of, and what it is given when it runs."""

import argparse
import getpass
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from vedette.cli import logins
from vedette.cli.client import Client, on_this_machine, server_url
from vedette.cli.errors import Usage
from vedette.cli.logins import Login
from vedette.cli.output import Output
from vedette.clock import Clock, SystemClock
from vedette.errors import Unauthenticated

MAX_LINE: Final = 4096  # bytes of a password, code or token


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, as `argparse.ArgumentParser.add_argument` takes it."""

    names: tuple[str, ...]
    options: Mapping[str, Any]


def arg(*names: str, **options: Any) -> Argument:
    """An argument of a command."""
    return Argument(names, options)


@dataclass
class Context:
    """What a command works with."""

    options: argparse.Namespace
    out: Output
    environ: Mapping[str, str]
    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], None] = time.sleep

    @cached_property
    def logins_directory(self) -> Path:
        return logins.directory(self.environ)

    @cached_property
    def stored(self) -> logins.Logins:
        return logins.load(self.logins_directory)

    @cached_property
    def server(self) -> str:
        """The server that is meant: --server, else VEDETTE_SERVER, else where the last login was."""
        named = self.options.server or self.environ.get("VEDETTE_SERVER") or self.stored.current
        if not named:
            raise Unauthenticated("you are not logged in: vedette login URL")
        return server_url(named)

    @cached_property
    def login(self) -> Login:
        """The login that counts for this server: VEDETTE_TOKEN, else what is stored for it."""
        token = self.environ.get("VEDETTE_TOKEN", "").strip()
        if token:
            return Login(token=token, email="", personal=True)
        found = self.stored.by_server.get(self.server)
        if found is None:
            raise Unauthenticated(f"you are not logged in to {self.server}: vedette login {self.server}")
        return found

    @cached_property
    def client(self) -> Client:
        """The server, asked by who is logged in."""
        login = self.login
        return self.connect(login.token, ca=login.ca, plain=login.plain)

    def connect(self, token: str = "", *, ca: str = "", plain: bool = False) -> Client:
        """The server, asked with `token`, which is not sent where others can read it unless `plain`. Raises Usage."""
        if self.server.startswith("http:") and not (plain or self.options.plain_http or on_this_machine(self.server)):
            raise Usage(
                f"{self.server} is not https: everybody on the way could read your password and token;"
                " --plain-http sends them nevertheless"
            )
        file = self.options.ca or self.environ.get("VEDETTE_CA") or ca
        return Client(self.server, token, ca=Path(file) if file else None, timeout_s=self.options.timeout)

    def listed(self, where: str, query: Sequence[tuple[str, object | None]] = (), **more: Any) -> list[Any]:
        """A list in pages, as far as --limit reaches; when the server has more, a note says so."""
        found = self.client.pages(where, query, limit=self.options.limit, **more)
        if found.more and self.options.limit is None:
            self.out.note(f"only the first {len(found.items)} are shown; --limit N shows more")
        return found.items

    def secret(self, prompt: str) -> str:
        """A password, code or token: asked for on a terminal, else a line of standard input. Raises Usage."""
        if sys.stdin.isatty():
            try:
                return getpass.getpass(prompt + ": ")
            except EOFError:
                raise Usage(f"no {prompt.lower()} was given") from None
        try:
            line = sys.stdin.buffer.readline(MAX_LINE).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise Usage(f"standard input: the {prompt.lower()} is not UTF-8") from None
        if not line:
            raise Usage(f"standard input has no {prompt.lower()}")
        return line

    def confirm(self, what: str) -> None:
        """Have it confirmed that `what` shall be done, by --yes or on the terminal. Raises Usage."""
        if self.options.yes:
            return
        if not sys.stdin.isatty():
            raise Usage(f"{what}? Nobody is here to be asked; say --yes")
        print(f"{what}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline(MAX_LINE).strip().lower() not in {"y", "yes"}:
            raise Usage("nothing was done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that can be typed.

    Attributes:
        help: what it does, as an order.
        run: does it.
        examples: how it is typed, complete.
        paged: it prints a list that can be long, so it takes --limit.
        asks: it destroys something, so it takes --yes.
        notes: what else has to be known, below the arguments.
    """

    help: str
    run: Callable[[Context], None]
    examples: tuple[str, ...]
    arguments: tuple[Argument, ...] = ()
    paged: bool = False
    asks: bool = False
    notes: str = ""


Tree = Mapping[str, Command | Mapping[str, Command]]
"""What a module of `commands` has: commands by name, alone or below a common word."""


def positive(text: str) -> int:
    """A number of things."""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a number from 1 to 1000000")
    return int(text)


def seconds(text: str) -> float:
    """A time to wait."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a number of seconds, up to a day")
    return value
