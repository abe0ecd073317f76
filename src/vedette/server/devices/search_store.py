"""The SQL that finds devices among a million: a page of a list, and how long the list is.

How a list is found is decided by looking, never by guessing: what an index says within `LOOK` entries, and what
`device_count` says. Whatever way is taken, the whole condition is asked of every device.
"""

# ruff: noqa: S608 - only constants and what `search` has made become part of a statement; values are parameters

import json
from collections.abc import Mapping, Sequence
from typing import Final

from vedette.server.db import Row, Tx
from vedette.server.devices.search import Cut, Seek, Where
from vedette.server.devices.store import DEVICE, NAME

LOOK: Final = 1000  # devices that have a value: so many are looked at each, and more are common
FEW: Final = 10_000  # devices of some groups and a status: so many are sorted, of more a page is soon found on the way
LOOKS: Final = 8  # values that are tried for a rare one
_WALKS: Final = {
    "device.id": "",
    "device.created_at DESC, device.id": "device_by_age",
    "device.status, device.id": "device_by_status",
}
"""Indexes with the order of a list."""
_OF_GROUP: Final = "device_by_group"  # in the order of the ids, for one group
_SORTED_BY: Final = "device.tenant, device.id, device.status, device.group_name, device.created_at"
_ASKED_OF: Final = f"{_SORTED_BY}, device.open_count, device.updated_at, device.check_in_at"
_NAMED: Final = "{rows:among} {ordered} JOIN device ON device.tenant = :tenant AND device.id = {text:item}"


async def find(tx: Tx, where: Where, cut: Cut, *, everything: bool) -> tuple[list[Row], int]:
    """The devices that meet `where`, one page in the order of `cut`, and how many there are (0: not counted).

    Args:
        everything: `tx` sees every device of the tenant. Only a hint: what is found does not depend on it.
    """
    of_groups = await _of_groups(tx, where)
    if not of_groups:
        return [], 0
    among = "device"
    walk = _OF_GROUP if where.one_group and cut.order == "device.id" else _WALKS.get(cut.order)
    params = dict(where.params)
    if (ids := await _rare(tx, where)) is not None:
        among, params["among"] = _NAMED, json.dumps(ids)
    elif of_groups <= FEW and not (where.issues or walk == _OF_GROUP or (everything and where.of_groups == "TRUE")):
        columns = _ASKED_OF if where.rest or cut.order not in _WALKS else _SORTED_BY
        # With a limit of its own it is found first, by group or status; what is left is small enough to be sorted.
        among = f"(SELECT {columns} FROM device WHERE {{visible}} AND {where.of_groups} LIMIT {FEW}) AS device"
    total = 0
    if cut.counted:
        if not where.rest:
            total = of_groups
        elif among == "device" and everything and where.rest == len(where.seeks) == 1 and where.of_groups == "TRUE":
            total = await _have(tx, where.seeks[0], params)
        else:
            total = await tx.value(f"SELECT count(*) FROM {among} WHERE {{visible}} AND {where.sql}", **params)
        if cut.offset >= total or not cut.limit:
            return [], total
    if among == "device" and not where.issues and walk is not None:
        among = f"device {{by:{walk}}}"
    rows = await tx.all(
        f"SELECT device.id FROM {among} WHERE {{visible}} AND {where.sql}"
        f" ORDER BY {cut.order} LIMIT :limit OFFSET :offset",
        **params, **cut.params, limit=cut.limit, offset=cut.offset,
    )  # fmt: skip
    return await whole(tx, [row["id"] for row in rows]), total


async def count(tx: Tx, status: str | None) -> int:
    """How many devices there are, of a status or at all."""
    found: int = await tx.value(
        "SELECT CAST(coalesce(sum(device.devices), 0) AS bigint) FROM device_count AS device"
        " WHERE {visible} AND (CAST(:status AS text) IS NULL OR device.status = :status)",
        status=status,
    )
    return found


async def groups(tx: Tx, status: str | None) -> list[str]:
    """The static groups that have a device, or one of a status, by name."""
    rows = await tx.all(
        "SELECT DISTINCT device.group_name FROM device_count AS device"
        " WHERE {visible} AND device.group_name IS NOT NULL"
        " AND (CAST(:status AS text) IS NULL OR device.status = :status) ORDER BY device.group_name",
        status=status,
    )
    return [row["group_name"] for row in rows]


async def _of_groups(tx: Tx, where: Where) -> int:
    """How many devices meet the part of the condition that asks for group and status alone."""
    found: int = await tx.value(
        "SELECT CAST(coalesce(sum(device.devices), 0) AS bigint) FROM device_count AS device"
        f" WHERE {{visible}} AND {where.of_groups}",
        **where.params,
    )
    return found


async def _rare(tx: Tx, where: Where) -> Sequence[str] | None:
    """Few devices, among which all are that meet the condition; None: no such are known."""
    if where.ids is not None:
        return where.ids
    for seek in where.seeks[:LOOKS]:
        rows = await tx.all(
            "SELECT found.device,"
            " (SELECT 1 FROM device WHERE device.tenant = :tenant AND device.id = found.device AND {visible}) AS seen"
            f" FROM (SELECT device FROM attribute WHERE tenant = :tenant AND {seek.plain}"
            f" UNION ALL SELECT device FROM attribute WHERE tenant = :tenant AND {seek.lists}"
            f" LIMIT {LOOK + 1}) AS found",
            **where.params,
        )
        if len(rows) <= LOOK:
            return [row["device"] for row in rows if row["seen"]]
    return None


async def _have(tx: Tx, seek: Seek, params: Mapping[str, object]) -> int:
    """How many devices have a value, by its index alone."""
    of_visible = "SELECT count(*) FROM attribute WHERE {visible:attribute}"
    found: int = await tx.value(
        f"SELECT ({of_visible} AND {seek.plain}) + ({of_visible} AND {seek.lists} AND {seek.member})", **params
    )
    return found


async def whole(tx: Tx, ids: Sequence[str]) -> list[Row]:
    """These devices, in this order."""
    if not ids:
        return []
    return await tx.all(
        f"SELECT {DEVICE}, {NAME} FROM {_NAMED} WHERE {{visible}} ORDER BY item.key", among=json.dumps(ids)
    )
