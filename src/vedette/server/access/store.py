"""The SQL of tenants, users and sessions."""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

from collections.abc import Sequence

from vedette.server.db import Row, Tx


async def secret(tx: Tx, name: str) -> str | None:
    value: str | None = await tx.value("SELECT value FROM server_secret WHERE name = :name", name=name)
    return value


async def keep_secret(tx: Tx, name: str, value: str) -> str:
    """Store `value` unless there is one already; the one that counts."""
    await tx.execute(
        "INSERT INTO server_secret (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING", name=name, value=value
    )
    kept = await secret(tx, name)
    assert kept is not None
    return kept


_TENANT = "id, name, token, status, created_at, parent, service_provider, device_limit"


async def add_tenant(
    tx: Tx,
    tenant_id: str,
    name: str,
    token: str,
    now: int,
    *,
    parent: str | None = None,
    service_provider: bool = False,
    device_limit: int = 0,
) -> bool:
    """False: the name is taken."""
    count = await tx.execute(
        "INSERT INTO tenant (id, name, token, created_at, parent, service_provider, device_limit)"
        " VALUES (:id, :name, :token, :now, :parent, :provider, :limit) ON CONFLICT DO NOTHING",
        id=tenant_id, name=name, token=token, now=now, parent=parent, provider=int(service_provider),
        limit=device_limit,
    )  # fmt: skip
    return count == 1


async def tenants(tx: Tx) -> list[Row]:
    return await tx.all(f"SELECT {_TENANT} FROM tenant ORDER BY name")


async def tenant_named(tx: Tx, name: str) -> Row | None:
    return await tx.one(f"SELECT {_TENANT} FROM tenant WHERE name = :name", name=name)


async def tenant_by_token(tx: Tx, token: str) -> Row | None:
    return await tx.one(f"SELECT {_TENANT} FROM tenant WHERE token = :token", token=token)


async def own_tenant(tx: Tx) -> Row | None:
    return await tx.one(f"SELECT {_TENANT} FROM tenant WHERE id = :tenant")


async def add_user(
    tx: Tx, user_id: str, email: str, password_hash: str, roles: str, now: int, *, verified: bool
) -> bool:
    """False: the address is taken, here or in another tenant."""
    count = await tx.execute(
        'INSERT INTO "user" (tenant, id, email, password_hash, roles, created_at, updated_at, verified)'
        " VALUES (:tenant, :id, :email, :password_hash, :roles, :now, :now, :verified) ON CONFLICT DO NOTHING",
        id=user_id, email=email, password_hash=password_hash, roles=roles, now=now, verified=int(verified),
    )  # fmt: skip
    return count == 1


_FACTOR = (
    '(SELECT enabled FROM second_factor WHERE second_factor.tenant = "user".tenant'
    ' AND second_factor.user_id = "user".id) AS second_factor'
)
_USER = (
    'SELECT "user".tenant, "user".tenant AS home, "user".id, email, password_hash, roles, created_at, updated_at,'
    f' login_at, verified, {_FACTOR} FROM "user" WHERE tenant = :tenant'
)
_MEMBER = (
    "SELECT member.tenant, member.home, member.user_id AS id, email, password_hash, member.roles, member.created_at,"
    f" updated_at, login_at, verified, {_FACTOR} FROM member"
    ' JOIN "user" ON "user".tenant = member.home AND "user".id = member.user_id'
    " WHERE member.tenant = :tenant"
)


async def users(tx: Tx) -> list[Row]:
    """Everybody who may act in the tenant; `home` is where he belongs."""
    return await tx.all(f"{_USER} UNION ALL {_MEMBER} ORDER BY email")


async def user(tx: Tx, user_id: str) -> Row | None:
    return await tx.one(f'{_USER} AND "user".id = :id UNION ALL {_MEMBER} AND member.user_id = :id', id=user_id)


async def remove_member(tx: Tx, user_id: str) -> int:
    return await tx.execute("DELETE FROM member WHERE tenant = :tenant AND user_id = :id", id=user_id)


async def memberships(tx: Tx, user_id: str) -> list[Row]:
    """The other tenants that a user acts in, and his `roles` there. Runs as the system."""
    return await tx.all("SELECT tenant, roles FROM member WHERE user_id = :id", id=user_id)


async def all_users(tx: Tx) -> list[Row]:
    """Of every tenant, for the one who runs the server."""
    return await tx.all(
        'SELECT "user".id, email, roles, "user".created_at, login_at, tenant.name AS tenant_name'
        ' FROM "user" JOIN tenant ON tenant.id = "user".tenant ORDER BY tenant.name, email'
    )


