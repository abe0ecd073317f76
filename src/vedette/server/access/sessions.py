"""Is this token one of a user who is logged in, and what may he do? The question of every management call."""

import json
from collections.abc import Sequence

from vedette.errors import Unauthenticated
from vedette.server.access import personal_tokens, personal_tokens_store, role_service, store
from vedette.server.access.permissions import Rights
from vedette.server.access.signer import Claims
from vedette.server.access.tokens import Verified, fresh_until
from vedette.server.caller import Caller
from vedette.server.db import Row, Tx, UserScope
from vedette.server.services import Services

Found = tuple[Row, Sequence[str], Rights]


async def caller(services: Services, token: str) -> Caller:
    """The user who holds `token`, reaching nothing yet: see `Caller.within`.

    Raises:
        Unauthenticated: not a user's token of this server, expired, or logged out.
    """
    known = services.user_tokens.get(token)
    if known is not None and services.clock.elapsed() < known.fresh_until:
        return known.who
    claims = known.claims if known is not None else services.signer.verify(token)
    if not claims.user:
        raise Unauthenticated("the token is not one of a user")
    until = fresh_until(services.clock, claims.exp)
    doubts = services.user_tokens.doubts
    found = await _found(services, claims)
    if found is None:
        services.user_tokens.forget(claims.jti)
        raise Unauthenticated("the session has ended")
    row, names, rights = found
    if row["personal"]:
        await personal_tokens.note_use(services, UserScope(claims.tenant), claims.sub, claims.jti, row["used_at"])
    who = Caller(
        scope=UserScope(claims.tenant),
        user_id=claims.sub,
        email=row["email"],
        session=claims.jti,
        roles=tuple(names),
        home=claims.home,
        rights=rights,
    )
    if services.user_tokens.doubts == doubts:  # else somebody has changed something while it was read
        services.user_tokens.put(token, Verified(claims, claims.jti, who, until))
    return who


async def _found(services: Services, claims: Claims) -> Found | None:
    """The user of a live session, and what he may do in the tenant that he acts in."""
    home = UserScope(claims.home or claims.tenant)
    row = await services.db.read(home, _at_home if home.tenant == claims.tenant else _away, claims)
    if row is None or home.tenant == claims.tenant:
        return row
    return await services.db.read(UserScope(claims.tenant), _as_member, row[0], claims.sub)


async def _at_home(tx: Tx, claims: Claims) -> Found | None:
    row = await store.session_user(tx, claims.sub, claims.jti, claims.tenant)
    row = row or await personal_tokens_store.live_user(tx, claims.sub, claims.jti)
    if row is None:
        return None
    names = json.loads(row["roles"])
    return row, names, await role_service.rights(tx, names)


async def _away(tx: Tx, claims: Claims) -> Found | None:
    row = await store.session_user(tx, claims.sub, claims.jti, claims.tenant)
    return None if row is None else (row, (), Rights())


async def _as_member(tx: Tx, row: Row, user_id: str) -> Found | None:
    member = await store.member(tx, user_id)
    if member is None or member["tenant_status"] != "active":
        return None
    names = json.loads(member["roles"])
    return row, names, await role_service.rights(tx, names)
