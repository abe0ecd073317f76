"""How values are shown: times, text from devices, identities. Pure functions."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup, escape

# Characters that show nothing, or that rearrange what stands around them. A log line that holds them is shown with
# their names, so that it reads as what it is. Tab stays: logs are aligned with it.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def _named(match: re.Match[str]) -> str:
    character = match[0]
    number = ord(character)
    if number < 0x20:
        label, title = chr(0x2400 + number), f"control character U+{number:04X}"
    else:
        label, title = f"U+{number:04X}", unicodedata.name(character, "control character")
    return Markup('<span class="unseen" title="{}">{}</span>').format(title, label)


def seen(text: object) -> Markup:
    """Text from a device, inert: escaped, on one line, with unseen and rearranging characters named."""
    return Markup(_UNSEEN.sub(_named, str(escape(str(text)))))


def plain(text: object) -> str:
    """Like `seen` for places that take no markup (titles, attributes): what cannot be seen becomes U+FFFD."""
    return _UNSEEN.sub("\ufffd", str(text))


def relative(at: datetime, now: datetime) -> str:
    """How long ago, in its largest unit: "3 minutes ago", "just now", "in 2 hours" (a device's clock may be ahead)."""
    seconds = int((now - at).total_seconds())
    if abs(seconds) < 5:
        return "just now"
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            count = abs(seconds) // size
            amount = f"{count} {unit}{'s' if count != 1 else ''}"
            return f"{amount} ago" if seconds > 0 else f"in {amount}"
    return "just now"


def absolute(at: datetime) -> str:
    """A time for people, in UTC: "2026-08-22 08:05:58 UTC"."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at: datetime) -> str:
    """A time for programs: "2026-08-22T08:05:58.123Z"."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counted(number: int, word: str, plural: str = "") -> str:
    """ "1 device", "2 devices"."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"


def identity(pairs: Mapping[str, object]) -> str:
    """An identity in one line: "mac=52:54:00:12:34:56, sn=7"."""
    return ", ".join(f"{key}={value}" for key, value in pairs.items())


def level_class(level: object) -> str:
    """The style of a level; one that nobody has heard of looks like UNKNOWN."""
    known = {"OK": "ok", "WARNING": "warning", "CRITICAL": "critical", "CRITICAL_FLAPPING": "critical"}
    return known.get(str(level), "unknown")
