"""The YAML of Sigma rules, as what is written: every scalar is text, or None where nothing stands.

Neither tags nor anchors: no rule needs them, and with anchors a small file can become endless. YAML itself is the
affair of PyYAML, which is only there where rules are imported (docs/decisions/0019-importing-rules.md).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vedette.errors import Invalid, NotFound, Unavailable

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 30
_NOTHING: Final = frozenset({"", "~", "null", "Null", "NULL"})


def read(path: Path) -> list[Any]:
    """The documents of a file. Raises Invalid, NotFound, OSError; Unavailable: there is no PyYAML."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    if len(content) > MAX_BYTES:
        raise Invalid(f"{path} is larger than {MAX_BYTES} bytes, which no rule is")
    try:
        return list(documents(content.decode("utf-8-sig")))
    except UnicodeDecodeError:
        raise Invalid(f"{path} is not UTF-8") from None


def documents(text: str) -> Iterator[Any]:
    """Those of a text. Raises Invalid, Unavailable."""
    try:
        import yaml
    except ImportError:
        raise Unavailable(
            "Sigma rules are YAML, and PyYAML is not here: import them on another machine, where 'pip install"
            " vedette[import]' was run, with --root DIR, and copy the checks"
        ) from None
    try:
        events = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                yield _value(yaml, next(events), events, 0)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise Invalid(f"no YAML{where}: {getattr(exc, 'problem', None) or exc}") from None


def _value(yaml: Any, event: Any, events: Iterator[Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise Invalid(f"more than {MAX_DEPTH} levels in one another")
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise Invalid(f"line {event.start_mark.line + 1}: anchors and aliases are not read")
    if isinstance(event, yaml.ScalarEvent):
        return None if event.style is None and event.value in _NOTHING else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_value(yaml, event, events, depth + 1))
        return items
    table: dict[str, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _value(yaml, event, events, depth + 1)
        if not isinstance(key, str):
            raise Invalid(f"line {event.start_mark.line + 1}: a key that is no text")
        if key in table:
            raise Invalid(f"line {event.start_mark.line + 1}: {key[:40]!r} is there twice")
        table[key] = _value(yaml, next(events), events, depth + 1)
    return table
