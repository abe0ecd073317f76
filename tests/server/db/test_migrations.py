"""A schema with data in it, brought up to date."""

import asyncio

import pytest
from dialects import Opened

from vedette.server.db import Database, Tx, UserScope, migrations, open_database
from vedette.server.db.migrations import postgresql

TENANT = UserScope("t", None)


async def add(tx: Tx, *devices: tuple[str, str | None, str]) -> None:
    for device, group, status in devices:
        await tx.execute(
            "INSERT INTO device (tenant, id, identity, identity_hash, status, group_name, created_at, updated_at)"
            " VALUES (:tenant, :of, '{}', :of, :status, :group, 1, 1)",
            of=device, status=status, group=group,
        )  # fmt: skip


def test_devices_that_were_there_before_are_counted(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    async def before(db: Database) -> None:
        async def work(tx: Tx) -> None:
            await tx.execute("INSERT INTO tenant (id, name, token, created_at) VALUES (:tenant, 't', 't', 1)")
            await add(tx, ("a", None, "pending"), ("b", None, "pending"), ("c", "x", "accepted"))

        await db.write(TENANT, work)

    async def after(db: Database) -> None:
        async def counted(tx: Tx) -> set[tuple[str | None, str, int]]:
            rows = await tx.all("SELECT group_name, status, devices FROM device_count AS device WHERE {visible}")
            return {(row["group_name"], row["status"], row["devices"]) for row in rows}

        assert await db.read(TENANT, counted) == {(None, "pending", 2), ("x", "accepted", 1)}
        await db.write(TENANT, add, ("d", "x", "accepted"))
        assert await db.read(TENANT, counted) == {(None, "pending", 2), ("x", "accepted", 2)}

    with monkeypatch.context() as patch:
        for module in (migrations, postgresql):
            patch.setattr(module, "MIGRATIONS", migrations.MIGRATIONS[:5])
        opened.run(before)
    opened.run(after)


def test_it_is_brought_up_to_date_once(opened: Opened) -> None:
    async def twice() -> None:
        for _ in range(2):
            await (await open_database(opened.url)).close()

    asyncio.run(twice())
