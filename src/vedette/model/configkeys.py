"""Which keys a configuration may have that mean something to Vedette, and which values: for the server, and the device.

`security.<kind>.<setting>` is a setting of a security check (`model.security`), `monitor.check.<subsystem>.<name>.
<variable>` a variable of a check; with `enabled` in the last place, whether the check is switched on: it is, unless
this says `false`. All other keys are the user's own: nothing is said of them here. Both sides judge by the same rules:
the server before a value travels, the device before it touches anything. Patterns are tried by whoever has an engine.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from vedette.errors import Invalid
from vedette.model import durations
from vedette.model.alert import Level
from vedette.model.security import CHOICE, COUNT, FLAG, MAX_LENGTH, SECURITY, TEXT, Setting, variable_of

SECURITY_PREFIX: Final = "security."
CHECK_PREFIX: Final = "monitor.check."
ENABLED: Final = "enabled"
OWN_NAME: Final = "security"
"""The name of the check that the keys `security.<kind>.*` make: `<kind>_security.sh`."""
MAX_STEM: Final = 200  # characters of subsystem and name together, as `mender-monitorctl create` takes them
MAX_TOLD: Final = 20  # faults in one sentence

_SUBSYSTEM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9@:-]*")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]*")
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")

CheckPattern = Callable[[str], object]
"""Compiles a Perl-compatible pattern. Raises Invalid."""


@dataclass(frozen=True, slots=True)
class SecurityKey:
    """A setting of a security check, or whether it is on (`ENABLED`)."""

    kind: str
    setting: str

    @property
    def subsystem(self) -> str:
        return self.kind

    @property
    def name(self) -> str:
        return OWN_NAME

    @property
    def variable(self) -> str:
        """In the file of the check; `ENABLED` is none of it."""
        return self.setting if self.setting == ENABLED else variable_of(self.kind, self.setting)


@dataclass(frozen=True, slots=True)
class CheckKey:
    """A variable of a check, or whether it is on (`ENABLED`)."""

    subsystem: str
    name: str
    variable: str


Key = SecurityKey | CheckKey


def parse(key: str) -> Key | None:
    """What a key means; None: it is the user's own.

    Raises:
        Invalid: it begins like ours, and there is no such kind, setting, check name or variable.
    """
    if key.startswith(SECURITY_PREFIX):
        kind, _, setting = key.removeprefix(SECURITY_PREFIX).partition(".")
        if kind not in SECURITY:
            raise Invalid(f"there is no security check {kind[:80]!r}, only {', '.join(SECURITY)}")
        if setting != ENABLED and setting not in SECURITY[kind].settings:
            known = ", ".join([ENABLED, *SECURITY[kind].settings])
            raise Invalid(f"{kind} has no setting {setting[:80]!r}, only {known}")
        return SecurityKey(kind, setting)
    if key.startswith(CHECK_PREFIX):
        subsystem, _, rest = key.removeprefix(CHECK_PREFIX).partition(".")
        name, _, variable = rest.rpartition(".")
        _check_names(subsystem, name)
        if variable != ENABLED:
            _check_variable(subsystem, variable)
        return CheckKey(subsystem, name, variable)
    return None


def _check_names(subsystem: str, name: str) -> None:
    if not _SUBSYSTEM.fullmatch(subsystem) or not _NAME.fullmatch(name):
        raise Invalid(f"write {CHECK_PREFIX}SUBSYSTEM.NAME.VARIABLE; names are of letters, digits and . _ @ : -")
    if len(subsystem) + len(name) > MAX_STEM:
        raise Invalid(f"subsystem and name of the check are together longer than {MAX_STEM} characters")
    if subsystem in SECURITY and name == OWN_NAME:
        raise Invalid(f"write {SECURITY_PREFIX}{subsystem}.SETTING; the check {OWN_NAME!r} is made of these")


def _check_variable(subsystem: str, variable: str) -> None:
    known = variables(subsystem)
    if not _VARIABLE.fullmatch(variable) or (known is not None and variable not in known):
        names = "" if known is None else f", only {', '.join(known)}"
        raise Invalid(f"{subsystem} has no variable {variable[:80]!r}{names}")


def judge(key: str, value: str | None, check_pattern: CheckPattern) -> None:
    """Say whether a key may have this value; None: that it is to be absent.

    Raises:
        Invalid: why not; the caller names the key.
    """
    meaning = parse(key)
    if value is None or meaning is None:
        return
    if len(value) > MAX_LENGTH or "\0" in value:
        raise Invalid(f"more than {MAX_LENGTH} characters, or a NUL character")
    if meaning.variable == ENABLED:
        _FLAG.parse(value)
    elif isinstance(meaning, SecurityKey):
        SECURITY[meaning.kind].settings[meaning.setting].parse(value)
    else:
        rule = (variables(meaning.subsystem) or {}).get(meaning.variable)
        if rule is None or not value:  # an empty value is as good as none
            return
        if isinstance(rule, Setting):
            rule.parse(value)
        else:
            rule(value, check_pattern)


def faults(values: Mapping[str, str | None], check_pattern: CheckPattern) -> dict[str, str]:
    """Every key that may not be so, with the reason."""
    found = {}
    for key, value in values.items():
        try:
            judge(key, value, check_pattern)
        except Invalid as exc:
            found[key] = str(exc)
    return found


def checks(values: Mapping[str, str]) -> dict[tuple[str, str], dict[str, str]]:
    """The checks that a whole configuration makes: (subsystem, name) to variables, `ENABLED` among them where it is
    given. Raises Invalid for a key that `parse` does not understand."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for key, value in values.items():
        meaning = parse(key)
        if meaning is not None:
            found.setdefault((meaning.subsystem, meaning.name), {})[meaning.variable] = value
    return found


