"""When was a line of a log written? Read from the line itself, in the forms that most logs use.

Sources: RFC 3339; RFC 3164, section 4.1.2 (no year, no zone); the Common Log Format of httpd; seconds since 1970.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

LOOK_BYTES: Final = 128
"""A time stands near the start of a line."""

_ISO: Final = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,6})\d*)?\s?(Z|[+-]\d\d:?\d\d)?(?!\d)", re.ASCII
)
_SYSLOG: Final = re.compile(rb"(?:<\d+>)?([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)", re.ASCII)
_COMMON: Final = re.compile(rb"\[(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d{4})\]", re.ASCII)
_EPOCH: Final = re.compile(rb"\[?(\d{10})(\.\d{1,6})?\b", re.ASCII)
_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def time_of(line: bytes, written: datetime) -> datetime | None:
    """The time that a line tells, with a zone; None when it tells none that is understood.

    Args:
        line: as it is in the file.
        written: when the file was last written, with a zone: what has no year is from then or the year before.
    """
    head = line[:LOOK_BYTES]
    try:
        if found := _ISO.search(head):
            *numbers, fraction, zone = found.groups()
            year, month, day, hour, minute, second = map(int, numbers)
            micro = int((fraction or b"0").ljust(6, b"0"))
            return _zoned(datetime(year, month, day, hour, minute, second, micro), zone)  # noqa: DTZ001 - comes next
        if found := _SYSLOG.match(head):
            return _without_year(found, written)
        if found := _COMMON.search(head):
            hour, minute, second = (int(found[group]) for group in (4, 5, 6))
            naive = datetime(int(found[3]), _MONTHS.index(found[2]) + 1, int(found[1]), hour, minute, second)  # noqa: DTZ001 - comes next
            return _zoned(naive, found[7])
        if found := _EPOCH.match(head):
            return datetime.fromtimestamp(float(found[0].lstrip(b"[")), UTC)
    except (ValueError, OverflowError, OSError):  # the 31st of February: no time after all
        pass
    return None


def _without_year(found: re.Match[bytes], written: datetime) -> datetime:
    month = _MONTHS.index(found[1]) + 1
    latest = written + timedelta(days=1)  # clocks differ a little
    for year in (latest.year, latest.year - 1):
        day, hour, minute, second = (int(found[group]) for group in (2, 3, 4, 5))
        local = datetime(year, month, day, hour, minute, second).astimezone()  # the device's zone
        if local <= latest:
            return local
    raise ValueError("later than the file")


def _zoned(naive: datetime, zone: bytes | None) -> datetime:
    if zone is None:
        return naive.astimezone()  # the device's zone
    if zone == b"Z":
        return naive.replace(tzinfo=UTC)
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return (naive - timedelta(minutes=-minutes if zone.startswith(b"-") else minutes)).replace(tzinfo=UTC)
