"""Logins from the journal of systemd. Only its own `journalctl` reads that: the one program a scan starts.

It is asked at intervals for what came since the last entry that was read, of the programs that let people in. Not with
`--after-cursor`, which leaves out one entry where the one of the cursor was vacuumed.
Source: journalctl(1), systemd.journal-fields(7), "Journal JSON Format" of systemd.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vedette.agent import host
from vedette.agent.security.login_lines import PROGRAMS, Event, of_message
from vedette.agent.security.login_sources import JOURNALCTL
from vedette.errors import Unavailable

FIELDS: Final = "MESSAGE,SYSLOG_IDENTIFIER,_PID,SYSLOG_PID,_UID,_EXE"
MAX_BYTES: Final = 8 * 1024 * 1024
TIME_LIMIT_S: Final = 30.0
PAM: Final = ("gdm-password]", "gdm-autologin]", "lightdm", "sddm-helper", "cockpit-session", "vsftpd", "xrdp-sesman")
"""Programs of which PAM says who came in."""
_TRUSTED: Final = frozenset({"su", "sudo", "passwd", "gpasswd", "chsh"})
_SYSTEM: Final = ("/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """What one look at the journal brought."""

    events: list[Event]
    cursor: str  # of the last entry that was read
    more: bool


def read(root: Path, cursor: str, since: float, time_limit_s: float = TIME_LIMIT_S) -> Entries:
    """What came behind `cursor`, or without one after `since` (seconds since 1970). Raises Unavailable."""
    program = _program()
    if program is None:
        raise Unavailable(f"{JOURNALCTL[0]} is not there, which the journal can only be read with")
    arguments = [program, "--quiet", "--no-pager", "--output=json", "--all", f"--output-fields={FIELDS}"]
    if root != Path("/"):
        arguments += [f"--directory={root / 'var/log/journal'}"]
    arguments += [f"--cursor={cursor}"] if cursor else [f"--since=@{since:.6f}"]
    arguments += [f"SYSLOG_IDENTIFIER={each}" for each in sorted(PROGRAMS) + list(PAM)]
    lines = host.output(arguments, timeout_s=min(time_limit_s, TIME_LIMIT_S), max_bytes=MAX_BYTES, cut=True)
    more = len(lines) >= MAX_BYTES
    found: list[Event] = []
    for entry in _entries(lines[: lines.rfind("\n") + 1]):
        here = str(entry.get("__CURSOR", ""))
        if here == cursor:
            continue
        cursor = here or cursor
        if (event := _event(entry)) is not None:
            found.append(event)
    return Entries(events=found, cursor=cursor, more=more)


def _program() -> str | None:
    return next((each for each in JOURNALCTL if os.access(each, os.X_OK)), None)


def _entries(lines: str) -> Iterator[Mapping[str, Any]]:
    for line in lines.split("\n"):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            yield entry


def _event(entry: Mapping[str, Any]) -> Event | None:
    """Only from root, or a program of the system that runs as root: anybody can write what looks like sshd's."""
    name = _text(entry.get("SYSLOG_IDENTIFIER"))
    if not (_text(entry.get("_UID")) == "0" or _is_trusted(_text(entry.get("_EXE")))):
        return None
    pid = _text(entry.get("_PID")) or _text(entry.get("SYSLOG_PID"))
    event = of_message(name, pid, _text(entry.get("MESSAGE")))
    if event is None:
        return None
    try:
        return replace(event, at=datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, UTC))
    except (KeyError, ValueError, OverflowError, OSError):
        return event


def _is_trusted(executable: str) -> bool:
    directory, _, name = executable.rpartition("/")
    return name in _TRUSTED and f"{directory}/" in _SYSTEM


def _text(value: object) -> str:
    """What is no text comes as a list of bytes, what was said twice as a list of texts."""
    if isinstance(value, list):
        if value and isinstance(value[0], str):
            return str(value[0])
        return bytes(each for each in value if isinstance(each, int) and 0 <= each < 256).decode(errors="replace")
    return value if isinstance(value, str) else ""
