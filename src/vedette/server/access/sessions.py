"""Is this token one of a user who is logged in? The question of every call of the management API."""

import json

from vedette.errors import Unauthenticated
from vedette.server.access import roles, store
from vedette.server.access.tokens import Verified, fresh_until
from vedette.server.caller import Caller
from vedette.server.db import UserScope
from vedette.server.services import Services


async def caller(services: Services, token: str) -> Caller:
    """The user who holds `token`.

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
    row = await services.db.read(UserScope(claims.tenant), store.session_user, claims.sub, claims.jti)
    if row is None:
        services.user_tokens.forget(claims.jti)
        raise Unauthenticated("the session has ended")
    names = tuple(json.loads(row["roles"]))
    who = Caller(
        scope=UserScope(claims.tenant, roles.visible_groups(names)),
        user_id=claims.sub,
        email=row["email"],
        session=claims.jti,
        roles=names,
    )
    services.user_tokens.put(token, Verified(claims, claims.jti, who, until))
    return who
