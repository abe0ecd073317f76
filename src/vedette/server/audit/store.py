"""The SQL of the audit log."""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

from collections.abc import Iterable, Mapping
from typing import Final

from vedette.server.db import Row, Tx

_CONDITIONS: Final[Mapping[str, str]] = {
    "created_after": "at >= :created_after",
    "created_before": "at <= :created_before",
    "actor_id": "actor_id = :actor_id",
    "actor_type": "actor_type = :actor_type",
    "actor_email": "actor_email = :actor_email",
    "object_id": "object_id = :object_id",
    "object_type": "object_type = :object_type",
    "object_deployment_name": "object_type = 'deployment' AND object_name = :object_deployment_name",
}
FILTERS: Final = frozenset(_CONDITIONS)

_COLUMNS: Final = (
    "at, id, action, actor_type, actor_id, actor_email, object_type, object_id, object_name, object, change"
)


async def add(tx: Tx, entries: Iterable[Mapping[str, object]]) -> None:
    """Write entries; each names its `tenant`, which the scope of `tx` overrules."""
    await tx.many(
        f"INSERT INTO audit_log (tenant, {_COLUMNS}) VALUES (:tenant, :at, :id, :action, :actor_type, :actor_id,"
        " :actor_email, :object_type, :object_id, :object_name, :object, :change)",
        entries,
    )


async def tenant_exists(tx: Tx) -> bool:
    return await tx.value("SELECT 1 FROM tenant WHERE id = :tenant") is not None


async def find(tx: Tx, filters: Mapping[str, object], *, ascending: bool, limit: int, offset: int) -> list[Row]:
    """Entries by time."""
    order = "at, id" if ascending else "at DESC, id DESC"
    return await tx.all(
        f"SELECT {_COLUMNS} FROM audit_log WHERE tenant = :tenant{_where(filters)}"
        f" ORDER BY {order} LIMIT :limit OFFSET :offset",
        **filters,
        limit=limit,
        offset=offset,
    )


async def find_after(
    tx: Tx, filters: Mapping[str, object], *, ascending: bool, limit: int, at: int, id: str
) -> list[Row]:
    """Entries by time, those behind the entry (`at`, `id`)."""
    order, behind = ("at, id", ">") if ascending else ("at DESC, id DESC", "<")
    return await tx.all(
        f"SELECT {_COLUMNS} FROM audit_log WHERE tenant = :tenant{_where(filters)}"
        f" AND (at, id) {behind} (:last_at, :last_id) ORDER BY {order} LIMIT :limit",
        **filters,
        limit=limit,
        last_at=at,
        last_id=id,
    )


async def count(tx: Tx, filters: Mapping[str, object]) -> int:
    number: int = await tx.value(f"SELECT count(*) FROM audit_log WHERE tenant = :tenant{_where(filters)}", **filters)
    return number


async def forget(tx: Tx, before: int, limit: int) -> int:
    """Remove up to `limit` entries of any tenant that are older than `before`; how many there were."""
    return await tx.execute(
        "DELETE FROM audit_log WHERE (tenant, at, id) IN"
        " (SELECT tenant, at, id FROM audit_log WHERE at < :before ORDER BY at LIMIT :limit)",
        before=before,
        limit=limit,
    )


def _where(filters: Mapping[str, object]) -> str:
    return "".join(f" AND {_CONDITIONS[name]}" for name in sorted(filters))
