"""Saved filters: groups whose devices are those that meet them."""

from typing import Any, Final

from vedette.cli import filters
from vedette.cli.client import path
from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.commands.devices import COLUMNS
from vedette.cli.errors import Usage
from vedette.cli.output import Columns, key
from vedette.errors import NotFound

FILTERS: Final = "/api/management/v2/inventory/filters"
MAX_FILTERS: Final = 1000  # the server has no more


def list_filters(context: Context) -> None:
    columns: Columns = {"ID": key("id"), "NAME": key("name"), "FILTERS": _terms}
    context.out.table(context.listed(FILTERS), columns)


def show(context: Context) -> None:
    found = context.client.get(path(FILTERS + "/{}", _id(context)))
    context.out.record(found, {"id": key("id"), "name": key("name"), "filters": _terms})


def members(context: Context) -> None:
    context.out.table(context.listed(path(FILTERS + "/{}/search", _id(context))), COLUMNS)


def add(context: Context) -> None:
    answer = context.client.call("POST", FILTERS, body=_body(context, context.options.name))
    made = answer.headers.get("Location", "").rpartition("/")[2]
    context.out.done(f"saved filter {made}", {"id": made})


def change(context: Context) -> None:
    filter_id = _id(context)
    now = context.client.get(path(FILTERS + "/{}", filter_id))
    body = _body(context, context.options.rename or now["name"])
    if not body["terms"]:
        body["terms"] = now["terms"]
    context.client.call("PUT", path(FILTERS + "/{}", filter_id), body=body)
    context.out.done(f"changed filter {filter_id}", {"id": filter_id, **body})


def delete(context: Context) -> None:
    filter_id = _id(context)
    context.confirm(f"Delete the saved filter {context.options.filter}")
    context.client.call("DELETE", path(FILTERS + "/{}", filter_id))
    context.out.done(f"deleted filter {filter_id}", {"id": filter_id})


def _body(context: Context, name: str) -> dict[str, Any]:
    return {"name": name, "terms": [filters.predicate(each) for each in context.options.filters]}


def _id(context: Context) -> str:
    """By id or name."""
    text = context.options.filter
    found = [
        each["id"]
        for each in context.client.pages(FILTERS, limit=MAX_FILTERS).items
        if text in (each["id"], each["name"])
    ]
    if len(found) > 1:
        raise Usage(f"{text!r} could be several filters; give the id")
    if not found:
        raise NotFound(f"there is no saved filter {text!r}")
    return str(found[0])


def _terms(item: dict[str, Any]) -> object:
    return [f"{each['scope']}/{each['attribute']} {each['type']} {each['value']}" for each in item["terms"]]


_FILTER: Final = arg("filter", metavar="NAME", help="name or id of the saved filter")

TREE: Final[Tree] = {
    "filters": {
        "list": Command(
            help="list the saved filters", run=list_filters, paged=True, examples=("vedette filters list",)
        ),
        "show": Command(
            help="show a saved filter", run=show, arguments=(_FILTER,), examples=("vedette filters show noisy",)
        ),
        "devices": Command(
            help="list the devices that meet a saved filter",
            run=members,
            paged=True,
            arguments=(_FILTER,),
            examples=("vedette filters devices noisy",),
        ),
        "add": Command(
            help="save a filter",
            run=add,
            arguments=(
                arg("name", metavar="NAME", help="what it is called"),
                arg("filters", metavar="FILTER", nargs="+", help="what must hold; see below"),
            ),
            examples=("vedette filters add noisy 'monitor/alert_count>=1'",),
            notes=filters.HELP,
        ),
        "change": Command(
            help="change a saved filter",
            run=change,
            arguments=(
                _FILTER,
                arg("filters", metavar="FILTER", nargs="*", help="what must hold; without, as before"),
                arg("--rename", metavar="NAME", help="another name"),
            ),
            examples=("vedette filters change noisy 'monitor/alert_count>10'",),
            notes=filters.HELP,
        ),
        "delete": Command(
            help="delete a saved filter",
            run=delete,
            asks=True,
            arguments=(_FILTER,),
            examples=("vedette filters delete noisy --yes",),
        ),
    }
}
