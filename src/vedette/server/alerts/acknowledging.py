"""Somebody takes a problem over, so that others need not: who, with which note, until when.

It is of one problem: when that is called off and comes again, it is a new one that nobody has taken over yet.
"""

from datetime import datetime
from typing import Final

from vedette.errors import Invalid, NotFound
from vedette.server.alerts import acknowledgement_store as store
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import Row, Tx
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

MAX_NOTE: Final = 1000  # characters
NO_PROBLEM: Final = "there is no open problem with this alert"


async def acknowledge(
    services: Services, caller: Caller, device_id: str, alert_id: str, note: str = "", until: datetime | None = None
) -> None:
    """Take over the problem that an alert has opened or is the newest of, in place of who had it before.

    Raises:
        NotFound: it is not open, or not for this user.
        Invalid: the note is too long, or the time is past.
    """
    note = note.strip()
    if len(note) > MAX_NOTE or "\0" in note:
        raise Invalid(f"a note has at most {MAX_NOTE} characters, and no NUL")
    now = services.clock.now()
    if until is not None and until <= now:
        raise Invalid("until: give a time that is yet to come")

    async def work(tx: Tx) -> None:
        row = await _problem(tx, device_id, alert_id)
        end = None if until is None else micros(until)
        await store.put(tx, device_id, row["problem"], caller.user_id, caller.email, note, micros(now), end)
        after = {"acknowledged by": caller.email, "note": note, "until": "" if until is None else until.isoformat()}
        await _record(tx, services, caller, device_id, row, _state(row), after)

    await services.db.write(caller.scope, work)


async def withdraw(services: Services, caller: Caller, device_id: str, alert_id: str) -> None:
    """The problem is nobody's again.

    Raises:
        NotFound: as `acknowledge`.
    """

    async def work(tx: Tx) -> None:
        row = await _problem(tx, device_id, alert_id)
        if row["email"] is None:
            return
        await store.remove(tx, device_id, row["problem"])
        await _record(tx, services, caller, device_id, row, _state(row), {})

    await services.db.write(caller.scope, work)


async def _problem(tx: Tx, device_id: str, alert_id: str) -> Row:
    row = await store.problem(tx, device_id, alert_id.lower())
    if row is None:
        raise NotFound(NO_PROBLEM)
    return row


def _state(row: Row) -> dict[str, str]:
    if row["email"] is None:
        return {}
    until = datetime_of(row["until_at"])
    return {
        "acknowledged by": row["email"],
        "note": row["note"],
        "until": "" if until is None else until.isoformat(),
    }


async def _record(
    tx: Tx, services: Services, caller: Caller, device_id: str, row: Row, before: dict[str, str], after: dict[str, str]
) -> None:
    change = audit.diff(f"problem {row['type']} {row['name']}"[:200], before, after)
    await audit.record(tx, services, caller, "update", audit.device(device_id, row["identity"]), change)
    services.live.announce(tx, caller.scope.tenant, row["group_name"], device_id)
