"""A systemd unit as far as it matters here, and what its states mean. Pure.

Source: org.freedesktop.systemd1(5); systemctl(1), "is-active" and "is-system-running".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vedette.errors import Invalid

# Unit types; a name without one of them means a service, as for systemctl.
_SUFFIXES: Final = (
    ".service", ".socket", ".device", ".mount", ".automount", ".swap", ".target", ".path", ".timer", ".slice", ".scope",
)  # fmt: skip
_NAME: Final = re.compile(r"[A-Za-z0-9_:.\\][A-Za-z0-9_:.\\-]*(@[A-Za-z0-9_:.\\@-]*)?")
PROPERTIES: Final = ("LoadState", "ActiveState", "SubState", "Job", "InactiveEnterTimestampMonotonic")
"""What a `Unit` is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One look at a unit."""

    name: str
    load: str  # "loaded", "not-found", "masked", ...
    active: str  # "active", "inactive", "failed", "activating", "reloading", ...
    sub: str  # "running", "dead", "auto-restart", ...
    has_job: bool  # something was asked of it and is not done: start, stop, restart
    went_down_us: int  # when it was last found not running, microseconds since boot; 0 = never


def unit_name(service: str) -> str:
    """What systemd calls it: "cron" is "cron.service".

    Raises:
        Invalid: nothing can be called so; a template ("getty@") is no service either.
    """
    is_template = "@" in service and service.partition("@")[2] in ("", *_SUFFIXES)
    if not _NAME.fullmatch(service) or is_template:
        raise Invalid(f"{service!r} is no name of a unit")
    return service if service.endswith(_SUFFIXES) else f"{service}.service"


def from_properties(name: str, values: Mapping[str, Any]) -> Unit:
    """From the values of PROPERTIES; a Job is its number, 0 for none."""
    return Unit(
        name=name,
        load=values.get("LoadState", ""),
        active=values.get("ActiveState", ""),
        sub=values.get("SubState", ""),
        has_job=bool(values.get("Job")),
        went_down_us=values.get("InactiveEnterTimestampMonotonic") or 0,
    )


def running(unit: Unit) -> bool | None:
    """Does it run? None: it is on its way, so nothing has changed yet."""
    if unit.active == "active":
        return True
    if unit.active == "failed":
        return None if unit.has_job else False
    if unit.active == "inactive":
        return None if unit.has_job else False  # a job that waits for its turn: it will be started
    return None


def has_fallen(before: Unit, now: Unit) -> bool:
    """Was it down between two looks that did not show it? A program that crashed and was restarted at once.

    What somebody asked for (`systemctl restart`) is no fall: then there is a job.
    """
    asked_for = before.has_job or now.has_job
    return before.active == "active" and now.went_down_us > before.went_down_us and not asked_for


def describe(unit: Unit) -> str:
    """A sentence for people."""
    if unit.active == "active":
        return f"{unit.name} is running ({unit.sub or unit.active})"
    if unit.load == "not-found":
        return f"there is no unit {unit.name} on this device"
    if unit.load in ("masked", "error", "bad-setting", "invalid"):
        return f"{unit.name} cannot run: {_LOAD[unit.load]}"
    return f"{unit.name} is {unit.active}" + (f" ({unit.sub})" if unit.sub and unit.sub != unit.active else "")


_LOAD: Final = {
    "masked": "it is masked",
    "error": "its unit file cannot be read",
    "bad-setting": "its unit file has a setting that is wrong",
    "invalid": "this is no name of a unit",
}
