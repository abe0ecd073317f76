"""Alerts and what became of them, forgotten together when they are old enough: in small steps, beside the requests."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from vedette.errors import VedetteError
from vedette.server import ageing
from vedette.server.alerts import forgetting as alerts
from vedette.server.db import SYSTEM, Row, Tx
from vedette.server.notify import store
from vedette.server.services import Services

FIRST_S: Final = 60.0  # after the start: what comes first is what waits
AT_ONCE: Final = 200  # alerts in one transaction; the intake wants the database too
BREATH_S: Final = 0.02

log = logging.getLogger(__name__)


async def forget_forever(services: Services) -> None:
    """Every hour, forget what is older than the setting `alert_days`, until cancelled."""
    if not services.settings.days_of_alerts:
        return
    await asyncio.sleep(FIRST_S)
    while True:
        try:
            count = await forget_old(services)
            if count:
                log.info("forgot %d alerts older than %d days", count, services.settings.days_of_alerts)
        except VedetteError as exc:
            log.warning("old alerts are still there: %s", exc)
        await asyncio.sleep(ageing.LOOK_EVERY_S)


async def forget_old(services: Services) -> int:
    """Forget all that is too old by now; how many alerts."""
    now = await ageing.look(services, "alert")
    before = now - timedelta(days=services.settings.days_of_alerts)
    count = 0
    for span in alerts.spans(before, now):
        after: alerts.Key | None = alerts.BEGINNING
        while after is not None:
            found, after = await alerts.find(services, span, before, after, AT_ONCE)
            if found:
                count += await services.db.write(SYSTEM, _forget, found)
            await asyncio.sleep(BREATH_S)
    return count


async def _forget(tx: Tx, found: Sequence[Row]) -> int:
    """Forget these alerts, but not one that somebody is still to hear of. How many."""
    keys = [(row["tenant"], row["device"], row["id"]) for row in found]
    owed = await store.owed(tx, keys)
    gone = [row for row, key in zip(found, keys, strict=True) if key not in owed]
    await store.forget(tx, [key for key in keys if key not in owed])
    await alerts.forget(tx, gone)
    return len(gone)
