"""What a device says of the checks it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredCheck:
    """One enabled check of a device, as the server shows it."""

    name: str  # the check file's name without subsystem, with ".sh": "results-scan.sh"
    kind: str  # "log", "service", "dbus", or any subsystem
    status: str = "enabled"
    settings: Mapping[str, str | int] = field(default_factory=dict)  # of its kind: pattern, path, ...
