"""The names of the roles that the program itself speaks of; all of them: permissions_table."""

from typing import Final

from vedette.server.access.permissions_table import ADMIN, OBSERVER, ROLES

__all__ = ["ADMIN", "OBSERVER"]

KNOWN: Final = tuple(ROLES)
