"""Roles: sets of permissions, for the whole tenant or for some groups."""

from typing import Any, Final

from vedette.cli.client import path
from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.errors import Usage
from vedette.cli.output import Columns, key

ROLES: Final = "/api/management/v2/useradm/roles"
SETS: Final = "/api/management/v2/useradm/permission_sets"


def list_roles(context: Context) -> None:
    columns: Columns = {"NAME": key("name"), "PERMISSIONS": _grants, "DESCRIPTION": key("description")}
    context.out.table(context.client.get(ROLES), columns)


def show(context: Context) -> None:
    found = context.client.get(path(ROLES + "/{}", context.options.name))
    context.out.record(found, {"name": key("name"), "description": key("description"), "permissions": _grants})


def add(context: Context) -> None:
    name = context.options.name
    body = {"name": name, "description": context.options.description or "", **_sets(context.options.permission)}
    context.client.call("POST", ROLES, body=body)
    context.out.done(f"added role {name}", body)


def change(context: Context) -> None:
    name = context.options.name
    body = context.client.get(path(ROLES + "/{}", name))
    if context.options.description is not None:
        body["description"] = context.options.description
    if context.options.permission:
        body |= _sets(context.options.permission)
    context.client.call("PUT", path(ROLES + "/{}", name), body=body)
    context.out.done(f"changed role {name}", body)


def delete(context: Context) -> None:
    name = context.options.name
    context.confirm(f"Delete role {name}")
    context.client.call("DELETE", path(ROLES + "/{}", name))
    context.out.done(f"deleted role {name}", {"name": name})


def permissions(context: Context) -> None:
    columns: Columns = {"NAME": key("name"), "SCOPES": key("supported_scope_types"), "DESCRIPTION": key("description")}
    context.out.table(context.client.get(SETS), columns)


def _sets(texts: list[str]) -> dict[str, Any]:
    """SET or SET:GROUP,GROUP."""
    sets: list[dict[str, Any]] = []
    for text in texts:
        name, separator, groups = text.partition(":")
        values = [each for each in groups.split(",") if each]
        if not name or (separator and not values):
            raise Usage(f"--permission {text!r}: say SET, or SET:GROUP,GROUP")
        sets.append({"name": name, "scope": {"type": "DeviceGroups", "value": values}} if values else {"name": name})
    return {"permission_sets_with_scope": sets}


def _grants(item: dict[str, Any]) -> list[str]:
    sets = item.get("permission_sets_with_scope") or ()
    named = [each["name"] + (":" + ",".join(each["scope"]["value"]) if "scope" in each else "") for each in sets]
    return named + [f"{each['object']['type']} {each['object']['value']}" for each in item.get("permissions") or ()]


_NAME: Final = arg("name", metavar="NAME", help="name of the role")
_DESCRIPTION: Final = arg("--description", metavar="TEXT", help="what it is for")
_HELP: Final = "permission set, for the whole tenant or with :GROUP,GROUP; may be repeated"

TREE: Final[Tree] = {
    "roles": {
        "list": Command(help="list roles", run=list_roles, examples=("vedette roles list",)),
        "show": Command(
            help="show a role", run=show, arguments=(_NAME,), examples=("vedette roles show RBAC_ROLE_OBSERVER",)
        ),
        "add": Command(
            help="add a role",
            run=add,
            arguments=(
                _NAME,
                _DESCRIPTION,
                arg("--permission", metavar="SET[:GROUP,...]", action="append", required=True, help=_HELP),
            ),
            examples=("vedette roles add oslo-team --permission ReadDevices --permission ManageDevices:oslo",),
        ),
        "change": Command(
            help="change a role",
            run=change,
            arguments=(
                _NAME,
                _DESCRIPTION,
                arg("--permission", metavar="SET[:GROUP,...]", action="append", help=_HELP + "; all are replaced"),
            ),
            examples=("vedette roles change oslo-team --permission ReadDevices:oslo",),
        ),
        "delete": Command(
            help="delete a role",
            run=delete,
            asks=True,
            arguments=(_NAME,),
            examples=("vedette roles delete oslo-team --yes",),
        ),
        "permissions": Command(
            help="list the permission sets there are", run=permissions, examples=("vedette roles permissions",)
        ),
    }
}
