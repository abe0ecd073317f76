"""Getting back in without the password, and showing that an address is one's own: by a secret that is mailed.

A secret counts once, for an hour, and only while its user still has the address it went to. The database knows its
hash alone. Nobody learns by asking whether an address is one of a user.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final, Literal

from vedette.errors import Busy, DeliveryFailed, Invalid, Unacceptable, VedetteError
from vedette.server.access import personal_tokens, recovery_store, store
from vedette.server.access.limits import neighbourhood
from vedette.server.access.password_mail import compose
from vedette.server.access.passwords import check_rules
from vedette.server.audit import service as audit
from vedette.server.audit.service import Actor
from vedette.server.db import SYSTEM, Row, Tx, UserScope
from vedette.server.letters import Wish
from vedette.server.services import Services
from vedette.server.times import micros

LIFETIME: Final = timedelta(hours=1)
MAX_SECRET: Final = 128  # characters; ours have 43
TRIES: Final = 5
RETRY_S: Final = 10.0  # doubled each time
NOT_VALID: Final = "this link is not valid any more; ask for a new one"

Purpose = Literal["password", "address"]
Send = Callable[[str, bytes], Awaitable[str]]
"""Hands one message to one address."""

log = logging.getLogger(__name__)


def start(services: Services, purpose: Purpose, email: str, address: str) -> None:
    """Have a mail written to `email`, if a user has it. Says nothing either way.

    Args:
        address: where it is asked from; such wishes are limited for each address and each account.
    Raises:
        TooMany: asked too often.
        Busy: too many mails wait.
    """
    services.recoveries_from_address.take(neighbourhood(address))
    email = email.strip().lower()[:256]
    services.recoveries_of_account.take(f"{purpose} {email}")
    if services.settings.smtp:
        services.letters.ask(Wish(purpose, email))
    else:
        log.warning("a mail about a password is wanted, but there is no mail server: see the setting smtp")


def nobodys(services: Services) -> str:
    """A password that nobody knows, for a user who is to choose his own by a link that is mailed to him.

    Raises:
        Unacceptable: no mail leaves this server.
    """
    if not services.settings.smtp:
        raise Unacceptable("this server has no mail server, so nobody can choose a password by mail; give one")
    return secrets.token_urlsafe(32)


def invite(services: Services, email: str) -> None:
    """Have a link mailed to a new user by which he chooses a password. If it cannot wait, he asks for it himself."""
    with suppress(Busy):
        services.letters.ask(Wish("password", email))


async def complete_password(services: Services, secret: str, password: str, address: str) -> None:
    """Whoever has the secret of a mail sets a new password. All sessions and tokens of the user end.

    Raises:
        Invalid: the secret does not count, or the password is no good one.
        TooMany: too many tries from this address.
    """
    services.recoveries_from_address.take(neighbourhood(address))
    row, hashed = await _find(services, "password", secret)
    try:
        check_rules(password, row["email"])
    except Unacceptable as exc:
        raise Invalid(str(exc)) from exc
    password_hash = await services.passwords.hash(password)
    now = micros(services.clock.now())

    async def apply(tx: Tx) -> None:
        if not await recovery_store.use_up(tx, row["id"], hashed):
            raise Invalid(NOT_VALID)
        await recovery_store.forget_all(tx, row["id"], "password")
        await recovery_store.set_password(tx, row["id"], password_hash, now)
        for session in await store.sessions(tx, row["id"]):
            await store.remove_session(tx, row["id"], session)
            services.user_tokens.withdraw(tx, session)
        await personal_tokens.forget_all(tx, services, row["id"])
        change = audit.diff("user", {"password": row["password_hash"]}, {"password": password_hash})
        await _record(tx, services, row, change)

    await services.db.write(UserScope(row["tenant"]), apply)


async def complete_address(services: Services, secret: str, address: str) -> None:
    """Whoever has the secret of a mail reads the mails of its address.

    Raises:
        Invalid: the secret does not count.
        TooMany: too many tries from this address.
    """
    services.recoveries_from_address.take(neighbourhood(address))
    row, hashed = await _find(services, "address", secret)

    async def apply(tx: Tx) -> None:
        if not await recovery_store.use_up(tx, row["id"], hashed):
            raise Invalid(NOT_VALID)
        await recovery_store.forget_all(tx, row["id"], "address")
        await recovery_store.set_verified(tx, row["id"])
        await _record(tx, services, row, audit.diff("user", {"verified": False}, {"verified": True}))

    await services.db.write(UserScope(row["tenant"]), apply)


async def _record(tx: Tx, services: Services, row: Row, change: str) -> None:
    actor = Actor("user", row["id"], row["email"])
    await audit.record(tx, services, actor, "update", audit.user(row["id"], row["email"]), change)


async def _find(services: Services, purpose: Purpose, secret: str) -> tuple[Row, str]:
    if not 1 <= len(secret) <= MAX_SECRET:
        raise Invalid(NOT_VALID)
    hashed = _hash(secret)
    row = await services.db.read(SYSTEM, recovery_store.find, hashed, purpose, micros(services.clock.now()))
    if row is None:
        raise Invalid(NOT_VALID)
    return row, hashed


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


# --- writing the mails -----------------------------------------------------------------------------------------------


async def write_forever(services: Services, send: Send) -> None:
    """Write what people wish for, one mail after the other, until cancelled."""
    while True:
        wish = await services.letters.next()
        try:
            await write(services, wish, send)
        except VedetteError as exc:  # who asked can ask again
            log.warning("a mail about a password was not sent: %s", exc)


async def write(services: Services, wish: Wish, send: Send) -> bool:
    """Send one mail, with a new secret; False: no user has this address, or it is verified already.

    Raises:
        DeliveryFailed: the mail server did not take it, several times.
    """
    row = await services.db.read(SYSTEM, recovery_store.user_by_email, wish.email)
    if row is None or (wish.purpose == "address" and row["verified"]):
        return False
    secret, now = secrets.token_urlsafe(32), services.clock.now()
    await services.db.write(
        UserScope(row["tenant"]),
        recovery_store.add,
        _hash(secret),
        row["id"],
        wish.purpose,
        row["email"],
        micros(now + LIFETIME),
        micros(now),
    )
    message = compose(
        wish.purpose, sender=services.settings.mail_from, to=row["email"], base=services.settings.base_url,
        secret=secret, at=now,
    )  # fmt: skip
    for attempt in range(TRIES):
        try:
            await send(row["email"], message)
        except DeliveryFailed as exc:
            if exc.permanent or attempt == TRIES - 1:
                raise
            await asyncio.sleep(RETRY_S * 2**attempt)
        else:
            break
    return True
