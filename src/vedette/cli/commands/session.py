"""Who one is to the server: login, logout, whoami."""

from base64 import b64encode
from pathlib import Path
from typing import Final

from vedette.cli import logins
from vedette.cli.client import Client, server_url
from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.errors import Usage
from vedette.cli.logins import Login
from vedette.cli.output import key
from vedette.errors import Unauthenticated, Unavailable

USERADM: Final = "/api/management/v1/useradm"
TENANT: Final = "/api/management/v1/tenantadm/user/tenant"
ME: Final = f"{USERADM}/users/me"


def login(context: Context) -> None:
    options = context.options
    if options.server:
        raise Usage("vedette login takes the address of the server as an argument, not --server")
    options.server = options.url
    if options.with_token:
        token = context.secret("Token").strip()
    else:
        with context.connect() as nobody:
            token = _token(context, nobody, options.email or _email(context))
    trusted = str(Path(options.ca).resolve()) if options.ca else ""
    # Asked with the token, so that nothing is stored that does not work.
    with context.connect(token) as session:
        who = session.get(ME)
    kept = Login(
        token=token, email=str(who["email"]), ca=trusted, personal=options.with_token, plain=options.plain_http
    )
    logins.store(context.logins_directory, context.stored.with_login(context.server, kept))
    context.out.done(
        f"logged in to {context.server} as {who['email']}", {"server": context.server, "email": who["email"]}
    )


def _email(context: Context) -> str:
    known = context.stored.by_server.get(server_url(context.options.url))
    if known is None:
        raise Usage("say who you are: --email ADDRESS")
    return known.email


def _token(context: Context, client: Client, email: str) -> str:
    """Log in. The code of a second factor is asked for only where the server wants one."""
    password = context.secret("Password")
    basic = "Basic " + b64encode(f"{email}:{password}".encode()).decode()
    where, headers = f"{USERADM}/auth/login", {"Authorization": basic, "Accept": "*/*"}
    try:
        answer = client.call("POST", where, headers=headers)
    except Unauthenticated as refused:
        if "2fa" not in str(refused):
            raise Unauthenticated(f"e-mail or password is wrong, the server says: {refused}") from None
        answer = client.call("POST", where, headers=headers, body={"token2fa": context.secret("Code").strip()})
    token = answer.body.decode("ascii", "replace").strip()
    if answer.headers.get_content_type() != "application/jwt" or token.count(".") != 2:
        raise Unavailable(
            f"{client.url} gave no token: it is no such server, or you log in there by single sign-on; then use a"
            " personal access token, --with-token"
        )
    return token


def logout(context: Context) -> None:
    server = context.server
    if context.environ.get("VEDETTE_TOKEN"):
        raise Usage("the token is in VEDETTE_TOKEN: unset it, or end it with: vedette tokens delete")
    personal = context.login.personal
    # Forgotten here in any case: who logs out wants that, whether the server can be reached or not.
    client = context.client
    logins.store(context.logins_directory, context.stored.without(server))
    if not personal:
        try:
            client.call("POST", f"{USERADM}/auth/logout")
        except Unauthenticated:
            pass  # it has ended already
        except Unavailable as exc:
            raise Unavailable(f"the login is forgotten here, but the server could not be told: {exc}") from exc
    context.out.done(f"logged out of {server}", {"server": server})


def whoami(context: Context) -> None:
    user, tenant = context.client.get(ME), context.client.get(TENANT)
    found = {"server": context.server, "user": user, "tenant": {name: tenant[name] for name in ("id", "name")}}
    fields = {
        "server": key("server"),
        "user": key("user", "email"),
        "user id": key("user", "id"),
        "roles": key("user", "roles"),
        "second factor": key("user", "tfa_status"),
        "tenant": key("tenant", "name"),
    }
    context.out.record(found, fields)


TREE: Final[Tree] = {
    "login": Command(
        help="log in to a server; the password is asked for, or read from standard input",
        run=login,
        arguments=(
            arg("url", metavar="URL", help="address of the server"),
            arg("--email", metavar="ADDRESS", help="who you are; without, who logged in there before"),
            arg("--with-token", action="store_true", help="ask for a personal access token instead of a password"),
        ),
        examples=(
            "vedette login https://vedette.example.com --email ann@example.com",
            "vedette login https://vedette.example.com --email ann@example.com < password-file",
            "vedette login https://vedette.example.com --with-token < token-file",
        ),
        notes="A second line of standard input is the code of your second factor, if you have one.",
    ),
    "logout": Command(
        help="end the login, here and on the server",
        run=logout,
        examples=("vedette logout", "vedette logout --server https://vedette.example.com"),
        notes="A personal access token is only forgotten here; `vedette tokens delete` ends it.",
    ),
    "whoami": Command(
        help="show who is logged in, and where",
        run=whoami,
        examples=("vedette whoami", "vedette whoami --json"),
    ),
}
