"""What a device gets when it asks for something to install.

It gets its deployments in the order in which they were made, each until it has ended. Source of the rules: the
behaviour of the compatible server, as recorded (docs/compatibility.md).
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from vedette.errors import Conflict
from vedette.server.db import DeviceScope, Row, Tx
from vedette.server.deployments import device_store, endings
from vedette.server.deployments.values import ALREADY_INSTALLED, Instruction, Poll
from vedette.server.services import Services
from vedette.server.times import micros

CHANGED: Final = "conflicting deployment request: the device type or artifact name is another than at first"


@dataclass(frozen=True, slots=True)
class _Refused:
    """The device is not what it was when it asked first; written down, so it cannot be raised inside."""


async def next_deployment(services: Services, scope: DeviceScope, poll: Poll) -> Instruction | None:
    """What the device is to install now; None: nothing.

    Raises:
        Conflict: it has become another while something was being installed; that has failed now.
    """
    if not await services.due.may_be(scope):
        return None
    row = await services.db.read(scope, device_store.candidate)
    if row is None:
        return None
    if row["artifact_name"] == poll.artifact_name or row["offered"] != _text(poll):
        outcome = await services.db.write(scope, _offer, services, scope, poll)
        if isinstance(outcome, _Refused):
            raise Conflict(CHANGED)
        return outcome
    return _instruction(row)


async def _offer(tx: Tx, services: Services, scope: DeviceScope, poll: Poll) -> Instruction | _Refused | None:
    now = micros(services.clock.now())
    while (row := await device_store.candidate(tx)) is not None:
        if row["artifact_name"] == poll.artifact_name:
            # It has it: the report of its success was lost.
            await endings.end(tx, row, ALREADY_INSTALLED, "", now)
            await _tell(tx, services, scope)
            continue
        if row["offered"] is None:
            await device_store.set_offered(tx, row["deployment"], _text(poll))
        elif row["offered"] != _text(poll):
            await endings.fail(tx, scope, row, "", now)
            await _tell(tx, services, scope)
            return _Refused()
        return _instruction(row)
    return None


async def _tell(tx: Tx, services: Services, scope: DeviceScope) -> None:
    group = await device_store.group_of(tx)
    services.live.announce(tx, scope.tenant, group, scope.device)


def _text(poll: Poll) -> str:
    return msgspec.json.encode([poll.device_type, poll.artifact_name]).decode()


def _instruction(row: Row) -> Instruction:
    return Instruction(
        deployment=row["deployment"],
        artifact_name=row["artifact_name"],
        control_map=None if row["control_map"] is None else msgspec.json.decode(row["control_map"]),
    )
