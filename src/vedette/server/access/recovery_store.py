"""The SQL of secrets that were mailed."""

from vedette.server.db import Row, Tx


async def user_by_email(tx: Tx, email: str) -> Row | None:
    """Before it is known who asks: of any tenant that is active, and not one whose identity provider decides."""
    return await tx.one(
        'SELECT "user".id, "user".tenant, email, password_hash, verified FROM "user"'
        " JOIN tenant ON tenant.id = \"user\".tenant WHERE email = :email AND tenant.status = 'active'"
        " AND NOT EXISTS (SELECT 1 FROM sso_identity"
        '  WHERE sso_identity.tenant = "user".tenant AND sso_identity.user_id = "user".id)',
        email=email,
    )


async def add(tx: Tx, hashed: str, user_id: str, purpose: str, email: str, expires_at: int, now: int) -> None:
    """Keep one; those of the user that have expired go."""
    await tx.execute(
        "DELETE FROM mailed_secret WHERE tenant = :tenant AND user_id = :user AND expires_at <= :now",
        user=user_id,
        now=now,
    )
    await tx.execute(
        "INSERT INTO mailed_secret (hash, tenant, user_id, purpose, email, expires_at)"
        " VALUES (:hash, :tenant, :user, :purpose, :email, :expires)",
        hash=hashed,
        user=user_id,
        purpose=purpose,
        email=email,
        expires=expires_at,
    )


async def find(tx: Tx, hashed: str, purpose: str, now: int) -> Row | None:
    """Whose secret this is, if it still counts and went to the address that he has now. Runs as the system."""
    return await tx.one(
        'SELECT "user".tenant, "user".id, "user".email, "user".password_hash FROM mailed_secret'
        ' JOIN "user" ON "user".tenant = mailed_secret.tenant AND "user".id = mailed_secret.user_id'
        " JOIN tenant ON tenant.id = mailed_secret.tenant"
        " WHERE mailed_secret.hash = :hash AND mailed_secret.purpose = :purpose AND mailed_secret.expires_at > :now"
        " AND mailed_secret.email = \"user\".email AND tenant.status = 'active'",
        hash=hashed,
        purpose=purpose,
        now=now,
    )


async def use_up(tx: Tx, user_id: str, hashed: str) -> bool:
    """False: it was used in the meantime."""
    count = await tx.execute(
        "DELETE FROM mailed_secret WHERE tenant = :tenant AND user_id = :user AND hash = :hash",
        user=user_id,
        hash=hashed,
    )
    return count == 1


async def forget_all(tx: Tx, user_id: str, purpose: str) -> None:
    await tx.execute(
        "DELETE FROM mailed_secret WHERE tenant = :tenant AND user_id = :user AND purpose = :purpose",
        user=user_id,
        purpose=purpose,
    )


async def set_password(tx: Tx, user_id: str, password_hash: str, now: int) -> None:
    """The address is known to be his, too: he has read a mail there."""
    await tx.execute(
        'UPDATE "user" SET password_hash = :hash, verified = 1, updated_at = :now'
        " WHERE tenant = :tenant AND id = :user",
        user=user_id,
        hash=password_hash,
        now=now,
    )


async def set_verified(tx: Tx, user_id: str) -> None:
    await tx.execute('UPDATE "user" SET verified = 1 WHERE tenant = :tenant AND id = :user', user=user_id)
