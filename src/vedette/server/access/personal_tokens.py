"""Tokens that people make for their programs: shown once, named, with an end if wanted, as mighty as their maker."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from vedette.errors import Conflict, Denied, Invalid, NotFound, Unacceptable, VedetteError
from vedette.server.access import personal_tokens_store as store
from vedette.server.access import user_tokens
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import Row, Tx, UserScope
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

MAX_TOKENS: Final = 10
MAX_LIFETIME_S: Final = 31_536_000  # a year
SESSION_ONLY: Final = "this is not done with a personal access token; log in"
USED_EXACT_TO: Final = timedelta(minutes=5)
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalToken:
    """What is known of a token; not itself."""

    id: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


async def tokens(services: Services, caller: Caller) -> Sequence[PersonalToken]:
    """Those of the caller, oldest first."""
    return [_token(row) for row in await services.db.read(caller.at_home, store.of_user, caller.user_id)]


async def create(services: Services, caller: Caller, name: str, expires_in_s: int = 0) -> str:
    """A new token of the caller; it cannot be shown again.

    Args:
        expires_in_s: from now on; 0: it does not expire.
    Raises:
        Invalid: no name, or a longer life than a year.
        Conflict: the caller has one of this name.
        Unacceptable: he has as many as anybody may have.
        Denied: he speaks through such a token: else one that leaks lives on in others after its end.
    """
    if not _NAME.fullmatch(name) or not name.strip():
        raise Invalid("name: give 1 to 255 printable characters")
    if not 0 <= expires_in_s <= MAX_LIFETIME_S:
        raise Invalid(f"expires_in: must be between 0 and {MAX_LIFETIME_S} seconds")
    token_id, now = str(uuid4()), services.clock.now()
    expires = now + timedelta(seconds=expires_in_s) if expires_in_s else None

    async def work(tx: Tx) -> None:
        await require_session(tx, caller)
        held = await store.of_user(tx, caller.user_id)
        if any(row["name"] == name for row in held):
            raise Conflict("there is a personal access token with this name already")
        if len(held) >= MAX_TOKENS:
            raise Unacceptable(f"a user has at most {MAX_TOKENS} personal access tokens; remove one first")
        await store.add(tx, caller.user_id, token_id, name, micros(now), None if expires is None else micros(expires))
        shown = {"name": name, "expires": None if expires is None else expires.isoformat()}
        change = audit.diff(f"personal access token/{name}", None, shown)
        await audit.record(tx, services, caller, "create", audit.access_token(token_id, name), change)

    await services.db.write(caller.at_home, work)
    tenant = caller.at_home.tenant
    return user_tokens.sign(
        services, tenant=tenant, user_id=caller.user_id, token_id=token_id, now=now, expires=expires
    )


async def require_session(tx: Tx, caller: Caller) -> None:
    """For what a program has no business with. Raises Denied for a caller who speaks through one of these tokens."""
    if any(row["id"] == caller.session for row in await store.of_user(tx, caller.user_id)):
        raise Denied(SESSION_ONLY)


async def remove(services: Services, caller: Caller, token_id: str) -> None:
    """The token is dead from now on.

    Raises:
        NotFound: the caller has no such token.
    """

    async def work(tx: Tx) -> None:
        name = await store.remove(tx, caller.user_id, token_id)
        if name is None:
            raise NotFound("token not found")
        services.user_tokens.withdraw(tx, token_id)
        await audit.record(tx, services, caller, "delete", audit.access_token(token_id, name))

    await services.db.write(caller.at_home, work)


async def note_use(services: Services, scope: UserScope, user_id: str, token_id: str, used_at: int | None) -> None:
    """A token is used now; written down now and then. That it cannot be is no reason to turn anybody away."""
    now = services.clock.now()
    if used_at is None or now - datetime_of(used_at) >= USED_EXACT_TO:
        with suppress(VedetteError):
            await services.db.write(scope, store.note_use, user_id, token_id, micros(now))


async def end(tx: Tx, services: Services, caller: Caller) -> None:
    """The token that the caller speaks with, if it is one of these, is dead: he has logged out with it."""
    name = await store.remove(tx, caller.user_id, caller.session)
    if name is not None:
        await audit.record(tx, services, caller, "delete", audit.access_token(caller.session, name))


async def forget_all(tx: Tx, services: Services, user_id: str) -> None:
    """All tokens of a user are dead once `tx` is done."""
    for row in await store.of_user(tx, user_id):
        await store.remove(tx, user_id, row["id"])
        services.user_tokens.withdraw(tx, row["id"])


def _token(row: Row) -> PersonalToken:
    return PersonalToken(
        id=row["id"],
        name=row["name"],
        created_at=datetime_of(row["created_at"]),
        expires_at=datetime_of(row["expires_at"]),
        used_at=datetime_of(row["used_at"]),
    )
