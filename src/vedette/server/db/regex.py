"""Regular expressions for SQL: `vedette_regex(pattern, text)`, PCRE, bounded in time by PCRE's own match limit.

Source of the form `/pattern/flags` and of the anchoring at the start: the compatible API (docs/compatibility.md).
"""

import re
import sqlite3
from functools import lru_cache
from typing import Final

import pcre2

MAX_PATTERN: Final = 1024  # characters
MAX_TEXT: Final = 1024
STEPS: Final = (
    10_000  # of PCRE for one match, some milliseconds; a pattern may lower it, never raise it: pcre2pattern(3)
)
_DELIMITED: Final = re.compile(r"/(.*)/([imsx]*)", re.DOTALL)
_FLAGS: Final = {"i": pcre2.IGNORECASE, "m": pcre2.MULTILINE, "s": pcre2.DOTALL, "x": pcre2.VERBOSE}


def register(connection: sqlite3.Connection) -> None:
    """Give `connection` the function."""
    connection.create_function("vedette_regex", 2, matches, deterministic=True)


def matches(pattern: object, text: object, steps: int = STEPS) -> bool:
    """Whether `text` begins with what `pattern` says. A pattern that is wrong, or takes too long, matches nothing."""
    if not isinstance(pattern, str) or not isinstance(text, str):
        return False
    compiled = _compiled(pattern, steps)
    if compiled is None:
        return False
    try:
        return compiled.match(text[:MAX_TEXT]) is not None
    except pcre2.LibraryError:
        return False


@lru_cache(maxsize=256)
def _compiled(pattern: str, steps: int) -> pcre2.Pattern | None:
    delimited = _DELIMITED.fullmatch(pattern)
    body, letters = delimited.groups() if delimited else (pattern, "")
    if len(body) > MAX_PATTERN:
        return None
    flags = pcre2.NOFLAG
    for letter in letters:
        flags |= _FLAGS[letter]
    try:
        return pcre2.compile(f"(*LIMIT_MATCH={steps})" + body, flags=flags)
    except (pcre2.PatternError, pcre2.LibraryError):
        return None
