"""What has changed, as text for people, without anything secret in it. Pure."""

import json
import re
from collections.abc import Mapping
from difflib import unified_diff
from typing import Any, Final

MAX_CHANGE: Final = 64 * 1024  # characters of one entry
HIDDEN: Final = "(hidden)"
_SECRET: Final = re.compile(
    r"pass_?(word|phrase|wd)|secret|token(?!s)|credential|private_?key|api_?key|pwd|(^|_)psk", re.IGNORECASE
)
_CAMEL: Final = re.compile(r"[\s.-]+")


def diff(name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """A unified diff of two states of the thing `name`; None: it was not there, or is no longer.

    Values whose key sounds secret are hidden. Empty when nothing has changed.
    """
    old, new = _lines(before), _lines(after)
    lines = list(unified_diff(old, new, f"a/{name}", f"b/{name}", n=1, lineterm=""))
    if not lines and before != after:
        lines = [f"--- a/{name}", f"+++ b/{name}", "a hidden value was changed"]
    return cut("\n".join(lines))


def document(value: Any) -> str:
    """`value` as JSON; what sounds secret is hidden."""
    return cut(json.dumps(masked(value), ensure_ascii=False, sort_keys=True))


def masked(value: Any) -> Any:
    """`value` with everything hidden whose key sounds secret, at any depth."""
    match value:
        case Mapping():
            return {str(key): HIDDEN if _is_secret(str(key)) and each else masked(each) for key, each in value.items()}
        case list() | tuple():
            return [masked(each) for each in value]
        case _:
            return value


def _is_secret(key: str) -> bool:
    return _SECRET.search(_CAMEL.sub("_", key)) is not None


def _lines(state: Mapping[str, Any] | None) -> list[str]:
    if state is None:
        return []
    return [
        f"{key}: {json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)}"
        for key, value in sorted(masked(state).items())
    ]


def cut(text: str) -> str:
    """What a database takes, and not more than one entry may have."""
    text = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")  # no database takes these
    return text if len(text) <= MAX_CHANGE else text[: MAX_CHANGE - 20] + "\n... (cut)"
