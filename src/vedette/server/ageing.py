"""The time for what is forgotten by age, and cannot be had again: it never runs ahead.

A server whose clock is wrong for an hour must not forget years. So this time is kept in the database and comes up to
the clock by a day at each look: what a clock set forward takes is a day of the oldest for each hour until it is mended.
A server that was switched off catches up in as many hours as it was days away.
"""

from datetime import datetime
from typing import Final

from vedette.server.db import SYSTEM, Tx
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

LOOK_EVERY_S: Final = 3600.0
STEP_US: Final = 86_400 * 1_000_000


async def look(services: Services, name: str) -> datetime:
    """The time, as the forgetting called `name` may believe it; for one look in `LOOK_EVERY_S`."""

    async def work(tx: Tx) -> int:
        at = micros(services.clock.now())
        known = await tx.value("SELECT at FROM ageing WHERE name = :name", name=name)
        if known is not None:
            at = min(at, known + STEP_US)
        await tx.execute(
            "INSERT INTO ageing (name, at) VALUES (:name, :at) ON CONFLICT (name) DO UPDATE SET at = excluded.at",
            name=name,
            at=at,
        )
        return at

    return datetime_of(await services.db.write(SYSTEM, work))
