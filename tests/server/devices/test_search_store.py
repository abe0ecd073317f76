"""Finding devices among many: every way to find them gives what looking at each of them would give."""

import json
import random
from dataclasses import dataclass
from typing import Any, Final

import pytest
from serving import RealServer

from vedette.server.db import Tx, UserScope
from vedette.server.devices import search, search_store
from vedette.server.devices.search import Cut, Predicate, Where
from vedette.server.devices.values import STATUSES, DeviceQuery

GROUPS: Final = (None, "alpha", "beta", "gamma")
BATCH: Final = ("one", "two", 5, ["one", "three"], ["x"])


@dataclass(frozen=True)
class Known:
    """A device that has been written."""

    id: str
    group: str | None
    status: str
    open_count: int
    created_at: int
    batch: Any  # None: it does not say

    def batch_has(self, *wanted: object) -> bool:
        values = self.batch if isinstance(self.batch, list) else [self.batch]
        return any(each == value for each in wanted for value in values)


@pytest.fixture
def fleet(server: RealServer) -> list[Known]:
    chance = random.Random(5)
    known = [
        Known(
            id=f"{chance.getrandbits(64):016x}",
            group=chance.choice(GROUPS),
            status=chance.choice(STATUSES),
            open_count=chance.choice((0, 0, 1, 2)),
            created_at=chance.randrange(20),
            batch=chance.choice((None, *BATCH)),
        )
        for _ in range(80)
    ]
    write(server, server.tenant.id, known)
    # Those of another tenant are like them, and count for nobody here.
    write(server, server.add_tenant("other").id, known[:30])
    return known


def write(server: RealServer, tenant: str, devices: list[Known]) -> None:
    async def work(tx: Tx) -> None:
        for each in devices:
            await tx.execute(
                "INSERT INTO device (tenant, id, identity, identity_hash, status, group_name, created_at, updated_at,"
                " open_count) VALUES (:tenant, :of, '{}', :of, :status, :group, :at, :at, :count)",
                of=each.id, status=each.status, group=each.group, at=each.created_at, count=each.open_count,
            )  # fmt: skip
            if each.batch is not None:
                await tx.execute(
                    "INSERT INTO attribute (tenant, device, scope, name, value, updated_at)"
                    " VALUES (:tenant, :of, 'inventory', 'batch', :value, 1)",
                    of=each.id, value=json.dumps(each.batch, separators=(",", ":")),
                )  # fmt: skip

    server.run(server.services.db.write(UserScope(tenant, None), work))


def asked(scope: str, attribute: str, kind: str, value: Any) -> Predicate:
    return Predicate(scope=scope, attribute=attribute, type=kind, value=value)


BATCH_ONE = asked("inventory", "batch", "$eq", "one")
ACCEPTED = asked("identity", "status", "$eq", "accepted")
ALERTS = asked("monitor", "alerts", "$eq", True)
IN_BETA = asked("system", "group", "$eq", "beta")

CASES: Final[list[tuple[Where, Any]]] = [
    (search.of_predicates([]), lambda _: True),
    (search.of_predicates([ACCEPTED]), lambda each: each.status == "accepted"),
    (
        search.of_predicates([asked("identity", "status", "$in", ["pending", "accepted"])]),
        lambda each: each.status in {"pending", "accepted"},
    ),
    (search.of_predicates([IN_BETA]), lambda each: each.group == "beta"),
    (search.of_predicates([asked("system", "group", "$ne", "beta")]), lambda each: each.group != "beta"),
    (search.of_predicates([], has_group=False), lambda each: each.group is None),
    (search.of_predicates([ALERTS]), lambda each: each.open_count > 0),
    (search.of_predicates([asked("monitor", "alerts", "$ne", True)]), lambda each: each.open_count == 0),
    (search.of_predicates([ALERTS, IN_BETA]), lambda each: each.open_count > 0 and each.group == "beta"),
    (search.of_predicates([asked("monitor", "alert_count", "$gte", 2)]), lambda each: each.open_count >= 2),
    (search.of_predicates([BATCH_ONE]), lambda each: each.batch_has("one")),
    (search.of_predicates([asked("inventory", "batch", "$in", ["x", 5])]), lambda each: each.batch_has("x", 5)),
    (search.of_predicates([asked("inventory", "batch", "$ne", "one")]), lambda each: not each.batch_has("one")),
    (search.of_predicates([asked("inventory", "batch", "$eq", "none")]), lambda _: False),
    (search.of_predicates([BATCH_ONE, IN_BETA]), lambda each: each.batch_has("one") and each.group == "beta"),
    (search.of_predicates([BATCH_ONE, ALERTS]), lambda each: each.batch_has("one") and each.open_count > 0),
    (
        search.of_predicates([BATCH_ONE, asked("inventory", "batch", "$eq", "three")]),
        lambda each: each.batch_has("one") and each.batch_has("three"),
    ),
    (search.of_predicates([asked("inventory", "batch", "$exists", False)]), lambda each: each.batch is None),
    (search.of_query(DeviceQuery(issues=True, group="alpha"), 0), lambda e: e.open_count > 0 and e.group == "alpha"),
    (search.of_query(DeviceQuery(status="pending"), 0), lambda each: each.status == "pending"),
]
ORDERS: Final = {
    "device.id": lambda each: each.id,
    "device.created_at DESC, device.id": lambda each: (-each.created_at, each.id),
    "device.status, device.id": lambda each: (each.status, each.id),
    "device.open_count DESC, device.id": lambda each: (-each.open_count, each.id),
}


