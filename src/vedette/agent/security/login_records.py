"""Logins as the C library records them: wtmp (who came in) and btmp (who failed). Where there is no log to read.

Source: utmp(5). A record has 384 bytes where times have 32 bits in it (x86, 32-bit ARM), else 400 (64-bit ARM, RISC-V,
musl), with the time behind two numbers of 64 bits.
"""

import ipaddress
import math
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from vedette.agent.security.login_lines import FAILED, LOCAL, LOGIN, Event

SIZES: Final = (384, 400)

_START: Final = struct.Struct("=hxxi32s4s32s256s4x")  # type, pid, line, id, user, host, exit
_TIME: Final = {384: struct.Struct("=ii"), 400: struct.Struct("=qq")}  # session, seconds
_ADDRESS: Final = {384: 348, 400: 360}
_BOOT_TIME: Final = 2
_LOGIN_PROCESS: Final = 6
_USER_PROCESS: Final = 7
_DEAD_PROCESS: Final = 8
_LAST_TYPE: Final = 9


class Session(NamedTuple):
    """Somebody was logged in. Times are seconds since 1970."""

    user: str
    source: str  # address, name, or LOCAL
    start: float
    end: float = math.inf  # it goes on


def record_size(path: Path) -> int:
    """How long the records of this file are: as the first ones have sense. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(SIZES[0] * SIZES[1])
    # Between two records there is nothing, which would look like an empty one: only those that say something count.
    fits = {size: sum(1 for each in _sensible(head, size) if each[0] and each[-1]) for size in SIZES}
    return max(SIZES, key=lambda size: fits[size])


def events(data: bytes, size: int, *, failed: bool) -> Iterator[Event]:
    """The logins in whole records; of btmp when `failed`."""
    for sort, pid, line, user, host, address, seconds in _sensible(data, size):
        if sort == _USER_PROCESS or (failed and sort == _LOGIN_PROCESS):
            yield Event(
                sort=FAILED if failed else LOGIN,
                user=user,
                source=address or host or LOCAL,
                method=f"on {line}" if line else "",
                pid=str(pid),
                at=datetime.fromtimestamp(seconds, UTC),
            )


def sessions(data: bytes, size: int) -> Iterator[Session]:
    """Those of wtmp, in the order of their ends."""
    open_: dict[str, Session] = {}
    for sort, _, line, user, host, address, seconds in _sensible(data, size):
        ended = list(open_) if sort == _BOOT_TIME else [line] if sort in {_USER_PROCESS, _DEAD_PROCESS} else []
        for each in ended:
            if each in open_:
                yield open_.pop(each)._replace(end=seconds)
        if sort == _USER_PROCESS:
            open_[line] = Session(user, address or host or LOCAL, seconds)
    yield from open_.values()


def _sensible(data: bytes, size: int) -> Iterator[tuple[int, int, str, str, str, str, int]]:
    for start in range(0, len(data) - size + 1, size):
        sort, pid, line, _, user, host = _START.unpack_from(data, start)
        _, seconds = _TIME[size].unpack_from(data, start + _START.size)
        if 0 <= sort <= _LAST_TYPE and pid >= 0 and 0 <= seconds < 1 << 33:
            yield sort, pid, _text(line), _text(user), _text(host), _address(data, start + _ADDRESS[size]), seconds


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace")


def _address(data: bytes, start: int) -> str:
    """IPv4 in the first four of sixteen bytes, or IPv6; "" when there is none."""
    packed = data[start : start + 16]
    if not any(packed):
        return ""
    return str(ipaddress.ip_address(packed if any(packed[4:]) else packed[:4]))
