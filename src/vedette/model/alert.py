"""An alert: a check on a device changed its level, at a time, with what was seen."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from vedette.errors import Invalid


class Level(StrEnum):
    """How bad it is. Devices of ours send OK and CRITICAL; the rest is accepted and shown."""

    OK = "OK"
    CRITICAL = "CRITICAL"
    WARNING = "WARNING"
    UNKNOWN = "UNKNOWN"
    CRITICAL_FLAPPING = "CRITICAL_FLAPPING"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log: its number (absolute in the file or stream, from 1) and its text without newline."""

    number: int
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What was seen: the matching line with its neighbours, oldest first, and a sentence about it."""

    description: str = ""
    lines_before: tuple[Line, ...] = ()
    line_matching: Line | None = None
    lines_after: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the alert is about. (type, name) names a subject of a device: it is open or not."""

    name: str
    type: str
    status: str
    details: Details | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a record stands in the device's own account, told only to servers that understand it."""

    id: UUID  # stable: the same record, however often it is sent
    sequence: int  # 1, 2, 3 ... per device, without holes
    boot: UUID  # /proc/sys/kernel/random/boot_id
    elapsed_s: float  # seconds since that boot
    account: UUID | None = None  # of the device's store: a store that is lost begins a new one, at sequence 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A check changed its level. A problem is a pair of these for one subject: CRITICAL, later OK."""

    name: str
    level: Level
    at: datetime  # the device's wall clock; needs a time zone
    subject: Subject
    origin: Origin | None = None

    def __post_init__(self) -> None:
        if self.at.utcoffset() is None:
            raise Invalid(f"alert {self.name!r}: its time has no zone")
