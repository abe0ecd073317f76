"""What the roles of a user allow. Default deny: a role that is not here allows nothing.

Source of the names: the built-in roles of the compatible server (docs/compatibility.md).
"""

from collections.abc import Iterable
from typing import Final

from vedette.errors import Unacceptable

ADMIN: Final = "RBAC_ROLE_PERMIT_ALL"
OBSERVER: Final = "RBAC_ROLE_OBSERVER"  # sees every device, changes nothing
KNOWN: Final = (ADMIN, OBSERVER)


def visible_groups(roles: Iterable[str]) -> frozenset[str] | None:
    """The static groups whose devices these roles show; None: all devices of the tenant."""
    return None if set(roles) & set(KNOWN) else frozenset()


def check_roles(roles: Iterable[str]) -> None:
    """Refuse a role that does not exist."""
    for role in roles:
        if role not in KNOWN:
            raise Unacceptable(f"there is no role {role!r}, only {', '.join(KNOWN)}")
