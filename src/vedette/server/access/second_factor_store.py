"""The SQL of second factors, and of whether an address is known to be its user's."""

from vedette.server.db import Row, Tx


async def of_user(tx: Tx, user_id: str) -> Row | None:
    return await tx.one(
        "SELECT secret, enabled, last_step FROM second_factor WHERE tenant = :tenant AND user_id = :user", user=user_id
    )


async def add(tx: Tx, user_id: str, secret: str) -> None:
    """A second factor that does not count before its first code was right."""
    await tx.execute(
        "INSERT INTO second_factor (tenant, user_id, secret, enabled, last_step)"
        " VALUES (:tenant, :user, :secret, 0, 0)",
        user=user_id,
        secret=secret,
    )


async def accept(tx: Tx, user_id: str, step: int) -> bool:
    """Note that the code of `step` was shown; False: one of this step or a later one was shown before."""
    count = await tx.execute(
        "UPDATE second_factor SET last_step = :step, enabled = 1"
        " WHERE tenant = :tenant AND user_id = :user AND last_step < :step",
        user=user_id,
        step=step,
    )
    return count == 1


async def remove(tx: Tx, user_id: str) -> bool:
    """False: there was none."""
    count = await tx.execute("DELETE FROM second_factor WHERE tenant = :tenant AND user_id = :user", user=user_id)
    return count == 1


async def verified(tx: Tx, user_id: str) -> bool:
    """Whether the user's address is known to be his."""
    value = await tx.value('SELECT verified FROM "user" WHERE tenant = :tenant AND id = :user', user=user_id)
    return bool(value)


async def password_hash(tx: Tx, user_id: str) -> str | None:
    """None: no such user."""
    found: str | None = await tx.value(
        'SELECT password_hash FROM "user" WHERE tenant = :tenant AND id = :user', user=user_id
    )
    return found


async def email(tx: Tx, user_id: str) -> str | None:
    address: str | None = await tx.value('SELECT email FROM "user" WHERE tenant = :tenant AND id = :user', user=user_id)
    return address
