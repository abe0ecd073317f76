"""What counts for devices, all layers together, and where they report something else."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from vedette.cli import references
from vedette.cli.client import path
from vedette.cli.command import Command, Context, arg
from vedette.cli.commands.rollouts import PREFIX
from vedette.cli.errors import Differs, Usage
from vedette.cli.output import Columns, counted, hidden, key
from vedette.errors import NotFound

MAX_COMPARED: Final = 500  # devices, each asked for by itself, unless --limit says otherwise


def effective(context: Context) -> None:
    found = _effective(context, references.device(context, context.options.device))
    if context.out.as_json:
        context.out.value(found)
        return
    values, reported = found["values"], found["reported"]
    columns: Columns = {
        "SETTING": key("name"),
        "VALUE": lambda item: values.get(item["name"], {}).get("value"),
        "LAYER": lambda item: values.get(item["name"], {}).get("layer"),
        "REPORTED": lambda item: reported.get(item["name"]),
    }
    context.out.table([{"name": name} for name in sorted({*values, *reported})], columns)


def diff(context: Context) -> None:
    options = context.options
    if options.devices and options.group:
        raise Usage("name devices or a --group, not both")
    ids = references.devices(context, options.devices) if options.devices else _accepted(context, options.group)
    found = [each for each in (_effective(context, device, missing_ok=True) for device in ids) if each]
    differing = [each for each in found if not each["in_sync"]]
    if context.out.as_json:
        context.out.value(differing)
    elif differing:
        columns: Columns = {
            "DEVICE": key("device"),
            "SETTING": key("name"),
            "WANTED": key("wanted"),
            "LAYER": key("layer"),
            "REPORTED": key("reported"),
            "DEPLOYMENT": key("deployment"),
        }
        context.out.table([line for each in differing for line in _drift(each)], columns)
    else:
        context.out.text(f"{counted(len(found), 'device')} reported what is wanted")
    if differing and options.exit_code:
        raise Differs(counted(len(differing), "device") + " differ from what is wanted")


def _drift(found: dict[str, Any]) -> Iterator[dict[str, object]]:
    names = sorted({name for names in found["drift"].values() for name in names})
    for name in names:
        wanted, reported = found["values"].get(name, {}), found["reported"].get(name)
        yield {
            "device": found["device"],
            "name": name,
            "wanted": None if not wanted else hidden(name, wanted["value"]),
            "layer": wanted.get("layer"),
            "reported": None if reported is None else hidden(name, reported),
            "deployment": found.get("deployment", {}).get("status"),
        }


def _accepted(context: Context, group: str | None) -> list[str]:
    filters = [{"scope": "identity", "attribute": "status", "type": "$eq", "value": "accepted"}]
    if group:
        filters.append({"scope": "system", "attribute": "group", "type": "$eq", "value": group})
    body = {"filters": filters, "attributes": [{"scope": "identity", "attribute": "status"}]}
    found = context.client.pages(references.SEARCH, limit=context.options.limit or MAX_COMPARED, body=body)
    if found.more and context.options.limit is None:
        context.out.note(f"only {len(found.items)} devices are compared; --limit N compares more")
    return [each["id"] for each in found.items]


def _effective(context: Context, device: str, *, missing_ok: bool = False) -> dict[str, Any]:
    try:
        found: dict[str, Any] = context.client.get(path(PREFIX + "/devices/{}/effective", device))
    except NotFound:
        if missing_ok:  # gone meanwhile, or it has no configuration yet
            return {}
        raise
    return found


EXIT_CODE: Final = arg("--exit-code", action="store_true", help="exit with 6 when there is a difference")

DRIFT: Final[Mapping[str, Command]] = {
    "effective": Command(
        help="show what counts for a device, and which layer says so",
        run=effective,
        arguments=(arg("device", metavar="DEVICE", help=references.HELP),),
        examples=("vedette config effective gate-7",),
    ),
    "diff": Command(
        help="show where devices report something else than what is wanted of them",
        run=diff,
        paged=True,
        arguments=(
            arg("devices", metavar="DEVICE", nargs="*", help="devices; without any, all that are accepted"),
            arg("--group", metavar="GROUP", help="all of this group"),
            EXIT_CODE,
        ),
        examples=("vedette config diff gate-7", "vedette config diff --group boats --exit-code"),
    ),
}
