"""Devices: who they are, who lets them in, what is known of them, how they are found."""

from pathlib import Path
from typing import Any, Final

from vedette.cli import filters, references
from vedette.cli.client import path
from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.errors import Usage
from vedette.cli.output import Columns, attribute, key, moment
from vedette.errors import Changed, Conflict, NotFound

DEVAUTH: Final = "/api/management/v2/devauth"
V1: Final = "/api/management/v1/inventory"
V2: Final = "/api/management/v2/inventory"
STATUSES: Final = ("pending", "accepted", "rejected", "preauthorized", "noauth")
MAX_KEY: Final = 64 * 1024  # bytes of a file with a public key
TRIES: Final = 3  # to change tags that somebody else changes at the same time

COLUMNS: Final[Columns] = {
    "ID": key("id"),
    "STATUS": attribute("identity", "status"),
    "GROUP": attribute("system", "group"),
    "OPEN ALERTS": attribute("monitor", "alert_count"),
    "LAST SEEN": lambda item: moment("at")({"at": attribute("system", "check_in_time")(item)}),
    "IDENTITY": lambda item: identity(item),
}
DEVICE: Final = arg("device", metavar="DEVICE", help=references.HELP)
DEVICES: Final = arg("devices", metavar="DEVICE", nargs="*", help=references.HELP)


def identity(item: dict[str, Any]) -> dict[str, Any]:
    """What a device of the inventory says it is, and the name it was given."""
    own = {
        each["name"]: each["value"]
        for each in item["attributes"]
        if each["scope"] == "identity" and each["name"] != "status"
    }
    name = attribute("tags", "name")(item)
    return own if name is None else {"name": name, **own}


def search(context: Context) -> None:
    """`list` and `search`."""
    options = context.options
    wanted = [filters.predicate(each) for each in getattr(options, "filters", ())]
    for option, scope, name in (("status", "identity", "status"), ("group", "system", "group")):
        if value := getattr(options, option, None):
            wanted.append({"scope": scope, "attribute": name, "type": "$eq", "value": value})
    if getattr(options, "with_alerts", False):
        wanted.append({"scope": "monitor", "attribute": "alerts", "type": "$eq", "value": True})
    body: dict[str, Any] = {"filters": wanted}
    if sorts := getattr(options, "sort", None):
        body["sort"] = [filters.sorting(each) for each in sorts]
    if text := getattr(options, "text", None):
        body["text"] = text
    context.out.table(context.listed(references.SEARCH, body=body), COLUMNS)


def show(context: Context) -> None:
    device_id = references.device(context, context.options.device)
    found = context.client.get(path(DEVAUTH + "/devices/{}", device_id))
    found["attributes"] = context.client.get(path(V1 + "/devices/{}", device_id))["attributes"]
    context.out.record(
        found,
        {
            "id": key("id"),
            "status": key("status"),
            "identity": key("identity_data"),
            "name": attribute("tags", "name"),
            "group": attribute("system", "group"),
            "open alerts": attribute("monitor", "alert_count"),
            "first seen": moment("created_ts"),
            "last seen": moment("check_in_time"),
        },
    )
    if not context.out.as_json:
        context.out.text("")
        keys: Columns = {"KEY": key("id"), "STATUS": key("status"), "SINCE": moment("ts")}
        context.out.table(found["auth_sets"], keys)


def attributes(context: Context) -> None:
    """Of one device; without one, which there are in the fleet."""
    if context.options.device is None:
        names: Columns = {"SCOPE": key("scope"), "NAME": key("name"), "DEVICES": key("count")}
        context.out.table(context.client.get(f"{V2}/filters/attributes"), names)
        return
    device_id = references.device(context, context.options.device)
    found = context.client.get(path(V1 + "/devices/{}", device_id))["attributes"]
    columns: Columns = {"SCOPE": key("scope"), "NAME": key("name"), "VALUE": key("value")}
    context.out.table(sorted(found, key=lambda each: (each["scope"], each["name"])), columns)


