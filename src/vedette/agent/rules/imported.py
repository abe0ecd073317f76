"""What became of a rule of another system."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vedette.agent.match.pattern import PATTERN_BYTES_MAX, Pattern
from vedette.errors import Invalid
from vedette.model import Level

EXACT: Final = "exact"
APPROXIMATED: Final = "approximated"
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One rule, as the check that stands for it; or why none can.

    `notes`: what is done otherwise than where it comes from; one at least unless the check does exactly the same.
    """

    rule: str  # as people know it
    origin: str  # "fail2ban:sshd", "sigma:ID": the same when it is imported again
    name: str = ""  # proposed for the check
    pattern: str = ""
    sources: Sequence[str] = ()  # LOG_FILE, of one check each; "": to be given
    level: Level | None = None  # of its alerts; None: as the device has it for log checks
    title: str = ""  # name of the alert
    refused: str = ""  # why there is no check
    notes: Sequence[str] = ()
    hints: Sequence[str] = ()  # worth knowing, but no difference

    @property
    def verdict(self) -> str:
        return REFUSED if self.refused else APPROXIMATED if self.notes else EXACT


def valid(pattern: str) -> str:
    """The pattern, tried in the engine that will match it. Raises Invalid."""
    if len(pattern.encode(errors="replace")) > PATTERN_BYTES_MAX:
        raise Invalid(f"the pattern would be longer than {PATTERN_BYTES_MAX} bytes")
    Pattern.compile(pattern)
    return pattern
