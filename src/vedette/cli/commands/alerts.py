"""Alerts: what is open, what was, who was told and why; the checks that raise them."""

from collections.abc import Iterator
from typing import Any, Final

from vedette.cli import references
from vedette.cli.client import path
from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.errors import Usage
from vedette.cli.follow import follow
from vedette.cli.output import Columns, key, moment
from vedette.errors import NotFound

MONITOR: Final = "/api/management/v1/devicemonitor"
OURS: Final = "/api/management/v1/vedette"
PAGE: Final = 100  # alerts have lines of logs in them
MAX_LOOKED_AT: Final = 10_000  # alerts of a device, to find one

COLUMNS: Final[Columns] = {
    "TIME": moment("timestamp"),
    "LEVEL": key("level"),
    "DEVICE": key("device_id"),
    "ID": key("id"),
    "NAME": key("name"),
}


def list_alerts(context: Context) -> None:
    options = context.options
    device = None if options.device is None else references.device(context, options.device)
    if options.follow:
        if options.after or options.before or options.limit:
            raise Usage("--follow shows what comes from now on; it goes with --device and nothing else")
        follow(context, device)
    elif options.open:
        context.out.table(list(_open(context, device)), COLUMNS)
    elif device is None:
        raise Usage("say --device DEVICE for its history, or --open for what is open in the fleet")
    else:
        where = path(MONITOR + "/devices/{}/alerts", device)
        context.out.table(context.listed(where, _times(context), size=PAGE), COLUMNS)


def _open(context: Context, device: str | None) -> Iterator[Any]:
    """What is open, of one device or of all that one sees."""
    if device is not None:
        yield from context.listed(path(MONITOR + "/devices/{}/alerts/latest", device), _times(context), size=PAGE)
        return
    if context.options.after or context.options.before:
        raise Usage("--after and --before go with --device")
    for each in context.listed(OURS + "/problems", size=PAGE):
        yield {"id": each["alert_id"], **each}


def show(context: Context) -> None:
    found = _find(context)
    fields: Columns = {
        "id": key("id"),
        "device": key("device_id"),
        "time": moment("timestamp"),
        "level": key("level"),
        "name": key("name"),
        "subject": lambda item: f"{item['subject']['type']} {item['subject']['name']}",
        "status": key("subject", "status"),
        "description": key("subject", "details", "description"),
    }
    context.out.record(found, fields)
    if context.out.as_json:
        return
    details = found["subject"].get("details") or {}
    matching = details.get("line_matching")
    lines = [
        *(details.get("lines_before") or ()),
        *([matching] if matching else ()),
        *(details.get("lines_after") or ()),
    ]
    if lines:
        context.out.text("")
    for line in lines:
        context.out.text(f"{'>' if line is matching else ' '} {line['line_number']:>6}  {line['data']}")


def _find(context: Context) -> Any:
    """An alert of a device, by its id: there is no call for one."""
    device = references.device(context, context.options.device)
    where = path(MONITOR + "/devices/{}/alerts", device)
    seen, page = 0, 1
    while seen < MAX_LOOKED_AT:
        answer = context.client.call("GET", where, [("page", page), ("per_page", PAGE)])
        found = answer.json()
        for each in found:
            if each["id"] == context.options.alert:
                return each
        if len(found) < PAGE:
            break
        seen, page = seen + len(found), page + 1
    raise NotFound(f"device {device} has no alert {context.options.alert}")


def why(context: Context) -> None:
    device = references.device(context, context.options.device)
    found = context.client.get(path(OURS + "/devices/{}/alerts/{}/deliveries", device, context.options.alert))
    columns: Columns = {
        "WHO": lambda item: item["address"] or item["user_id"],
        "CHANNEL": key("channel"),
        "STATE": key("state"),
        "TRIES": key("attempts"),
        "SINCE": moment("created_ts"),
        "ENDED": moment("ended_ts"),
        "WHY": key("reason"),
    }
    context.out.table(found, columns)


def acknowledge(context: Context) -> None:
    options = context.options
    device = references.device(context, options.device)
    body = {"note": options.note, "until": options.until}
    where = path(OURS + "/devices/{}/problems/{}/acknowledgement", device, options.alert)
    context.client.call("PUT", where, body={name: value for name, value in body.items() if value})
    context.out.done("acknowledged", {"device_id": device, "alert_id": options.alert, **body})


def withdraw(context: Context) -> None:
    device = references.device(context, context.options.device)
    where = path(OURS + "/devices/{}/problems/{}/acknowledgement", device, context.options.alert)
    context.client.call("DELETE", where)
    context.out.done("acknowledged by nobody", {"device_id": device, "alert_id": context.options.alert})