def count(context: Context) -> None:
    found = context.client.get(f"{DEVAUTH}/devices/count", [("status", context.options.status)])
    context.out.record(found, {"devices": key("count")})


def limits(context: Context) -> None:
    found = context.client.get(f"{DEVAUTH}/limits/max_devices")
    context.out.record(found, {"most devices": lambda item: item["limit"] or "no limit"})


def accept(context: Context) -> None:
    _set_status(context, "accepted", ("pending", "rejected"))


def reject(context: Context) -> None:
    _set_status(context, "rejected", ("pending", "accepted"))


def _set_status(context: Context, status: str, before: tuple[str, ...]) -> None:
    options = context.options
    if options.all_pending == bool(options.devices) or (options.key and len(options.devices) != 1):
        raise Usage("name devices, or say --all-pending; --key goes with one device")
    if options.all_pending:
        found = context.listed(f"{DEVAUTH}/devices", [("status", "pending")])
    else:
        ids = references.devices(context, options.devices)
        found = [context.client.get(path(DEVAUTH + "/devices/{}", each)) for each in ids]
    keys = [(device["id"], _auth_set(device, before, options.key, status)) for device in found]
    done = []
    try:
        for device_id, auth_id in keys:
            where = path(DEVAUTH + "/devices/{}/auth/{}/status", device_id, auth_id)
            context.client.call("PUT", where, body={"status": status})
            done.append({"id": device_id, "auth_id": auth_id, "status": status})
            if not context.out.as_json:
                context.out.text(f"{status} {device_id}")
    finally:  # also when the third is refused: the first two have it
        if context.out.as_json:
            context.out.value(done)
    if not keys:
        context.out.note("no device is waiting")


def _auth_set(device: dict[str, Any], before: tuple[str, ...], wanted: str | None, status: str) -> str:
    """The key that is meant: the one named, else the only one that waits, else the only one that can become so."""
    sets = device["auth_sets"]
    if wanted is not None:
        return wanted
    for each in before:
        found = [one["id"] for one in sets if one["status"] == each]
        if len(found) == 1:
            return str(found[0])
        if found:
            raise Usage(f"device {device['id']} has {len(found)} keys that are {each}; name one: --key KEY")
    held = [one["id"] for one in sets if one["status"] == status]
    if len(held) == 1:
        return str(held[0])  # it is so already
    raise Conflict(f"device {device['id']} has no key that could be {status}; its status is {device['status']}")


def dismiss(context: Context) -> None:
    device_id = references.device(context, context.options.device)
    context.confirm(f"Forget key {context.options.key} of device {device_id}")
    context.client.call("DELETE", path(DEVAUTH + "/devices/{}/auth/{}", device_id, context.options.key))
    context.out.done(f"dismissed {context.options.key}", {"id": device_id, "auth_id": context.options.key})


def decommission(context: Context) -> None:
    ids = references.devices(context, context.options.devices)
    context.confirm(f"Remove {', '.join(ids)} and everything known about {'it' if len(ids) == 1 else 'them'}")
    done = []
    try:
        for each in ids:
            context.client.call("DELETE", path(DEVAUTH + "/devices/{}", each))
            done.append({"id": each})
            if not context.out.as_json:
                context.out.text(f"decommissioned {each}")
    finally:
        if context.out.as_json:
            context.out.value(done)


def preauthorize(context: Context) -> None:
    options = context.options
    try:
        with Path(options.key).open("rb") as opened:
            pem = opened.read(MAX_KEY).decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise Usage(f"--key {options.key}: no public key can be read there") from exc
    if "PRIVATE KEY" in pem:
        raise Usage(f"--key {options.key} is a private key; it stays on the device, the public one is needed here")
    data = dict(pair(each) for each in options.identity)
    body = {"identity_data": data, "pubkey": pem, "force": options.force}
    try:
        answer = context.client.call("POST", f"{DEVAUTH}/devices", body=body)
    except Conflict:
        raise Conflict("there is a device with this identity already; --force gives it this key") from None
    device_id = answer.headers.get("Location", "").rpartition("/")[2]
    context.out.done(f"preauthorized {device_id}", {"id": device_id, "status": "preauthorized"})


