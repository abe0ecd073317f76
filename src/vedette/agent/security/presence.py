"""Who was logged in when something was done: no proof, but where to ask first."""

from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from vedette.agent.security import login_records
from vedette.agent.security.login_lines import LOCAL
from vedette.agent.security.login_records import Session

MAX_BYTES: Final = 2 << 20
"""Of wtmp: the last some thousand logins."""
MAX_NAMED: Final = 5


class Presence:
    """Reads when it is asked first."""

    def __init__(self, root: Path) -> None:
        self._path = root / "var/log/wtmp"

    def at(self, moment: datetime | None) -> str:
        """Such as "logged in then: root from 203.0.113.9, alice", or "" when nobody is known to have been."""
        if moment is None:
            return ""
        then = moment.timestamp()
        names = {
            each.user if each.source == LOCAL else f"{each.user} from {each.source}": None
            for each in self._sessions
            if each.start <= then <= each.end
        }
        return f"logged in then: {', '.join(list(names)[:MAX_NAMED])}" if names else ""

    @cached_property
    def _sessions(self) -> list[Session]:
        try:
            size = login_records.record_size(self._path)
            with self._path.open("rb") as file:
                whole = file.seek(0, 2) // size
                file.seek(max(0, whole - MAX_BYTES // size) * size)
                return list(login_records.sessions(file.read(MAX_BYTES), size))
        except OSError:
            return []
