"""Settings that the server keeps for the tenant, or for oneself: any JSON."""

import json
from typing import Any, Final

from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.commands.devices import pair
from vedette.cli.errors import Usage
from vedette.cli.output import Columns, key
from vedette.errors import Changed, NotFound

SETTINGS: Final = "/api/management/v1/useradm/settings"
TRIES: Final = 3  # to change what somebody else changes at the same time


def show(context: Context) -> None:
    found = context.client.get(_where(context))
    if context.out.as_json:
        context.out.value(found)
        return
    columns: Columns = {"NAME": key("name"), "VALUE": lambda item: json.dumps(item["value"])}
    context.out.table([{"name": name, "value": value} for name, value in found.items()], columns)


def change(context: Context) -> None:
    options = context.options
    given = {name: _value(text) for name, text in map(pair, options.values)}
    if not given and not options.unset:
        raise Usage("say what to change: NAME=VALUE, or --unset NAME")
    for left in reversed(range(TRIES)):
        answer = context.client.call("GET", _where(context))
        before: dict[str, Any] = answer.json()
        if missing := sorted(set(options.unset) - before.keys()):
            raise NotFound(f"there is no setting {missing[0]!r}")
        wanted = {name: value for name, value in (before | given).items() if name not in options.unset}
        etag = answer.headers.get("ETag")
        try:
            context.client.call("POST", _where(context), body=wanted, headers={"If-Match": etag} if etag else {})
            break
        except Changed:  # since we have looked: what the other one has done stays
            if not left:
                raise
    context.out.done("the settings are stored", wanted)


def _where(context: Context) -> str:
    return f"{SETTINGS}/me" if context.options.mine else SETTINGS


def _value(text: str) -> Any:
    """JSON where it is some, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


_MINE: Final = arg("--mine", action="store_true", help="your own, not those of the tenant")

TREE: Final[Tree] = {
    "settings": {
        "show": Command(
            help="show the settings",
            run=show,
            arguments=(_MINE,),
            examples=("vedette settings show", "vedette settings show --mine --json"),
        ),
        "set": Command(
            help="change settings",
            run=change,
            arguments=(
                arg("values", metavar="NAME=VALUE", nargs="*", help="values are JSON, or text"),
                arg(
                    "--unset", metavar="NAME", action="append", default=[], help="a setting to remove; may be repeated"
                ),
                _MINE,
            ),
            examples=("vedette settings set offlineThreshold=3600", "vedette settings set --mine theme=dark"),
        ),
    }
}