def tag(context: Context) -> None:
    options = context.options
    device_id = references.device(context, options.device)
    given = dict(pair(each) for each in options.tags)
    if not given and not options.remove and not options.replace:
        raise Usage("say what to change: NAME=VALUE, --remove NAME, or --replace")
    where = path(V1 + "/devices/{}", device_id)
    for left in reversed(range(TRIES)):
        answer = context.client.call("GET", where)
        tags = {each["name"]: each["value"] for each in answer.json()["attributes"] if each["scope"] == "tags"}
        if missing := sorted(set(options.remove) - tags.keys()):
            raise NotFound(f"the device has no tag {missing[0]!r}")
        wanted = given if options.replace else tags | given
        body = [{"name": name, "value": value} for name, value in wanted.items() if name not in options.remove]
        etag = answer.headers.get("ETag")
        try:
            context.client.call("PUT", where + "/tags", body=body, headers={"If-Match": etag} if etag else {})
            break
        except Changed:  # by somebody else, since we have looked: what he has done stays
            if not left:
                raise
    context.out.done(f"tagged {device_id}", {"id": device_id, "tags": {each["name"]: each["value"] for each in body}})


def clear(context: Context) -> None:
    device_id = references.device(context, context.options.device)
    context.confirm(f"Forget what device {device_id} has reported of itself")
    context.client.call("DELETE", path(V1 + "/devices/{}", device_id))
    context.out.done(f"cleared {device_id}", {"id": device_id})


def statistics(context: Context) -> None:
    found = context.client.get(f"{V2}/statistics")
    columns: Columns = {"STATUS": key("status"), "DEVICES": key("count")}
    if context.out.as_json:
        context.out.value(found)
        return
    by_status = found["devices_by_status"]
    context.out.table([{"status": name, "count": sum(each.values())} for name, each in by_status.items()], columns)


def revoke(context: Context) -> None:
    context.confirm(f"Withdraw the token of key {context.options.key}")
    context.client.call("DELETE", path(DEVAUTH + "/tokens/{}", context.options.key))
    context.out.done(f"revoked {context.options.key}", {"auth_id": context.options.key})