@pytest.mark.parametrize(("look", "few"), [(1000, 20_000), (1000, 3), (3, 20_000), (3, 3)])
def test_every_way_finds_the_same(
    server: RealServer, fleet: list[Known], monkeypatch: pytest.MonkeyPatch, look: int, few: int
) -> None:
    """What is rare and what is common is found in different ways, as these bounds say."""
    monkeypatch.setattr(search_store, "LOOK", look)
    monkeypatch.setattr(search_store, "FEW", few)
    for groups in (None, frozenset({"alpha", "beta"}), frozenset({"gamma"}), frozenset({"nobody"}), frozenset[str]()):
        seen = [each for each in fleet if groups is None or each.group in groups]
        for where, holds in CASES:
            meet = [each for each in seen if holds(each)]
            for order, key in ORDERS.items():
                wanted = [each.id for each in sorted(meet, key=key)]
                for offset in (0, 7):
                    found, total = find(server, groups, where, Cut(limit=7, offset=offset, order=order))
                    assert (found, total) == (wanted[offset : offset + 7], len(wanted)), (groups, where, order)
            assert find(server, groups, where, Cut(limit=0)) == ([], len(meet))
            assert find(server, groups, where, Cut(limit=80, counted=False))[0] == sorted(each.id for each in meet)


def test_devices_that_are_named(server: RealServer, fleet: list[Known]) -> None:
    ids = sorted(each.id for each in fleet[:10])
    beta = sorted(each.id for each in fleet[:10] if each.group == "beta")
    for where in (
        search.of_predicates([], ids=[*ids, ids[0], "nobody"]),
        search.of_predicates([asked("identity", "id", "$in", [*ids, ids[0], 5])]),
    ):
        assert find(server, None, where, Cut(limit=20)) == (ids, 10)
        assert find(server, frozenset({"beta"}), where, Cut(limit=20)) == (beta, len(beta))


def find(server: RealServer, groups: frozenset[str] | None, where: Where, cut: Cut) -> tuple[list[str], int]:
    scope, everything = UserScope(server.tenant.id, groups), groups is None
    rows, total = server.run(server.services.db.read(scope, search_store.find, where, cut, everything=everything))
    return [row["id"] for row in rows], total


def test_what_is_counted_stays_true(server: RealServer, fleet: list[Known]) -> None:
    """Whoever changes devices, and however: the triggers count."""
    chance = random.Random(7)
    ids = [each.id for each in fleet]

    async def change(tx: Tx) -> None:
        for _ in range(10):
            one, some = chance.choice(ids), chance.sample(ids, 5)
            await tx.execute(
                "UPDATE device SET status = :status, group_name = :group WHERE {visible} AND id = :id",
                id=one, status=chance.choice(STATUSES), group=chance.choice(GROUPS),
            )  # fmt: skip
            await tx.execute(
                "UPDATE device SET status = :status, open_count = open_count + 1 WHERE {visible} AND id IN {each:ids}",
                ids=json.dumps(some), status=chance.choice(STATUSES),
            )  # fmt: skip
            await tx.execute("DELETE FROM device WHERE {visible} AND id = :id", id=chance.choice(ids))
        if chance.random() < 0.2:
            raise RuntimeError("undone")

    scope = UserScope(server.tenant.id, None)
    for _ in range(8):
        try:
            server.run(server.services.db.write(scope, change))
        except RuntimeError as error:
            assert str(error) == "undone"  # noqa: PT017
        assert counted(server, "device_count AS device", "device.devices") == counted(server, "device", "count(*)")
    for groups in (None, frozenset({"alpha"})):
        for status in (None, *STATUSES):
            mine = server.services.db.read(UserScope(server.tenant.id, groups), search_store.count, status)
            assert server.run(mine) == sum(
                number
                for group, of, number in counted(server, "device", "count(*)")
                if (groups is None or group in groups) and status in {None, of}
            )
    server.run(server.services.db.write(scope, remove_all))
    assert counted(server, "device_count AS device", "device.devices") == []


async def remove_all(tx: Tx) -> None:
    await tx.execute("DELETE FROM device WHERE {visible}")


def counted(server: RealServer, source: str, number: str) -> list[tuple[Any, ...]]:
    async def work(tx: Tx) -> list[tuple[Any, ...]]:
        group_by = " GROUP BY device.group_name, device.status" if number == "count(*)" else ""
        rows = await tx.all(
            f"SELECT device.group_name, device.status, {number} AS n FROM {source} WHERE {{visible}}{group_by}"
        )
        return sorted(((row["group_name"], row["status"], row["n"]) for row in rows), key=str)

    found: list[tuple[Any, ...]] = server.run(server.services.db.read(UserScope(server.tenant.id, None), work))
    return found
