"""People: who they are, their passwords and second factors."""

from base64 import b64decode
from pathlib import Path
from typing import Any, Final

from vedette.cli.client import path
from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.errors import Usage
from vedette.cli.output import Columns, key, moment
from vedette.errors import NotFound, Unavailable

USERADM: Final = "/api/management/v1/useradm"
USERS: Final = f"{USERADM}/users"

FIELDS: Final[Columns] = {
    "id": key("id"),
    "e-mail": key("email"),
    "roles": key("roles"),
    "verified": key("verified"),
    "second factor": key("tfa_status"),
    "created": moment("created_ts"),
    "last login": moment("login_ts"),
}


def list_users(context: Context) -> None:
    columns: Columns = {
        "ID": key("id"),
        "E-MAIL": key("email"),
        "LAST LOGIN": moment("login_ts"),
        "2FA": key("tfa_status"),
        "ROLES": key("roles"),
    }
    context.out.table(context.client.get(USERS)[: context.options.limit], columns)


def show(context: Context) -> None:
    context.out.record(context.client.get(path(USERS + "/{}", _id(context))), FIELDS)


def add(context: Context) -> None:
    options = context.options
    body: dict[str, Any] = {"email": options.email, "roles": options.role}
    if options.invite:
        body["send_reset_password"] = True
    else:
        body["password"] = context.secret("Password of the new user")
    answer = context.client.call("POST", USERS, body=body)
    made = answer.headers.get("Location", "").rpartition("/")[2]
    context.out.done(f"added {options.email}", {"id": made, "email": options.email})


def change(context: Context) -> None:
    options = context.options
    user = _id(context)
    body: dict[str, Any] = {}
    if options.role is not None:
        body["roles"] = options.role
    if options.no_roles:
        body["roles"] = []
    if options.email:
        body |= {"email": options.email}
        if user == "me":
            body["current_password"] = context.secret("Your password")
    context.client.call("PUT", path(USERS + "/{}", user), body=body)
    context.out.done(f"changed {options.user}", {"id": user})


def password(context: Context) -> None:
    body = {"current_password": context.secret("Old password"), "password": context.secret("New password")}
    context.client.call("PUT", path(USERS + "/{}", "me"), body=body)
    context.out.done("the password is changed; all other logins and tokens have ended", {"id": "me"})


def delete(context: Context) -> None:
    user = _id(context)
    context.confirm(f"Remove user {context.options.user}")
    context.client.call("DELETE", path(USERS + "/{}", user))
    context.out.done(f"removed {context.options.user}", {"id": user})


def exists(context: Context) -> None:
    found = context.client.get(f"{USERS}/exists", [("email", context.options.email)])
    context.out.record(found, {"exists": key("exists")})


def assign(context: Context) -> None:
    options = context.options
    body: dict[str, Any] = {"tenant_ids": options.tenants}
    if options.role:
        body["role"] = options.role
    context.client.call("POST", path(USERS + "/{}/assign", options.user), body=body)
    context.out.done(f"{options.user} may act in {', '.join(options.tenants)}", body)


def second_factor(context: Context) -> None:
    match context.options.step:
        case "start":
            _start_second_factor(context)
        case "verify":
            context.client.call("PUT", f"{USERADM}/2faverify", body={"token2fa": context.secret("Code").strip()})
            context.out.done("from now on, a code is asked for at login", {"tfa_status": "enabled"})
        case "disable":
            user = _id(context)
            context.client.call("POST", path(USERS + "/{}/2fa/disable", user), body=_proof(context, user))
            context.out.done(f"no code is asked for at the login of {context.options.user}", {"tfa_status": "disabled"})


def _proof(context: Context, user: str) -> dict[str, str]:
    """What shows that one's own second factor is not turned off by somebody who has found an open terminal."""
    me = context.client.get(f"{USERS}/me")
    if user not in {"me", me["id"]} or me.get("tfa_status") != "enabled":
        return {}
    if context.options.code:
        return {"token2fa": context.secret("Code").strip()}
    return {"current_password": context.secret("Your password")}


def _start_second_factor(context: Context) -> None:
    """The picture holds the secret, so it goes into a file that nobody else can read."""
    if context.options.picture is None:
        raise Usage("name a file for the picture that your app reads: --picture FILE.png")
    if context.options.user != "me":
        raise Usage("a second factor can only be started by its user")
    file = Path(context.options.picture)
    context.client.call("POST", path(USERS + "/{}/2fa/enable", "me"))
    picture = b64decode(context.client.get(f"{USERADM}/2faqr")["qr"])
    try:
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(picture)
    except OSError as exc:
        raise Unavailable(f"--picture {file}: it cannot be written: {exc.strerror}") from exc
    context.out.done(
        f"read {file} with your app, then: vedette users 2fa verify; and remove the file", {"picture": str(file)}
    )


