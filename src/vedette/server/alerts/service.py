"""The rules of alerts: what one POST of a device changes, and what users may read of it. No SQL, no HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec

from vedette.errors import Invalid, NotFound, Unauthenticated
from vedette.model import Alert, ConfiguredCheck, Level, Origin, Subject
from vedette.server.access import service as access
from vedette.server.alerts import ids, store
from vedette.server.alerts.order import NO_ACCOUNT, UNNAMED, Head, SubjectState, advance
from vedette.server.caller import Caller
from vedette.server.db import DeviceScope, Row, Tx, UserScope
from vedette.server.listing import Listing
from vedette.server.live import Live
from vedette.server.services import Services
from vedette.wire import incoming, outgoing
from vedette.wire.incoming import WireAlert

SEVERITY: Final = (Level.OK, Level.UNKNOWN, Level.WARNING, Level.CRITICAL_FLAPPING, Level.CRITICAL)
"""Mildest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAlert:
    """An alert as the server keeps it."""

    id: str
    device: str
    alert: Alert
    received_at: datetime


@dataclass(frozen=True, slots=True)
class _New:
    """An alert on its way into the store."""

    head: Head
    subject: store.Key
    row: dict[str, Any]


# --- devices -----------------------------------------------------------------------------------------------------


async def accept(services: Services, scope: DeviceScope, records: Sequence[WireAlert]) -> None:
    """Keep what a device reports, each alert once however often it comes; returns when all of it is durable.

    In one transaction: the alerts, the state of their subjects, the number of open ones, and what notify/ has to do.

    Raises:
        Unauthenticated: the device is no longer there.
        Busy, Unavailable: nothing was kept; the device comes again.
    """
    if not records:
        return
    received_at = incoming.microseconds(services.clock.now())
    new = {each.head.id: each for each in (_prepared(record, received_at) for record in records)}
    await services.db.write(scope, _accept, services.live, scope, new, received_at)


async def _accept(tx: Tx, live: Live, scope: DeviceScope, new: dict[str, _New], now: int) -> None:
    device = await store.group_of(tx)
    if device is None:
        raise Unauthenticated("dev auth: unauthorized")
    fresh = [each for each in new.values() if await store.add(tx, each.row)]
    if not fresh:
        return
    before = {
        key: state
        for key in {each.subject: None for each in fresh}
        if (state := await store.state(tx, key)) is not None
    }
    after, threads = follow(before, fresh)
    await store.set_states(tx, {key: state for key, state in after.items() if before.get(key) is not state})
    more = sum(state.open for state in after.values()) - sum(state.open for state in before.values())
    if more:
        await store.count_open(tx, more)
    await store.owe(tx, threads, now)
    tx.after_commit(partial(live.publish, scope.tenant, device["group_name"], scope.device))


def follow(
    before: dict[store.Key, SubjectState], fresh: Sequence[_New]
) -> tuple[dict[store.Key, SubjectState], list[tuple[str, str]]]:
    """What new alerts make of their subjects, and the thread of each: (its id, id of the alert that opened it)."""
    after = dict(before)
    threads = []
    for each in fresh:
        state = after[each.subject] = advance(after.get(each.subject, SubjectState()), each.head)
        counts = state.newest is each.head and state.opened_by is not None
        threads.append((each.head.id, state.opened_by if counts and state.opened_by else each.head.id))
    return after, threads


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
        tx.after_commit(partial(services.live.publish, scope.tenant, device["group_name"], scope.device))

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
) -> Listing[StoredAlert]:
    """Every alert of a device by its own time, newest first unless `ascending`; the limits themselves are left out.

    Raises:
        NotFound: no such device, or not for this user.
    """
    span = _span(issued_after, issued_before)

    async def work(tx: Tx) -> Listing[StoredAlert]:
        await _require(tx, device_id)
        total = await store.count(tx, device_id, span)
        rows = await store.history(
            tx, device_id, span, offset=(page - 1) * per_page, limit=per_page, ascending=ascending
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
) -> Listing[StoredAlert]:
    """The newest alert of each subject, oldest first: of open ones, or of those at least as bad as `level_from`.

    Raises:
        NotFound: no such device, or not for this user.
    """
    levels = SEVERITY[1 if level_from is None else SEVERITY.index(level_from) :]
    span = _span(issued_after, issued_before)

    async def work(tx: Tx) -> Listing[StoredAlert]:
        await _require(tx, device_id)
        total = await store.count_latest(tx, device_id, levels, span)
        rows = await store.latest(tx, device_id, levels, span, offset=(page - 1) * per_page, limit=per_page)
        return Listing(tuple(map(_stored, rows)), total)

    return await services.db.read(scope, work)


async def open_problems(
    services: Services, scope: UserScope, device_id: str, page: int = 1, per_page: int = 500
) -> Listing[StoredAlert]:
    """What is wrong with a device now: one alert per open subject, oldest first."""
    return await latest(services, scope, device_id, page, per_page)


async def alert(services: Services, scope: UserScope, device_id: str, alert_id: str) -> StoredAlert:
    """One alert.

    Raises:
        NotFound: there is none, or not for this user.
    """
    row = await services.db.read(scope, store.one, device_id, alert_id.lower())
    if row is None:
        raise NotFound("alert not found")
    return _stored(row)


async def configuration(services: Services, scope: UserScope, device_id: str) -> tuple[ConfiguredCheck, ...]:
    """The checks that a device says it runs; none as long as it has said nothing.

    Raises:
        NotFound: no such device, or not for this user.
    """

    async def work(tx: Tx) -> str | None:
        await _require(tx, device_id)
        return await store.configuration(tx, device_id)

    document = await services.db.read(scope, work)
    return incoming.configuration(document) if document is not None else ()


async def email_enabled(services: Services, scope: UserScope) -> bool:
    """Does the tenant want alert e-mails?"""
    return await services.db.read(scope, store.email_enabled)


async def set_email_enabled(services: Services, caller: Caller, enabled: bool) -> None:
    """Switch the tenant's alert e-mails; counts for alerts that are processed from now on.

    Raises:
        Denied: only who may change everything may do this.
    """
    access.require_admin(caller)
    await services.db.write(caller.scope, store.set_email_enabled, enabled)


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


def _prepared(record: WireAlert, received_at: int) -> _New:
    details, origin, subject = record.details_text(), record.origin, record.subject
    account = NO_ACCOUNT if origin is None else UNNAMED if origin.account is None else str(origin.account)
    head = Head(
        account,
        None if origin is None else origin.sequence,
        record.at_us,
        ids.alert_id(record, details),
        record.level,
    )
    row = {
        "id": head.id,
        "name": record.name,
        "level": record.level.value,
        "at": head.at,
        "received_at": received_at,
        "subject_type": subject.type,
        "subject_name": subject.name,
        "subject_status": subject.status,
        "details": details,
        "sequence": head.sequence,
        "boot": None if origin is None else str(origin.boot),
        "elapsed_us": None if origin is None else round(origin.elapsed_s * 1_000_000),
        "account": None if origin is None or origin.account is None else account,
        "origin": None if origin is None else str(origin.id),
    }
    return _New(head, (subject.type, subject.name), row)


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
