"""What `vedette server`, `vedette tenant` and `vedette user` understand, and what they print."""

import argparse
import asyncio
import getpass
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvloop

from vedette.errors import Invalid, VedetteError
from vedette.server import feed_commands, storage_commands
from vedette.server.access import service as access
from vedette.server.access import tenant_service, tenants
from vedette.server.access.roles import ADMIN
from vedette.server.db import UserScope
from vedette.server.runtime import serve
from vedette.server.services import open_services
from vedette.server.settings import LOG_LEVELS, NAMES, Settings, load

HELP: Final[Mapping[str, str]] = {
    "listen": "HOST:PORT to listen on (127.0.0.1:8080)",
    "internal_listen": "HOST:PORT on a loopback address for internal paths, which ask for no token (not served)",
    "data": "directory for everything that must survive (/var/lib/vedette as root, else ~/.local/share/vedette)",
    "database": "URL of the database (SQLite inside the data directory)",
    "smtp": "mail server, smtp://[user:password@]host:port; a password is better kept in the file or the environment",
    "mail_from": "sender of mails",
    "public_url": "how people reach the server, for links in mails",
    "tls_cert": "PEM file with the certificate chain",
    "tls_key": "PEM file with the private key",
    "trusted_proxies": "addresses or networks of reverse proxies, whose X-Forwarded-For and -Proto are believed",
    "oidc_issuer": "URL of an identity provider (OpenID Connect) that people may log in with",
    "oidc_name": "what people know it by, on the login page (single sign-on)",
    "oidc_client_id": "what the provider calls this server",
    "oidc_client_secret": "its secret, better kept in the file or the environment",
    "oidc_tenant": "the tenant of those who log in by it (default)",
    "oidc_groups_claim": "the claim that names their groups (groups)",
    "oidc_roles": "what these groups mean, GROUP=ROLE with commas between; without, users are made here first",
    "user_calls_per_minute": "how often one user may call in a minute, beyond it 429; 0: as often as he likes (0)",
    "device_calls_per_minute": "the same for one device (0)",
    "alert_days": "forget alerts that came in so many days ago, but for the newest of each subject; 0: never (365)",
    "log_level": f"one of {', '.join(LOG_LEVELS)}",
}
EPILOG: Final = """\
Every option is also a key in the file given by --config (TOML) and a variable VEDETTE_NAME in the environment.

examples:
  vedette server --listen 127.0.0.1:8080 --data ./data
  vedette tenant create factory --json --data ./data
  echo 'a good password' | vedette user create ann@example.com --tenant factory --password-stdin --data ./data
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = _parser().parse_args(argv)
    given = {name: value for name in NAMES if (value := getattr(options, name, None)) is not None}
    try:
        settings = load(given, os.environ, options.config)
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Formatter("%(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(handlers=[handler], level=settings.log_level.upper())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(options.run(settings, options))
    except VedetteError as exc:
        print(f"vedette: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1
    return 0


class _Formatter(logging.Formatter):
    """Nothing that comes from outside starts a line of its own in the log, or talks to a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        text = super().formatMessage(record)
        return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vedette", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EPILOG, allow_abbrev=False
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    server = _command(commands, "server", "run the management server", _server)
    _settings(server, NAMES)

    tenants = commands.add_parser("tenant", help="tenants", allow_abbrev=False).add_subparsers(required=True)
    create = _command(tenants, "create", "make a tenant and print its token", _create_tenant)
    create.add_argument("name", metavar="NAME")
    create.add_argument("--json", action="store_true", help="print JSON")
    create.add_argument("--service-provider", action="store_true", help="it may make tenants of its own, by the API")
    suspend = _command(tenants, "suspend", "let nobody of a tenant in, neither users nor devices", _suspend_tenant)
    resume = _command(tenants, "resume", "let a suspended tenant in again", _resume_tenant)
    for each in (suspend, resume):
        each.add_argument("name", metavar="NAME")
    listed = _command(tenants, "list", "print the tenants", _list_tenants)
    listed.add_argument("--json", action="store_true", help="print JSON, with the tokens")

    users = commands.add_parser("user", help="users", allow_abbrev=False).add_subparsers(required=True)
    user = _command(users, "create", "make a user", _create_user)
    user.add_argument("email", metavar="EMAIL")
    user.add_argument("--tenant", required=True, metavar="NAME")
    user.add_argument("--role", action="append", metavar="ROLE", help=f"may be repeated; without, {ADMIN}")
    user.add_argument(
        "--password-stdin",
        action="store_true",
        required=True,
        help="read the password from standard input; a terminal is asked for it",
    )
    listed = _command(users, "list", "print the users of every tenant", _list_users)
    listed.add_argument("--json", action="store_true", help="print JSON")

    for each in (create, suspend, resume, user, *(p for p in (tenants.choices["list"], users.choices["list"]))):
        _settings(each, ("data", "database"))
    for each in (*storage_commands.add_to(partial(_command, commands)), *feed_commands.add_to(commands, _command)):
        _settings(each, ("data", "database"))
    return parser


