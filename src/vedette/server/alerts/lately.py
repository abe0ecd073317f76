"""Problems that have begun lately, for whoever changes many devices and wants to know whether that was good."""

from collections.abc import Mapping
from typing import Final

from vedette.server.alerts import store
from vedette.server.db import Tx

MAX_DEVICES: Final = 10_000
CLOCKS: Final = 60 * 1_000_000  # by so much the clock of a device may be behind; microseconds


async def problems_since(tx: Tx, begun: int) -> Mapping[str, int]:
    """Devices with an open problem that began after `begun`, and when the server heard of the last of these
    (microseconds); some of them, where they are very many."""
    rows = await store.begun_since(tx, begun - CLOCKS, begun, MAX_DEVICES)
    return {row["device"]: row["at"] for row in rows}
