"""How the last deployments ended that a Mender client has done: from the logs that it keeps of each.

A log is JSON, line by line; of several attempts at one deployment the last one counts. The client of version 4 and
newer writes how a deployment ended; the one before is known by the states that it goes through.
Source: mender.io, "Deployment logs"; what Debian's mender-client 3.4 and mender-update 4 write.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = "/var/lib/mender"
MAX_BYTES: Final = 1024 * 1024
"""Of one log, from its end."""
MAX_LOGS: Final = 10
SUCCESS: Final = "success"
FAILURE: Final = "failure"

_NAME: Final = re.compile(r"deployments\.(\d{4})\.(.+)\.log")
_ENDED: Final = re.compile(r"Deployment with ID \S+ finished with status: (Success|Failure)")
_MOVED: Final = re.compile(r"State transition: \S+ \[.*\] -> (\S+) \[.*\]")
_BEGUN: Final = "Running Mender client"
_ABORTED: Final = re.compile(r"deployment (?:was )?aborted", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A deployment that is over, but for one that the server has called off."""

    id: str
    status: str  # SUCCESS or FAILURE
    at: datetime
    error: str = ""  # the first one that was told
    rolled_back: bool = False


def last(root: Path) -> Ended | None:
    """The last one that has ended; None: there is none. Raises OSError."""
    directory = root / DIRECTORY.lstrip("/")
    if not directory.is_dir():
        return None
    logs = sorted((found[1], each) for each in directory.iterdir() if (found := _NAME.fullmatch(each.name)))
    for _, path in logs[:MAX_LOGS]:  # the newest has the lowest number
        found = _NAME.fullmatch(path.name)
        ended = _ended(path, found[2] if found else "")
        if ended is not None:
            return ended
    return None


def _ended(path: Path, deployment: str) -> Ended | None:
    lines: list[Mapping[str, Any]] = []
    for line in _lines(path):
        if str(line.get("message", "")).startswith(_BEGUN):
            lines = []
        lines.append(line)
    status, rolled_back, error = "", False, ""
    for line in lines:
        message = str(line.get("message", ""))
        if str(line.get("level", "")).lower() in ("error", "fatal"):
            if _ABORTED.search(message) and not error:
                return None
            error = error or message
        rolled_back |= message.startswith("Performing rollback") or "ArtifactRollback" in message
        if ended := _ENDED.search(message):
            status = ended[1].lower()
        elif moved := _MOVED.fullmatch(message):
            if moved[1] == "update-error":
                status = FAILURE
            elif moved[1] == "update-after-commit" and not status:
                status = SUCCESS
    at = next((at for each in reversed(lines) if (at := _time(each)) is not None), None)
    if not status or at is None:
        return None
    failed = status == FAILURE
    return Ended(id=deployment, status=status, at=at, error=error if failed else "", rolled_back=failed and rolled_back)


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MAX_BYTES))
        for line in file.read(MAX_BYTES).split(b"\n"):
            try:
                said = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(said, dict):
                yield said


def _time(line: Mapping[str, Any]) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(line.get("timestamp", "")))
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
