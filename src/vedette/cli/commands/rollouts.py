"""How changes of layers reach their devices: rollouts in waves, to be looked at and steered."""

from collections.abc import Mapping
from typing import Any, Final

from vedette.cli import layerfiles
from vedette.cli.client import path
from vedette.cli.command import Command, Context, arg, seconds
from vedette.cli.errors import Usage
from vedette.cli.output import Columns, key, moment
from vedette.cli.waiting import ROLLOUT, rollouts_ended

PREFIX: Final = "/api/management/v1/vedette/configuration"


def rollouts(context: Context) -> None:
    options = context.options
    group = None if options.layer is None else _group_of(options.layer)
    columns: Columns = {
        "ID": key("id"),
        "LAYER": layer_name,
        "VERSION": key("version"),
        "STATE": key("state"),
        "WAVE": lambda item: f"{item['wave']} of {len(item['waves'])}",
        "DEVICES": lambda item: _sum(item, "devices"),
        "DONE": lambda item: _sum(item, "success"),
        "FAILED": lambda item: _sum(item, "failure"),
        "BEGAN": moment("created_ts"),
        "AUTHOR": key("author"),
    }
    context.out.table(context.listed(f"{PREFIX}/rollouts", [("state", options.state), ("group", group)]), columns)


def rollout(context: Context) -> None:
    options = context.options
    where = path(ROLLOUT, options.rollout)
    if options.action is not None:
        if options.action in {"abort", "rollback"}:
            context.confirm(f"{'Abort' if options.action == 'abort' else 'Roll back'} {options.rollout}")
        answer = context.client.call(
            "POST", f"{where}/{options.action}", body={"comment": options.comment or ""}
        ).json()
        if options.action == "rollback":
            context.out.done(f"rolled back: version {answer['version']}", answer)
            return
    if options.wait is not None:
        rollouts_ended(context, [options.rollout], options.wait)
    found = context.client.get(where)
    if context.out.as_json:
        context.out.value(found)
        return
    fields: Columns = {
        "rollout": key("id"),
        "layer": layer_name,
        "version": key("version"),
        "state": key("state"),
        "reason": key("reason"),
        "waits for": key("waiting_for"),
        "alerting": key("alerting"),
        "too large": key("too_large"),
        "author": key("author"),
        "comment": key("comment"),
    }
    context.out.record(found, fields)
    context.out.text("")
    names = ("state", "planned", "devices", "pending", "offline", "active", "success", "failure", "aborted")
    columns: Columns = {"WAVE": lambda item: f"{item['percent']:g} %", **{name.upper(): key(name) for name in names}}
    context.out.table(found["waves"], columns)


def layer_name(item: Mapping[str, Any]) -> str:
    return f"group/{item['group']}" if item.get("group") else "tenant"


def _group_of(layer: str) -> str:
    level, _, name = layerfiles.check_layer(layer).partition("/")
    if level == "device":
        raise Usage("the layer of a device has deployments, no rollouts")
    return name


def _sum(item: Mapping[str, Any], name: str) -> int:
    return sum(each[name] for each in item["waves"])


COMMENT: Final = arg("--comment", metavar="TEXT", help="why, for those who read it later")
WAIT: Final = arg(
    "--wait", type=seconds, metavar="S", help="wait up to S seconds for the rollouts; 1 if one was stopped"
)

ROLLOUTS: Final[Mapping[str, Command]] = {
    "rollouts": Command(
        help="list rollouts, newest first",
        run=rollouts,
        paged=True,
        arguments=(
            arg("--state", metavar="STATE", help="only those: running, paused, halted, finished ..."),
            arg("--layer", metavar="LAYER", help="only those of tenant or group/NAME"),
        ),
        examples=("vedette config rollouts --state running",),
    ),
    "rollout": Command(
        help="show a rollout, or steer it",
        run=rollout,
        asks=True,
        arguments=(
            arg("rollout", metavar="ID", help="id of a rollout"),
            arg(
                "action",
                nargs="?",
                choices=("pause", "resume", "advance", "abort", "rollback"),
                help="what to do: advance begins the next wave now, rollback takes the change back",
            ),
            COMMENT,
            WAIT,
        ),
        examples=("vedette config rollout ID", "vedette config rollout ID rollback --yes"),
    ),
}
