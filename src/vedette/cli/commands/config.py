"""Settings of one device: what is wanted, what it reports, and bringing the one to the other. Of many: layers.py."""

import json
import sys
from pathlib import Path
from typing import Any, Final

from vedette.cli import references
from vedette.cli.client import path
from vedette.cli.command import Command, Context, Tree, arg, positive, seconds
from vedette.cli.commands.devices import pair
from vedette.cli.commands.drift import DRIFT
from vedette.cli.commands.layers import LAYERS
from vedette.cli.commands.rollouts import ROLLOUTS
from vedette.cli.errors import Usage
from vedette.cli.output import Columns, key
from vedette.cli.waiting import ended
from vedette.errors import NotFound

CONFIGURATION: Final = "/api/management/v1/deviceconfig/configurations/device/{}"
DEPLOYMENT: Final = "/api/management/v1/deployments/deployments/{}"
MAX_FILE: Final = 1024 * 1024  # bytes


def get(context: Context) -> None:
    found = _load(context, references.device(context, context.options.device))
    if context.out.as_json:
        context.out.value(found)
        return
    names = sorted({*found["configured"], *found["reported"]})
    columns: Columns = {
        "NAME": key("name"),
        "WANTED": lambda item: found["configured"].get(item["name"]),
        "REPORTED": lambda item: found["reported"].get(item["name"]),
    }
    context.out.table([{"name": name} for name in names], columns)


def set_values(context: Context) -> None:
    options = context.options
    device = references.device(context, options.device)
    given = {**(_file(options.file) if options.file else {}), **dict(pair(each) for each in options.values)}
    if not given and not options.unset and not options.replace:
        raise Usage("say what to set: NAME=VALUE, --file FILE, --unset NAME, or --replace")
    if not options.deploy and (options.retries or options.wait):
        raise Usage("--retries and --wait go with --deploy")
    before: dict[str, str] = {}
    if not options.replace:
        try:
            before = _load(context, device)["configured"]
        except NotFound:
            before = {}  # nothing has been wanted of this device yet
    values = {name: value for name, value in (before | given).items() if name not in options.unset}
    context.client.call("PUT", path(CONFIGURATION, device), body=values)
    if options.deploy:
        deploy(context)
    else:
        context.out.done(f"configured {device}; `vedette config deploy` sends it", {"id": device, "configured": values})


def deploy(context: Context) -> None:
    options = context.options
    device = references.device(context, options.device)
    answer = context.client.call(
        "POST", path(CONFIGURATION + "/deploy", device), body={"retries": options.retries or 0}
    )
    deployment = str(answer.json()["deployment_id"])
    if options.wait is None:
        context.out.done(f"deployment {deployment}", {"deployment_id": deployment})
        return
    statistics = ended(context, deployment, options.wait)
    result = max(statistics, key=lambda name: statistics[name])
    context.out.done(f"deployment {deployment}: {result}", {"deployment_id": deployment, "status": result})


def status(context: Context) -> None:
    device = references.device(context, context.options.device)
    found = _load(context, device)
    shown: dict[str, Any] = {
        "id": device,
        "in_sync": found["configured"] == found["reported"],
        "deployment_id": found.get("deployment_id"),
        "deployment_status": None,
        "updated_ts": found["updated_ts"],
        "reported_ts": found.get("reported_ts"),
    }
    if shown["deployment_id"]:
        try:
            shown["deployment_status"] = context.client.get(path(DEPLOYMENT, shown["deployment_id"]))["status"]
        except NotFound:  # its history was deleted
            shown["deployment_status"] = "forgotten"
    fields: Columns = {
        "device": key("id"),
        "in sync": key("in_sync"),
        "deployment": key("deployment_id"),
        "its status": key("deployment_status"),
        "changed": key("updated_ts"),
        "reported": key("reported_ts"),
    }
    context.out.record(shown, fields)


def _load(context: Context, device: str) -> dict[str, Any]:
    found: dict[str, Any] = context.client.get(path(CONFIGURATION, device))
    return found


def _file(name: str) -> dict[str, str]:
    """A JSON object of texts; - is standard input, where other users of the machine cannot see secrets."""
    try:
        if name == "-":
            text = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            with Path(name).open("rb") as opened:
                text = opened.read(MAX_FILE + 1)
        values = json.loads(text) if len(text) <= MAX_FILE else None
    except (OSError, ValueError, RecursionError) as exc:
        raise Usage(f"--file {name}: no JSON can be read there") from exc
    if not isinstance(values, dict) or not all(isinstance(each, str) for each in values.values()):
        raise Usage(f"--file {name}: it must be a JSON object whose values are texts, of at most 1 MiB")
    return values


_DEVICE: Final = arg("device", metavar="DEVICE", help=references.HELP)
_RETRIES: Final = arg("--retries", type=positive, metavar="N", help="how often a device that fails may try again")
_WAIT: Final = arg("--wait", type=seconds, metavar="S", help="wait up to S seconds for the device; 1 if it has failed")

TREE: Final[Tree] = {
    "config": {
        "get": Command(
            help="show the wanted and the reported settings of a device",
            run=get,
            arguments=(_DEVICE,),
            examples=("vedette config get de:ad:be:ef:00:01", "vedette config get de:ad:be:ef:00:01 --json"),
        ),
        "set": Command(
            help="change the wanted settings of a device",
            run=set_values,
            arguments=(
                _DEVICE,
                arg("values", metavar="NAME=VALUE", nargs="*", help="settings; the others stay"),
                arg("--file", metavar="FILE", help="JSON object of settings; - is standard input, for secrets"),
                arg(
                    "--unset", metavar="NAME", action="append", default=[], help="a setting to remove; may be repeated"
                ),
                arg("--replace", action="store_true", help="remove all others"),
                arg("--deploy", action="store_true", help="send them to the device too"),
                _RETRIES,
                _WAIT,
            ),
            examples=(
                "vedette config set de:ad:be:ef:00:01 timezone=Europe/Oslo",
                "vedette config set de:ad:be:ef:00:01 --file settings.json --replace --deploy",
            ),
        ),
        "deploy": Command(
            help="send the wanted settings to a device",
            run=deploy,
            arguments=(_DEVICE, _RETRIES, _WAIT),
            examples=("vedette config deploy de:ad:be:ef:00:01 --retries 3",),
        ),
        "status": Command(
            help="show whether a device has what is wanted",
            run=status,
            arguments=(_DEVICE,),
            examples=("vedette config status de:ad:be:ef:00:01",),
        ),
        **LAYERS,
        **DRIFT,
        **ROLLOUTS,
    }
}