def _command(commands: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text.capitalize() + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EPILOG,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file, TOML")
    return parser


def _settings(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    for name in names:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar=name.upper(), help=HELP[name])


async def _server(settings: Settings, options: argparse.Namespace) -> None:
    await serve(settings)


async def _create_tenant(settings: Settings, options: argparse.Namespace) -> None:
    async with open_services(_existing(settings)) as services:
        tenant = await tenants.create_tenant(services, options.name, service_provider=options.service_provider)
    if options.json:
        print(json.dumps({"id": tenant.id, "name": tenant.name, "tenant_token": tenant.token}))
    else:
        print(f"id            {tenant.id}\nname          {tenant.name}\ntenant token  {tenant.token}")


async def _suspend_tenant(settings: Settings, options: argparse.Namespace) -> None:
    await _set_status(settings, options.name, "suspended")


async def _resume_tenant(settings: Settings, options: argparse.Namespace) -> None:
    await _set_status(settings, options.name, "active")


async def _set_status(settings: Settings, name: str, status: str) -> None:
    async with open_services(_existing(settings)) as services:
        tenant = await tenants.tenant_named(services, name)
        await tenant_service.set_status(services, tenant.id, status)
    print(f"tenant {tenant.name} is {status}")


async def _list_tenants(settings: Settings, options: argparse.Namespace) -> None:
    async with open_services(_existing(settings)) as services:
        found = await tenants.tenants(services)
    if options.json:
        print(json.dumps([{"id": each.id, "name": each.name, "tenant_token": each.token} for each in found]))
    else:
        for each in found:
            print(f"{each.id}  {each.status:9}  {each.name}")


async def _create_user(settings: Settings, options: argparse.Namespace) -> None:
    password = _read_password()
    async with open_services(_existing(settings)) as services:
        tenant = await tenants.tenant_named(services, options.tenant)
        roles = options.role or [ADMIN]
        user = await access.create_user(services, UserScope(tenant.id), options.email, password, roles)
    print(f"created user {user.email} in tenant {tenant.name}")


async def _list_users(settings: Settings, options: argparse.Namespace) -> None:
    async with open_services(_existing(settings)) as services:
        users = await access.accounts(services)
    if options.json:
        print(json.dumps([{"email": each.email, "tenant": each.tenant, "roles": each.roles} for each in users]))
    else:
        for each in users:
            print(f"{each.email}  {each.tenant}  {','.join(each.roles)}")


def _read_password() -> str:
    """The first line of standard input, without its end; on a terminal it is asked for. Raises Invalid."""
    if sys.stdin.isatty():
        return _ask_password()
    try:
        password = sys.stdin.buffer.readline(4096).decode().rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise Invalid("--password-stdin: what stands on standard input is not UTF-8") from exc
    if not password:
        raise Invalid("--password-stdin: standard input has no password")
    return password


def _ask_password() -> str:
    try:
        password = getpass.getpass("Password: ")
        if not password:
            raise Invalid("no password was given")
        if getpass.getpass("Once more: ") != password:
            raise Invalid("the two passwords differ")
    except (EOFError, UnicodeDecodeError) as exc:
        raise Invalid("no password was given") from exc
    return password


def _existing(settings: Settings) -> Settings:
    """`settings`, whose data directory must be there, lest a mistyped --data makes a second, empty server."""
    if not settings.database and not settings.data.is_dir():
        raise Invalid(f"data directory {settings.data}: there is none; start the server first or name it with --data")
    return settings
