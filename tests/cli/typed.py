"""What the tests of the command line share: how a command ends, what a device sends."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAC = "de:ad:be:ef:00:01"
ATTRIBUTES = "/api/devices/v1/inventory/device/attributes"
ALERT = "/api/devices/v1/devicemonitor/alert"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


Vedette = Callable[..., Done]


def alert(name: str = "Log file contains x", level: str = "CRITICAL", at: str = "2026-11-23T08:00:00Z") -> Any:
    """An alert as a device sends it, with a line that would like to clear the terminal."""
    return {
        "name": name,
        "level": level,
        "timestamp": at,
        "subject": {
            "name": "log_x",
            "type": "log",
            "status": "LOGCONTAINS",
            "details": {
                "description": "x present in /var/log/x",
                "lines_before": [{"line_number": 2, "data": "before"}],
                "line_matching": {"line_number": 3, "data": "a \x1b[2Jx"},
                "lines_after": [{"line_number": 4, "data": "after"}],
            },
        },
    }
