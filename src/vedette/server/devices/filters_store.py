"""The SQL of saved filters. They name no device, so they belong to the tenant as a whole."""

from vedette.server.db import Row, Tx

_FILTER = "SELECT id, name, terms FROM saved_filter WHERE tenant = :tenant"


async def all_of(tx: Tx, limit: int, offset: int) -> list[Row]:
    return await tx.all(f"{_FILTER} ORDER BY name, id LIMIT :limit OFFSET :offset", limit=limit, offset=offset)


async def count(tx: Tx) -> int:
    total: int = await tx.value("SELECT count(*) FROM saved_filter WHERE tenant = :tenant")
    return total


async def one(tx: Tx, filter_id: str) -> Row | None:
    return await tx.one(f"{_FILTER} AND id = :id", id=filter_id)


async def named(tx: Tx, name: str) -> Row | None:
    return await tx.one(f"{_FILTER} AND name = :name", name=name)


async def add(tx: Tx, filter_id: str, name: str, terms: str, now: int) -> bool:
    """False: the name is taken."""
    made = await tx.execute(
        "INSERT INTO saved_filter (tenant, id, name, terms, created_at, updated_at)"
        " VALUES (:tenant, :id, :name, :terms, :now, :now) ON CONFLICT DO NOTHING",
        id=filter_id, name=name, terms=terms, now=now,
    )  # fmt: skip
    return made == 1


async def change(tx: Tx, filter_id: str, name: str, terms: str, now: int) -> None:
    await tx.execute(
        "UPDATE saved_filter SET name = :name, terms = :terms, updated_at = :now WHERE tenant = :tenant AND id = :id",
        id=filter_id, name=name, terms=terms, now=now,
    )  # fmt: skip


async def remove(tx: Tx, filter_id: str) -> bool:
    """False: there is no such filter."""
    return await tx.execute("DELETE FROM saved_filter WHERE tenant = :tenant AND id = :id", id=filter_id) == 1
