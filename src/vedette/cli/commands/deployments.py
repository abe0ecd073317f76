"""Deployments: how settings reach devices, and how far they are."""

from typing import Any, Final

from vedette.cli import references
from vedette.cli.client import path
from vedette.cli.command import Command, Context, Tree, arg, seconds
from vedette.cli.errors import Usage
from vedette.cli.output import Columns, key, moment
from vedette.cli.waiting import ended

DEPLOYMENTS: Final = "/api/management/v1/deployments/deployments"
STATUSES: Final = ("pending", "inprogress", "finished")
MAX_AT_ONCE: Final = 100  # deployments in one question for numbers

COLUMNS: Final[Columns] = {
    "ID": key("id"),
    "STATUS": key("status"),
    "CREATED": moment("created"),
    "DEVICES": key("device_count"),
    "RESULT": lambda item: counts(item["statistics"]["status"]),
}


def counts(statistics: dict[str, int]) -> dict[str, int]:
    """Of the numbers of devices by status, those that are not zero."""
    return {name: number for name, number in statistics.items() if number}


def list_deployments(context: Context) -> None:
    options = context.options
    if options.device is not None:
        device = references.device(context, options.device)
        columns: Columns = {
            "ID": key("id"),
            "DEVICE STATUS": key("device", "status"),
            "STARTED": moment("device", "started"),
            "ENDED": moment("device", "finished"),
            "LOG": key("device", "log"),
        }
        found = context.listed(path(DEPLOYMENTS + "/devices/{}", device))
        context.out.table(found, columns)
        return
    query = [("status", options.status), ("search", options.text), ("sort", options.sort)]
    context.out.table(context.listed(DEPLOYMENTS, query), COLUMNS)


def show(context: Context) -> None:
    found = context.client.get(path(DEPLOYMENTS + "/{}", context.options.deployment))
    fields: Columns = {
        "id": key("id"),
        "name": key("name"),
        "type": key("type"),
        "status": key("status"),
        "created": moment("created"),
        "ended": moment("finished"),
        "devices": key("device_count"),
        "retries": key("retries"),
        "result": lambda item: counts(item["statistics"]["status"]),
    }
    context.out.record(found, fields)


def devices(context: Context) -> None:
    where = path(DEPLOYMENTS + "/{}/devices/list", context.options.deployment)
    columns: Columns = {
        "DEVICE": key("id"),
        "STATUS": key("status"),
        "STARTED": moment("started"),
        "ENDED": moment("finished"),
        "LOG": key("log"),
        "ATTEMPTS": key("attempts"),
    }
    context.out.table(context.listed(where, [("status", context.options.status)]), columns)


def abort(context: Context) -> None:
    options = context.options
    if (options.deployment is None) == (options.device is None):
        raise Usage("name a deployment, or say --device DEVICE for all that it takes part in")
    if options.device is not None:
        device = references.device(context, options.device)
        context.confirm(f"Abort every deployment of device {device}, for this device")
        context.client.call("DELETE", path(DEPLOYMENTS + "/devices/{}", device))
        context.out.done(f"aborted the deployments of {device}", {"id": device})
        return
    context.confirm(f"Abort deployment {options.deployment}")
    context.client.call("PUT", path(DEPLOYMENTS + "/{}/status", options.deployment), body={"status": "aborted"})
    context.out.done(f"aborted {options.deployment}", {"deployment_id": options.deployment, "status": "aborted"})


def log(context: Context) -> None:
    device = references.device(context, context.options.device)
    where = path(DEPLOYMENTS + "/{}/devices/{}/log", context.options.deployment, device)
    text = context.client.call("GET", where, headers={"Accept": "text/plain"}).body.decode("utf-8", "replace")
    if context.out.as_json:
        context.out.value({"id": device, "log": text})
        return
    for line in text.split("\n")[:-1]:
        context.out.text(line)


