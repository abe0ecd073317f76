"""What a device says of a deployment: how far it is, how it ended, its log; and fetching what is to be installed."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from vedette.errors import Conflict, Invalid, NotFound
from vedette.server.db import DeviceScope, Row, Tx
from vedette.server.deployments import artifact, device_store, endings, store
from vedette.server.deployments.values import ABORTED, DECOMMISSIONED, ENDS, FAILURE, REPORTED, LogMessage
from vedette.server.services import Services
from vedette.server.times import micros

MAX_SUBSTATE: Final = 200  # characters
NO_DEPLOYMENT: Final = "deployment not found"


async def report_status(services: Services, scope: DeviceScope, deployment: str, status: str, substate: str) -> None:
    """How far the device is. The same once more changes nothing; what has ended does not begin again.

    Raises:
        NotFound: not a deployment of this device.
        Invalid: no status that a device can be in.
        Conflict: it has been aborted; the device is to stop.
    """
    if status not in REPORTED:
        raise Invalid(f"invalid status {status[:50]!r}, expected one of: {', '.join(REPORTED)}")
    if len(substate) > MAX_SUBSTATE or "\0" in substate:
        raise Invalid(f"invalid substate: at most {MAX_SUBSTATE} characters, without NUL")
    if _is_news(await services.db.read(scope, device_store.own, deployment), status, substate):
        await services.db.write(scope, _report, services, scope, deployment, status, substate)


async def _report(tx: Tx, services: Services, scope: DeviceScope, deployment: str, status: str, substate: str) -> None:
    row = await device_store.own(tx, deployment)
    if not _is_news(row, status, substate):  # it was, when it was looked up
        return
    assert row is not None
    now = micros(services.clock.now())
    if status == FAILURE and row["ended_at"] is None:
        await endings.fail(tx, scope, row, substate, now)
    elif status in ENDS:
        await endings.end(tx, row, status, substate, now)
    else:
        await store.started(tx, deployment)
        await device_store.set_status(tx, deployment, status, substate, now, ended=False)
    group = await device_store.group_of(tx)
    services.live.announce(tx, scope.tenant, group, scope.device)


def _is_news(row: Row | None, status: str, substate: str) -> bool:
    """Whether a report changes anything.

    Raises:
        NotFound, Conflict: as `report_status`.
    """
    if row is None:
        raise NotFound(NO_DEPLOYMENT)
    if row["status"] in {ABORTED, DECOMMISSIONED}:
        raise Conflict("deployment was aborted")
    if (row["status"], row["substate"]) == (status, substate):
        return False
    if row["ended_at"] is not None:
        return status in ENDS
    # Until it has asked again, a device that has failed can only be repeating that.
    return not (status == FAILURE and row["attempts"] and row["offered"] is None)


async def keep_log(services: Services, scope: DeviceScope, deployment: str, messages: Sequence[LogMessage]) -> None:
    """What the device did in its last attempt.

    Raises:
        NotFound: not a deployment of this device.
    """
    text = msgspec.json.encode([(micros(each.at), each.level, each.text) for each in messages]).decode()

    async def work(tx: Tx) -> None:
        if await device_store.own(tx, deployment) is None:
            raise NotFound(NO_DEPLOYMENT)
        await device_store.keep_log(tx, deployment, text)

    await services.db.write(scope, work)


async def control_map(services: Services, scope: DeviceScope, deployment: str) -> dict[str, Any]:
    """Where the device is to wait while it installs.

    Raises:
        NotFound: not a deployment of this device, or it is to wait nowhere, or it has been called off meanwhile: then
            the client goes on, and hears of that with its next report.
    """
    row = await services.db.read(scope, device_store.own, deployment)
    if row is None or row["control_map"] is None or row["ended_at"] is not None:
        raise NotFound("update control map not found")
    value: dict[str, Any] = msgspec.json.decode(row["control_map"])
    return value


async def download(services: Services, scope: DeviceScope, deployment: str, device_type: str) -> bytes:
    """The artifact for this device. The caller must have seen that it may have it.

    Raises:
        NotFound: not a deployment of this device.
    """
    row = await services.db.read(scope, device_store.own, deployment)
    if row is None:
        raise NotFound(NO_DEPLOYMENT)
    return artifact.of_configuration(row["artifact_name"], device_type, row["content"])
