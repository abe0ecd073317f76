"""The SQL of what devices report of themselves: every statement takes a whole batch, as alerts/intake_store.py does."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from vedette.server.db import Tx

Attributes = Mapping[str, tuple[str, str | None]]
"""By name: the value as stored (JSON), and the description."""


@dataclass(slots=True)
class Known:
    """A device that is there, and what it has said of itself so far."""

    group: str | None
    attributes: dict[str, tuple[str, str | None]]


_KNOWN: Final = (
    "SELECT {list:device.id, device.group_name, attribute.name, attribute.value, attribute.description}"
    " FROM {rows:items} {ordered} JOIN device ON device.tenant = :tenant AND device.id = {text:item}"
    " LEFT JOIN attribute ON attribute.tenant = device.tenant AND attribute.device = device.id"
    " AND attribute.scope = 'inventory' WHERE {visible} AND device.decommissioning = 0"
)
_SET: Final = (
    "INSERT INTO attribute (tenant, device, scope, name, value, description, updated_at)"
    " SELECT :tenant, {text:item.0}, 'inventory', {text:item.1}, {text:item.2}, {text:item.3}, :now"
    " FROM {rows:items} {ordered} JOIN device ON device.tenant = :tenant AND device.id = {text:item.0} WHERE {visible}"
    " ON CONFLICT (tenant, device, scope, name)"
    " DO UPDATE SET value = excluded.value, description = excluded.description, updated_at = excluded.updated_at"
)
_DROP: Final = (
    "DELETE FROM attribute WHERE {visible:attribute}"
    " AND attribute.device = :of AND attribute.scope = 'inventory' AND attribute.name = :name"
)
_TOUCH: Final = "UPDATE device SET updated_at = :now WHERE {visible} AND device.id IN {each:ids}"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[tuple[str, str | None, str | None, str | None, str | None]]).decode


async def known(tx: Tx, devices: Collection[str]) -> dict[str, Known]:
    """Which of these devices are there, and what they have reported."""
    found: dict[str, Known] = {}
    for device, group, name, value, description in _decode(await tx.value(_KNOWN, items=_text(devices))):
        if (entry := found.get(device)) is None:
            entry = found[device] = Known(group, {})
        if name is not None and value is not None:
            entry.attributes[name] = (value, description)
    return found


async def change(
    tx: Tx, changed: Sequence[tuple[str, str, str, str | None]], gone: Sequence[tuple[str, str]], now: int
) -> None:
    """Write some attributes (device, name, value, description), and forget others (device, name)."""
    if changed:
        await tx.execute(_SET, items=_text(changed), now=now)
    if gone:
        await tx.many(_DROP, [{"of": device, "name": name} for device, name in gone])


async def touch(tx: Tx, devices: Collection[str], now: int) -> None:
    """Something about these devices has changed."""
    await tx.execute(_TOUCH, ids=_text(devices), now=now)


def _text(items: Collection[object]) -> str:
    return _encode(list(items)).decode()
