"""The rules of tenants: making and finding them, and whose a device is."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vedette.errors import Conflict, Invalid, NotFound, Unauthenticated
from vedette.server.access import store
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import SYSTEM, Row, Tx, UserScope
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

DEFAULT_TENANT: Final = "default"
_TENANT_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An organisation with its own devices and users."""

    id: str
    name: str
    token: str  # what its devices send to be taken as its own
    status: str  # active, suspended, or removing
    created_at: datetime
    parent: str | None = None  # the service provider that has made it
    service_provider: bool = False  # makes tenants of its own
    device_limit: int = 0  # devices that can be accepted; 0: any number


async def create_tenant(
    services: Services,
    name: str,
    *,
    service_provider: bool = False,
    parent: str | None = None,
    device_limit: int = 0,
    by: Caller | None = None,
) -> Tenant:
    """A new tenant with a new token.

    Args:
        by: who makes it; None: the one who runs the server.
    Raises:
        Invalid: not a name.
        Conflict: the name is taken.
    """
    check_tenant_name(name)
    now = services.clock.now()
    made = Tenant(
        id=secrets.token_hex(12),
        name=name,
        token=secrets.token_urlsafe(32),
        status="active",
        created_at=now,
        parent=parent,
        service_provider=service_provider,
        device_limit=device_limit,
    )

    async def work(tx: Tx) -> None:
        if not await store.add_tenant(
            tx, made.id, name, made.token, micros(now),
            parent=parent, service_provider=service_provider, device_limit=device_limit,
        ):  # fmt: skip
            raise Conflict(f"there is a tenant {name!r} already")
        thing, change = audit.tenant(made.id, name), audit.diff("tenant", None, {"name": name, "status": made.status})
        for tenant_id in {made.id, parent or made.id}:
            await audit.record(tx, services, by or audit.COMMAND_LINE, "create", thing, change, tenant_id=tenant_id)

    await services.db.write(SYSTEM, work)
    return made


def check_tenant_name(name: str) -> None:
    """Raises Invalid."""
    if not _TENANT_NAME.fullmatch(name) or not name.strip():
        raise Invalid(f"tenant name {name[:200]!r}: give 1 to 128 printable characters")


async def ensure_tenant(services: Services) -> Tenant | None:
    """The tenant of a first start; None when there are tenants already."""
    if await services.db.read(SYSTEM, store.tenants):
        return None
    return await create_tenant(services, DEFAULT_TENANT)


async def tenants(services: Services) -> Sequence[Tenant]:
    return [tenant_of(row) for row in await services.db.read(SYSTEM, store.tenants)]


async def tenant_named(services: Services, name: str) -> Tenant:
    """Raises NotFound."""
    possible = _TENANT_NAME.fullmatch(name)
    row = await services.db.read(SYSTEM, store.tenant_named, name) if possible else None
    if row is None:
        raise NotFound(f"there is no tenant {name!r}; `vedette tenant list` shows those there are")
    return tenant_of(row)


async def tenant_of_device(services: Services, token: str | None) -> str:
    """The id of the tenant that a device belongs to by the token it sends.

    Without a token, a device belongs to the one tenant there is: so does a device that was set up for a server
    without tenants.

    Raises:
        Unauthenticated: there is no such token, or none was sent and there are several tenants.
    """

    async def find(tx: Tx) -> Row | None:
        if token:
            return await store.tenant_by_token(tx, token)
        rows = await store.tenants(tx)
        return rows[0] if len(rows) == 1 else None

    row = await services.db.read(SYSTEM, find)
    if row is None or row["status"] != "active":
        raise Unauthenticated("dev auth: unauthorized")
    tenant: str = row["id"]
    return tenant


async def own_tenant(services: Services, scope: UserScope) -> Tenant:
    """The tenant of whoever asks."""
    row = await services.db.read(scope, store.own_tenant)
    if row is None:
        raise NotFound
    return tenant_of(row)


def tenant_of(row: Row) -> Tenant:
    """A tenant out of its row."""
    return Tenant(
        id=row["id"],
        name=row["name"],
        token=row["token"],
        status=row["status"],
        created_at=datetime_of(row["created_at"]),
        parent=row["parent"],
        service_provider=row["service_provider"] == 1,
        device_limit=row["device_limit"],
    )
