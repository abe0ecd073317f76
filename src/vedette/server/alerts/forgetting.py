"""Which alerts are forgotten: those that came in long ago. No HTTP.

What came in decides, by the server's clock: that of the device may be wrong. But alerts are found by their id, which
holds the device's time. So one whose device had set its clock back is forgotten when it is old enough by both, and
one from the future when it is either old by both, or still from the future.

The newest alert of each subject is kept, and the one that opened what is open: what is known now does not age.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from vedette.server.alerts import forgetting_store as store
from vedette.server.alerts import ids
from vedette.server.alerts.forgetting_store import Key
from vedette.server.alerts.store import Span
from vedette.server.db import SYSTEM, Row, Tx
from vedette.server.services import Services
from vedette.server.times import micros

__all__ = ["BEGINNING", "Key", "find", "forget", "spans"]

BEGINNING: Final = ("", "", "")
DEVICES_AT_ONCE: Final = 500


def spans(before: datetime, now: datetime) -> tuple[Span, Span]:
    """Where alerts stand that came in before `before`."""
    return Span(high=ids.first_at(micros(before))), Span(low=ids.first_at(micros(now + timedelta(days=1))))


async def find(
    services: Services, span: Span, before: datetime, after: Key, limit: int
) -> tuple[Sequence[Row], Key | None]:
    """Some that are to be forgotten, and where to look on; None: that was all."""
    return await services.db.read(SYSTEM, store.old, after, span, micros(before), DEVICES_AT_ONCE, limit)


async def forget(tx: Tx, alerts: Sequence[Row]) -> None:
    """Forget what `find` has found, in a transaction of the system. That their numbers came stays known."""
    await store.remove(tx, alerts)
