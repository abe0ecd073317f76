"""The rules of alerts: what users may read of them, and the checks that a device reports. No SQL, no HTTP.

How alerts come in is in `intake`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from vedette.errors import Invalid, NotFound, Unauthenticated
from vedette.model import Alert, ConfiguredCheck, Level, Origin, Subject
from vedette.server.access.permissions import SWITCH_ALERTS
from vedette.server.alerts import ids, store
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import DeviceScope, Row, Tx, UserScope
from vedette.server.listing import Listing
from vedette.server.services import Services
from vedette.wire import incoming, outgoing

SEVERITY: Final = (Level.OK, Level.UNKNOWN, Level.WARNING, Level.CRITICAL_FLAPPING, Level.CRITICAL)
"""Mildest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAlert:
    """An alert as the server keeps it."""

    id: str
    device: str
    alert: Alert
    received_at: datetime


# --- devices -----------------------------------------------------------------------------------------------------


async def set_configuration(services: Services, scope: DeviceScope, checks: Sequence[ConfiguredCheck]) -> None:
    """The checks that a device runs now, in place of what it said before.

    Raises:
        Unauthenticated: the device is no longer there.
    """
    document = msgspec.json.encode([outgoing.configured_check(check) for check in checks]).decode()

    async def work(tx: Tx) -> None:
        device = await store.group_of(tx)
        if device is None:
            raise Unauthenticated("dev auth: unauthorized")
        await store.set_configuration(tx, document, incoming.microseconds(services.clock.now()))
        services.live.announce(tx, scope.tenant, device["group_name"], scope.device)

    await services.db.write(scope, work)


# --- users -------------------------------------------------------------------------------------------------------


async def history(
    services: Services,
    scope: UserScope,
    device_id: str,
    page: int,
    per_page: int,
    issued_after: datetime | None = None,
    issued_before: datetime | None = None,
    ascending: bool = False,
    *,
    details: bool = True,
) -> Listing[StoredAlert]:
    """Every alert of a device by its own time, newest first unless `ascending`; the limits themselves are left out.

    Args:
        details: whether they are wanted; alerts are heavy with them.
    Raises:
        NotFound: no such device, or not for this user.
        TooLarge: with their details, so many are too large together.
    """
    span = _span(issued_after, issued_before)

    async def work(tx: Tx) -> Listing[StoredAlert]:
        await _require(tx, device_id)
        total = await store.count(tx, device_id, span)
        rows = await store.history(
            tx, device_id, span, offset=(page - 1) * per_page, limit=per_page, ascending=ascending, details=details
        )
        return Listing(tuple(map(_stored, rows)), total)

    return await services.db.read(scope, work)


async def latest(
    services: Services,
    scope: UserScope,
    device_id: str,
    page: int = 1,
    per_page: int = 500,
    issued_after: datetime | None = None,
    issued_before: datetime | None = None,
    level_from: Level | None = None,
    *,
    details: bool = True,
) -> Listing[StoredAlert]:
    """The newest alert of each subject, oldest first: of open ones, or of those at least as bad as `level_from`.

    Raises:
        NotFound: no such device, or not for this user.
        TooLarge: as `history`.
    """
    levels = SEVERITY[1 if level_from is None else SEVERITY.index(level_from) :]
    span = _span(issued_after, issued_before)

    async def work(tx: Tx) -> Listing[StoredAlert]:
        await _require(tx, device_id)
        total = await store.count_latest(tx, device_id, levels, span)
        rows = await store.latest(
            tx, device_id, levels, span, offset=(page - 1) * per_page, limit=per_page, details=details
        )
        return Listing(tuple(map(_stored, rows)), total)

    return await services.db.read(scope, work)


async def open_problems(
    services: Services, scope: UserScope, device_id: str, page: int = 1, per_page: int = 500, *, details: bool = True
) -> Listing[StoredAlert]:
    """What is wrong with a device now: one alert per open subject, oldest first."""
    return await latest(services, scope, device_id, page, per_page, details=details)


async def alert(services: Services, scope: UserScope, device_id: str, alert_id: str) -> StoredAlert:
    """One alert.

    Raises:
        NotFound: there is none, or not for this user.
    """
    row = await services.db.read(scope, store.one, device_id, alert_id.lower())
    if row is None:
        raise NotFound("alert not found")
    return _stored(row)


async def is_open(services: Services, scope: UserScope, device_id: str, alert_id: str) -> bool:
    """Is this alert what is known last of its subject, and is that not OK?"""
    return await services.db.read(scope, store.is_open, device_id, alert_id.lower())


async def configuration(services: Services, scope: UserScope, device_id: str) -> tuple[ConfiguredCheck, ...]:
    """The checks that a device says it runs; none as long as it has said nothing.

    Raises:
        NotFound: no such device, or not for this user.
    """

    async def work(tx: Tx) -> str | None:
        await _require(tx, device_id)
        return await store.configuration(tx, device_id)

    document = await services.db.read(scope, work)
    return () if document is None else incoming.configuration(document, limit=len(document))


async def email_enabled(services: Services, scope: UserScope) -> bool:
    """Does the tenant want alert e-mails?"""
    return await services.db.read(scope, store.email_enabled)


async def set_email_enabled(services: Services, caller: Caller, enabled: bool) -> None:
    """Switch the tenant's alert e-mails; counts for alerts that are processed from now on.

    Raises:
        Denied: only who may change everything may do this.
    """
    caller.require(SWITCH_ALERTS)

    async def work(tx: Tx) -> None:
        before = await store.email_enabled(tx)
        await store.set_email_enabled(tx, enabled)
        change = audit.diff("settings", {"alert e-mails": before}, {"alert e-mails": enabled})
        await audit.record(tx, services, caller, "update", audit.tenant(caller.scope.tenant), change)

    await services.db.write(caller.scope, work)


def level(text: str) -> Level:
    """A level by its name, in any case.

    Raises:
        Invalid: there is no such level.
    """
    try:
        return Level(text.upper())
    except ValueError:
        raise Invalid(f"no level {text[:40]!r}, only {', '.join(SEVERITY)}") from None


async def _require(tx: Tx, device_id: str) -> None:
    if not await store.sees(tx, device_id):
        raise NotFound("device not found")


def _span(after: datetime | None, before: datetime | None) -> store.Span:
    span = store.Span()
    if after is not None:
        span = replace(span, low=ids.first_at(incoming.microseconds(after) + 1))
    if before is not None:
        span = replace(span, high=ids.first_at(incoming.microseconds(before)))
    return span


def _stored(row: Row) -> StoredAlert:
    details = row["details"]
    return StoredAlert(
        id=row["id"],
        device=row["device"],
        received_at=incoming.moment(row["received_at"]),
        alert=Alert(
            name=row["name"],
            level=Level(row["level"]),
            at=incoming.moment(row["at"]),
            subject=Subject(
                name=row["subject_name"],
                type=row["subject_type"],
                status=row["subject_status"],
                details=None if details is None else incoming.details(details),
            ),
            origin=_origin(row),
        ),
    )


def _origin(row: Row) -> Origin | None:
    if row["origin"] is None:
        return None
    return Origin(
        id=UUID(row["origin"]),
        sequence=row["sequence"],
        boot=UUID(row["boot"]),
        elapsed_s=row["elapsed_us"] / 1_000_000,
        account=None if row["account"] is None else UUID(row["account"]),
    )
