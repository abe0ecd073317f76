"""How a command ends: the exit status of each error. Scripts rely on these numbers (docs/cli.md)."""

from typing import Final

from vedette.errors import Busy, Invalid, NotFound, Unauthenticated, Unavailable, VedetteError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_LOGGED_IN: Final = 3
NOT_FOUND: Final = 4
NOT_REACHABLE: Final = 5
DIFFERENT: Final = 6


class Usage(Invalid):
    """The command was not typed as it has to be."""

    code = "usage"


class Differs(VedetteError):
    """Something is not as it should be; said only to whoever has asked for that."""

    code = "differs"


def status_of(error: VedetteError) -> int:
    """The exit status that says `error`."""
    match error:
        case Usage():
            return USAGE
        case Differs():
            return DIFFERENT
        case Unauthenticated():
            return NOT_LOGGED_IN
        case NotFound():
            return NOT_FOUND
        case Unavailable() | Busy():
            return NOT_REACHABLE
        case _:
            return FAILED
