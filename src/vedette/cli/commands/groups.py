"""Static groups: a device is in one at most, and a group is there while it has devices."""

from typing import Final

from vedette.cli import references
from vedette.cli.client import path
from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.output import Columns, key

GROUPS: Final = "/api/management/v1/inventory/groups"
MAX_AT_ONCE: Final = 5000  # devices in one call


def list_groups(context: Context) -> None:
    names = context.client.get(GROUPS, [("status", context.options.status)])
    if context.out.as_json:
        context.out.value(names)
    else:
        context.out.rows(["GROUP"], ([name] for name in names))


def show(context: Context) -> None:
    ids = context.listed(path(GROUPS + "/{}/devices", context.options.name))
    if context.out.as_json:
        context.out.value(ids)
    else:
        columns: Columns = {"DEVICE": key("id")}
        context.out.table([{"id": each} for each in ids], columns)


def add(context: Context) -> None:
    _change(context, "PATCH", "in")


def remove(context: Context) -> None:
    _change(context, "DELETE", "no longer in")


def _change(context: Context, method: str, outcome: str) -> None:
    name = context.options.name
    ids = references.devices(context, context.options.devices)
    changed = 0
    for start in range(0, len(ids), MAX_AT_ONCE):
        answer = context.client.call(method, path(GROUPS + "/{}/devices", name), body=ids[start : start + MAX_AT_ONCE])
        changed += answer.json().get("updated_count", 0)
    context.out.done(f"{changed} of {len(ids)} devices are {outcome} group {name}", {"updated_count": changed})


def delete(context: Context) -> None:
    name = context.options.name
    context.confirm(f"Take all devices out of group {name}")
    changed = context.client.call("DELETE", path(GROUPS + "/{}", name)).json().get("updated_count", 0)
    context.out.done(f"{changed} devices are no longer in group {name}", {"updated_count": changed})


_NAME: Final = arg("name", metavar="GROUP", help="name of the group")
_DEVICES: Final = arg("devices", metavar="DEVICE", nargs="+", help=references.HELP)

TREE: Final[Tree] = {
    "groups": {
        "list": Command(
            help="list the groups",
            run=list_groups,
            arguments=(arg("--status", metavar="STATUS", help="only those with devices of this status"),),
            examples=("vedette groups list",),
        ),
        "show": Command(
            help="list the devices of a group",
            run=show,
            paged=True,
            arguments=(_NAME,),
            examples=("vedette groups show oslo --json",),
        ),
        "add": Command(
            help="put devices into a group, out of the one they are in",
            run=add,
            arguments=(_NAME, _DEVICES),
            examples=("vedette groups add oslo de:ad:be:ef:00:01",),
        ),
        "remove": Command(
            help="take devices out of a group",
            run=remove,
            arguments=(_NAME, _DEVICES),
            examples=("vedette groups remove oslo de:ad:be:ef:00:01",),
        ),
        "delete": Command(
            help="take all devices out of a group",
            run=delete,
            asks=True,
            arguments=(_NAME,),
            examples=("vedette groups delete oslo --yes",),
        ),
    }
}
