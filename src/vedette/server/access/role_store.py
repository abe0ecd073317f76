"""The SQL of the roles that tenants have made."""

from collections.abc import Iterable

from vedette.server.db import Row, Tx

_ROLE = "SELECT name, description, grants, rules FROM role WHERE tenant = :tenant"


async def roles(tx: Tx) -> list[Row]:
    return await tx.all(f"{_ROLE} ORDER BY name")


async def role(tx: Tx, name: str) -> Row | None:
    return await tx.one(f"{_ROLE} AND name = :name", name=name)


async def named(tx: Tx, names: Iterable[str]) -> list[Row]:
    """Those of `names` that there are; few, so each is looked up by its key."""
    found = [await role(tx, name) for name in names]
    return [row for row in found if row is not None]


async def count(tx: Tx) -> int:
    total: int = await tx.value("SELECT count(*) FROM role WHERE tenant = :tenant")
    return total


async def add(tx: Tx, name: str, description: str, grants: str, rules: str, now: int) -> bool:
    """False: the name is taken."""
    count = await tx.execute(
        "INSERT INTO role (tenant, name, description, grants, rules, created_at, updated_at)"
        " VALUES (:tenant, :name, :description, :grants, :rules, :now, :now) ON CONFLICT DO NOTHING",
        name=name, description=description, grants=grants, rules=rules, now=now,
    )  # fmt: skip
    return count == 1


async def change(tx: Tx, name: str, description: str, grants: str, rules: str, now: int) -> bool:
    """False: there is no such role."""
    count = await tx.execute(
        "UPDATE role SET description = :description, grants = :grants, rules = :rules, updated_at = :now"
        " WHERE tenant = :tenant AND name = :name",
        name=name, description=description, grants=grants, rules=rules, now=now,
    )  # fmt: skip
    return count == 1


async def remove(tx: Tx, name: str) -> bool:
    """False: there is no such role."""
    return await tx.execute("DELETE FROM role WHERE tenant = :tenant AND name = :name", name=name) == 1
