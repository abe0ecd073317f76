"""What is said of deployments. Source of the words: the API of the compatible server (docs/compatibility.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

CONFIGURATION: Final = "configuration"
TYPES: Final = ("software", CONFIGURATION)  # as clients may ask for them; there is only one of them yet

PENDING: Final = "pending"
ABORTED: Final = "aborted"
FAILURE: Final = "failure"
SUCCESS: Final = "success"
ALREADY_INSTALLED: Final = "already-installed"
DECOMMISSIONED: Final = "decommissioned"
PAUSES: Final = ("pause_before_installing", "pause_before_rebooting", "pause_before_committing")
ACTIVE: Final = ("downloading", "installing", "rebooting", *PAUSES)
ENDS: Final = (SUCCESS, FAILURE, ALREADY_INSTALLED, ABORTED, "noartifact", DECOMMISSIONED)
DEVICE_STATUSES: Final = (PENDING, *ACTIVE, *ENDS)
REPORTED: Final = (*ACTIVE, SUCCESS, FAILURE, ALREADY_INSTALLED)  # what a device may say

INPROGRESS: Final = "inprogress"
FINISHED: Final = "finished"
STATUSES: Final = (PENDING, INPROGRESS, FINISHED)  # of a deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Something that is to be brought onto devices, as one user sees it: numbers are of devices that he may see."""

    id: str
    type: str
    name: str
    artifact_name: str
    configuration: Mapping[str, str]  # of a deployment of that type, as it was when it was made
    retries: int
    status: str
    created_at: datetime
    finished_at: datetime | None
    statistics: Mapping[str, int]  # number of devices by status, of every status

    @property
    def device_count(self) -> int:
        return sum(self.statistics.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDeployment:
    """What has become of a deployment on one device."""

    device: str
    deployment: str
    status: str
    substate: str
    attempts: int  # that have failed
    has_log: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMessage:
    """A line of what a device said of its last attempt."""

    at: datetime
    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What a device says it is when it asks for something to install."""

    device_type: str
    artifact_name: str  # what is installed now


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What a device is to install."""

    deployment: str
    artifact_name: str
    control_map: Mapping[str, Any] | None
