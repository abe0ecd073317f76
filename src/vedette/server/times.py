"""Times between the store (microseconds since 1970, UTC) and the services (datetime with zone UTC), exactly."""

from datetime import UTC, datetime, timedelta
from typing import Final, overload

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


@overload
def datetime_of(value: int) -> datetime: ...
@overload
def datetime_of(value: int | None) -> datetime | None: ...
def datetime_of(value: int | None) -> datetime | None:
    """The time of a stored value; None stays None."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)
