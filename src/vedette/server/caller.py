"""Who asks: a user who has shown a valid token."""

from dataclasses import dataclass, replace

from vedette.errors import Denied
from vedette.server.access.permissions import FORBIDDEN, NOTHING, Call, Rights
from vedette.server.db import UserScope


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A user of a tenant, with what he may reach in this call, and the session he speaks through."""

    scope: UserScope
    user_id: str
    email: str
    session: str  # the jti of his token
    roles: tuple[str, ...] = ()
    home: str = ""  # his own tenant, where he acts in another; empty: he is at home
    rights: Rights = NOTHING

    @property
    def at_home(self) -> UserScope:
        """Where what is his own is kept: his settings, tokens and second factor. Reaches no device."""
        return UserScope(self.home or self.scope.tenant)

    def within(self, call: Call) -> "Caller":
        """Himself, reaching what he may in `call`.

        Raises:
            Denied: he may not do this at all.
        """
        return replace(self, scope=UserScope(self.scope.tenant, self.rights.groups(call)))

    def may(self, call: Call) -> bool:
        return self.rights.may(call)

    def require(self, call: Call) -> None:
        """Raises Denied, with the text that clients know."""
        if not self.rights.may(call):
            raise Denied(FORBIDDEN)

    def require_whole_tenant(self) -> None:
        """For what is not about devices of some groups. Raises Denied."""
        if self.scope.groups is not None:
            raise Denied(FORBIDDEN)
