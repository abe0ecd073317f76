"""The SQL of the tokens that people make for their programs."""

from vedette.server.db import Row, Tx


async def of_user(tx: Tx, user_id: str) -> list[Row]:
    return await tx.all(
        "SELECT id, name, created_at, expires_at, used_at FROM personal_token"
        " WHERE tenant = :tenant AND user_id = :user ORDER BY created_at, id",
        user=user_id,
    )


async def add(tx: Tx, user_id: str, token: str, name: str, now: int, expires_at: int | None) -> bool:
    """False: the user has one of this name."""
    count = await tx.execute(
        "INSERT INTO personal_token (tenant, user_id, id, name, created_at, expires_at)"
        " VALUES (:tenant, :user, :id, :name, :now, :expires) ON CONFLICT DO NOTHING",
        user=user_id,
        id=token,
        name=name,
        now=now,
        expires=expires_at,
    )
    return count == 1


async def remove(tx: Tx, user_id: str, token: str) -> str | None:
    """Its name; None: there was none."""
    name: str | None = await tx.value(
        "DELETE FROM personal_token WHERE tenant = :tenant AND user_id = :user AND id = :id RETURNING name",
        user=user_id,
        id=token,
    )
    return name


async def live_user(tx: Tx, user_id: str, token: str) -> Row | None:
    """The user of a token that was not removed, of an active tenant. Whether it has expired, the token itself says."""
    return await tx.one(
        'SELECT "user".email, "user".roles, 1 AS personal, personal_token.used_at FROM personal_token'
        ' JOIN "user" ON "user".tenant = personal_token.tenant AND "user".id = personal_token.user_id'
        " JOIN tenant ON tenant.id = personal_token.tenant"
        " WHERE personal_token.tenant = :tenant AND personal_token.user_id = :user AND personal_token.id = :id"
        " AND tenant.status = 'active'",
        user=user_id,
        id=token,
    )


async def note_use(tx: Tx, user_id: str, token: str, now: int) -> None:
    await tx.execute(
        "UPDATE personal_token SET used_at = :now WHERE tenant = :tenant AND user_id = :user AND id = :id",
        user=user_id,
        id=token,
        now=now,
    )
