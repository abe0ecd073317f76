"""Durations as people write them in checks and settings: `90`, `2d`, `1d12h`."""

import re

from vedette.errors import Invalid

UNITS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
LONGEST_S = 100 * 365 * UNITS["d"]  # far beyond any use, far below where clocks and databases overflow

_WRITTEN = re.compile(r"[0-9]{1,12}|(?:[0-9]{1,12}[smhdw])+", re.ASCII)
_PART = re.compile(r"([0-9]+)([smhdw]?)", re.ASCII)


def parse(text: str) -> int:
    """Seconds that `text` stands for: a whole number of seconds, or numbers each with a unit of s m h d w, added up.

    Raises:
        Invalid: it is written otherwise, or is longer than 100 years.
    """
    if not _WRITTEN.fullmatch(text):
        raise Invalid(f"{text[:40]!r} is no duration; write seconds (3600) or numbers with units of s m h d w (1d12h)")
    seconds = sum(int(number) * UNITS[unit or "s"] for number, unit in _PART.findall(text))
    if seconds > LONGEST_S:
        raise Invalid(f"the duration {text[:40]!r} is longer than 100 years")
    return seconds


def show(seconds: int) -> str:
    """The shortest form people read easily, such as "1d12h"; `parse` gives the same number back."""
    if seconds < 0:
        raise Invalid(f"{seconds} seconds: a duration is not negative")
    out = ""
    for unit in "dhms":
        number, seconds = divmod(seconds, UNITS[unit])
        out += f"{number}{unit}" if number else ""
    return out or "0s"
