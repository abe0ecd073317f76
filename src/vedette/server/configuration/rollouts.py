"""The rules of rollouts for people: beginning, following, pausing, calling off. `rollout_steps` is what goes by itself.

What devices have not begun is held with one change of the deployments that carry it, so a halt counts at once, however
many devices are still to come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import uuid4

import msgspec

from vedette.errors import Conflict, Denied, NotFound
from vedette.server.access.permissions import FORBIDDEN, Call
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.configuration import rollout_store, rules
from vedette.server.configuration.waves import NOBODY, Parameters, Tally
from vedette.server.db import Row, Tx, UserScope
from vedette.server.deployments import fleets
from vedette.server.deployments.values import (
    ABORTED,
    ALREADY_INSTALLED,
    ENDS,
    FAILURE,
    PENDING,
    SUCCESS,
    DeviceDeployment,
)
from vedette.server.listing import Listing
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

TOPIC: Final = "rollout"  # under which those who do the work hear that there is some
SEE_ROLLOUTS: Final[Call] = ("GET", "/api/management/v1/vedette/configuration/rollouts")

RUNNING: Final = "running"
PAUSED: Final = "paused"
HALTED: Final = "halted"
ABORTED_STATE: Final = "aborted"
ROLLED_BACK: Final = "rolled_back"
SUPERSEDED: Final = "superseded"
FINISHED: Final = "finished"
STATES: Final = (RUNNING, PAUSED, HALTED, ABORTED_STATE, ROLLED_BACK, SUPERSEDED, FINISHED)
OPEN: Final = rollout_store.OPEN
CAN_BE_ROLLED_BACK: Final = (*OPEN, ABORTED_STATE, FINISHED)

TO_COME: Final = "waiting"
HANDING_OUT: Final = "handing_out"
SOAKING: Final = "soaking"
DONE: Final = "done"
WAVE_STATES: Final = (TO_COME, HANDING_OUT, SOAKING, DONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """How far a wave is; times are microseconds."""

    last: int  # place of its last device
    planned: int  # devices in it, and in none before
    state: str = TO_COME
    started_at: int | None = None
    handed_out_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What has become of the devices of a wave that something changes for."""

    devices: int = 0
    pending: int = 0  # have not begun
    offline: int = 0  # of these, those who were not heard of since
    active: int = 0
    success: int = 0
    failure: int = 0
    aborted: int = 0  # called off, often for something newer; not among `devices`


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How a version of a layer reaches its devices, as one user sees it: numbers are of devices that he sees."""

    id: str
    group: str  # '': the tenant's layer
    version: int
    state: str
    reason: str
    author: str
    comment: str
    parameters: Parameters
    wave: int  # the present one, from 1; 0: none has begun
    waves: Sequence[Wave]
    counts: Sequence[Counts]  # of each wave
    alerting: int
    too_large: int
    waiting_for: str
    created_at: datetime
    finished_at: datetime | None


# --- beginning -------------------------------------------------------------------------------------------------------


async def start(
    tx: Tx, services: Services, caller: Caller, group: str, version: int, parameters: Parameters, comment: str
) -> str:
    """Let a new version of a layer reach its devices; what is under way of an older one ends. The id."""
    now = micros(services.clock.now())
    await rollout_store.supersede(tx, group, now)
    rollout = str(uuid4())
    values = {
        "id": rollout,
        "of": group,
        "version": version,
        "state": PAUSED if parameters.paused else RUNNING,
        "author": caller.email,
        "comment": comment,
        "parameters": msgspec.json.encode(parameters).decode(),
        "waves": "[]",
        "forgiven": tally_text(Tally()),
        "look_at": None if parameters.paused else now,
        "now": now,
    }
    await rollout_store.add(tx, values)
    tx.announce(TOPIC)
    return rollout


async def of_version(tx: Tx, group: str, version: int) -> tuple[str, str] | None:
    """The rollout of a version: id and state."""
    row = await rollout_store.of_version(tx, group, version)
    return None if row is None else (row["id"], row["state"])


async def under_way(tx: Tx, group: str) -> tuple[str, str] | None:
    """What is under way of a layer: id and state."""
    row = await rollout_store.under_way(tx, group)
    return None if row is None else (row["id"], row["state"])


# --- reading ---------------------------------------------------------------------------------------------------------


async def rollouts(
    services: Services, caller: Caller, state: str | None, group: str | None, limit: int, offset: int
) -> Listing[Rollout]:
    """The rollouts that the caller sees, newest first. Whoever sees some groups only sees those of their layers."""
    mine = None if caller.scope.groups is None else sorted(caller.scope.groups)

    async def work(tx: Tx) -> Listing[Rollout]:
        rows, total = await rollout_store.find(tx, mine, state, group, limit, offset)
        found = [await _whole(tx, services, row, detailed=row["state"] in OPEN) for row in rows]
        return Listing(tuple(found), total)

    return await services.db.read(caller.scope, work)


async def rollout(services: Services, caller: Caller, rollout_id: str) -> Rollout:
    """One rollout. Raises NotFound: there is none, or not for this caller."""

    async def work(tx: Tx) -> Rollout:
        row = _seen(caller.scope, await rollout_store.one(tx, rollout_id))
        return await _whole(tx, services, row, detailed=True)

    return await services.db.read(caller.scope, work)


async def devices(
    services: Services, caller: Caller, rollout_id: str, statuses: Sequence[str] | None, limit: int, offset: int
) -> Listing[tuple[int, DeviceDeployment]]:
    """The devices that it has given something to, each with its wave. Raises NotFound, as `rollout`."""

    async def work(tx: Tx) -> Listing[tuple[int, DeviceDeployment]]:
        _seen(caller.scope, await rollout_store.one(tx, rollout_id))
        waves = await rollout_store.deployments(tx, rollout_id)
        found = await fleets.devices(tx, list(waves), statuses, limit, offset)
        return Listing(tuple((waves[each.deployment], each) for each in found.items), found.total)

    return await services.db.read(caller.scope, work)


def _seen(scope: UserScope, row: Row | None) -> Row:
    if row is None or (scope.groups is not None and row["group_name"] not in scope.groups):
        raise NotFound("rollout not found")
    return row


async def _whole(tx: Tx, services: Services, row: Row, *, detailed: bool) -> Rollout:
    """`detailed`: also what takes a look at each device that has not begun, or has a problem."""
    deployments = await rollout_store.deployments(tx, row["id"])
    waves = waves_of(row) or [Wave(last=NOBODY, planned=0)] * len(parameters_of(row).waves)
    numbers = await fleets.numbers(tx, list(deployments))
    offline = await fleets.offline(tx, list(deployments)) if detailed else {}
    counts = [
        counted([numbers[each] for each in deployments if deployments[each] == number])
        for number in range(1, len(waves) + 1)
    ]
    counts = [
        replace(each, offline=sum(offline.get(one, 0) for one in deployments if deployments[one] == number))
        for number, each in enumerate(counts, start=1)
    ]
    return Rollout(
        id=row["id"],
        group=row["group_name"],
        version=row["version"],
        state=row["state"],
        reason=row["reason"],
        author=row["author"],
        comment=row["comment"],
        parameters=parameters_of(row),
        wave=row["wave"],
        waves=waves,
        counts=counts,
        alerting=await alerting(tx, services, row, list(deployments)) if detailed else 0,
        too_large=row["too_large"],
        waiting_for=_waiting_for(row, waves, counts),
        created_at=datetime_of(row["created_at"]),
        finished_at=datetime_of(row["finished_at"]),
    )


def _waiting_for(row: Row, waves: Sequence[Wave], counts: Sequence[Counts]) -> str:
    """What has to happen for it to go on, in a sentence; empty: nothing."""
    if row["state"] == PAUSED:
        return "somebody to resume it"
    if row["state"] == HALTED:
        return "somebody to resume it, or to roll it back"
    if row["state"] != RUNNING:
        return "deployments to be called off" if row["cleaning"] else ""
    if row["wave"] == 0:
        return "the first wave to begin"
    if waves[row["wave"] - 1].state == HANDING_OUT:
        return f"deployments of wave {row['wave']} to be made"
    parameters, now = parameters_of(row), counts[row["wave"] - 1]
    if now.devices and not now.success and row["wave"] < len(waves):
        return f"the first device of wave {row['wave']} to succeed"
    return f"wave {row['wave']} to soak for {parameters.soak_s} s, and its devices to end what they are at"


def parameters_of(row: Row) -> Parameters:
    return msgspec.json.decode(row["parameters"], type=Parameters)


def waves_of(row: Row) -> list[Wave]:
    return msgspec.json.decode(row["waves"], type=list[Wave])


def counted(numbers: Sequence[Mapping[str, int]]) -> Counts:
    """The statuses of several deployments, added up."""
    total: dict[str, int] = {}
    for each in numbers:
        for status, number in each.items():
            total[status] = total.get(status, 0) + number
    ended = {
        "success": total.pop(SUCCESS, 0) + total.pop(ALREADY_INSTALLED, 0),
        "failure": total.pop(FAILURE, 0),
        "pending": total.pop(PENDING, 0),
    }
    aborted = sum(total.pop(each, 0) for each in (ABORTED, *ENDS))
    active = sum(total.values())
    return Counts(devices=sum(ended.values()) + active, active=active, aborted=aborted, **ended)


async def tally(tx: Tx, services: Services, row: Row, deployments: Sequence[str]) -> Tally:
    """What there is to judge a rollout by."""
    now = counted(list((await fleets.numbers(tx, deployments)).values()))
    return Tally(
        given=now.devices,
        ended=now.success + now.failure,
        failures=now.failure,
        alerting=await alerting(tx, services, row, deployments),
    )


async def alerting(tx: Tx, services: Services, row: Row, deployments: Sequence[str]) -> int:
    """How many devices have a problem that began after they began with it."""
    if not deployments:
        return 0
    problems = await services.problems_since(tx, row["created_at"])
    begun = await fleets.begun(tx, deployments, list(problems))
    return sum(problems[device] >= at for device, at in begun.items())


# --- changing --------------------------------------------------------------------------------------------------------


async def pause(services: Services, caller: Caller, rollout_id: str, comment: str) -> None:
    """Devices that have not begun do not begin; no further wave does.

    Raises:
        NotFound: there is none, or not for this caller.
        Denied: one that he sees, of a layer that he may not change.
        Conflict: it does not run.
    """

    async def work(tx: Tx) -> None:
        row = await changeable(tx, caller, rollout_id, (RUNNING,))
        await stop(tx, caller.scope.tenant, row, PAUSED, comment)
        await _record(tx, services, caller, row, PAUSED, comment)

    rules.check_comment(comment)
    await services.db.write(caller.scope, work)


async def resume(services: Services, caller: Caller, rollout_id: str, comment: str) -> None:
    """It goes on where it was. Whoever resumes what was halted means it: what has failed by then counts no more.

    Raises: as `pause`; Conflict: it is not paused or halted.
    """

    async def work(tx: Tx) -> None:
        row = await changeable(tx, caller, rollout_id, (PAUSED, HALTED))
        deployments = list(await rollout_store.deployments(tx, rollout_id))
        if row["state"] == HALTED:
            forgiven = await tally(tx, services, row, deployments)
            await rollout_store.change(tx, rollout_id, forgiven=tally_text(forgiven))
        free = await rollout_store.free_deployments(tx, rollout_id)
        await fleets.hold(tx, caller.scope.tenant, free, held=False)
        now = micros(services.clock.now())
        await rollout_store.change(
            tx, rollout_id, state=RUNNING, reason=comment, stopped=0, look_at=now, leased_until=0
        )
        await _record(tx, services, caller, row, RUNNING, comment)
        tx.announce(TOPIC)

    rules.check_comment(comment)
    await services.db.write(caller.scope, work)


async def advance(services: Services, caller: Caller, rollout_id: str, comment: str) -> None:
    """The next wave begins now, whatever this one is still waiting for. Raises: as `pause`."""

    async def work(tx: Tx) -> None:
        row = await changeable(tx, caller, rollout_id, (RUNNING,))
        waves, number = waves_of(row), row["wave"]
        if not number or waves[number - 1].state != SOAKING:
            raise Conflict("a wave is being handed out; wait for its end")
        waves[number - 1] = replace(waves[number - 1], state=DONE)
        now = micros(services.clock.now())
        await rollout_store.change(tx, rollout_id, waves=waves_text(waves), reason=comment, look_at=now)
        await _record(tx, services, caller, row, f"wave {number} ended", comment)
        tx.announce(TOPIC)

    rules.check_comment(comment)
    await services.db.write(caller.scope, work)


async def abort(services: Services, caller: Caller, rollout_id: str, comment: str) -> None:
    """It ends here: devices that have it keep it, those that have not begun do not get it. Raises: as `pause`."""

    async def work(tx: Tx) -> None:
        row = await changeable(tx, caller, rollout_id, OPEN)
        await end(tx, services, caller, row, ABORTED_STATE, comment)

    rules.check_comment(comment)
    await services.db.write(caller.scope, work)


async def changeable(tx: Tx, caller: Caller, rollout_id: str, states: Sequence[str]) -> Row:
    """A rollout that the caller may change, if it is in one of these states."""
    row = await rollout_store.one(tx, rollout_id)
    if row is not None and caller.scope.groups is not None and row["group_name"] not in caller.scope.groups:
        seen = row["group_name"] and caller.rights.reach(SEE_ROLLOUTS, row["group_name"])
        if seen:
            raise Denied(FORBIDDEN)
    row = _seen(caller.scope, row)
    if row["state"] not in states:
        raise Conflict(f"the rollout is {row['state']}; this needs one that is {' or '.join(states)}")
    return row


async def stop(tx: Tx, tenant: str, row: Row, state: str, reason: str) -> None:
    """Hold what devices have not begun."""
    await fleets.hold(tx, tenant, list(await rollout_store.deployments(tx, row["id"])), held=True)
    await rollout_store.change(tx, row["id"], state=state, reason=reason, stopped=1, look_at=None)


async def end(tx: Tx, services: Services, caller: Caller, row: Row, state: str, comment: str) -> None:
    """End it for good; what devices have not begun is held at once, and called off by and by."""
    now = micros(services.clock.now())
    await stop(tx, caller.scope.tenant, row, state, comment)
    await rollout_store.change(tx, row["id"], cleaning=1, look_at=now, leased_until=0, finished_at=now)
    await _record(tx, services, caller, row, state, comment)
    tx.announce(TOPIC)


async def _record(tx: Tx, services: Services, caller: Caller, row: Row, state: str, comment: str) -> None:
    name = f"rollout {row['id']} of version {row['version']} of {row['group_name'] or 'the tenant'}"
    change = audit.diff(name, {"state": row["state"]}, {"state": state, **({"comment": comment} if comment else {})})
    await audit.record(tx, services, caller, "update", audit.tenant(caller.scope.tenant), change)


def waves_text(waves: Sequence[Wave]) -> str:
    return msgspec.json.encode(list(waves)).decode()


def forgiven_of(row: Row) -> Tally:
    return msgspec.json.decode(row["forgiven"], type=Tally)


def tally_text(tally: Tally) -> str:
    return msgspec.json.encode(tally).decode()
