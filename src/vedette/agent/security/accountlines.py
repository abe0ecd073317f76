"""Has a package made an account for its service? Such a change of /etc/passwd and its like is no finding.

Of these files the lines are kept, as short digests, so that it can be told that nothing but harmless lines came.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from vedette.agent.security import filestate
from vedette.agent.security.filestate import FileState

MAX_BYTES: Final = 1 << 20
_NO_SHELL: Final = ("/nologin", "/false")


def _is_system(number: str) -> bool:
    """Of a service, by the custom of distributions: not root, and no person."""
    return number.isdigit() and 0 < int(number) < 1000


_HARMLESS: Final[Mapping[str, Callable[[Sequence[str]], bool]]] = {
    "/etc/passwd": lambda fields: len(fields) == 7 and _is_system(fields[2]) and fields[6].endswith(_NO_SHELL),
    "/etc/group": lambda fields: len(fields) == 4 and _is_system(fields[2]) and not fields[3],
    "/etc/shadow": lambda fields: len(fields) == 9 and fields[1].startswith(("!", "*")),
    "/etc/gshadow": lambda fields: len(fields) == 4 and fields[1].startswith(("!", "*")) and not any(fields[2:]),
}
"""Of the fields of a line: may a package add it? Source: passwd(5), group(5), shadow(5), gshadow(5)."""
PATHS: Final = tuple(_HARMLESS)


class AccountLines:
    """The lines of the files of accounts below `root`; `before` is what `kept` gave after the last scan."""

    def __init__(self, root: Path, before: Mapping[str, Sequence[str]]) -> None:
        self._root, self._before = root, before

    def only_services_came(self, path: str, new: FileState) -> bool:
        """Are all lines of before there still, in their order, and the other ones those of accounts of services?"""
        lines = self._lines(path, new) if path in self._before else None
        if lines is None:
            return False
        waiting = list(self._before[path])[::-1]
        for line in lines:
            if waiting and _digest(line) == waiting[-1]:
                waiting.pop()
            elif not _HARMLESS[path](line.split(":")):
                return False
        return not waiting

    def kept(self, states: Mapping[str, FileState]) -> dict[str, list[str]]:
        """Of those that are right as they are now."""
        found = {path: self._lines(path, state) for path, state in states.items()}
        return {path: [_digest(line) for line in lines] for path, lines in found.items() if lines is not None}

    def _lines(self, path: str, state: FileState) -> list[str] | None:
        """None: it cannot be read, or has changed again."""
        try:
            with (self._root / path[1:]).open("rb") as file:
                content = file.read(MAX_BYTES)
        except OSError:
            return None
        if filestate.content(hashlib.sha256(content).digest()) != state.content:
            return None
        return content.decode("utf-8", "surrogateescape").splitlines()


def _digest(line: str) -> str:
    return hashlib.blake2b(line.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
