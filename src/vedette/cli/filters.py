"""What people type to search devices, as the predicates of the API. Pure."""

import json
import math
import re
from typing import Any, Final

from vedette.cli.errors import Usage

SCOPES: Final = ("identity", "inventory", "monitor", "system", "tags")
_EXPRESSION: Final = re.compile(
    r"(?P<no>!?)(?:(?P<scope>[a-z]+)/)?(?P<name>[^=!<>~]+?)\s*(?:(?P<is>!=|<=|>=|=|<|>|~)\s*(?P<value>.*))?", re.DOTALL
)
_ORDERED: Final = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}

HELP: Final = """\
filters: [SCOPE/]NAME, alone or with a comparison; without a scope, inventory. All of them must hold.
  os=debian            equal; with commas, one of these     monitor/alert_count>0   greater; also >= < <=
  os!=debian           not equal, or not there              identity/mac~de:ad:.*   by a pattern from the beginning
  tags/site            there                                !tags/site              not there
scopes: identity (and identity/status, identity/id), inventory, tags, system (group, check_in_time, created_ts,
updated_ts), monitor (alerts, alert_count). Numbers, true and false are found as such and as text; in " as text."""


def predicate(text: str) -> dict[str, Any]:
    """One filter. Raises Usage."""
    found = _EXPRESSION.fullmatch(text.strip())
    if found is None or (found["no"] and found["is"]):
        raise Usage(f"{text!r} is no filter; one is like os=debian, monitor/alert_count>0, !tags/site")
    scope, name = attribute(f"{found['scope']}/{found['name']}" if found["scope"] else found["name"])
    kind, value = _comparison(found["no"], found["is"], found["value"])
    return {"scope": scope, "attribute": name, "type": kind, "value": value}


def attribute(text: str) -> tuple[str, str]:
    """Scope and name of an attribute. Raises Usage."""
    scope, separator, name = text.partition("/")
    if not separator or scope not in SCOPES:
        scope, name = "inventory", text  # names may hold a slash too
    if not name:
        raise Usage(f"{text!r} names no attribute")
    return scope, name


def sorting(text: str) -> dict[str, str]:
    """What to sort by, `[SCOPE/]NAME`, with - in front in descending order. Raises Usage."""
    scope, name = attribute(text.removeprefix("-"))
    return {"scope": scope, "attribute": name, "order": "desc" if text.startswith("-") else "asc"}


def _comparison(no: str, operator: str | None, text: str | None) -> tuple[str, Any]:
    if operator is None or text is None:
        return "$exists", not no
    match operator:
        case "=" | "!=":
            values = [value for each in _split(text) for value in _meanings(each)]
            return "$in" if operator == "=" else "$nin", values
        case "~":
            return "$regex", text
        case _:
            return _ORDERED[operator], _meanings(text)[-1]


def _split(text: str) -> list[str]:
    """At the commas, unless the whole is in quotes."""
    return [text] if text.startswith('"') else [each.strip() for each in text.split(",")]


def _meanings(text: str) -> list[Any]:
    """As text, and as the number or boolean that it may be: devices report numbers as either."""
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        return [text[1:-1]]
    try:
        value = json.loads(text)
    except ValueError:
        return [text]
    if isinstance(value, float) and not math.isfinite(value):
        return [text]
    return [text, value] if isinstance(value, int | float) else [text]
