"""A device's account of its alerts: what has come, what is missing, and why. No SQL, no HTTP.

A device that keeps an account numbers its alerts 1, 2, 3 ..., so what is missing shows; what it has given up (a full
store, a damaged disk) it says itself. A store that was lost begins a new account.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from vedette.errors import Invalid, NotFound, Unauthenticated
from vedette.model import Gap
from vedette.server.alerts import account_store, store
from vedette.server.db import DeviceScope, Tx, UserScope
from vedette.server.services import Services
from vedette.wire import incoming

MAX_GAPS: Final = 10_000  # of one device; ours sums them up long before
MAX_RANGES: Final = 10_000  # of numbers, looked at for one answer

Range = tuple[int, int]
"""First and last number, both included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Numbers that have not come. With a reason they never will; without one they are still expected."""

    first: int
    last: int
    reason: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account of a device: "complete up to #1077 except 3 dropped by policy at 02:11"."""

    account: UUID | None  # None: the device numbers, but does not say in which account
    received: int  # numbers that have come
    last: int  # the highest number heard of
    complete_to: int  # up to here each number has come or is explained
    missing: tuple[Missing, ...]
    before: tuple[Missing, ...] = ()  # why nothing is known of what was before it: a store that was lost


async def report(services: Services, scope: DeviceScope, gaps: Sequence[Gap]) -> None:
    """Keep what a device has given up, each gap once; returns when it is durable.

    Raises:
        Unauthenticated: the device is no longer there.
        Invalid: more of them than a device of ours ever has.
    """
    now = incoming.microseconds(services.clock.now())

    async def work(tx: Tx) -> None:
        if await store.group_of(tx) is None:
            raise Unauthenticated("dev auth: unauthorized")
        if await account_store.count_gaps(tx) + len(gaps) > MAX_GAPS:
            raise Invalid(f"a device may report {MAX_GAPS} gaps; sum them up")
        await account_store.add_gaps(tx, gaps, now)

    await services.db.write(scope, work)


async def completeness(services: Services, scope: UserScope, device_id: str) -> tuple[Account, ...]:
    """Every account that the device has kept, by its name; none for a device that does not number.

    Raises:
        NotFound: no such device, or not for this user.
    """

    async def work(tx: Tx) -> tuple[Account, ...]:
        if not await store.sees(tx, device_id):
            raise NotFound("device not found")
        received: dict[str, list[Range]] = {}
        for row in await account_store.received(tx, device_id, MAX_RANGES):
            received.setdefault(row["account"] or "", []).append((row["first"], row["last"]))
        gaps: dict[str, list[Gap]] = {}
        for gap in await account_store.gaps(tx, device_id):
            gaps.setdefault(str(gap.account), []).append(gap)
        return tuple(
            _account(name, merged(received.get(name, [])), gaps.get(name, [])) for name in sorted({*received, *gaps})
        )

    return await services.db.read(scope, work)


def _account(name: str, received: Sequence[Range], gaps: Sequence[Gap]) -> Account:
    last = max([end for _, end in received] + [gap.last for gap in gaps], default=0)
    missing = tuple(explain(holes(received, last), [gap for gap in gaps if gap.first > 0]))
    open_ones = [each.first for each in missing if each.reason is None]
    return Account(
        account=UUID(name) if name else None,
        received=sum(end - start + 1 for start, end in received),
        last=last,
        complete_to=min(open_ones) - 1 if open_ones else last,
        missing=missing,
        before=tuple(
            Missing(first=0, last=0, reason=gap.reason, at=gap.at) for gap in gaps if gap.first == 0
        ),
    )  # fmt: skip


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers as ranges in order that do not touch. Pure."""
    out: list[Range] = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def holes(received: Iterable[Range], last: int) -> list[Range]:
    """What is missing of 1 to `last`, in order. Pure.

    Args:
        received: ranges in order that do not touch.
    """
    out: list[Range] = []
    expected = 1
    for start, end in received:
        if start > expected:
            out.append((expected, start - 1))
        expected = max(expected, end + 1)
    if expected <= last:
        out.append((expected, last))
    return out


def explain(missing: Iterable[Range], gaps: Sequence[Gap]) -> list[Missing]:
    """The holes cut up by the reasons that are known, in order. Of several gaps that cover a number the first counts.

    Pure.

    Args:
        gaps: ordered by their first number.
    """
    out: list[Missing] = []
    for start, end in missing:
        here = start
        for gap in gaps:
            if gap.last < here or gap.first > end:
                continue
            if gap.first > here:
                out.append(Missing(first=here, last=gap.first - 1))
                here = gap.first
            out.append(Missing(first=here, last=min(gap.last, end), reason=gap.reason, at=gap.at))
            here = min(gap.last, end) + 1
            if here > end:
                break
        if here <= end:
            out.append(Missing(first=here, last=end))
    return out
