"""The SQL of tenants that service providers make, and of users who act in several tenants."""

from vedette.server.db import Row, Tx

_TENANT = "SELECT id, name, token, status, created_at, parent, service_provider, device_limit FROM tenant"


async def children(tx: Tx, limit: int, offset: int) -> list[Row]:
    """The tenants that this one has made, by name."""
    return await tx.all(
        f"{_TENANT} WHERE parent = :tenant ORDER BY name LIMIT :limit OFFSET :offset", limit=limit, offset=offset
    )


async def count_children(tx: Tx) -> int:
    total: int = await tx.value("SELECT count(*) FROM tenant WHERE parent = :tenant")
    return total


async def child(tx: Tx, tenant_id: str) -> Row | None:
    return await tx.one(f"{_TENANT} WHERE parent = :tenant AND id = :id", id=tenant_id)


async def change(tx: Tx, tenant_id: str, name: str, device_limit: int) -> bool:
    """A child of this tenant. False: the name is taken, or there is no such child any more."""
    changed = await tx.execute(
        "UPDATE tenant SET name = :name, device_limit = :limit WHERE parent = :tenant AND id = :id"
        " AND NOT EXISTS (SELECT 1 FROM tenant AS other WHERE other.name = :name AND other.id != :id)",
        id=tenant_id, name=name, limit=device_limit,
    )  # fmt: skip
    return changed == 1


async def set_status(tx: Tx, tenant_id: str, status: str) -> bool:
    """False: there is no such tenant, or it is being removed. Runs as the system."""
    changed = await tx.execute(
        "UPDATE tenant SET status = :status WHERE id = :id AND status != 'removing'", id=tenant_id, status=status
    )
    return changed == 1


async def with_status(tx: Tx, status: str) -> list[str]:
    """The ids of all such tenants. Runs as the system."""
    return [row["id"] for row in await tx.all("SELECT id FROM tenant WHERE status = :status", status=status)]


async def by_id(tx: Tx, tenant_id: str) -> Row | None:
    """Runs as the system."""
    return await tx.one(f"{_TENANT} WHERE id = :id", id=tenant_id)


async def accepted_devices(tx: Tx) -> int:
    total: int = await tx.value(
        "SELECT CAST(coalesce(sum(device.devices), 0) AS bigint) FROM device_count AS device"
        " WHERE {visible} AND device.status = 'accepted'"
    )
    return total


async def set_device_limit(tx: Tx, limit: int) -> None:
    await tx.execute("UPDATE tenant SET device_limit = :limit WHERE id = :tenant", limit=limit)


# --- removal ---------------------------------------------------------------------------------------------------------

_PARTS = (
    # first what there may be much of for one device, which would go with it in one step
    "DELETE FROM delivery WHERE id IN (SELECT delivery.id FROM delivery JOIN device ON device.tenant = :tenant"
    " AND device.id = delivery.device WHERE {visible} AND delivery.tenant = :tenant LIMIT :limit)",
    "DELETE FROM alert WHERE tenant = :tenant AND (device, id) IN (SELECT alert.device, alert.id FROM alert JOIN device"
    " ON device.tenant = :tenant AND device.id = alert.device WHERE {visible} AND alert.tenant = :tenant LIMIT :limit)",
    "DELETE FROM device WHERE {visible} AND id IN (SELECT id FROM device WHERE {visible} LIMIT :limit)",
    'DELETE FROM "user" WHERE tenant = :tenant AND id IN (SELECT id FROM "user" WHERE tenant = :tenant LIMIT :limit)',
    "DELETE FROM audit_log WHERE tenant = :tenant AND (at, id) IN"
    " (SELECT at, id FROM audit_log WHERE tenant = :tenant LIMIT :limit)",
)
"""What does not go by itself with the tenant."""


async def remove_some(tx: Tx, limit: int) -> bool:
    """Remove a part of all that belongs to the tenant, in the end itself. False: nothing is left."""
    for statement in _PARTS:
        if await tx.execute(statement, limit=limit):
            return True
    return await tx.execute("DELETE FROM tenant WHERE id = :tenant") == 1


# --- members ---------------------------------------------------------------------------------------------------------


async def add_member(tx: Tx, user_id: str, home: str, roles: str, now: int) -> None:
    """A user of the tenant `home` may act in this one, with these roles from now on."""
    await tx.execute(
        "INSERT INTO member (tenant, user_id, home, roles, created_at) VALUES (:tenant, :id, :home, :roles, :now)"
        " ON CONFLICT (tenant, user_id) DO UPDATE SET roles = excluded.roles",
        id=user_id, home=home, roles=roles, now=now,
    )  # fmt: skip


async def user_known_by(tx: Tx, id_or_email: str) -> Row | None:
    """A user whose home is this tenant."""
    return await tx.one(
        'SELECT id, email FROM "user" WHERE tenant = :tenant AND (id = :whom OR email = :whom)', whom=id_or_email
    )


async def email_known(tx: Tx, email: str) -> bool:
    """In any tenant. Runs as the system."""
    return await tx.value('SELECT 1 FROM "user" WHERE email = :email', email=email) is not None


async def session_is_live(tx: Tx, user_id: str, session: str) -> bool:
    found = await tx.value(
        "SELECT 1 FROM session WHERE tenant = :tenant AND user_id = :user AND id = :id", user=user_id, id=session
    )
    return found is not None
