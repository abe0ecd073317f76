"""Match rules: which messages a bus hands on.

Source: D-Bus Specification, "Match Rules". The bus itself is the judge; what is refused here is refused early, in
words, where somebody reads them.
"""

import re
from typing import Final

from vedette.errors import Invalid

MAX_LENGTH: Final = 1024
"""What dbus-daemon takes (DBUS_MAXIMUM_MATCH_RULE_LENGTH)."""
_KEYS: Final = ("type", "sender", "interface", "member", "path", "path_namespace", "destination", "eavesdrop")
_ARGUMENT: Final = re.compile(r"arg(0|[1-9][0-9]?)(path)?|arg0namespace")
# Within single quotes everything is taken as it is; outside, a backslash makes an apostrophe one of the value.
_PART: Final = re.compile(r"\s*([^=,\s]+)\s*=((?:'[^']*'|\\'|[^',])*)(?:,|\Z)")


def parse(rule: str) -> dict[str, str]:
    """The keys of a rule and their values.

    Raises:
        Invalid: it is no match rule; says what is wrong.
    """
    if len(rule.encode(errors="replace")) > MAX_LENGTH:
        raise Invalid(f"the watch expression is longer than {MAX_LENGTH} bytes")
    if "\0" in rule or "\n" in rule:
        raise Invalid("a watch expression is one line of text")
    found: dict[str, str] = {}
    position = 0
    while position < len(rule):
        part = _PART.match(rule, position)
        if part is None:
            raise Invalid(f"the watch expression is not of the form key='value',...: {rule[position:][:40]!r}")
        key, value = part[1], _unquote(part[2])
        if key not in _KEYS and not _ARGUMENT.fullmatch(key):
            raise Invalid(f"a watch expression has no key {key[:40]!r}, only {', '.join(_KEYS)} and arg0, arg1 ...")
        if key in found:
            raise Invalid(f"the watch expression names {key!r} twice")
        found[key] = value
        position = part.end()
    return found


def for_signals(expression: str) -> str:
    """The rule by which the bus hands on the signals that `expression` means; an empty one means all.

    Raises:
        Invalid: it is no match rule, or one for something else than signals.
    """
    kind = parse(expression).get("type")
    if kind not in (None, "signal"):
        raise Invalid(f"only signals are watched, not type='{kind}'")
    if kind is not None:
        return expression
    return "type='signal'" + (f",{expression}" if expression.strip() else "")


def _unquote(text: str) -> str:
    quoted = re.sub(r"'([^']*)'|\\'", lambda part: part[1] if part[1] is not None else "'", text)
    return quoted.strip() if "'" not in text else quoted