def reset(context: Context) -> None:
    context.client.call("POST", f"{USERADM}/auth/password-reset/start", body={"email": context.options.email})
    context.out.done("if there is such a user, a mail with a link is on its way", {"email": context.options.email})


def verify(context: Context) -> None:
    context.client.call("POST", f"{USERADM}/auth/verify-email/start", body={"email": context.options.email})
    context.out.done("if there is such a user, a mail with a link is on its way", {"email": context.options.email})


def _id(context: Context) -> str:
    """By id or address; `me` is who is logged in."""
    text: str = context.options.user
    if "@" not in text:
        return text
    found = context.client.get(USERS, [("email", text)])
    if not found:
        raise NotFound(f"there is no user {text}")
    return str(found[0]["id"])


_USER: Final = arg("user", metavar="USER", help="address or id; `me` is yourself")
_ROLE: Final = arg("--role", metavar="ROLE", action="append", help="a role, see `vedette roles list`; may be repeated")

TREE: Final[Tree] = {
    "users": {
        "list": Command(help="list users", run=list_users, paged=True, examples=("vedette users list",)),
        "show": Command(
            help="show a user",
            run=show,
            arguments=(_USER,),
            examples=("vedette users show me", "vedette users show ann@example.com --json"),
        ),
        "add": Command(
            help="add a user; the password is asked for, or read from standard input",
            run=add,
            arguments=(
                arg("email", metavar="ADDRESS", help="the address that this user logs in with"),
                _ROLE,
                arg("--invite", action="store_true", help="mail a link to choose a password instead"),
            ),
            examples=(
                "vedette users add bob@example.com --role RBAC_ROLE_OBSERVER < password-file",
                "vedette users add cat@example.com --role RBAC_ROLE_OBSERVER --invite",
            ),
            notes="Without --role the user may do everything.",
        ),
        "change": Command(
            help="change roles or the address of a user",
            run=change,
            arguments=(
                _USER,
                _ROLE,
                arg("--no-roles", action="store_true", help="take all roles away"),
                arg("--email", metavar="ADDRESS", help="another address"),
            ),
            examples=("vedette users change bob@example.com --role RBAC_ROLE_PERMIT_ALL",),
        ),
        "password": Command(
            help="change your own password; it is asked for, or read from two lines of standard input",
            run=password,
            examples=("vedette users password",),
        ),
        "delete": Command(
            help="remove a user",
            run=delete,
            asks=True,
            arguments=(_USER,),
            examples=("vedette users delete bob@example.com --yes",),
        ),
        "2fa": Command(
            help="second factor at login: start (a picture for your app), verify (the first code), disable",
            run=second_factor,
            arguments=(
                arg("step", choices=("start", "verify", "disable"), help="what to do"),
                arg("user", metavar="USER", nargs="?", default="me", help="disable: of whom (me)"),
                arg("--picture", metavar="FILE", help="start: new file for the picture, PNG"),
                arg("--code", action="store_true", help="disable: show that it is you by a code, not by your password"),
            ),
            examples=(
                "vedette users 2fa start --picture 2fa.png",
                "vedette users 2fa verify",
                "vedette users 2fa disable bob@example.com",
            ),
        ),
        "reset": Command(
            help="mail a link to choose another password",
            run=reset,
            arguments=(arg("email", metavar="ADDRESS", help="address of the user"),),
            examples=("vedette users reset bob@example.com",),
        ),
        "verify": Command(
            help="mail a link to prove that an address is one's own; a second factor needs it",
            run=verify,
            arguments=(arg("email", metavar="ADDRESS", help="address of the user"),),
            examples=("vedette users verify ann@example.com",),
        ),
        "exists": Command(
            help="tell whether an address belongs to a user",
            run=exists,
            arguments=(arg("email", metavar="ADDRESS", help="the address"),),
            examples=("vedette users exists bob@example.com",),
        ),
        "assign": Command(
            help="let a user of a service provider act in tenants of its customers",
            run=assign,
            arguments=(
                arg("user", metavar="USER", help="address or id"),
                arg("tenants", metavar="TENANT", nargs="+", help="id of a tenant"),
                arg("--role", metavar="ROLE", help="as what (RBAC_ROLE_OBSERVER)"),
            ),
            examples=("vedette users assign bob@example.com 65f0c2d4e8b1a93f7c6d5e42",),
        ),
    }
}
