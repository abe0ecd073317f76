"""Layers of the configuration: planned and applied from files, looked at, and taken back."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any, Final

from vedette.cli import layerfiles, references
from vedette.cli.client import path
from vedette.cli.command import Command, Context, arg, positive
from vedette.cli.commands.drift import EXIT_CODE
from vedette.cli.commands.rollouts import COMMENT, PREFIX, WAIT, layer_name
from vedette.cli.errors import Differs, Usage
from vedette.cli.layerfiles import LayerFile
from vedette.cli.output import Columns, counted, hidden, key, moment
from vedette.cli.waiting import rollouts_ended
from vedette.errors import Invalid

Plan = dict[str, Any]
"""What the server says a file would change, with its `layer`, `place` and `file`."""


# --- files -----------------------------------------------------------------------------------------------------------


def plan(context: Context) -> None:
    plans = _plans(context, layerfiles.load(context.options.files))
    changing = [each for each in plans if each["changes"]]
    if context.out.as_json:
        context.out.value([{name: value for name, value in each.items() if name != "file"} for each in plans])
    else:
        _show(context, plans)
    if changing and context.options.exit_code:
        raise Differs(counted(len(changing), "layer") + " would change")


def apply(context: Context) -> None:
    options = context.options
    plans = _plans(context, layerfiles.load(options.files))
    changing = [each for each in plans if each["changes"]]
    if not context.out.as_json:
        _show(context, plans)
    if changing:
        devices = counted(sum(each["affected"] for each in changing), "device")
        context.confirm(f"Change {counted(len(changing), 'layer')}, for {devices}")
    results = [_apply(context, each) for each in changing]
    if options.wait is not None:
        rollouts_ended(context, [each["rollout"] for each in results if each.get("rollout")], options.wait)
    context.out.done(counted(len(results), "layer") + " changed" if results else "nothing to change", results)


def _apply(context: Context, planned: Plan) -> dict[str, Any]:
    """Only if the layer is still what the plan was made for."""
    file: LayerFile = planned["file"]
    options = context.options
    body: dict[str, Any] = {"values": file.values, "expected_version": planned["version"]}
    body["comment"] = options.comment if options.comment is not None else file.comment
    rollout = {**file.rollout, **_parameters(context)}
    if planned["layer"].startswith("device/"):
        body["deploy"] = not options.no_deploy
        rollout = {name: value for name, value in rollout.items() if name == "retries"}
    if rollout:
        body["rollout"] = rollout
    saved: dict[str, Any] = context.client.call("PUT", _where(planned["layer"]), body=body).json()
    if not context.out.as_json:
        sent = saved.get("rollout") or saved.get("deployment")
        context.out.text(
            f"{file.layer}: version {saved['version']}"
            + (f", {'rollout' if 'rollout' in saved else 'deployment'} {sent}" if sent else "")
        )
    return {"layer": file.layer, **saved}


def _plans(context: Context, files: list[LayerFile]) -> list[Plan]:
    """What each of these files would change. Raises Invalid with what is wrong in any of them: nothing is done yet."""
    plans: list[Plan] = []
    wrong: list[str] = []
    for file in files:
        layer = _resolved(context, file.layer)
        try:
            found = context.client.call("POST", _where(layer) + "/preview", body={"values": file.values}, safe=True)
        except Invalid as exc:
            wrong.append(f"{file.place}: {exc}")
            continue
        plans.append({"layer": layer, "place": file.place, **found.json(), "file": file})
    if wrong:
        raise Invalid("; ".join(wrong))
    return plans


def _show(context: Context, plans: list[Plan]) -> None:
    for each in plans:
        context.out.text(f"{each['file'].layer} ({each['place']}): {_outline(each)}")
        for line in _details(each):
            context.out.text("  " + line)


def _outline(each: Plan) -> str:
    if not each["changes"]:
        return f"no change, version {each['version']}"
    about = "" if each["exact"] else "about "
    devices = f"for {about}{each['affected']} of {counted(each['devices'], 'device')}"
    return f"{counted(len(each['changes']), 'change')} to version {each['version']}, {devices}"


def _details(each: Plan) -> Iterator[str]:
    yield from _changes(each["changes"])
    changed = {change["key"] for change in each["changes"]}
    for shadow in each["shadowed"]:
        if shadow["key"] in changed:
            whose = f"group {shadow['group']}" if shadow["by"] == "group" else "the device itself"
            yield f"! {shadow['key']} does not count on {counted(shadow['devices'], 'device')}: {whose} says otherwise"
    if each["changes"] and (under_way := each.get("rollout")):
        yield f"! rollout {under_way['id']} is {under_way['state']}; this would supersede it"


def _changes(changes: list[dict[str, Any]]) -> Iterator[str]:
    for change in changes:
        name, before, after = change["key"], change.get("before"), change.get("after")
        if "before" not in change:
            yield f"+ {name} = {_shown(name, after)}"
        elif "after" not in change:
            yield f"- {name} (was {_shown(name, before)})"
        else:
            yield f"~ {name} = {_shown(name, after)} (was {_shown(name, before)})"


def _shown(name: str, value: str | None) -> str:
    """For people, whose terminals and logs others read too; `--json` says it all."""
    return "absent" if value is None else repr(hidden(name, value))


# --- layers ----------------------------------------------------------------------------------------------------------


def layers(context: Context) -> None:
    columns: Columns = {
        "LAYER": layer_name,
        "VERSION": key("version"),
        "KEYS": key("keys"),
        "DEVICES": key("devices"),
        "ROLLOUT": key("rollout", "state"),
        "CHANGED": moment("updated_ts"),
        "AUTHOR": key("author"),
        "COMMENT": key("comment"),
    }
    context.out.table(context.listed(f"{PREFIX}/layers"), columns)


def show(context: Context) -> None:
    layer = _resolved(context, context.options.layer)
    if context.options.version is None:
        found = context.client.get(_where(layer))
    else:
        found = context.client.get(f"{_where(layer)}/versions/{context.options.version}")
    if context.out.as_json:
        context.out.value(found)
        return
    for line in layerfiles.dump(context.options.layer, found["values"], found.get("comment") or "").split("\n"):
        context.out.text(line)


def versions(context: Context) -> None:
    columns: Columns = {
        "VERSION": key("version"),
        "MADE": moment("created_ts"),
        "AUTHOR": key("author"),
        "COMMENT": key("comment"),
        "CHANGES": lambda item: [line.split(" ", 2)[0] + line.split(" ", 2)[1] for line in _changes(item["changes"])],
    }
    context.out.table(context.listed(_where(_resolved(context, context.options.layer)) + "/versions"), columns)


def rollback(context: Context) -> None:
    options = context.options
    layer = _resolved(context, options.layer)
    now = context.client.get(_where(layer))
    to = now["version"] - 1 if options.to is None else options.to
    if to < 1:
        raise Usage(f"{options.layer} has no version before {now['version']}")
    found = context.client.call("POST", _where(layer) + "/preview", body={"version": to}, safe=True).json()
    if not found["changes"]:
        context.out.done(
            f"{options.layer} already says what version {to} did", {"version": now["version"], "changed": False}
        )
        return
    if not context.out.as_json:
        context.out.text(f"{options.layer}: {_outline(found)}")
        for line in _details(found):
            context.out.text("  " + line)
    context.confirm(f"Take back version {to} of {options.layer}")
    body: dict[str, Any] = {"version": to, "expected_version": now["version"], "comment": options.comment or ""}
    if not layer.startswith("device/") and (rollout := _parameters(context)):
        body["rollout"] = rollout
    saved = context.client.call("POST", _where(layer) + "/revert", body=body).json()
    if options.wait is not None and saved.get("rollout"):
        rollouts_ended(context, [saved["rollout"]], options.wait)
    context.out.done(f"{options.layer}: version {saved['version']} is what version {to} was", saved)


# --- names -----------------------------------------------------------------------------------------------------------


def _where(layer: str) -> str:
    level, _, name = layer.partition("/")
    return f"{PREFIX}/layers/tenant" if level == "tenant" else path(f"{PREFIX}/layers/{level}s/{{}}", name)


def _resolved(context: Context, layer: str) -> str:
    """With the id of the device that is meant."""
    level, _, name = layerfiles.check_layer(layer).partition("/")
    return f"device/{references.device(context, name)}" if level == "device" else layer


def _parameters(context: Context) -> dict[str, Any]:
    """Of the rollout, from the command line."""
    options = context.options
    given = {"waves": options.waves, "soak_s": options.soak}
    out: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return out | ({"paused": True} if options.paused else {})


def _waves(text: str) -> list[float]:
    """Percentages; the server judges them."""
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no list of percentages, as 1,10,100") from None


_FILES: Final = arg("files", metavar="FILE", nargs="+", help="YAML or JSON files of layers, or directories of them")
_LAYER: Final = arg("layer", metavar="LAYER", help="tenant, group/NAME or device/DEVICE")
_ROLLOUT: Final = (
    arg("--waves", type=_waves, metavar="P,P,...", help="percent of the devices in each wave (1,10,100)"),
    arg("--soak", type=int, metavar="S", help="seconds between a wave and the next (600)"),
    arg("--paused", action="store_true", help="begin only when `config rollout ID resume` says so"),
)

LAYERS: Final[Mapping[str, Command]] = {
    "plan": Command(
        help="show what files with layers would change, and for how many devices; changes nothing",
        run=plan,
        arguments=(_FILES, EXIT_CODE),
        examples=("vedette config plan fleet/", "vedette config plan fleet/boats.yaml --exit-code"),
        notes="What sounds like a secret is not shown; with --json it is.",
    ),
    "apply": Command(
        help="make layers what files say; the change reaches devices in waves",
        run=apply,
        asks=True,
        arguments=(
            _FILES,
            COMMENT,
            *_ROLLOUT,
            arg("--no-deploy", action="store_true", help="layers of devices: keep them, deploy later"),
            WAIT,
        ),
        examples=(
            "vedette config apply fleet/ --comment 'ports of the new harbour' --yes",
            "vedette config apply fleet/boats.yaml --waves 5,25,100 --soak 3600 --yes",
        ),
    ),
    "layers": Command(
        help="list the layers of the tenant and of groups", run=layers, paged=True, examples=("vedette config layers",)
    ),
    "show": Command(
        help="print a layer as such a file",
        run=show,
        arguments=(_LAYER, arg("--version", type=positive, metavar="N", help="an older version")),
        examples=("vedette config show group/boats", "vedette config show tenant --version 3"),
    ),
    "versions": Command(
        help="list the versions of a layer, newest first",
        run=versions,
        paged=True,
        arguments=(_LAYER,),
        examples=("vedette config versions group/boats --limit 10",),
    ),
    "rollback": Command(
        help="make a layer what it was in an older version, as a new one",
        run=rollback,
        asks=True,
        arguments=(
            _LAYER,
            arg("--to", type=positive, metavar="N", help="the version (the one before the newest)"),
            COMMENT,
            *_ROLLOUT,
            WAIT,
        ),
        examples=(
            "vedette config rollback group/boats --yes",
            "vedette config rollback group/boats --to 3 --waves 100 --yes",
        ),
    ),
}
