"""How values are shown: times, text from devices, identities. Pure functions."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from markupsafe import Markup

# Characters that show nothing, or that rearrange what stands around them. A log line that holds them is shown with
# their names, so that it reads as what it is. Tab stays: logs are aligned with it.
_UNSEEN: Final = re.compile(
    "([\x00-\x08\x0a-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff])"
)
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def _named(character: str) -> Markup:
    number = ord(character)
    label = f"^{chr(number ^ 0x40)}" if number < 0x20 or number == 0x7F else f"U+{number:04X}"
    title = unicodedata.name(character, f"control character U+{number:04X}")
    return Markup('<span class="unseen" title="{}">{}</span>').format(title, label)


def seen(text: object) -> Markup:
    """Text from a device, inert: escaped, on one line, with unseen and rearranging characters named."""
    parts = _UNSEEN.split(str(text))  # every second one is a character that was found
    return Markup().join(_named(part) if index % 2 else part for index, part in enumerate(parts))


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


def duration(seconds: object) -> str:
    """A length of time in its largest units: 172800 is "2 days", 5400 "1 hour 30 minutes"; 0 is "never"."""
    if not isinstance(seconds, int):
        return str(seconds)
    parts, rest = [], max(seconds, 0)
    for size, unit in _UNITS:
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(counted(amount, unit))
    return " ".join(parts) or "never"


def identity(pairs: Mapping[str, object]) -> str:
    """An identity in one line: "mac=52:54:00:12:34:56, sn=7"."""
    return ", ".join(f"{key}={value}" for key, value in pairs.items())


class Named(Protocol):
    """What can be called something."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> Mapping[str, object]: ...


def label(device: Named) -> str:
    """What people know a device by: its name, or its identity as long as it has none, or its id."""
    if device.name and device.name != device.id:
        return device.name
    return identity(device.identity) or device.id


def level_class(level: object) -> str:
    """The style of a level; one that nobody has heard of looks like UNKNOWN."""
    known = {"OK": "ok", "WARNING": "warning", "CRITICAL": "critical", "CRITICAL_FLAPPING": "critical"}
    return known.get(str(level), "unknown")
