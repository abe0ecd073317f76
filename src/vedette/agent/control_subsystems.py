"""What the arguments of `mender-monitorctl create SUBSYSTEM ...` mean. A new subsystem is one line in SUBSYSTEMS."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from vedette.agent import security
from vedette.agent.checkfiles import CheckFile
from vedette.agent.settings import Settings
from vedette.errors import Invalid
from vedette.model import durations

LOG_EXTRAS: Final = (
    "LOG_ALERT_LEVEL", "LOG_MULTILINE", "LOG_MULTILINE_START", "LOG_MULTILINE_TIMEOUT", "LOG_JSON_FIELD",
)  # fmt: skip
"""What a log check may be told besides, as VARIABLE=VALUE."""

MAX_SETTINGS: Final = 100

Assignments = list[tuple[str, str | int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subsystem:
    """How checks of one kind are made."""

    arguments: str  # behind `create SUBSYSTEM`, for people
    least: int  # arguments behind the name of the check
    most: int
    assignments: Callable[[str, list[str]], Assignments]  # of the check's name and arguments; raises `Invalid`
    variables: tuple[str, ...] = ()  # that may be given besides as VARIABLE=VALUE
    stands_for: str = ""  # a pseudo subsystem: its checks are checks of this one

    def takes(self, rest: list[str]) -> bool:
        """Could these be its arguments behind the name of the check?"""
        words = [
            each
            for index, each in enumerate(rest)
            if index < self.least or each.partition("=")[0] not in self.variables
        ]
        return self.least <= len(words) <= self.most


def find(name: str) -> Subsystem:
    """Raises `Invalid` when there is no such subsystem."""
    if name not in SUBSYSTEMS:
        raise Invalid(
            f"there is no subsystem {name!r}, only {', '.join(SUBSYSTEMS)};"
            " for one of your own, write the file of the check yourself"
        )
    return SUBSYSTEMS[name]


def place(subsystem: str, name: str) -> tuple[str, str]:
    """Under which subsystem and name the check is kept that people call so."""
    known = SUBSYSTEMS.get(subsystem)
    return (known.stands_for if known is not None and known.stands_for else subsystem), name


def validate(check: CheckFile) -> None:
    """Would the daemon take this check? Raises `Invalid` when not, in the daemon's words."""
    from vedette.agent import checks  # what most commands do without

    checks.build(check, Settings())


def _log(name: str, arguments: list[str]) -> Assignments:
    """Refuses, besides what the daemon does, what can only be a slip of whoever types it."""
    pattern, source, *rest = arguments
    expiration = rest[:1] if rest and "=" not in rest[0] else []
    more = [_extra(each) for each in rest[len(expiration) :]]
    if not pattern:
        raise Invalid("the pattern is empty; to match every line, write '.*'")
    if source.startswith("@") and not source[1:].strip():
        raise Invalid("there is no command behind the @")
    if not source.startswith(("@", "/")):
        raise Invalid(f"{source[:80]!r} is no absolute path; a command begins with @")
    if Path(os.fsdecode(source.encode("utf-8", "surrogateescape"))).is_dir():
        raise Invalid(f"{source[:80]!r} is a directory, not a file")
    given: Assignments = [("SERVICE_NAME", name), ("LOG_PATTERN", pattern), ("LOG_FILE", source), *more]
    if expiration:
        given.append(("LOG_PATTERN_EXPIRATION", durations.parse(expiration[0])))
    return given


def _extra(argument: str) -> tuple[str, str | int]:
    """VARIABLE=value behind the other arguments of a log check."""
    name, equals, value = argument.partition("=")
    if not equals or name not in LOG_EXTRAS:
        raise Invalid(f"{argument[:80]!r} is no VARIABLE=VALUE with one of {', '.join(LOG_EXTRAS)}")
    return name, value


def _service(name: str, arguments: list[str]) -> Assignments:
    (kind,) = arguments
    return [("SERVICE_NAME", name), ("SERVICE_TYPE", {"systemd": "systemd", "sysv": "sysV"}.get(kind.lower(), kind))]


def _dbus(_name: str, arguments: list[str]) -> Assignments:
    name, pattern, expression, *expiration = arguments
    given: Assignments = [("DBUS_NAME", name), ("DBUS_PATTERN", pattern), ("DBUS_WATCH_EXPRESSION", expression)]
    if expiration:
        given.append(("DBUS_ALERT_EXPIRATION", durations.parse(expiration[0])))
    return given


def _dockerevents(name: str, arguments: list[str]) -> Assignments:
    container, action, *expiration = arguments
    if not container or not action:
        raise Invalid("the container and the action must not be empty; an action is what 'docker events' calls it: die")
    given: Assignments = [
        ("SERVICE_NAME", name),
        ("LOG_PATTERN", f".*container {action}.*name={container}.*"),
        ("LOG_FILE", "@docker events"),
        ("LOG_ALERT_DESCRIPTION", f"Docker container {container} {action}"),
        ("LOG_ALERT_DETAILS", "Alert was raised due to:%line_matching"),
        ("LOG_ALERT_STATUS", "DOCKEREVENTS_CONTAINER_EVENT"),
        ("LOG_ALERT_TYPE", "docker_event"),
    ]
    if expiration:
        given.append(("LOG_PATTERN_EXPIRATION", durations.parse(expiration[0])))
    return given


def _diskusage(_name: str, arguments: list[str]) -> Assignments:
    path, *rest = arguments
    given: Assignments = [("DISKUSAGE_NAME", path)]
    for each in rest:
        if each in ("space", "inodes"):
            given.append(("DISKUSAGE_OF", each))
        else:
            given.append(("DISKUSAGE_THRESHOLD", each))
    return given


def _connectivity(_name: str, arguments: list[str]) -> Assignments:
    address, *interface = arguments
    given: Assignments = [("CONNECTIVITY_ADDRESS", address)]
    if interface:
        given.append(("CONNECTIVITY_INTERFACE", interface[0]))
    return given


def _security(kind: str, _name: str, arguments: list[str]) -> Assignments:
    from vedette.agent import control_security  # what most commands do without

    return control_security.assignments(kind, arguments)


def _security_kind(kind: str) -> Subsystem:
    return Subsystem(
        arguments="CHECK [SETTING=VALUE ...]", least=0, most=MAX_SETTINGS, assignments=partial(_security, kind)
    )


SUBSYSTEMS: Final[Mapping[str, Subsystem]] = {
    "log": Subsystem(
        arguments="CHECK PATTERN FILE|@COMMAND [EXPIRATION] [VARIABLE=VALUE ...]",
        least=2,
        most=3,
        assignments=_log,
        variables=LOG_EXTRAS,
    ),
    "service": Subsystem(arguments="SERVICE systemd|sysV", least=1, most=1, assignments=_service),
    "dbus": Subsystem(arguments="CHECK NAME PATTERN EXPRESSION [EXPIRATION]", least=3, most=4, assignments=_dbus),
    "dockerevents": Subsystem(
        arguments="CHECK CONTAINER ACTION [EXPIRATION]", least=2, most=3, assignments=_dockerevents, stands_for="log"
    ),
    "diskusage": Subsystem(arguments="CHECK PATH [THRESHOLD] [space|inodes]", least=1, most=3, assignments=_diskusage),
    "connectivity": Subsystem(arguments="CHECK ADDRESS [INTERFACE]", least=1, most=2, assignments=_connectivity),
    **{kind: _security_kind(kind) for kind in security.KINDS},
}
