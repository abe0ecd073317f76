"""What is wanted of devices, all layers together, and bringing it onto those for which it has become another.

A layer of many devices counts in the version whose rollout has reached the device. Which deployment a device got last
is remembered by a hash of what it brings, so nobody gets what he has, however often it is looked at.
"""

from collections.abc import Mapping, Sequence
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
class Wanted:
    """What is wanted of a device, and as it travels."""

    effective: Effective
    content: str
    digest: str

    @classmethod
    def of(cls, effective: Effective) -> "Wanted":
        return cls(effective, content(effective.values), digest(effective.values))


class Layers:
    """The layers that count for these devices in one transaction; each is read once."""

    def __init__(self, tx: Tx, devices: Sequence[str]) -> None:
        self._tx = tx
        self._devices = devices
        self._steps: dict[str, Sequence[Step[Layer]]] = {}
        self._alike: dict[tuple[int, str | None, int], Wanted] = {}

    async def _outer(self, group: str, device: str) -> Layer:
        """The layer of a group ('' is that of the tenant) as it counts for a device."""
        if group not in self._steps:
            self._steps[group] = await self._read(group)
        level: Level = GROUP if group else TENANT
        return counts_for(device, self._steps[group], Layer(level, 0, {}))

    async def _read(self, group: str) -> Sequence[Step[Layer]]:
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
                Layer(level, row["number"], said(contents[row["number"]])),
                await self._begun(row["rollout"]) if row["stopped"] else None,
            )
            for row in rows
        ]

    async def _begun(self, rollout: str) -> Mapping[str, int]:
        deployments = await rollout_store.deployments(self._tx, rollout)
        return await fleets.begun(self._tx, list(deployments), self._devices)

    async def of(self, row: Row) -> Wanted:
        """What is wanted of a device, by a row of `layer_store` with its `id`, group and own layer."""
        outer = [await self._outer("", row["id"])]
        if row["group_name"] is not None:
            outer.append(await self._outer(row["group_name"], row["id"]))
        own = own_layer(row)
        if own.said:
            return Wanted.of(merge(*outer, own))
        # Nearly all devices have no layer of their own: then those of a group are all alike.
        key = (outer[0].version, row["group_name"], outer[-1].version)
        if key not in self._alike:
            self._alike[key] = Wanted.of(merge(*outer))
        return self._alike[key]


@dataclass(frozen=True, slots=True)
class Needing:
    """Which devices need a deployment."""

    devices: Mapping[str, tuple[str, Sequence[str]]]  # by digest of what they need, with that
    too_large: int  # devices whose configuration is larger than one may be
    given: Mapping[str, tuple[str, int]]  # deployments that bring others what they need: digest, and the last time


async def needing(tx: Tx, devices: Sequence[str]) -> Needing:
    """Those of these devices that have not what is wanted of them, and are not owed it."""
    layers = Layers(tx, devices)
    found: dict[str, tuple[str, list[str]]] = {}
    given: dict[str, tuple[str, int]] = {}
    too_large = 0
    for row in await layer_store.devices(tx, devices):
        if row["status"] != "accepted":
            continue
        wanted = await layers.of(row)
        if wanted.digest == _has(row):
            if row["deployment"] is not None and row["given_at"] is not None:
                _, before = given.get(row["deployment"], ("", 0))
                given[row["deployment"]] = wanted.digest, max(before, row["given_at"])
            continue
        if not fits(wanted.effective.values):
            too_large += 1
            continue
        found.setdefault(wanted.digest, (wanted.content, []))[1].append(row["id"])
    return Needing(found, too_large, given)


def _has(row: Row) -> str | None:
    """Hash of what a device has, or has been given and will take; None: not known, or it has come to nothing."""
    if row["deployment"] is None:
        return NOTHING
    if row["deployment_status"] in {ABORTED, FAILURE}:
        return None
    if row["deployment_status"] == PENDING and row["held"]:
        return None
    has: str | None = row["deployed"]
    return has


async def owe(
    tx: Tx, services: Services, tenant: str, new: Shared, devices: Sequence[str], digest_: str, now: int
) -> None:
    """Give devices a deployment with what is wanted of them; `digest_` tells it."""
    replaced = await fleets.owe(tx, services, tenant, new, devices, now)
    if replaced:
        await rollout_store.carry_on(tx, replaced, new.id, digest_)
    await layer_store.set_deployed(tx, devices, new.id, digest_, now)
