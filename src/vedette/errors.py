"""The one tree of errors that Vedette raises on purpose.

A stable `code` for programs, one clear sentence for people. The class docstring is the default sentence.
Anything else that escapes a part of Vedette is a bug.
"""


class VedetteError(Exception):
    """Vedette refuses or cannot do this."""

    code = "internal"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip().partition("\n")[0])


class Invalid(VedetteError):
    """What was given is not valid."""

    code = "invalid"


class Unacceptable(Invalid):
    """Well-formed, but against a rule of what it should become part of."""

    code = "unacceptable"


class Unauthenticated(VedetteError):
    """It is not known who asks."""

    code = "unauthenticated"


class Denied(VedetteError):
    """This may not be done by the one who asks."""

    code = "denied"


class NotFound(VedetteError):
    """No such thing, or not yours to see."""

    code = "not_found"


class Conflict(VedetteError):
    """It collides with what is there already."""

    code = "conflict"


class Changed(VedetteError):
    """It is no longer as the one who asks last saw it."""

    code = "changed"


class TooMany(VedetteError):
    """Asked too often; slow down."""

    code = "too_many"

    def __init__(self, message: str = "", *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooLarge(VedetteError):
    """More than is accepted in one piece."""

    code = "too_large"


class Busy(VedetteError):
    """Too much is waiting already; try again later."""

    code = "busy"


class Unavailable(VedetteError):
    """Something that this needs cannot be had now: a port, a file, a lock, another server."""

    code = "unavailable"


class DeliveryFailed(VedetteError):
    """A notification was not accepted by the one who should carry it."""

    code = "delivery_failed"

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent  # True: trying again cannot help
