"""A layer as a form for people: the settings of each kind of security check, and rows for all else. Pure.

An empty field of a security check means that the layer says nothing of it. What a field cannot say, an empty value or
that a setting is to be absent, stands in a row below, with its key; so nothing is lost between a layer and its form.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vedette.errors import Invalid
from vedette.model import durations
from vedette.model.configkeys import ENABLED, SECURITY_PREFIX
from vedette.model.security import CHOICE, COUNT, DURATION, FLAG, LIST, SECURITY, SIZE, Setting
from vedette.server.configuration.layers import Said
from vedette.server.configuration.waves import Parameters

FIELD: Final = "s-"  # begins the name of a field of a security check; its key follows
HINTS: Final[Mapping[str, str]] = {
    DURATION: "a time: 90, 5m, 1d12h",
    COUNT: "a number",
    SIZE: "bytes: 4096, 64k, 10M, 2G",
    LIST: "separated by spaces or lines",
}
_ON: Final = Setting(type=FLAG, default="false", help="whether devices have this check")


@dataclass(frozen=True, slots=True)
class Field:
    """One setting of a security check."""

    key: str
    label: str
    setting: Setting
    value: str  # empty: the layer says nothing of it

    @property
    def choices(self) -> Sequence[str]:
        """What can be chosen; none: it is typed."""
        return ("true", "false") if self.setting.type == FLAG else self.setting.choices

    @property
    def long(self) -> bool:
        return self.setting.type == LIST

    @property
    def hint(self) -> str:
        return HINTS.get(self.setting.type, "")


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of security check."""

    kind: str
    help: str
    fields: Sequence[Field]

    @property
    def enabled(self) -> str:
        return self.fields[0].value

    @property
    def given(self) -> int:
        """How many settings the layer says something of."""
        return sum(bool(each.value) for each in self.fields)


@dataclass(frozen=True, slots=True)
class Other:
    """A setting that is no field of a security check."""

    key: str
    value: str
    absent: bool


def sections(said: Said) -> list[Section]:
    """All kinds of security checks, with what the layer says of each."""
    return [Section(kind, found.help, list(_fields(kind, found.settings, said))) for kind, found in SECURITY.items()]


def _fields(kind: str, settings: Mapping[str, Setting], said: Said) -> Iterator[Field]:
    for name, setting in {ENABLED: _ON, **settings}.items():
        key = f"{SECURITY_PREFIX}{kind}.{name}"
        yield Field(key, name.replace("-", " "), setting, said.get(key) or "")


def others(said: Said) -> list[Other]:
    """What no field of `sections` shows, by key."""
    shown = {each.key for section in sections(said) for each in section.fields if each.value}
    return [Other(key, value or "", value is None) for key, value in sorted(said.items()) if key not in shown]


def most_fields(rows: int) -> int:
    """How many fields a form has at most."""
    return sum(len(each.settings) + 1 for each in SECURITY.values()) + 3 * rows + 16


def said_of(form: Mapping[str, str], *, forgiving: bool = False) -> Said:
    """What a form says. Raises Invalid when a setting is there twice; `forgiving`: the last of it counts."""
    said: dict[str, str | None] = {}
    for field, text in form.items():
        kind, _, rest = field.partition("-")
        if kind == "s" and text.strip():
            said[rest] = _normal(rest, text)
        elif kind == "name" and (key := text.strip()):
            if key in said and not forgiving:
                raise Invalid(f"The setting {key[:100]} is there twice; give each a name of its own.")
            value = form.get(f"value-{rest}", "").replace("\r\n", "\n")  # as forms send line breaks
            said[key] = None if f"absent-{rest}" in form else value
    return said


def _normal(key: str, text: str) -> str:
    """A value as it is kept: lists in one line, so that a change of it is easily read."""
    kind, _, name = key.removeprefix(SECURITY_PREFIX).partition(".")
    setting = SECURITY[kind].settings.get(name) if kind in SECURITY else None
    return " ".join(text.split()) if setting is not None and setting.type in {LIST, CHOICE} else text.strip()


def parameters_of(form: Mapping[str, str]) -> Parameters:
    """How the change is to be rolled out. Raises Invalid."""
    try:
        waves = tuple(float(each) for each in form.get("waves", "1 10 100").replace(",", " ").split())
        failing, alerting = (
            float(text) if (text := form.get(name, "").strip()) else None for name in ("max_failures", "max_alerts")
        )
    except ValueError:
        raise Invalid("Waves and bounds are numbers, as 1 10 100.") from None
    return Parameters(
        waves=waves,
        soak_s=durations.parse(form.get("soak", "10m").strip()),
        max_failure_percent=failing,
        max_alert_percent=alerting,
        paused="paused" in form,
    )
