"""What is wanted of devices, all layers together, and bringing it onto those for which it has become another.

A layer of many devices counts in the version whose rollout has reached the device. Which deployment a device got last
is remembered by a hash of what it brings, so nobody gets what he has, however often it is looked at.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from vedette.server.configuration import layer_store, rollout_store
from vedette.server.configuration.layers import (
    DEVICE,
    GROUP,
    NOTHING,
    TENANT,
    Effective,
    Layer,
    Level,
    Said,
    Values,
    content,
    digest,
    merge,
)
from vedette.server.configuration.rollout_store import OPEN
from vedette.server.configuration.waves import EVERYBODY, Step, counts_for
from vedette.server.db import Row, Tx
from vedette.server.deployments import fleets
from vedette.server.deployments.fleets import Shared
from vedette.server.deployments.values import ABORTED, FAILURE, PENDING
from vedette.server.services import Services

MAX_KEYS: Final = 1000
MAX_LENGTH: Final = 4096  # characters of a key or value
MAX_TOTAL: Final = 64 * 1024  # characters of all together: a list of deployments holds 500 configurations
MAX_CHAIN: Final = 20  # versions of a layer that count for some devices at the same time

_said = msgspec.json.Decoder(dict[str, str | None])
_absent = msgspec.json.Decoder(list[str])


def fits(values: Values) -> bool:
    """Whether a device can have so much."""
    return len(values) <= MAX_KEYS and sum(len(key) + len(value) for key, value in values.items()) <= MAX_TOTAL


def said(text: str) -> Said:
    """What the content of a version says."""
    return _said.decode(text)


def own_said(row: Row) -> Said:
    """What the layer of a device itself says, out of a row of `layer_store`."""
    if row["configured"] is None:
        return {}
    return {**_said.decode(row["configured"]), **dict.fromkeys(_absent.decode(row["absent"]))}


def own_layer(row: Row) -> Layer:
    return Layer(DEVICE, row["version"] or 0, own_said(row))


@dataclass(frozen=True, slots=True)
class Brings:
    """A version of a layer, and the rollout that is under way of it, with its present wave."""

    layer: Layer
    carries: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a device, as it travels, and which rollouts are carried by it."""

    effective: Effective
    content: str
    digest: str
    carries: Sequence[tuple[str, int]]

    @classmethod
    def of(cls, outer: Sequence[Brings], *own: Layer) -> "Wanted":
        found = merge(*(each.layer for each in outer), *own)
        carries = [each.carries for each in outer if each.carries is not None]
        return cls(found, content(found.values), digest(found.values), carries)


class Layers:
    """The layers that count for these devices in one transaction; each is read once."""

    def __init__(self, tx: Tx, devices: Sequence[str]) -> None:
        self._tx = tx
        self._devices = devices
        self._steps: dict[str, Sequence[Step[Brings]]] = {}
        self._alike: dict[tuple[int, str | None, int], Wanted] = {}

    async def of(self, row: Row) -> Wanted:
        """What is wanted of a device, by a row of `layer_store` with its `id`, group and own layer."""
        outer = [await self._outer("", row["id"])]
        if row["group_name"] is not None:
            outer.append(await self._outer(row["group_name"], row["id"]))
        own = own_layer(row)
        if own.said:
            return Wanted.of(outer, own)
        # Nearly all devices have no layer of their own: then those of a group are all alike.
        key = (outer[0].layer.version, row["group_name"], outer[-1].layer.version)
        if key not in self._alike:
            self._alike[key] = Wanted.of(outer)
        return self._alike[key]

    async def _outer(self, group: str, device: str) -> Brings:
        """The layer of a group ('' is that of the tenant) as it counts for a device."""
        if group not in self._steps:
            self._steps[group] = await self._read(group)
        level: Level = GROUP if group else TENANT
        return counts_for(device, self._steps[group], Brings(Layer(level, 0, {})))

    async def _read(self, group: str) -> Sequence[Step[Brings]]:
        """The versions that have not reached all devices, newest first, and the one that has."""
        level: Level = GROUP if group else TENANT
        rows: list[Row] = []
        for row in await layer_store.reached(self._tx, group, MAX_CHAIN + 1):
            rows.append(row)
            if row["reached"] == EVERYBODY and not row["stopped"]:
                break
        contents = await layer_store.contents(self._tx, group, [row["number"] for row in rows])
        return [
            Step(
                row["rollout"],
                row["reached"],
                Brings(
                    Layer(level, row["number"], said(contents[row["number"]])),
                    (row["rollout"], row["wave"]) if row["state"] in OPEN else None,
                ),
                await self._begun(row["rollout"]) if row["stopped"] else None,
            )
            for row in rows
        ]

    async def _begun(self, rollout: str) -> Mapping[str, int]:
        deployments = await rollout_store.deployments(self._tx, rollout)
        return await fleets.begun(self._tx, list(deployments), self._devices)


@dataclass(frozen=True, slots=True)
class Need:
    """What some devices need."""

    content: str
    digest: str
    devices: list[str]
    carries: set[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Needing:
    """Which devices need a deployment; and of how many the configuration is larger than one may be."""

    needs: Sequence[Need]
    too_large: int


async def needing(tx: Tx, devices: Sequence[str], anew: Container[str] = ()) -> Needing:
    """Those of these devices that have not what is wanted of them, and are not owed it; of those in `anew` it is not
    known what they have."""
    layers = Layers(tx, devices)
    found: dict[str, Need] = {}
    too_large = 0
    for row in await layer_store.devices(tx, devices):
        if row["status"] != "accepted":
            continue
        wanted = await layers.of(row)
        if wanted.digest == (None if row["id"] in anew and row["deployment"] is not None else _has(row)):
            continue
        if not fits(wanted.effective.values):
            too_large += 1
            continue
        need = found.setdefault(wanted.digest, Need(wanted.content, wanted.digest, [], set()))
        need.devices.append(row["id"])
        need.carries.update(wanted.carries)
    return Needing(list(found.values()), too_large)


def _has(row: Row) -> str | None:
    """Hash of what a device has, or has been given and will take; None: not known, or it has come to nothing."""
    if row["deployment"] is None:
        return NOTHING
    if row["deployment_status"] in {ABORTED, FAILURE}:
        return None
    if row["deployment_status"] == PENDING and row["held"]:
        return None
    if row["ended_at"] is not None and row["reported_at"] is not None and row["reported_at"] > row["ended_at"]:
        has = row["reported_hash"]  # it may have lost what it had
    else:
        has = row["deployed"]
    return None if has is None else str(has)


async def owe(tx: Tx, services: Services, tenant: str, new: Shared, need: Need, now: int) -> None:
    """Give devices a deployment with what they need."""
    await fleets.owe(tx, services, tenant, new, need.devices, now)
    await layer_store.set_deployed(tx, need.devices, new.id, need.digest, now)
    await carried(tx, need.carries, need.digest, new.id)


async def carried(tx: Tx, carries: Iterable[tuple[str, int]], digest_: str, deployment: str) -> None:
    """Remember which rollouts a deployment carries: they are judged by it, and it is held when they halt."""
    for rollout, wave in carries:
        await rollout_store.add_deployment(tx, rollout, wave, digest_, deployment)
