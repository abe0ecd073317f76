"""What comes of the layers of a configuration: which value counts, and which layer has set it. Pure.

The tenant's layer is the outermost, then comes that of the device's group, then its own. The innermost that says
something of a key counts: a value, or that the key is to be absent (None).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["tenant", "group", "device"]
TENANT: Final = "tenant"
GROUP: Final = "group"
DEVICE: Final = "device"

Values = Mapping[str, str]
"""A configuration: names to values."""
Said = Mapping[str, str | None]
"""What one layer says: a value, or None: the key is to be absent."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as it counts for a device."""

    level: Level
    version: int  # 0: nobody has ever written it
    said: Said


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something comes from."""

    level: Level
    version: int


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What an outer layer says and does not count."""

    key: str
    level: Level
    value: str | None


@dataclass(frozen=True, slots=True)
class Effective:
    """What is wanted of a device, all layers together."""

    values: Values
    origins: Mapping[str, Origin]  # of each of `values`
    unset: Mapping[str, Origin]  # keys that an outer layer has a value for, and that are to be absent
    shadowed: Sequence[Shadowed]


def merge(*layers: Layer) -> Effective:
    """The layers of one device, outermost first, put together."""
    said: dict[str, str | None] = {}
    origins: dict[str, Origin] = {}
    shadowed: list[Shadowed] = []
    for layer in layers:
        for key, value in layer.said.items():
            if key in said:
                shadowed.append(Shadowed(key, origins[key].level, said[key]))
            said[key], origins[key] = value, Origin(layer.level, layer.version)
    outer = {each.key for each in shadowed if each.value is not None}
    return Effective(
        values={key: value for key, value in said.items() if value is not None},
        origins={key: origin for key, origin in origins.items() if said[key] is not None},
        unset={key: origin for key, origin in origins.items() if said[key] is None and key in outer},
        shadowed=tuple(shadowed),
    )


def content(values: Values) -> str:
    """As it travels."""
    return json.dumps(dict(values), ensure_ascii=False, separators=(",", ":"))


def digest(values: Values) -> str:
    """What tells one configuration from another."""
    text = json.dumps(dict(values), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


NOTHING: Final = digest({})
"""Of the configuration of a device that has never got one."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one key. `had` and `has`: whether it is there before and after; None is to be absent."""

    key: str
    had: bool
    before: str | None
    has: bool
    after: str | None


def changes(before: Said, after: Said) -> Sequence[Change]:
    """What differs, by key."""
    return tuple(
        Change(key, key in before, before.get(key), key in after, after.get(key))
        for key in sorted(before.keys() | after.keys())
        if (key in before, before.get(key)) != (key in after, after.get(key))
    )


@dataclass(frozen=True, slots=True)
class Drift:
    """How what a device reports differs from what is wanted of it; keys."""

    missing: Sequence[str]
    extra: Sequence[str]
    different: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.different)


def drift(wanted: Values, reported: Values) -> Drift:
    return Drift(
        missing=sorted(wanted.keys() - reported.keys()),
        extra=sorted(reported.keys() - wanted.keys()),
        different=sorted(key for key in wanted.keys() & reported.keys() if wanted[key] != reported[key]),
    )
