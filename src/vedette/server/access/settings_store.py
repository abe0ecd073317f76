"""The SQL of what clients keep for a tenant or a user."""

from vedette.server.db import Row, Tx


async def of_tenant(tx: Tx) -> Row | None:
    return await tx.one("SELECT document, etag FROM tenant_setting WHERE tenant = :tenant")


async def of_user(tx: Tx, user_id: str) -> Row | None:
    return await tx.one(
        "SELECT document, etag FROM user_setting WHERE tenant = :tenant AND user_id = :user", user=user_id
    )


async def save_of_tenant(tx: Tx, document: str, etag: str) -> None:
    await tx.execute(
        "INSERT INTO tenant_setting (tenant, document, etag) VALUES (:tenant, :document, :etag)"
        " ON CONFLICT (tenant) DO UPDATE SET document = excluded.document, etag = excluded.etag",
        document=document,
        etag=etag,
    )


async def save_of_user(tx: Tx, user_id: str, document: str, etag: str) -> None:
    await tx.execute(
        "INSERT INTO user_setting (tenant, user_id, document, etag) VALUES (:tenant, :user, :document, :etag)"
        " ON CONFLICT (tenant, user_id) DO UPDATE SET document = excluded.document, etag = excluded.etag",
        user=user_id,
        document=document,
        etag=etag,
    )
