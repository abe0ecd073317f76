"""Names of users and groups, as the device's own files have them. Source: passwd(5), group(5)."""

from functools import cache
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 4 << 20


class Owners:
    """Reads the files when it is asked first."""

    def __init__(self, root: Path) -> None:
        self._users = cache(lambda: _names(root / "etc/passwd"))
        self._groups = cache(lambda: _names(root / "etc/group"))

    def user(self, number: int) -> str:
        """The name, or the number when it has none."""
        return self._users().get(str(number), str(number))

    def both(self, user: int, group: int) -> str:
        """As `ls -l` and `chown` write it: "root:adm"."""
        return f"{self.user(user)}:{self._groups().get(str(group), str(group))}"


def _names(path: Path) -> dict[str, str]:
    """By number; the first line of a number counts."""
    names: dict[str, str] = {}
    try:
        with path.open(errors="replace") as file:
            for line in file.read(MAX_BYTES).splitlines():
                fields = line.split(":")
                if len(fields) > 3:
                    names.setdefault(fields[2], fields[0])
    except OSError:
        pass
    return names
