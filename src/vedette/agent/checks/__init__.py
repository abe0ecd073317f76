"""The kinds of checks. A new one is one file here and one line in KINDS."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from vedette.agent.checkfiles import CheckFile
from vedette.agent.checks.log import LogCheck
from vedette.agent.follow.lines import Block
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict
from vedette.errors import Invalid
from vedette.model import ConfiguredCheck


class Check(Protocol):
    """One check: what it looks at, and what it makes of it. Knows nothing of states, alerts sent, or time."""

    key: str  # "log_results-scan", unique on the device
    source: str  # a path, or "@" and a command

    def see(self, block: Block) -> Verdict | None:
        """Judge lines that were read together; None: nothing to say."""
        ...

    def configured(self) -> ConfiguredCheck:
        """As the server is told of it."""
        ...


KINDS: Final[Mapping[str, Callable[[CheckFile, Settings], Check]]] = {"log": LogCheck}


def build(file: CheckFile, settings: Settings) -> Check:
    """Make one check from its file. Raises Invalid when that cannot be: unknown kind, bad pattern, missing value."""
    kind = KINDS.get(file.subsystem)
    if kind is None:
        raise Invalid(f"there is no subsystem {file.subsystem!r}, only {', '.join(KINDS)}")
    return kind(file, settings)