def pair(text: str) -> tuple[str, str]:
    """NAME=VALUE. Raises Usage."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise Usage(f"{text!r} is not NAME=VALUE")
    return name, value


_ONE: Final = "30c3e5a2-17d5-4a0c-9f3c-0f5a3c1b7a11"
_KEY: Final = arg("--key", metavar="KEY", help="which of its keys, when it has several that wait")
_ALL: Final = arg("--all-pending", action="store_true", help="every device that waits")

TREE: Final[Tree] = {
    "devices": {
        "list": Command(
            help="list devices",
            run=search,
            paged=True,
            arguments=(
                arg("--status", choices=STATUSES, help="only with this status"),
                arg("--group", metavar="NAME", help="only of this static group"),
                arg("--with-alerts", action="store_true", help="only with open alerts"),
            ),
            examples=("vedette devices list", "vedette devices list --status pending --json"),
        ),
        "search": Command(
            help="find devices by their attributes",
            run=search,
            paged=True,
            arguments=(
                arg("filters", metavar="FILTER", nargs="*", help="what must hold; see below"),
                arg("--text", metavar="TEXT", help="part of an id or of any value"),
                arg(
                    "--sort", metavar="[SCOPE/]NAME", action="append", help="order; -NAME (as --sort=-NAME): descending"
                ),
            ),
            examples=(
                "vedette devices search device_type=raspberrypi4,beaglebone tags/site",
                "vedette devices search 'monitor/alert_count>0' --sort=-monitor/alert_count",
                "vedette devices search 'system/check_in_time<2026-11-01T00:00:00Z' --json",
            ),
            notes=filters.HELP,
        ),
        "show": Command(
            help="show a device and its keys",
            run=show,
            arguments=(DEVICE,),
            examples=(f"vedette devices show {_ONE}", "vedette devices show de:ad:be:ef:00:01"),
        ),
        "attributes": Command(
            help="list what a device reports; without a device, what can be searched",
            run=attributes,
            arguments=(arg("device", metavar="DEVICE", nargs="?", help=references.HELP),),
            examples=("vedette devices attributes", "vedette devices attributes de:ad:be:ef:00:01"),
        ),
        "count": Command(
            help="count devices",
            run=count,
            arguments=(arg("--status", choices=STATUSES, help="only with this status"),),
            examples=("vedette devices count --status accepted",),
        ),
        "statistics": Command(help="count devices by status", run=statistics, examples=("vedette devices statistics",)),
        "limits": Command(help="show how many devices there may be", run=limits, examples=("vedette devices limits",)),
        "accept": Command(
            help="let devices in",
            run=accept,
            paged=True,
            arguments=(DEVICES, _KEY, _ALL),
            examples=("vedette devices accept de:ad:be:ef:00:01", "vedette devices accept --all-pending"),
        ),
        "reject": Command(
            help="keep devices out, also those that are in",
            run=reject,
            paged=True,
            arguments=(DEVICES, _KEY, _ALL),
            examples=("vedette devices reject de:ad:be:ef:00:01",),
        ),
        "dismiss": Command(
            help="forget a key of a device",
            run=dismiss,
            asks=True,
            arguments=(DEVICE, arg("key", metavar="KEY", help="the key, see `vedette devices show`")),
            examples=(f"vedette devices dismiss de:ad:be:ef:00:01 {_ONE} --yes",),
        ),
        "decommission": Command(
            help="remove devices and everything known about them",
            run=decommission,
            asks=True,
            arguments=(arg("devices", metavar="DEVICE", nargs="+", help=references.HELP),),
            examples=(f"vedette devices decommission {_ONE} --yes",),
        ),
        "preauthorize": Command(
            help="announce a device, so that it is let in when it comes",
            run=preauthorize,
            arguments=(
                arg("--identity", metavar="NAME=VALUE", action="append", required=True, help="may be repeated"),
                arg("--key", metavar="FILE", required=True, help="its public key, PEM"),
                arg("--force", action="store_true", help="also when there is a device with this identity"),
            ),
            examples=("vedette devices preauthorize --identity mac=de:ad:be:ef:00:02 --key device.pub",),
        ),
        "tag": Command(
            help="set or remove tags of a device; the tag `name` is what it is called",
            run=tag,
            arguments=(
                DEVICE,
                arg("tags", metavar="NAME=VALUE", nargs="*", help="tags to set"),
                arg("--remove", metavar="NAME", action="append", default=[], help="a tag to remove; may be repeated"),
                arg("--replace", action="store_true", help="remove all others"),
            ),
            examples=(
                "vedette devices tag de:ad:be:ef:00:01 name=gate-7 site=oslo",
                "vedette devices tag gate-7 --remove site",
            ),
        ),
        "clear": Command(
            help="forget what a device has reported of itself, until it reports again",
            run=clear,
            asks=True,
            arguments=(DEVICE,),
            examples=("vedette devices clear de:ad:be:ef:00:01 --yes",),
        ),
        "revoke": Command(
            help="withdraw the token of a key, so that its device has to log in again",
            run=revoke,
            asks=True,
            arguments=(arg("key", metavar="KEY", help="the key, see `vedette devices show`"),),
            examples=(f"vedette devices revoke {_ONE} --yes",),
        ),
    }
}
