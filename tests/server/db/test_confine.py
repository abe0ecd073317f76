"""Which rows a statement can reach: decided in one place, for every dialect."""

import json
from typing import Any

import pytest
from dialects import Opened

from vedette.server.db import SYSTEM, Database, DeviceScope, Tx, UserScope
from vedette.server.db.core import bound, confine, kind_of
from vedette.server.db.macros import POSTGRESQL, SQLITE, check_common, expand, numbered


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("tenant", "SELECT * FROM tenant"),
        ("tenant", "SELECT * FROM user WHERE id = :id"),
        ("tenant", "SELECT * FROM alert WHERE tenant = :tenant"),
        ("groups", "SELECT * FROM device WHERE tenant = :tenant"),
        ("tenant", "UPDATE device SET status = 'x' WHERE tenant = :tenant AND id = :id"),
        ("tenant", "DELETE FROM Device WHERE tenant = :tenant"),
        ("tenant", "SELECT 1 FROM user JOIN delivery WHERE user.tenant = :tenant"),
        ("device", "SELECT * FROM alert WHERE tenant = :tenant"),
        ("tenant", "SELECT * FROM user, alert WHERE user.tenant = :tenant"),
        ("tenant", "SELECT * FROM user AS u, alert WHERE u.tenant = :tenant"),
        ("tenant", "INSERT INTO device (tenant, id) SELECT :tenant, device FROM alert"),
        ("device", "SELECT * FROM device"),
        ("tenant", "SELECT devices FROM device_count WHERE tenant = :tenant"),
        ("groups", "SELECT count(*) FROM attribute WHERE tenant = :tenant"),
        ("device", "UPDATE device SET status = 'x' WHERE tenant = :tenant AND id = :device_id"),
    ],
)
def test_a_statement_that_could_reach_too_far_cannot_run(kind: Any, sql: str) -> None:
    with pytest.raises(RuntimeError):
        confine(sql, kind)


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("system", "SELECT * FROM alert"),
        ("tenant", "SELECT * FROM user WHERE tenant = :tenant"),
        ("tenant", "SELECT * FROM device WHERE {visible}"),
        ("groups", "SELECT * FROM alert JOIN device ON device.id = alert.device WHERE {visible}"),
        ("groups", "SELECT devices FROM device_count AS device WHERE {visible}"),
        ("groups", "SELECT count(*) FROM attribute WHERE {visible:attribute}"),
        ("tenant", "INSERT INTO device (tenant) VALUES (:tenant)"),
        ("device", "SELECT * FROM alert WHERE tenant = :tenant AND device = :device"),
        ("device", "SELECT * FROM tenant WHERE id = :tenant"),
    ],
)
def test_a_statement_within_its_scope_runs(kind: Any, sql: str) -> None:
    assert "{visible" not in confine(sql, kind)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT OR IGNORE INTO t (a) VALUES (:a)",
        "UPDATE OR REPLACE t SET a = 1",
        "SELECT rowid FROM t",
        "SELECT IFNULL(a, b) FROM t",
        "SELECT a FROM t WHERE a GLOB 'x*'",
        "SELECT a FROM t WHERE a IN (SELECT value FROM json_each(:a))",
        "SELECT id FROM user",
        'SELECT user.id FROM "user"',
        "SELECT a FROM t WHERE :a IS NULL OR a = :a",
        "SELECT a FROM t WHERE 1",
        "SELECT a FROM t WHERE a = 1 AND 0",
        "SELECT a FROM t WHERE a LIKE 'x%'",
        "SELECT :a::text",
    ],
)
def test_what_one_dialect_alone_understands_is_found_on_every_one(sql: str) -> None:
    with pytest.raises(RuntimeError, match="not every database takes"):
        check_common(sql)


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT "user".id FROM "user" WHERE a = 1 AND b != 0 AND user_id = :user',
        "SELECT a FROM t WHERE a {like} :a ESCAPE '\\' ORDER BY json",
        "SELECT a FROM t WHERE CAST(:a AS text) IS NULL OR NOT 0 = a",
        "INSERT INTO user_setting (a) VALUES (:a) ON CONFLICT DO NOTHING",
    ],
)
def test_the_common_subset(sql: str) -> None:
    assert check_common(sql) == sql


@pytest.mark.parametrize(
    ("sql", "expected", "names"),
    [
        ("SELECT :b, :a, :b", "SELECT $1, $2, $1", ("b", "a")),
        ("SELECT ':a', 'it''s :b' || :c", "SELECT ':a', 'it''s :b' || $1", ("c",)),
        ("SELECT 1", "SELECT 1", ()),
    ],
)
def test_names_become_numbers(sql: str, expected: str, names: tuple[str, ...]) -> None:
    assert numbered(sql) == (expected, names)


def test_an_unknown_macro_is_found() -> None:
    for dialect in (SQLITE, POSTGRESQL):
        with pytest.raises(RuntimeError, match=r"unknown macro \{what:ids\}"):
            expand("SELECT 1 FROM t WHERE id IN {what:ids}", dialect)
    assert SQLITE.keys() == POSTGRESQL.keys()


DEVICES = [("t1", "d1", "north"), ("t1", "d2", "south"), ("t1", "d3", None), ("t2", "d4", "north")]


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        (UserScope("t1", None), ["d1", "d2", "d3"]),
        (UserScope("t1", frozenset({"north"})), ["d1"]),
        (UserScope("t1", frozenset({"north", "south"})), ["d1", "d2"]),
        (UserScope("t1"), []),
        (UserScope("t3", None), []),
        (UserScope("t2", frozenset({"north", "') OR 1 --"})), ["d4"]),
        (SYSTEM, ["d1", "d2", "d3", "d4"]),
        (DeviceScope("t1", "d2"), ["d2"]),
        (DeviceScope("t2", "d2"), []),
    ],
)
def test_what_a_scope_sees(opened: Opened, scope: Any, seen: list[str]) -> None:
    async def fill(tx: Tx) -> None:
        for tenant in ("t1", "t2"):
            await tx.execute("INSERT INTO tenant (id, name, token, created_at) VALUES (:id, :id, :id, 0)", id=tenant)
        await tx.many(
            "INSERT INTO device (tenant, id, identity, identity_hash, status, group_name, created_at, updated_at)"
            " VALUES (:t, :d, '{}', :d, 'accepted', :g, 0, 0)",
            [{"t": tenant, "d": device, "g": group} for tenant, device, group in DEVICES],
        )

    async def look(tx: Tx) -> list[str]:
        where = {"system": "TRUE", "device": "tenant = :tenant AND id = :device"}.get(kind_of(scope), "{visible}")
        return [row["id"] for row in await tx.all(f"SELECT id FROM device WHERE {where} ORDER BY id")]

    async def test(db: Database) -> None:
        await db.write(SYSTEM, fill)
        assert await db.read(scope, look) == seen

    opened.run(test)


def test_nobody_can_bind_another_tenant(opened: Opened) -> None:
    """A parameter called tenant never wins over the scope."""

    async def cheat(tx: Tx) -> Any:
        return await tx.value("SELECT CAST(:tenant AS text)", tenant="t2")

    async def test(db: Database) -> None:
        assert await db.read(UserScope("t1", None), cheat) == "t1"

    opened.run(test)
    assert json.loads(str(bound(UserScope("t", frozenset("ba")))["groups"])) == ["a", "b"]
