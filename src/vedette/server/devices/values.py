"""What is said of a device."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

OFFLINE_AFTER: Final = timedelta(days=1)  # without a call, a device counts as offline
STATUSES: Final = ("accepted", "preauthorized", "pending", "rejected", "noauth")  # the best first


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSummary:
    """A device as lists show it."""

    id: str
    name: str  # the tag `name`, else its host name, else the id
    identity: dict[str, Any]
    status: str  # the best of its authentication sets, or "noauth"
    group: str | None  # its static group
    check_in_at: datetime | None  # its last call, exact to a minute
    open_count: int  # problems that are open now
    decommissioning: bool  # it leaves, and is listed until the last of it is gone
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSet:
    """A key that a device has shown, and whether it is let in with it."""

    id: str
    pubkey: str  # canonical PEM
    status: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """Something known of a device."""

    scope: str  # identity, inventory, tags, system, monitor
    name: str
    value: Any  # a string, a number, a boolean, or a list of strings or numbers
    description: str | None = None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(DeviceSummary):
    """A device with everything about it."""

    auth_sets: tuple[AuthSet, ...]
    attributes: tuple[Attribute, ...]  # every scope, by scope and name


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceQuery:
    """Which devices a page shows. Conditions are and-ed."""

    status: str | None = None
    issues: bool = False  # only those with open problems
    offline: bool = False  # only accepted ones that have not called for OFFLINE_AFTER
    group: str | None = None
    text: str = ""  # part of a name, an id or a value of identity, inventory or tags
    page: int = 1
    per_page: int = 20  # 0: only how many there are is asked


def best(statuses: list[str]) -> str:
    """The status of a device with authentication sets of these statuses."""
    return min(statuses, key=STATUSES.index, default="noauth")
