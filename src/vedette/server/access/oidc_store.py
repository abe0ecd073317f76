"""The SQL of who is meant by a subject of an identity provider."""

from vedette.server.db import Row, Tx

_USER = '"user".tenant, "user".id, "user".email, "user".password_hash, "user".roles, tenant.status AS tenant_status'


async def by_subject(tx: Tx, issuer: str, subject: str) -> Row | None:
    """Runs as the system: it is not known yet who asks."""
    return await tx.one(
        f'SELECT {_USER} FROM sso_identity JOIN "user" ON "user".tenant = sso_identity.tenant'  # noqa: S608
        ' AND "user".id = sso_identity.user_id JOIN tenant ON tenant.id = "user".tenant'
        " WHERE sso_identity.issuer = :issuer AND sso_identity.subject = :subject",
        issuer=issuer,
        subject=subject,
    )


async def by_email(tx: Tx, email: str) -> Row | None:
    return await tx.one(
        f'SELECT {_USER} FROM "user" JOIN tenant ON tenant.id = "user".tenant'  # noqa: S608
        ' WHERE "user".tenant = :tenant AND email = :email',
        email=email,
    )


async def link(tx: Tx, issuer: str, subject: str, user_id: str) -> None:
    await tx.execute(
        "INSERT INTO sso_identity (issuer, subject, tenant, user_id) VALUES (:issuer, :subject, :tenant, :user)"
        " ON CONFLICT DO NOTHING",
        issuer=issuer,
        subject=subject,
        user=user_id,
    )
