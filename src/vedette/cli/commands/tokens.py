"""Personal access tokens: what programs log in with, as mighty as who made them."""

import argparse
import re
from typing import Final

from vedette.cli.client import path
from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.errors import Usage
from vedette.cli.output import Columns, key, moment
from vedette.errors import NotFound

TOKENS: Final = "/api/management/v1/useradm/settings/tokens"
UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def list_tokens(context: Context) -> None:
    columns: Columns = {
        "ID": key("id"),
        "CREATED": moment("created_ts"),
        "LAST USED": moment("last_used"),
        "ENDS": moment("expiration_date"),
        "NAME": key("name"),
    }
    context.out.table(context.client.get(TOKENS), columns)


def add(context: Context) -> None:
    body = {"name": context.options.name, "expires_in": context.options.expires}
    token = context.client.call("POST", TOKENS, body=body, headers={"Accept": "*/*"}).body.decode("ascii", "replace")
    if not context.out.as_json:
        context.out.note("keep it: it is shown only now")
    context.out.done(token, {"name": context.options.name, "token": token})


def delete(context: Context) -> None:
    wanted = context.options.token
    found = [each["id"] for each in context.client.get(TOKENS) if wanted in (each["id"], each["name"])]
    if not found:
        raise NotFound(f"you have no token {wanted!r}")
    if len(found) > 1:
        raise Usage(f"{wanted!r} could be several tokens; give the id")
    context.client.call("DELETE", path(TOKENS + "/{}", found[0]))
    context.out.done(f"token {wanted} has ended", {"id": found[0]})


def duration(text: str) -> int:
    """A time like 90d, in seconds."""
    found = re.fullmatch("([0-9]{1,9})([smhd]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a time like 90d, 12h, 30m")
    return int(found[1]) * UNITS[found[2]]


TREE: Final[Tree] = {
    "tokens": {
        "list": Command(help="list your tokens", run=list_tokens, examples=("vedette tokens list",)),
        "add": Command(
            help="make a token; it is printed once",
            run=add,
            arguments=(
                arg("name", metavar="NAME", help="what it is for"),
                arg("--expires", type=duration, default=0, metavar="TIME", help="like 90d; without, it does not end"),
            ),
            examples=("vedette tokens add ci --expires 90d",),
        ),
        "delete": Command(
            help="end a token",
            run=delete,
            arguments=(arg("token", metavar="TOKEN", help="name or id"),),
            examples=("vedette tokens delete ci",),
        ),
    }
}
