"""What goes by itself: rollouts step by step, and devices that were let in or changed their group.

A step is one short transaction that leaves everything written down, so that it may end after any of them and any server
process can do the next. A lease keeps two from doing the same at the same time; if they do, the second finds it done.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final
from uuid import uuid4

from vedette.errors import VedetteError
from vedette.server.configuration import effective, layer_store, rollout_store, rollouts
from vedette.server.configuration.rollouts import DONE, FINISHED, HALTED, HANDING_OUT, RUNNING, SOAKING, Wave
from vedette.server.configuration.waves import EVERYBODY, NOBODY, ends, place, reason_to_halt
from vedette.server.db import SYSTEM, Row, Tx, UserScope
from vedette.server.deployments import fleets
from vedette.server.deployments.fleets import Shared
from vedette.server.services import Services
from vedette.server.times import micros

POLL_S: Final = 2.0  # for what nobody announces: devices that moved, other processes that ended
LOOK_S: Final = 5.0  # at a wave that soaks
LEASE_S: Final = 60.0
SHARE: Final = 0.3  # of the time for such steps: others want the database too
MAX_BREATH_S: Final = 2.0
SCANNED_AT_ONCE: Final = 5_000  # ids of devices in one question
GIVEN_AT_ONCE: Final = 500  # devices in one transaction
MOVED_AT_ONCE: Final = 200
CALLED_OFF_AT_ONCE: Final = 500
MICROS: Final = 1_000_000

log = logging.getLogger(__name__)


async def run(services: Services) -> None:
    """Do what there is to do, as long as the server runs."""
    wake = asyncio.Event()
    services.db.hear(rollouts.TOPIC, wake.set, wake.set)
    while True:
        wake.clear()
        begun = services.clock.elapsed()
        try:
            busy = await turn(services)
        except VedetteError as exc:
            log.warning("rollouts of configurations wait: %s", exc)
            busy = False
        if busy:
            took_s = services.clock.elapsed() - begun
            await asyncio.sleep(min(MAX_BREATH_S, took_s * (1 / SHARE - 1)))
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await wake.wait()


async def turn(services: Services) -> bool:
    """One step of one rollout, and some devices that moved. Whether there was anything to do."""
    moved = await services.db.read(SYSTEM, layer_store.due, MOVED_AT_ONCE)
    for tenant in {row["tenant"]: None for row in moved}:
        devices = [row["device"] for row in moved if row["tenant"] == tenant]
        await services.db.write(UserScope(tenant, None), _bring_moved, services, tenant, devices)
    now = micros(services.clock.now())
    at = await services.db.read(SYSTEM, rollout_store.next_look)
    if at is None or at > now:
        return bool(moved)
    row = await services.db.write(SYSTEM, rollout_store.lease, now, now + int(LEASE_S * MICROS))
    if row is not None:
        await _step(services, row)
    return bool(moved) or row is not None


async def _bring_moved(tx: Tx, services: Services, tenant: str, devices: Sequence[str]) -> None:
    """Give devices that were let in, or are in another group, what is wanted of them now."""
    found = await layer_store.no_longer_due(tx, devices)
    now = micros(services.clock.now())
    needing = await effective.needing(tx, list(found), [each for each, anew in found.items() if anew])
    if needing.too_large:
        log.warning("%d devices cannot have their configuration: with all layers it is too large", needing.too_large)
    for need in needing.needs:
        new = Shared(id=str(uuid4()), called="configuration of devices that moved", configuration=need.content)
        await effective.owe(tx, services, tenant, new, need, now)


# --- steps of a rollout ----------------------------------------------------------------------------------------------


async def _step(services: Services, row: Row) -> None:
    """The next step of a leased rollout; it ends the lease."""
    scope = UserScope(row["tenant"], None)
    if row["state"] != RUNNING:
        await services.db.write(scope, _call_off, services, row["id"])
    elif not rollouts.waves_of(row):
        await _plan(services, scope, row)
    elif row["wave"] and rollouts.waves_of(row)[row["wave"] - 1].state == HANDING_OUT:
        await _hand_out(services, scope, row)
    else:
        await services.db.write(scope, _judge, services, row["id"])


async def _plan(services: Services, scope: UserScope, row: Row) -> None:
    """Look where waves end, among all devices of the layer; then the first may begin."""
    places: list[int] = []
    after = ""
    while True:
        found = await services.db.read(scope, layer_store.ids, row["group_name"], after, SCANNED_AT_ONCE)
        places += [place(row["id"], device) for device in found]
        if len(found) < SCANNED_AT_ONCE:
            break
        after = found[-1]
    percents = rollouts.parameters_of(row).waves
    waves = [Wave(last=last, planned=planned) for last, planned in ends(places, percents)]
    await services.db.write(scope, _planned, services, row["id"], waves)


async def _planned(tx: Tx, services: Services, rollout: str, waves: list[Wave]) -> None:
    row = await _running(tx, rollout)
    if row is not None and not rollouts.waves_of(row):
        await _begin(tx, services, row, waves, 1)


async def _running(tx: Tx, rollout: str) -> Row | None:
    """The rollout, if it is still to go on. Its lease ends here: what comes next is written with what is done."""
    await rollout_store.change(tx, rollout, leased_until=0)
    row = await rollout_store.one(tx, rollout)
    return row if row is not None and row["state"] == RUNNING else None


async def _begin(tx: Tx, services: Services, row: Row, waves: list[Wave], number: int) -> None:
    """Begin a wave."""
    now = micros(services.clock.now())
    waves[number - 1] = replace(waves[number - 1], state=HANDING_OUT, started_at=now)
    await rollout_store.change(
        tx, row["id"], waves=rollouts.waves_text(waves), wave=number, reached=waves[number - 1].last, handed_to="",
        look_at=now,
    )  # fmt: skip


async def _hand_out(services: Services, scope: UserScope, row: Row) -> None:
    """Give the next devices of a wave what they need."""
    waves, number = rollouts.waves_of(row), row["wave"]
    first = waves[number - 2].last if number > 1 else NOBODY
    found = await services.db.read(scope, layer_store.ids, row["group_name"], row["handed_to"], SCANNED_AT_ONCE)
    meant: list[str] = []
    looked_at, is_last = row["handed_to"], len(found) < SCANNED_AT_ONCE
    for device in found:
        if len(meant) == GIVEN_AT_ONCE:
            is_last = False
            break
        if first < place(row["id"], device) <= waves[number - 1].last:
            meant.append(device)
        looked_at = device
    handed_to = None if is_last else looked_at
    await services.db.write(scope, _handed_out, services, row, meant, handed_to)


async def _handed_out(tx: Tx, services: Services, seen: Row, devices: Sequence[str], handed_to: str | None) -> None:
    row = await _running(tx, seen["id"])
    if row is None or (row["wave"], row["handed_to"]) != (seen["wave"], seen["handed_to"]):
        return
    if await _halted(tx, services, row):
        return
    now = micros(services.clock.now())
    needing = await effective.needing(tx, devices)
    for need in needing.needs:
        deployment = await rollout_store.deployment(tx, row["id"], row["wave"], need.digest)
        new = Shared(
            id=deployment or str(uuid4()),
            called=f"{row['group_name'] or 'tenant'} version {row['version']}, wave {row['wave']}",
            configuration=need.content,
            retries=rollouts.parameters_of(row).retries,
        )
        if deployment is None:
            await rollout_store.add_deployment(tx, row["id"], row["wave"], need.digest, new.id)
        await effective.owe(tx, services, row["tenant"], new, need, now)
    waves = rollouts.waves_of(row)
    if handed_to is None:
        waves[row["wave"] - 1] = replace(waves[row["wave"] - 1], state=SOAKING, handed_out_at=now)
    await rollout_store.change(
        tx, row["id"], handed_to=handed_to, waves=rollouts.waves_text(waves), look_at=now,
        too_large=row["too_large"] + needing.too_large,
    )  # fmt: skip


async def _judge(tx: Tx, services: Services, rollout: str) -> None:
    """Stop, wait, or begin the next wave."""
    row = await _running(tx, rollout)
    if row is None:
        return
    if await _halted(tx, services, row):
        return
    waves, number, now = rollouts.waves_of(row), row["wave"], micros(services.clock.now())
    if waves[number - 1].state == SOAKING:
        these = [each for each, wave in (await rollout_store.deployments(tx, rollout)).items() if wave == number]
        at = await _soaked_at(tx, row, waves[number - 1], these, now)
        if at > now:
            await rollout_store.change(tx, rollout, look_at=min(at, now + int(LOOK_S * MICROS)))
            return
        waves[number - 1] = replace(waves[number - 1], state=DONE)
    if number < len(waves):
        await _begin(tx, services, row, waves, number + 1)
    else:
        await rollout_store.change(
            tx, rollout, state=FINISHED, waves=rollouts.waves_text(waves), look_at=None, finished_at=now,
            reached=EVERYBODY,
        )  # fmt: skip


async def _halted(tx: Tx, services: Services, row: Row) -> bool:
    """Stop it, if its bounds say so."""
    deployments = await rollout_store.deployments(tx, row["id"])
    tally = await rollouts.tally(tx, services, row, list(deployments))
    reason = reason_to_halt(tally.since(rollouts.forgiven_of(row)), rollouts.parameters_of(row))
    if reason is None:
        return False
    await rollouts.stop(tx, row["tenant"], row, HALTED, reason)
    log.warning("rollout %s was halted in wave %d: %s", row["id"], row["wave"], reason)
    return True


async def _soaked_at(tx: Tx, row: Row, wave: Wave, deployments: Sequence[str], now: int) -> int:
    """When a wave that was handed out has shown that the next one may come; in the future: not yet, look again then."""
    counts = rollouts.counted(list((await fleets.numbers(tx, deployments)).values()))
    if not counts.devices:  # nothing changes for any device in it
        return now
    assert wave.handed_out_at is not None
    parameters = rollouts.parameters_of(row)
    soaked = wave.handed_out_at + parameters.soak_s * MICROS
    if soaked > now:
        return soaked
    later = now + int(LOOK_S * MICROS)
    is_patient = now < wave.handed_out_at + parameters.patience_s * MICROS
    if row["wave"] == len(rollouts.waves_of(row)):
        return later if is_patient and counts.pending + counts.active else now
    if not counts.success:
        return later
    return later if is_patient and await fleets.somebody_at_it(tx, deployments) else now


async def _call_off(tx: Tx, services: Services, rollout: str) -> None:
    """Of a rollout that has ended: some of what nobody has begun."""
    await rollout_store.change(tx, rollout, leased_until=0)
    deployments = list(await rollout_store.deployments(tx, rollout))
    now = micros(services.clock.now())
    if await fleets.call_off(tx, deployments, CALLED_OFF_AT_ONCE, now) < CALLED_OFF_AT_ONCE:
        await rollout_store.change(tx, rollout, cleaning=0, look_at=None)
    else:
        await rollout_store.change(tx, rollout, look_at=now)
