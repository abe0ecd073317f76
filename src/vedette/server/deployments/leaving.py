"""What happens to the deployments of a device that is about to be removed."""

import msgspec

from vedette.server.db import Tx
from vedette.server.deployments import store
from vedette.server.deployments.values import DECOMMISSIONED


async def device_leaves(tx: Tx, device_id: str, now: int) -> None:
    """Its rows go with it, so its deployments keep the number of it. For `Services.leaving`."""
    for row in await store.of_leaving(tx, device_id):
        ended = row["ended_at"] is not None
        status = row["status"] if ended else DECOMMISSIONED
        gone = msgspec.json.decode(row["gone"])
        gone[status] = gone.get(status, 0) + 1
        await store.set_gone(tx, row["deployment"], msgspec.json.encode(gone).decode())
        if not ended:
            await store.ended(tx, row["deployment"], now)