def incomplete(values: Mapping[str, str]) -> dict[str, str]:
    """Checks of a whole configuration that lack a variable without which they cannot be, with the reason."""
    found = {}
    for (subsystem, name), given in checks(values).items():
        missing = [
            " or ".join(choice)
            for choice in _REQUIRED.get(subsystem, ())
            if not any(given.get(each, "").strip() for each in choice)
        ]
        if missing:
            found[f"{CHECK_PREFIX}{subsystem}.{name}"] = f"{' and '.join(missing)} is missing"
    return found


def require(values: Mapping[str, str | None], check_pattern: CheckPattern) -> None:
    """Raises Invalid with all that is wrong with `values`, in one sentence."""
    refuse(faults(values, check_pattern))


def refuse(wrong: Mapping[str, str]) -> None:
    """Raises Invalid where something is wrong: reasons by key."""
    if wrong:
        more = f"; and {len(wrong) - MAX_TOLD} more" if len(wrong) > MAX_TOLD else ""
        told = "; ".join(f"{key[:200]}: {reason}" for key, reason in _first(wrong))
        raise Invalid(f"the configuration is not valid: {told}{more}")


def _first(wrong: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for number, each in enumerate(wrong.items()):
        if number < MAX_TOLD:
            yield each


# --- the variables of built-in subsystems ----------------------------------------------------------------------------

Rule = Setting | Callable[[str, CheckPattern], object]
_FLAG: Final = Setting(type=FLAG, default="true", help="whether the check is on")
_TEXT: Final = Setting(type=TEXT, default="", help="any text")
_LEVELS: Final = [each.value for each in Level if each is not Level.OK]


def _pattern(value: str, check_pattern: CheckPattern) -> object:
    return check_pattern(value)


def _duration(value: str, _: CheckPattern) -> object:
    return durations.parse(value)


def _from_one_second(value: str, _: CheckPattern) -> None:
    if durations.parse(value) < 1:
        raise Invalid(f"{value[:80]!r} is shorter than one second")


def _level(value: str, _: CheckPattern) -> None:
    if value.upper() not in _LEVELS:
        raise Invalid(f"{value[:80]!r} is none of {', '.join(_LEVELS)}")


def _path(value: str, _: CheckPattern) -> None:
    if not value.startswith("/"):
        raise Invalid(f"{value[:80]!r} is no absolute path")


def _source(value: str, _: CheckPattern) -> None:
    if not value.startswith(("/", "@")) or value == "@":
        raise Invalid(f"{value[:80]!r} is neither an absolute path nor '@' and a command")


def _service(value: str, _: CheckPattern) -> None:
    if "/" in value or " " in value or not value.isprintable() or value.startswith("-"):
        raise Invalid(f"{value[:80]!r} is no name of a service")


def _service_type(value: str, _: CheckPattern) -> None:
    if value.lower() not in {"systemd", "sysv"}:
        raise Invalid(f"{value[:80]!r} is neither systemd nor sysV")


def _percent(value: str, _: CheckPattern) -> None:
    Setting(type=COUNT, default="80", least=1, most=100, help="").parse(value.removesuffix("%"))


_TIMES: Final[Mapping[str, Rule]] = {"CHECK_INTERVAL": _from_one_second, "CHECK_TIME_LIMIT": _from_one_second}
_VARIABLES: Final[Mapping[str, Mapping[str, Rule]]] = {
    "log": {
        "SERVICE_NAME": _TEXT,
        "LOG_PATTERN": _pattern,
        "LOG_FILE": _source,
        "LOG_PATTERN_EXPIRATION": _duration,
        "LOG_ALERT_LEVEL": _level,
        "LOG_ALERT_DESCRIPTION": _TEXT,
        "LOG_ALERT_DETAILS": _TEXT,
        "LOG_ALERT_STATUS": _TEXT,
        "LOG_ALERT_TYPE": _TEXT,
        "LOG_JSON_FIELD": _TEXT,
        "LOG_MULTILINE": Setting(type=CHOICE, default="", choices=("", "indent"), help="how lines belong together"),
        "LOG_MULTILINE_START": _pattern,
        "LOG_MULTILINE_TIMEOUT": _TEXT,
    },
    "service": {"SERVICE_NAME": _service, "SERVICE_TYPE": _service_type},
    "dbus": {
        "DBUS_NAME": _TEXT,
        "DBUS_PATTERN": _pattern,
        "DBUS_WATCH_EXPRESSION": _TEXT,
        "DBUS_ALERT_EXPIRATION": _duration,
        "DBUS_PATTERN_EXPIRATION": _duration,
    },
    "diskusage": {
        "DISKUSAGE_NAME": _path,
        "DISKUSAGE_THRESHOLD": _percent,
        "DISKUSAGE_OF": Setting(type=CHOICE, default="space", choices=("", "space", "inodes"), help="what is counted"),
        **_TIMES,
    },
    "connectivity": {
        "CONNECTIVITY_ADDRESS": _TEXT,
        "CONNECTIVITY_INTERFACE": _TEXT,
        "CONNECTIVITY_TRIES": Setting(type=COUNT, default="2", least=1, most=10, help="in a row that fail"),
        **_TIMES,
    },
}
_REQUIRED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "log": (("LOG_PATTERN",), ("LOG_FILE",)),
    "service": (("SERVICE_NAME",),),
    "dbus": (("DBUS_PATTERN", "DBUS_WATCH_EXPRESSION"),),
    "diskusage": (("DISKUSAGE_NAME",),),
    "connectivity": (("CONNECTIVITY_ADDRESS",),),
}
"""Variables without which a check cannot be; of several in a group one is enough."""


def variables(subsystem: str) -> Mapping[str, Rule] | None:
    """The variables that checks of a built-in subsystem have; None: it is the user's own, and may have any."""
    if subsystem in SECURITY:
        settings = SECURITY[subsystem].settings
        return {variable_of(subsystem, setting): rule for setting, rule in settings.items()}
    return _VARIABLES.get(subsystem)
