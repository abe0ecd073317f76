"""Whether a version has a vulnerability, and which one has it no more. Source: the OSV schema, "Evaluation"."""

from collections.abc import Sequence
from typing import Final

from vedette.model.feed import Advisory
from vedette.model.versions import RULES, Key, Rule, semver

_ORDER: Final = {"f": 0, "i": 1, "l": 2}  # of events at the same version


def affects(advisory: Advisory, version: str, rule: str) -> bool:
    """Whether `version`, of an ecosystem with this rule of versions, is affected. Without a rule only lists count."""
    return version in advisory.versions or _range_of(advisory, version, rule) is not None


def fixed_in(advisory: Advisory, version: str, rule: str) -> str:
    """The first version after `version`, which is affected, that no longer is; empty where there is none yet."""
    holding = _range_of(advisory, version, rule)
    candidates = [holding] if holding is not None else advisory.ranges
    found: list[tuple[Key, str]] = []
    for semantic, events in candidates:
        compare = _rule(semantic, rule)
        if compare is not None:
            own = compare(version)
            found += [(key, text) for kind, text in events if kind == "f" and (key := compare(text)) > own]
    return min(found)[1] if found else ""


def _range_of(advisory: Advisory, version: str, rule: str) -> tuple[bool, tuple[tuple[str, str], ...]] | None:
    for each in advisory.ranges:
        compare = _rule(each[0], rule)
        if compare is not None and _holds(each[1], compare, compare(version)):
            return each
    return None


def _rule(semantic: bool, rule: str) -> Rule | None:
    return semver if semantic else RULES.get(rule)


def _holds(events: Sequence[tuple[str, str]], compare: Rule, own: Key) -> bool:
    """Whether the last event that `own` has reached is one that begins. `introduced` 0 comes before every version."""
    inside = False
    ordered = sorted(
        ((() if kind == "i" and text == "0" else compare(text)), _ORDER[kind])
        for kind, text in events
        if kind in _ORDER
    )
    for key, order in ordered:
        if own > key or (own == key and order != _ORDER["l"]):
            inside = order == _ORDER["i"]
    limits = [text for kind, text in events if kind == "e"]
    return inside and (not limits or any(text == "*" or own < compare(text) for text in limits))
