"""A hole in a device's account of alerts: numbers that will never come, and why."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from vedette.errors import Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Of the numbers `first` to `last` of an account, the server will never see those that it has not got.

    Number 0 stands for all that was before the account began: a store that was lost.
    """

    account: UUID
    first: int
    last: int
    reason: str
    at: datetime  # the device's clock, when it gave them up; needs a time zone

    def __post_init__(self) -> None:
        if self.at.utcoffset() is None:
            raise Invalid("gap: its time has no zone")
        if not 0 <= self.first <= self.last:
            raise Invalid(f"gap: from {self.first} to {self.last} is no range")
