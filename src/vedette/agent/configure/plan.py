"""What a configuration means on this device: which checks there are to be, and how they are written down. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vedette.agent.match.pattern import Pattern
from vedette.errors import Invalid
from vedette.model import configkeys

MAX_KEYS: Final = 1000
MAX_LENGTH: Final = 4096  # characters of a key or a value
MAX_BYTES: Final = 512 * 1024  # of all as JSON; the server lets 65,536 characters travel

Values = Mapping[str, str]
"""A configuration: names to values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A check that there is to be."""

    subsystem: str
    name: str
    assignments: tuple[tuple[str, str], ...]
    enabled: bool

    @property
    def stem(self) -> str:
        return f"{self.subsystem}_{self.name}"


def parse(content: bytes) -> Values:
    """A configuration as it travels: one JSON object of texts. Raises Invalid."""
    if len(content) > MAX_BYTES:
        raise Invalid(f"the configuration is larger than {MAX_BYTES} bytes")
    try:
        found = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as exc:
        raise Invalid(f"the configuration is not JSON: {exc}") from None
    if not isinstance(found, dict):
        raise Invalid("the configuration must be one JSON object")
    if len(found) > MAX_KEYS:
        raise Invalid(f"a configuration has at most {MAX_KEYS} keys")
    for key, value in found.items():
        if not isinstance(value, str):
            raise Invalid(f"{key[:80]!r} in the configuration is no text")
        if not 1 <= len(key) <= MAX_LENGTH or len(value) > MAX_LENGTH:
            raise Invalid(f"{key[:80]!r} in the configuration: a key has 1 to {MAX_LENGTH} characters, a value no more")
        try:
            (key + value).encode()
        except UnicodeEncodeError:
            raise Invalid(f"{key.encode(errors='replace')[:80]!r} in the configuration is no Unicode text") from None
    return found


def dump(values: Values) -> bytes:
    """As programs that bring a configuration to bear are given it."""
    return json.dumps(dict(values), indent=2, ensure_ascii=False).encode() + b"\n"


def checks(values: Values) -> dict[str, Wanted]:
    """The checks that `values` make, by the stem of their file; other keys are the user's own.

    Raises:
        Invalid: keys or values of ours are wrong; names all of them.
    """
    configkeys.require(values, Pattern.compile)
    configkeys.refuse(configkeys.incomplete(values))
    made = (_wanted(*where, given) for where, given in configkeys.checks(values).items())
    return {each.stem: each for each in made}


def _wanted(subsystem: str, name: str, given: Mapping[str, str]) -> Wanted:
    order = {variable: place for place, variable in enumerate(configkeys.variables(subsystem) or ())}
    names = sorted(given.keys() - {configkeys.ENABLED}, key=lambda each: (order.get(each, len(order)), each))
    return Wanted(
        subsystem=subsystem,
        name=name,
        assignments=tuple((each, given[each]) for each in names),
        enabled=given.get(configkeys.ENABLED, "true").strip().lower() == "true",
    )


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of two values for one key nobody could tell which counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found
