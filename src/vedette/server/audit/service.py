"""The rules of the audit log: what an entry says, who is meant by it, and for how long it is kept.

Other slices call `record` in the transaction of what they change: there is no change without its entry, and no
entry without its change.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final
from uuid import uuid4

from vedette.errors import Invalid, NotFound, VedetteError
from vedette.server import ageing
from vedette.server.audit import store
from vedette.server.audit.changes import cut, diff, document
from vedette.server.caller import Caller
from vedette.server.db import SYSTEM, Row, Tx, UserScope
from vedette.server.listing import Listing
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

__all__ = ["COMMAND_LINE", "Actor", "Entry", "Thing", "Who", "diff", "document", "record", "record_many"]

KEPT: Final = timedelta(days=365)
AHEAD: Final = timedelta(days=1)  # how far the clock of another program may be
FORGET_AT_ONCE: Final = 500  # entries in one transaction; others want the database too
BREATH_S: Final = 0.05
EXPORT_AT_ONCE: Final = 500

_order: Final = count()  # of what happens in one microsecond

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who has changed something."""

    type: str  # user, device
    id: str
    email: str = ""


Who = Caller | Actor

COMMAND_LINE: Final = Actor("user", "00000000-0000-0000-0000-000000000000", "command line")
"""Whoever runs commands on the server itself. Clients parse the id as a UUID."""


@dataclass(frozen=True, slots=True)
class Thing:
    """What was changed; `detail` is what the API tells of things of this type."""

    type: str
    id: str
    name: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


def user(user_id: str, email: str) -> Thing:
    return Thing("user", user_id, email, {"email": email})


def tenant(tenant_id: str, name: str = "") -> Thing:
    """Also for what belongs to the tenant as a whole: its settings, roles and groups."""
    return Thing("tenant", tenant_id, name, {"id": tenant_id, "name": name})


def device(device_id: str, identity: Mapping[str, Any] | str = "") -> Thing:
    """`identity` as it is, or as JSON."""
    text = identity if isinstance(identity, str) else json.dumps(dict(identity), sort_keys=True, separators=(",", ":"))
    return Thing("device", device_id, "", {"id": device_id, "identity_data": text})


def deployment(deployment_id: str, name: str, artifact_name: str = "") -> Thing:
    return Thing("deployment", deployment_id, name, {"name": name, "artifact_name": artifact_name})


def access_token(token_id: str, name: str) -> Thing:
    return Thing("user_access_token", token_id, name, {"name": name})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the log."""

    at: datetime
    action: str
    actor: Actor
    object: Thing
    change: str


async def record(
    tx: Tx, services: Services, who: Who, action: str, thing: Thing, change: str = "", *, tenant_id: str = ""
) -> None:
    """Write down that `who` has done `action` to `thing`, as part of the transaction that does it.

    Args:
        action: one of the words that clients know: create, update, delete, reject, decommission, abort,
            set_configuration, deploy_configuration ...
        change: see `diff` and `document`; never with anything secret in it.
        tenant_id: whose log; needed only where `tx` runs for the system.
    """
    await record_many(tx, services, who, action, [(thing, change)], tenant_id=tenant_id)


async def record_many(
    tx: Tx,
    services: Services,
    who: Who,
    action: str,
    things: Sequence[tuple[Thing, str]],
    *,
    tenant_id: str = "",
) -> None:
    """As `record`, for several things at once, each with its change."""
    actor = who if isinstance(who, Actor) else Actor("user", who.user_id, who.email)
    at = micros(services.clock.now())
    entries = [{"tenant": tenant_id, **_values(actor, action, thing, change, at)} for thing, change in things]
    await store.add(tx, entries)


async def take_over(services: Services, tenant_id: str, entry: Entry) -> None:
    """Keep what another program of this machine says has happened.

    Raises:
        Invalid: it is to happen tomorrow, or is too old to be kept.
        NotFound: no such tenant.
    """
    now = services.clock.now()
    if not now - KEPT <= entry.at <= now + AHEAD:
        raise Invalid(f"time: give one of the last {KEPT.days} days")
    values = _values(entry.actor, entry.action, entry.object, cut(entry.change), micros(entry.at))

    async def work(tx: Tx) -> None:
        if not await store.tenant_exists(tx):
            raise NotFound("tenant not found")
        await store.add(tx, [{"tenant": tenant_id, **values}])

    await services.db.write(UserScope(tenant_id), work)


def _values(actor: Actor, action: str, thing: Thing, change: str, at: int) -> dict[str, Any]:
    """The columns of an entry."""
    return {
        "at": at,
        "id": f"{next(_order):016x}-{uuid4().hex}",
        "action": action,
        "actor_type": actor.type,
        "actor_id": actor.id,
        "actor_email": actor.email,
        "object_type": thing.type,
        "object_id": thing.id,
        "object_name": thing.name,
        "object": json.dumps(thing.detail),
        "change": change,
    }


# --- reading ---------------------------------------------------------------------------------------------------------


async def entries(
    services: Services, scope: UserScope, filters: Mapping[str, object], *, ascending: bool, limit: int, offset: int
) -> Listing[Entry]:
    """A page of the log of a tenant; `filters` by the names of `store.FILTERS`, times in microseconds."""

    async def work(tx: Tx) -> tuple[list[Row], int]:
        found = await store.find(tx, filters, ascending=ascending, limit=limit, offset=offset)
        return found, await store.count(tx, filters)

    rows, total = await services.db.read(scope, work)
    return Listing(tuple(_entry(row) for row in rows), total)


async def every(
    services: Services, scope: UserScope, filters: Mapping[str, object], *, ascending: bool, limit: int
) -> AsyncIterator[Sequence[Entry]]:
    """Up to `limit` entries in pieces, so that a long log is never in memory as a whole."""
    size = min(limit, EXPORT_AT_ONCE)
    rows = await services.db.read(scope, store.find, filters, ascending=ascending, limit=size, offset=0)
    while rows:
        yield [_entry(row) for row in rows]
        limit -= len(rows)
        if limit <= 0 or len(rows) < size:
            return
        size, last = min(limit, EXPORT_AT_ONCE), rows[-1]
        rows = await services.db.read(
            scope, store.find_after, filters, ascending=ascending, limit=size, at=last["at"], id=last["id"]
        )


def _entry(row: Row) -> Entry:
    return Entry(
        at=datetime_of(row["at"]),
        action=row["action"],
        actor=Actor(row["actor_type"], row["actor_id"], row["actor_email"]),
        object=Thing(row["object_type"], row["object_id"], row["object_name"], json.loads(row["object"])),
        change=row["change"],
    )


# --- forgetting ------------------------------------------------------------------------------------------------------


async def forget_forever(services: Services) -> None:
    """Remove what is older than `KEPT`, every hour, a little at a time, until cancelled."""
    while True:
        try:
            before = await ageing.look(services, "audit_log") - KEPT
            while True:
                if await forget_some(services, before) < FORGET_AT_ONCE:
                    break
                await asyncio.sleep(BREATH_S)  # let those write who wait
        except VedetteError as exc:
            log.warning("old entries of the audit log are still there: %s", exc)
        await asyncio.sleep(ageing.LOOK_EVERY_S)


async def forget_some(services: Services, before: datetime) -> int:
    """Remove some of what is older; how many entries."""
    return await services.db.write(SYSTEM, store.forget, micros(before), FORGET_AT_ONCE)
