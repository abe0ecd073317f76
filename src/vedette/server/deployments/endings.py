"""How a deployment ends on a device. For the other modules of this slice, within their transactions."""

from vedette.server.db import DeviceScope, Row, Tx
from vedette.server.deployments import device_store, due, store
from vedette.server.deployments.values import FAILURE


async def end(tx: Tx, row: Row, status: str, substate: str, now: int) -> None:
    """Write how it ended. What is older and has not ended is aborted: the device will not get it any more."""
    await device_store.set_status(tx, row["deployment"], status, substate, now, ended=True)
    if row["ended_at"] is not None:  # a device corrects itself
        return
    await store.ended(tx, row["deployment"], now)
    for older in await device_store.abort_older(tx, row["position"], now):
        await store.ended(tx, older, now)


async def fail(tx: Tx, scope: DeviceScope, row: Row, substate: str, now: int) -> None:
    """An attempt has failed: the device gets it again, as often as was wished, or that was it."""
    if row["attempts"] < row["retries"]:
        await store.started(tx, row["deployment"])
        await device_store.try_again(tx, row["deployment"])
        due.announce(tx, scope.tenant, scope.device)
    else:
        await end(tx, row, FAILURE, substate, now)
