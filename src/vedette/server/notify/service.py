"""The rules of the outbox: alerts become deliveries, deliveries become mails or a reason why not."""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from vedette.errors import NotFound
from vedette.server.access import service as access
from vedette.server.access.permissions import SEE_USERS
from vedette.server.alerts import service as alerts
from vedette.server.caller import Caller
from vedette.server.db import SYSTEM, Row, UserScope
from vedette.server.notify import decisions, store
from vedette.server.notify.channels.email import Envelope, Note, compose
from vedette.server.notify.decisions import Outcome, Policy
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

EMAIL = "email"

Send = Callable[[str, bytes], Awaitable[str]]
"""Hands one message to one address; see `channels.smtp`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of one alert for one person, and why."""

    alert: str
    user: str
    channel: str
    address: str
    state: str
    reason: str
    attempts: int
    created_at: datetime
    due_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Told:
    """Who was told of an alert and who was not, as far as the one who asks may know."""

    deliveries: tuple[Delivery, ...]
    decided: bool  # False: the alert has only just come in
    complete: bool  # False: who may not see the other users is shown his own delivery only


async def decide(services: Services, limit: int) -> int:
    """Turn up to `limit` alerts into deliveries: one for each user of the tenant, with the reason. How many were there.

    Who may see the device, and the tenant's switch, count as they are now.
    """
    tenants = await services.db.read(SYSTEM, store.undecided_tenants, limit)
    if not tenants:
        return 0
    people = {tenant: await access.recipients(services, tenant) for tenant in tenants}
    wanted = {tenant: await alerts.email_enabled(services, UserScope(tenant, None)) for tenant in tenants}
    now, configured = micros(services.clock.now()), bool(services.settings.smtp)

    def of_alert(row: Row) -> list[Mapping[str, object]]:
        tenant = row["tenant"]
        return [
            _delivery(row, user, now, email_enabled=wanted[tenant], configured=configured) for user in people[tenant]
        ]

    return await services.db.write(SYSTEM, store.decide, limit, tenants, of_alert)


def _delivery(
    row: Row, user: access.Recipient, now: int, *, email_enabled: bool, configured: bool
) -> Mapping[str, object]:
    state, reason = decisions.at_first(
        email_enabled=email_enabled, configured=configured, visible=user.sees(row["group_name"])
    )
    return {
        "tenant": row["tenant"],
        "device": row["device"],
        "alert_id": row["alert_id"],
        "thread": row["thread"],
        "user_id": user.id,
        "channel": EMAIL,
        "address": user.email,
        "state": state,
        "reason": reason,
        "now": now,
        "ended_at": None if state == "due" else now,
    }


async def attempt(services: Services, row: Row, send: Send, policy: Policy) -> Outcome:
    """Try one delivery that is leased; the outcome says what was wrong with it.

    Who is no longer a user, or may no longer see the device, gets nothing any more.

    Raises:
        Unavailable: the database cannot be asked; nothing was tried.
    """
    # Not before it was tried once: the server may have been away, or its clock set forward, since it was written.
    if row["attempts"] and services.clock.now() - datetime_of(row["created_at"]) > policy.give_up:
        return decisions.too_old(policy, row["reason"])
    user = next((each for each in await access.recipients(services, row["tenant"]) if each.id == row["user_id"]), None)
    if user is None or not user.sees(row["group_name"]):
        return decisions.withdrawn(decisions.GONE)
    try:
        stored = await alerts.alert(services, UserScope(row["tenant"], None), row["device"], row["alert_id"])
    except NotFound:
        return decisions.withdrawn("the alert is no longer there")
    try:
        return decisions.sent(await send(row["address"], _message(services, row, stored)))
    except Exception as exc:
        return decisions.failed(exc, row["attempts"], policy, random.random())  # noqa: S311


def _message(services: Services, row: Row, stored: alerts.StoredAlert) -> bytes:
    note = Note(
        alert=stored.alert,
        alert_id=stored.id,
        device=stored.device,
        group=row["group_name"],
        received_at=stored.received_at,
        link=f"{services.settings.base_url}/devices/{stored.device}/alerts/{stored.id}",
    )
    envelope = Envelope(
        sender=services.settings.mail_from,
        to=row["address"],
        user=row["user_id"],
        thread=row["thread"],
        at=datetime_of(row["created_at"]),
    )
    return compose(note, envelope)


async def conclude(services: Services, row: Row, outcome: Outcome) -> None:
    """Write down what became of a delivery."""
    now = services.clock.now()
    await services.db.write(
        SYSTEM,
        store.conclude,
        row["id"],
        state=outcome.state,
        reason=outcome.reason,
        attempts=outcome.attempts,
        due_at=micros(now + timedelta(seconds=outcome.wait_s)),
        ended_at=None if outcome.state == "due" else micros(now),
    )


async def told(services: Services, caller: Caller, device_id: str, alert_id: str) -> Told:
    """Who was told of an alert, who was not, and why.

    Raises:
        NotFound: no such alert, or not for this user.
    """
    alert_id = alert_id.lower()
    await alerts.alert(services, caller.scope, device_id, alert_id)
    rows = await services.db.read(caller.scope, store.of_alert, device_id, alert_id)
    decided = bool(rows) or not await services.db.read(caller.scope, store.undecided, device_id, alert_id)
    complete = caller.may(SEE_USERS)
    seen = (_delivered(row) for row in rows if complete or row["user_id"] == caller.user_id)
    return Told(tuple(seen), decided, complete)


def _delivered(row: Row) -> Delivery:
    fields: dict[str, Any] = {name: row[name] for name in ("channel", "address", "state", "reason", "attempts")}
    return Delivery(
        alert=row["alert_id"],
        user=row["user_id"],
        created_at=datetime_of(row["created_at"]),
        due_at=datetime_of(row["due_at"]),
        ended_at=datetime_of(row["ended_at"]),
        **fields,
    )