def checks(context: Context) -> None:
    device = references.device(context, context.options.device)
    columns: Columns = {"TYPE": key("type"), "NAME": key("name"), "STATUS": key("status")}
    context.out.table(context.client.get(path(MONITOR + "/devices/{}/config", device)), columns)


def completeness(context: Context) -> None:
    device = references.device(context, context.options.device)
    found = context.client.get(path(OURS + "/devices/{}/completeness", device))
    if context.out.as_json:
        context.out.value(found)
        return
    columns: Columns = {
        "ACCOUNT": key("account"),
        "RECEIVED": key("received"),
        "LAST": key("last"),
        "COMPLETE TO": key("complete_to"),
        "MISSING": lambda item: [f"{each['first']}-{each['last']} ({each['reason']})" for each in item["missing"]],
    }
    context.out.table(found["accounts"], columns)


def mail(context: Context) -> None:
    enabled = context.options.switch == "on"
    context.client.call("PUT", f"{MONITOR}/settings/global/channel/alerts/email/status", body={"enabled": enabled})
    context.out.done(f"alert e-mails of this tenant are {context.options.switch}", {"enabled": enabled})


def _times(context: Context) -> list[tuple[str, object | None]]:
    return [("issued_after", context.options.after), ("issued_before", context.options.before)]


_ONE: Final = "6a2b3c80-4f5d-4c55-a7d1-2f7a6f0f8a3e"
_DEVICE: Final = arg("device", metavar="DEVICE", help=references.HELP)
_ALERT: Final = arg("alert", metavar="ALERT", help="id of the alert")

TREE: Final[Tree] = {
    "alerts": {
        "list": Command(
            help="list alerts: the history of a device, or what is open",
            run=list_alerts,
            paged=True,
            arguments=(
                arg("--device", metavar="DEVICE", help=references.HELP),
                arg("--open", action="store_true", help="only what is open; without --device, in the whole fleet"),
                arg("--follow", action="store_true", help="show alerts as they come, until Ctrl-C; see below"),
                arg("--after", metavar="TIME", help="issued after this time, like 2026-11-23T08:00:00Z"),
                arg("--before", metavar="TIME", help="issued before this time"),
            ),
            examples=(
                "vedette alerts list --open",
                "vedette alerts list --device de:ad:be:ef:00:01 --limit 20",
                "vedette alerts list --follow --json",
            ),
            notes="With --follow and --json each alert is one line. Without --device, the first alerts of a device\n"
            "whose clock is behind may be taken for old ones.",
        ),
        "show": Command(
            help="show an alert with the lines around it",
            run=show,
            arguments=(_DEVICE, _ALERT),
            examples=(f"vedette alerts show de:ad:be:ef:00:01 {_ONE}",),
        ),
        "acknowledge": Command(
            help="take an open problem over, so that others need not",
            run=acknowledge,
            arguments=(
                _DEVICE,
                _ALERT,
                arg("--note", metavar="TEXT", default="", help="why, or what is being done"),
                arg("--until", metavar="TIME", help="until then, like 2026-11-24T08:00:00Z; without, until it is over"),
            ),
            examples=(f"vedette alerts acknowledge de:ad:be:ef:00:01 {_ONE} --note 'disk is on its way'",),
        ),
        "withdraw": Command(
            help="let a problem be nobody's again",
            run=withdraw,
            arguments=(_DEVICE, _ALERT),
            examples=(f"vedette alerts withdraw de:ad:be:ef:00:01 {_ONE}",),
        ),
        "why": Command(
            help="show who was told of an alert, and why or why not",
            run=why,
            arguments=(_DEVICE, _ALERT),
            examples=(f"vedette alerts why de:ad:be:ef:00:01 {_ONE}",),
        ),
        "checks": Command(
            help="list the checks that a device runs",
            run=checks,
            arguments=(_DEVICE,),
            examples=("vedette alerts checks de:ad:be:ef:00:01",),
        ),
        "completeness": Command(
            help="show whether every alert of a device has arrived",
            run=completeness,
            arguments=(_DEVICE,),
            examples=("vedette alerts completeness de:ad:be:ef:00:01",),
        ),
        "mail": Command(
            help="turn the alert e-mails of the tenant on or off",
            run=mail,
            arguments=(arg("switch", choices=("on", "off"), help="on or off"),),
            examples=("vedette alerts mail off",),
        ),
    }
}
