"""Who asks: a user who has shown a valid token."""

from dataclasses import dataclass

from vedette.server.db import UserScope


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A user of a tenant, with what he may see, and the session he speaks through."""

    scope: UserScope
    user_id: str
    email: str
    session: str  # the jti of his token
    roles: tuple[str, ...] = ()
