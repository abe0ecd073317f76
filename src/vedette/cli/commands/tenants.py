"""The tenant one acts in, and those that a service provider has made."""

from dataclasses import replace
from typing import Any, Final

from vedette.cli import logins
from vedette.cli.client import path
from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.errors import Usage
from vedette.cli.output import Columns, key, moment

OWN: Final = "/api/management/v1/tenantadm/user/tenant"
TENANTS: Final = "/api/management/v2/tenantadm/tenants"
ENTER: Final = "/api/management/v1/useradm/users/tenants/{}/token"

FIELDS: Final[Columns] = {
    "id": key("id"),
    "name": key("name"),
    "status": key("status"),
    "devices": key("device_count"),
    "most devices": lambda item: item.get("device_limit") or "no limit",
    "service provider": key("service_provider"),
    "created": moment("created_at"),
    "token": key("tenant_token"),
}


def show(context: Context) -> None:
    where = OWN if context.options.tenant is None else path(TENANTS + "/{}", context.options.tenant)
    context.out.record(context.client.get(where), FIELDS)


def list_tenants(context: Context) -> None:
    columns: Columns = {
        "ID": key("id"),
        "STATUS": key("status"),
        "MOST DEVICES": lambda item: item.get("device_limit") or "no limit",
        "CREATED": moment("created_at"),
        "NAME": key("name"),
    }
    context.out.table(context.listed(TENANTS), columns)


def add(context: Context) -> None:
    options = context.options
    admin: dict[str, Any] = {"email": options.admin}
    if options.invite:
        admin["send_reset_password"] = True
    else:
        admin["password"] = context.secret("Password of its administrator")
    body: dict[str, Any] = {"name": options.name, "admin": admin}
    if options.device_limit is not None:
        body["device_limit"] = options.device_limit
    made = context.client.call("POST", TENANTS, body=body).headers.get("Location", "").rpartition("/")[2]
    context.out.done(f"added tenant {made}", {"id": made, "name": options.name})


def change(context: Context) -> None:
    options = context.options
    body = {"name": options.name, "device_limit": options.device_limit}
    given = {name: value for name, value in body.items() if value is not None}
    if not given:
        raise Usage("say what to change: --name or --device-limit")
    context.client.call("PUT", path(TENANTS + "/{}/child", options.tenant), body=given)
    context.out.done(f"changed tenant {options.tenant}", {"id": options.tenant, **given})


def remove(context: Context) -> None:
    tenant = context.options.tenant
    context.confirm(f"Remove tenant {tenant} with all its users, devices and alerts")
    context.client.call("POST", path(TENANTS + "/{}/remove/start", tenant))
    context.out.done(f"tenant {tenant} is being removed", {"id": tenant})


def enter(context: Context) -> None:
    if context.environ.get("VEDETTE_TOKEN"):
        raise Usage("the token is in VEDETTE_TOKEN; log in to act in another tenant")
    tenant = context.options.tenant
    token = context.client.call("GET", path(ENTER, tenant), headers={"Accept": "*/*"}).body.decode("ascii", "replace")
    kept = replace(context.login, token=token, personal=False)
    logins.store(context.logins_directory, context.stored.with_login(context.server, kept))
    context.out.done(f"you act in tenant {tenant} now; log in again to come home", {"id": tenant})


_TENANT: Final = arg("tenant", metavar="TENANT", help="id of the tenant")
_ONE: Final = "65f0c2d4e8b1a93f7c6d5e42"


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError
    return int(text)


_LIMIT: Final = arg("--device-limit", type=_limit, metavar="N", help="how many devices it may have; 0: no limit")

TREE: Final[Tree] = {
    "tenants": {
        "show": Command(
            help="show a tenant; without an id, the one you act in, with the token for its devices",
            run=show,
            arguments=(arg("tenant", metavar="TENANT", nargs="?", help="id of the tenant"),),
            examples=("vedette tenants show", "vedette tenants show --json"),
        ),
        "list": Command(
            help="list the tenants of a service provider",
            run=list_tenants,
            paged=True,
            examples=("vedette tenants list",),
        ),
        "add": Command(
            help="add a tenant of a service provider",
            run=add,
            arguments=(
                arg("name", metavar="NAME", help="what it is called"),
                arg("--admin", metavar="ADDRESS", required=True, help="its first administrator"),
                arg(
                    "--invite", action="store_true", help="mail a link to choose a password, instead of asking for one"
                ),
                _LIMIT,
            ),
            examples=("vedette tenants add acme --admin eve@acme.example --device-limit 100 < password-file",),
        ),
        "change": Command(
            help="change a tenant of a service provider",
            run=change,
            arguments=(_TENANT, arg("--name", metavar="NAME", help="another name"), _LIMIT),
            examples=(f"vedette tenants change {_ONE} --device-limit 200",),
        ),
        "remove": Command(
            help="remove a tenant of a service provider, with everything in it",
            run=remove,
            asks=True,
            arguments=(_TENANT,),
            examples=(f"vedette tenants remove {_ONE} --yes",),
        ),
        "enter": Command(
            help="act in another of your tenants from now on",
            run=enter,
            arguments=(_TENANT,),
            examples=(f"vedette tenants enter {_ONE}",),
        ),
    }
}
