"""One field of a line of JSON: the pattern is asked about its value instead of the line.

A line that is no JSON object is taken as it is: the last words of a program that crashes are seldom JSON.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from vedette.agent.follow.lines import Block
from vedette.agent.match.engine import Found
from vedette.agent.match.pattern import Pattern, Undecided
from vedette.errors import Invalid

TURN_LINES: Final = 64


@dataclass(frozen=True, slots=True)
class Field:
    """A dotted path: `a.b` is `b` within `a`, or a key `a.b`; a number counts the items of a list from 0."""

    path: str

    @classmethod
    def parse(cls, path: str) -> "Field | None":
        """None when there is none. Raises `Invalid` for an empty part."""
        if path and not all(path.split(".")):
            raise Invalid(f"LOG_JSON_FIELD {path!r} is no dotted path such as message or log.text")
        return cls(path) if path else None

    def of(self, line: bytes) -> bytes | None:
        """What the pattern is asked about; None: the object has no such field.

        Text is itself; numbers, true, false and null are as JSON writes them; objects and lists as compact JSON.
        """
        try:
            found = json.loads(line.decode(errors="replace"))
            if not isinstance(found, dict):
                return line
            value = _get(found, self.path.split("."))
            if not isinstance(value, str):
                value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        except KeyError:
            return None
        except (ValueError, RecursionError):
            return line
        return value.encode(errors="replace")


def _get(value: Any, parts: list[str]) -> Any:
    """The longest key that fits is tried first. Raises KeyError."""
    if not parts:
        return value
    if isinstance(value, list) and parts[0].isdecimal() and len(parts[0]) < 10 and int(parts[0]) < len(value):
        return _get(value[int(parts[0])], parts[1:])
    if isinstance(value, dict):
        for size in range(len(parts), 0, -1):
            key = ".".join(parts[:size])
            if key in value:
                try:
                    return _get(value[key], parts[size:])
                except KeyError:
                    continue
    raise KeyError


def scan(block: Block, pattern: Pattern, field: Field | None, *, once: bool = True) -> Iterator[Found | None]:
    """The first line, or event, where the pattern matches, and those before it that cannot be decided.

    None after each bounded piece of work; without `once` all of them. What `Engine.scan` does for patterns about lines
    as they are.
    """
    for number, start in enumerate(block.starts()):
        if number % TURN_LINES == 0:
            yield None
        line = block.line(start)
        asked = line if field is None else field.of(line)
        try:
            if asked is not None and pattern.matches(asked):
                yield Found(0, start)
                if once:
                    return
        except Undecided as exc:
            yield Found(0, start, str(exc))