async def user_by_email(tx: Tx, email: str, issuer: str) -> Row | None:
    """Before it is known who asks: of any tenant. `by_provider`: the identity provider `issuer` decides about him."""
    return await tx.one(
        'SELECT "user".id, "user".tenant, password_hash, tenant.status AS tenant_status,'
        " CASE WHEN EXISTS (SELECT 1 FROM sso_identity WHERE sso_identity.issuer = :issuer"
        ' AND sso_identity.tenant = "user".tenant AND sso_identity.user_id = "user".id)'
        " THEN 1 ELSE 0 END AS by_provider"
        ' FROM "user" JOIN tenant ON tenant.id = "user".tenant WHERE email = :email',
        email=email, issuer=issuer,
    )  # fmt: skip


async def change_user(
    tx: Tx, user_id: str, email: str, password_hash: str, roles: str, now: int, *, verified: bool
) -> int:
    """How many were changed: none when the address was taken in the meantime."""
    return await tx.execute(
        'UPDATE "user" SET email = :email, password_hash = :password_hash, roles = :roles, updated_at = :now,'
        " verified = :verified WHERE tenant = :tenant AND id = :id"
        ' AND NOT EXISTS (SELECT 1 FROM "user" AS other WHERE other.email = :email AND other.id != :id)',
        id=user_id, email=email, password_hash=password_hash, roles=roles, now=now, verified=int(verified),
    )  # fmt: skip


async def email_taken(tx: Tx, email: str, user_id: str) -> bool:
    """Whether somebody else, in whatever tenant, has this address. Says nothing of whom. Runs as the system."""
    return (
        await tx.value('SELECT 1 FROM "user" WHERE email = :email AND id != :id', email=email, id=user_id) is not None
    )


async def remove_user(tx: Tx, user_id: str) -> int:
    return await tx.execute('DELETE FROM "user" WHERE tenant = :tenant AND id = :id', id=user_id)


async def add_session(
    tx: Tx, user_id: str, session: str, now: int, expires_at: int | None, acts_in: str | None = None
) -> None:
    """A session of a user at home; `acts_in` is the other tenant that he acts in by it."""
    await tx.execute(
        "INSERT INTO session (tenant, user_id, id, created_at, expires_at, acts_in)"
        " VALUES (:tenant, :user, :id, :now, :expires, :acts_in)",
        user=user_id, id=session, now=now, expires=expires_at, acts_in=acts_in,
    )  # fmt: skip
    await tx.execute('UPDATE "user" SET login_at = :now WHERE tenant = :tenant AND id = :user', user=user_id, now=now)


async def sessions(tx: Tx, user_id: str) -> Sequence[str]:
    """The ids of a user's sessions, newest first."""
    rows = await tx.all(
        "SELECT id FROM session WHERE tenant = :tenant AND user_id = :user ORDER BY created_at DESC, id", user=user_id
    )
    return [row["id"] for row in rows]


async def remove_session(tx: Tx, user_id: str, session: str) -> int:
    return await tx.execute(
        "DELETE FROM session WHERE tenant = :tenant AND user_id = :user AND id = :id", user=user_id, id=session
    )


async def session_user(tx: Tx, user_id: str, session: str, acts_in: str) -> Row | None:
    """The user of a live session of an active tenant, who acts in the tenant `acts_in` by it."""
    return await tx.one(
        'SELECT "user".email, "user".roles, 0 AS personal FROM session'
        ' JOIN "user" ON "user".tenant = session.tenant AND "user".id = session.user_id'
        " JOIN tenant ON tenant.id = session.tenant"
        " WHERE session.tenant = :tenant AND session.user_id = :user AND session.id = :id"
        " AND tenant.status = 'active' AND coalesce(session.acts_in, session.tenant) = :acts_in",
        user=user_id, id=session, acts_in=acts_in,
    )  # fmt: skip


async def set_roles(tx: Tx, user_id: str, roles: str, now: int) -> None:
    """Of a user, or of a member whose home is another tenant."""
    await tx.execute(
        'UPDATE "user" SET roles = :roles, updated_at = :now WHERE tenant = :tenant AND id = :id',
        id=user_id, roles=roles, now=now,
    )  # fmt: skip
    await tx.execute(
        "UPDATE member SET roles = :roles WHERE tenant = :tenant AND user_id = :id", id=user_id, roles=roles
    )


async def member(tx: Tx, user_id: str) -> Row | None:
    """What a user of another tenant is in this one."""
    return await tx.one(
        "SELECT member.home, member.roles, tenant.status AS tenant_status FROM member"
        " JOIN tenant ON tenant.id = member.tenant WHERE member.tenant = :tenant AND member.user_id = :id",
        id=user_id,
    )
