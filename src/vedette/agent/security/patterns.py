"""Which paths a list of patterns means: `/opt/app` and all below, `/home/*/bin`, or a name anywhere, `*.pyc`."""

import re
from collections.abc import Iterable
from typing import Final

_END: Final = r"(?:/|\Z)"


class Patterns:
    """A pattern that begins with "/" means these paths and all that is below them; any other one means names.

    `*`, `?` and `[...]` stay within one name, and also match a leading dot and what is no text.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        paths, names = [], []
        for pattern in patterns:
            parts = [_part(part) for part in pattern.split("/") if part]
            if pattern.startswith("/"):
                paths.append("/" + "/".join(parts) + _END if parts else "/")
            elif parts:
                names.append("/".join(parts))
        either = [*paths, *(f"(?:.*/)?{name}{_END}" for name in names)]
        self._match = re.compile("|".join(either), re.DOTALL).match if either else None

    def __bool__(self) -> bool:
        return self._match is not None

    def match(self, path: str) -> bool:
        """Does one of them mean this path?"""
        return self._match is not None and self._match(path) is not None


def _part(pattern: str) -> str:
    """A regular expression for one name. Each star takes as little as it can and never gives back: no run-away."""
    first, *rest = re.split(r"\*+", pattern)
    out = _fixed(first)
    for index, each in enumerate(rest):
        out += f"[^/]*{_fixed(each)}" if index == len(rest) - 1 else f"(?>[^/]*?{_fixed(each)})"
    return out


def _fixed(pattern: str) -> str:
    """Of what is between stars."""
    out, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        end = pattern.find("]", at + 3 if pattern[at + 1 : at + 2] in {"!", "^"} else at + 2) if char == "[" else -1
        if char == "?":
            out += "[^/]"
        elif end > 0:
            negated = pattern[at + 1] in "!^"
            chosen = _chosen(pattern[at + 1 + negated : end])
            out += f"(?:(?!/){'[^' if negated else '['}{chosen}])"
            at = end
        else:
            out += re.escape(char)
        at += 1
    return out


def _chosen(text: str) -> str:
    """What stands in brackets: a "-" between two characters is a range, unless it is an empty one."""
    out, at = "", 0
    while at < len(text):
        low, high = text[at], text[at + 2 : at + 3]
        if high and text[at + 1] == "-" and low <= high:
            out += f"{re.escape(low)}-{re.escape(high)}"
            at += 3
        else:
            out += re.escape(low)
            at += 1
    return out