def statistics(context: Context) -> None:
    ids = context.options.deployments
    found: list[dict[str, Any]] = []
    for start in range(0, len(ids), MAX_AT_ONCE):
        body = {"deployment_ids": ids[start : start + MAX_AT_ONCE]}
        found += context.client.call("POST", f"{DEPLOYMENTS}/statistics/list", body=body, safe=True).json()
    columns: Columns = {"ID": key("id"), "RESULT": lambda item: counts(item["stats"])}
    context.out.table(found, columns)


def wait(context: Context) -> None:
    found = ended(context, context.options.deployment, context.options.seconds)
    context.out.done(
        f"deployment {context.options.deployment} has ended with: {', '.join(found)}",
        {"deployment_id": context.options.deployment, "statistics": found},
    )


def forget(context: Context) -> None:
    device = references.device(context, context.options.device)
    context.confirm(f"Delete the history of the deployments of device {device}")
    context.client.call("DELETE", path(DEPLOYMENTS + "/devices/{}/history", device))
    context.out.done(f"forgot the deployments of {device}", {"id": device})


_ONE: Final = "0b7c0a54-5ad4-4bb4-8f2e-8d8b6b2f9d52"
_DEPLOYMENT: Final = arg("deployment", metavar="DEPLOYMENT", help="id of the deployment")
_DEVICE: Final = arg("device", metavar="DEVICE", help=references.HELP)

TREE: Final[Tree] = {
    "deployments": {
        "list": Command(
            help="list deployments, newest first",
            run=list_deployments,
            paged=True,
            arguments=(
                arg("--status", choices=STATUSES, help="only with this status"),
                arg("--text", metavar="TEXT", help="part of the name"),
                arg("--sort", choices=("asc", "desc"), help="by time"),
                arg("--device", metavar="DEVICE", help="those of a device; " + references.HELP),
            ),
            examples=("vedette deployments list", "vedette deployments list --status inprogress --json"),
        ),
        "show": Command(
            help="show a deployment",
            run=show,
            arguments=(_DEPLOYMENT,),
            examples=(f"vedette deployments show {_ONE}",),
        ),
        "devices": Command(
            help="list the devices of a deployment, and how far they are",
            run=devices,
            paged=True,
            arguments=(_DEPLOYMENT, arg("--status", metavar="STATUS", help="only with this status, such as failure")),
            examples=(f"vedette deployments devices {_ONE} --status failure",),
        ),
        "log": Command(
            help="print what a device wrote when a deployment failed",
            run=log,
            arguments=(_DEPLOYMENT, _DEVICE),
            examples=(f"vedette deployments log {_ONE} de:ad:be:ef:00:01",),
        ),
        "statistics": Command(
            help="count the devices of deployments by status",
            run=statistics,
            arguments=(arg("deployments", metavar="DEPLOYMENT", nargs="+", help="id of a deployment"),),
            examples=(f"vedette deployments statistics {_ONE}",),
        ),
        "wait": Command(
            help="wait until a deployment has ended; 1 if not all devices have it then, 5 if it goes on",
            run=wait,
            arguments=(
                _DEPLOYMENT,
                arg("--seconds", type=seconds, default=600.0, metavar="S", help="how long (600)"),
            ),
            examples=(f"vedette deployments wait {_ONE} --seconds 120",),
        ),
        "abort": Command(
            help="abort a deployment",
            run=abort,
            asks=True,
            arguments=(
                arg("deployment", metavar="DEPLOYMENT", nargs="?", help="id of the deployment"),
                arg("--device", metavar="DEVICE", help="abort for this device whatever it takes part in"),
            ),
            examples=(f"vedette deployments abort {_ONE} --yes",),
        ),
        "forget": Command(
            help="delete the history of a device's deployments",
            run=forget,
            asks=True,
            arguments=(_DEVICE,),
            examples=("vedette deployments forget de:ad:be:ef:00:01 --yes",),
        ),
    }
}
