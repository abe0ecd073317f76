"""What the arguments of `mender-monitorctl create SUBSYSTEM ...` mean. A new subsystem is one line in SUBSYSTEMS."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vedette.agent import durations
from vedette.agent.match import Pattern
from vedette.errors import Invalid

Assignments = list[tuple[str, str | int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subsystem:
    """How checks of one kind are made and looked at, without running any."""

    arguments: str  # behind `create SUBSYSTEM`, for people
    least: int  # arguments behind the name of the check
    most: int
    assignments: Callable[[str, list[str]], Assignments]  # of the check's name and arguments
    validate: Callable[[Mapping[str, str]], None]  # raises `Invalid`; for new checks and those written by hand


def find(name: str) -> Subsystem:
    """Raises `Invalid` when there is no such subsystem."""
    if name not in SUBSYSTEMS:
        raise Invalid(f"there is no subsystem {name!r}, only {', '.join(SUBSYSTEMS)}")
    return SUBSYSTEMS[name]


def _log(name: str, arguments: list[str]) -> Assignments:
    pattern, source, *expiration = arguments
    given: Assignments = [("SERVICE_NAME", name), ("LOG_PATTERN", pattern), ("LOG_FILE", source)]
    if expiration:
        given.append(("LOG_PATTERN_EXPIRATION", durations.parse(expiration[0])))
    return given


def _validate_log(values: Mapping[str, str]) -> None:
    pattern, source = values.get("LOG_PATTERN", ""), values.get("LOG_FILE", "")
    if not pattern:
        raise Invalid("the pattern is empty; to match every line, write '.*'")
    Pattern.compile(pattern)
    if source.startswith("@"):
        if not source[1:].strip():
            raise Invalid("there is no command behind the @")
    elif not source.startswith("/"):
        raise Invalid(f"{source[:80]!r} is no absolute path; a command begins with @")
    elif Path(os.fsdecode(source.encode("utf-8", "surrogateescape"))).is_dir():
        raise Invalid(f"{source[:80]!r} is a directory, not a file")
    if expiration := values.get("LOG_PATTERN_EXPIRATION"):
        durations.parse(expiration)


SUBSYSTEMS: Final[Mapping[str, Subsystem]] = {
    "log": Subsystem(
        arguments="CHECK PATTERN FILE|@COMMAND [EXPIRATION]",
        least=2,
        most=3,
        assignments=_log,
        validate=_validate_log,
    ),
}
