"""What the errors of PostgreSQL and of asyncpg mean to who asked. Pure.

Source of the classes: PostgreSQL, appendix A (error codes), and asyncpg.exceptions.
"""

from typing import Final

import asyncpg

from vedette.errors import Invalid, Unavailable, VedetteError

COLLISION: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""Another transaction was in the way; the same again may succeed."""

_TROUBLE: Final = (
    OSError,  # TimeoutError too
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidTransactionStateError,  # read-only after a failover, idle for too long
    asyncpg.InsufficientResourcesError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.LockNotAvailableError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,
    *COLLISION,
)
_REFUSED: Final = {
    asyncpg.CharacterNotInRepertoireError: "a text with a NUL character, which the database cannot hold",
    asyncpg.UntranslatableCharacterError: "a text with a NUL character, which the database cannot hold",
    asyncpg.ProgramLimitExceededError: "a name or a value is too long for the database",
}


def is_trouble(error: BaseException) -> bool:
    """Whether it is the database that fails (gone, full, refusing), and not the program that asks it wrongly."""
    return isinstance(error, _TROUBLE) and not isinstance(error, asyncpg.DataError)


def told(error: BaseException, doing: str) -> BaseException:
    """What a caller hears: trouble with the database as Unavailable, what it cannot hold as Invalid, the rest as it is.

    Args:
        doing: `written` or `read`.
    """
    if isinstance(error, VedetteError):
        return error
    if is_trouble(error):
        return Unavailable(f"the database cannot be {doing} now: {sentence(error)}")
    for kind, text in _REFUSED.items():
        if isinstance(error, kind):
            return Invalid(text)
    return error


def sentence(error: BaseException) -> str:
    """What went wrong, in one line. Never the URL, which may hold a password."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, asyncpg.InterfaceError | asyncpg.ConnectionDoesNotExistError):
        return "the connection was lost"
    lines = str(error).splitlines()
    return lines[0].strip()[:300] if lines else type(error).__name__
