"""What a change of a layer would do, before it is made. Changes nothing.

Devices without a layer of their own are all alike within a group, so they are counted by group; those that have one are
looked at one by one, up to a limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vedette.server.caller import Caller
from vedette.server.configuration import layer_store, rollouts
from vedette.server.configuration.effective import own_said, said
from vedette.server.configuration.layer_service import Edit, Which, check, current_in, require_changeable
from vedette.server.configuration.layers import DEVICE, GROUP, TENANT, Change, Level, Said, Values, changes
from vedette.server.db import Row, Tx
from vedette.server.services import Services

MAX_OWN: Final = 5_000  # devices with a layer of their own that are looked at
SAMPLE: Final = 10
LOOKED_AT: Final = 100  # devices, to find a sample among them


@dataclass(frozen=True, slots=True)
class Shadow:
    """A key that changes, and that an inner layer says something of: there, nothing changes."""

    key: str
    by: Level
    group: str  # '' where it is devices' own layers
    devices: int


@dataclass(frozen=True, slots=True)
class Example:
    """A device, and what would change for it."""

    device: str
    group: str | None
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """See above. Numbers are of accepted devices."""

    version: int
    changes: Sequence[Change]
    devices: int  # in the layer
    affected: int  # of these, those for which something changes
    exact: bool  # False: more devices have a layer of their own than were looked at
    shadowed: Sequence[Shadow]
    sample: Sequence[Example]
    under_way: tuple[str, str] | None  # a rollout of this layer that would be superseded: id and state


async def preview(services: Services, caller: Caller, which: Which, edit: Edit) -> Preview:
    """What `layer_service.save` with the same would do.

    Raises: as that.
    """
    require_changeable(caller, which)

    async def work(tx: Tx) -> Preview:
        current = await current_in(tx, which)
        after = edit.make(current.said)
        await check(tx, which, after)
        found = _Found(tx, which, current.said, after)
        await found.look()
        return Preview(
            version=current.number,
            changes=changes(current.said, after),
            devices=found.devices,
            affected=found.affected,
            exact=found.exact,
            shadowed=found.shadowed(),
            sample=found.sample,
            under_way=None if which.level == DEVICE else await rollouts.under_way(tx, which.group),
        )

    return await services.db.read(caller.scope, work)


class _Found:
    """Looks through the devices of a layer."""

    def __init__(self, tx: Tx, which: Which, before: Said, after: Said) -> None:
        self._tx, self._which, self._before, self._after = tx, which, before, after
        self._keys = [each.key for each in changes(before, after)]
        self._shadows: dict[tuple[str, Level, str], int] = {}
        self._tenant: Said = {}
        self._groups: Mapping[str, Said] = {}
        self.devices = self.affected = 0
        self.exact = True
        self.sample: list[Example] = []

    async def look(self) -> None:
        tx, which = self._tx, self._which
        if which.level != TENANT:
            self._tenant = said((await layer_store.newest_of(tx, [""])).get("", "{}"))
        if which.level == DEVICE:
            rows = await layer_store.devices(tx, [which.name])
            self._groups = await self._inner([row["group_name"] for row in rows])
            self.devices, looked_at = len(rows), rows
            self.affected = sum(bool(self._changes(row)) for row in rows)
        else:
            looked_at = await self._count()
        for row in looked_at:
            if len(self.sample) < SAMPLE and (changed := self._changes(row)):
                self.sample.append(Example(row["id"], row["group_name"], changed))

    async def _count(self) -> list[Row]:
        """Count all devices of the layer; some of them."""
        tx, which = self._tx, self._which
        counts = await layer_store.counts(tx)
        if which.level == GROUP:
            counts = {which.name: counts.get(which.name, 0)}
        else:
            self._groups = await self._inner(list(counts))
        own = await layer_store.own_layers(tx, which.group, MAX_OWN + 1)
        self.exact, own = len(own) <= MAX_OWN, own[:MAX_OWN]
        for row in own:
            counts[row["group_name"]] = counts.get(row["group_name"], 0) - 1
            self.devices += 1
            self.affected += bool(self._changes(row))
            for key in own_said(row).keys() & set(self._keys):
                self._shadow(key, DEVICE, "", 1)
        for group, number in counts.items():
            inner = self._groups.get(group or "", {})
            self.devices += number
            if self._between(self._tenant if which.level == GROUP else {}, inner):
                self.affected += number
            for key in inner.keys() & set(self._keys):
                self._shadow(key, GROUP, group or "", number)
        return [*await layer_store.some_devices(tx, which.group, LOOKED_AT), *own]

    async def _inner(self, groups: Sequence[str | None]) -> Mapping[str, Said]:
        """What the layers of these groups say."""
        found = await layer_store.newest_of(self._tx, [each for each in groups if each])
        return {group: said(text) for group, text in found.items()}

    def _changes(self, row: Row) -> Sequence[Change]:
        """What would change for a device."""
        own, group = own_said(row), self._groups.get(row["group_name"] or "", {})
        if self._which.level == DEVICE:
            return self._between({**self._tenant, **group}, {})
        if self._which.level == GROUP:
            return self._between(self._tenant, own)
        return self._between({}, {**group, **own})

    def _between(self, outer: Said, inner: Said) -> Sequence[Change]:
        """What comes of the change between what outer layers and what inner layers say."""
        return changes(self._counts(outer, self._before, inner), self._counts(outer, self._after, inner))

    def _counts(self, *layers: Said) -> Values:
        found = {}
        for key in self._keys:
            value = next((each[key] for each in reversed(layers) if key in each), None)
            if value is not None:
                found[key] = value
        return found

    def _shadow(self, key: str, by: Level, group: str, devices: int) -> None:
        self._shadows[key, by, group] = self._shadows.get((key, by, group), 0) + devices

    def shadowed(self) -> Sequence[Shadow]:
        return [Shadow(*which, devices) for which, devices in sorted(self._shadows.items()) if devices]
