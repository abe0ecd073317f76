"""What a device has told, what is missing, and why: numbers on a real database."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.errors import Invalid, NotFound, Unauthenticated
from vedette.model import Gap
from vedette.server.alerts import account, intake
from vedette.server.alerts.account import Missing, explain, holes
from vedette.server.db import DeviceScope, UserScope
from vedette.server.services import Services
from vedette.wire import incoming

pytestmark = pytest.mark.anyio

OURS, THEIRS = UserScope("t1", None), UserScope("t2", None)
DEVICE = DeviceScope("t1", "d1")
ONE, TWO = UUID(int=1), UUID(int=2)
AT = datetime(2026, 8, 22, 2, 11, tzinfo=UTC)


def gap(first: int, last: int, reason: str = "the store was full", name: UUID = ONE) -> Gap:
    return Gap(account=name, first=first, last=last, reason=reason, at=AT)


async def post(services: Services, *numbers: int, name: UUID | None = ONE) -> None:
    def record(number: int) -> dict[str, Any]:
        id = UUID(int=number + 1000 * (name.int if name else 0))
        origin = {"id": str(id), "sequence": number, "boot": str(ONE), "elapsed_s": 1}
        if name is not None:
            origin["account"] = str(name)
        subject = {"name": "s", "type": "log", "status": "S"}
        return {"name": "n", "level": "OK", "timestamp": "2026-08-22T02:11:00Z", "subject": subject, "origin": origin}

    await intake.accept(services, DEVICE, incoming.alerts(json.dumps([record(each) for each in numbers]).encode()))


async def test_complete_except_what_was_given_up(services: Services) -> None:
    await post(services, 1, 2, 6, 7, 9)
    await account.report(services, DEVICE, [gap(3, 5), gap(3, 5), gap(0, 0, "the store was damaged")])
    (found,) = await account.completeness(services, OURS, "d1")
    assert (found.account, found.received, found.last, found.complete_to) == (ONE, 5, 9, 7)
    assert found.missing == (Missing(first=3, last=5, reason="the store was full", at=AT), Missing(first=8, last=8))
    assert [each.reason for each in found.before] == ["the store was damaged"]


async def test_a_number_that_came_after_it_was_given_up_is_not_missing(services: Services) -> None:
    await account.report(services, DEVICE, [gap(1, 3)])
    await post(services, 2)
    (found,) = await account.completeness(services, OURS, "d1")
    assert [(each.first, each.last) for each in found.missing] == [(1, 1), (3, 3)]
    assert found.complete_to == 3


async def test_each_account_for_itself(services: Services) -> None:
    await post(services, 1, 2, name=ONE)
    await post(services, 2, name=TWO)
    await post(services, 5, name=None)
    found = await account.completeness(services, OURS, "d1")
    assert [(each.account, each.complete_to, each.last) for each in found] == [(None, 0, 5), (ONE, 2, 2), (TWO, 0, 2)]


async def test_who_may_know(services: Services) -> None:
    assert await account.completeness(services, OURS, "d2") == ()
    for scope in (THEIRS, UserScope("t1", frozenset({"south"})), UserScope("t1")):
        with pytest.raises(NotFound):
            await account.completeness(services, scope, "d1")
    with pytest.raises(Unauthenticated):
        await account.report(services, DeviceScope("t1", "d9"), [gap(1, 1)])


async def test_a_device_cannot_report_without_end(services: Services) -> None:
    many = [gap(number, number) for number in range(1, account.MAX_GAPS + 1)]
    await account.report(services, DEVICE, many)
    with pytest.raises(Invalid, match="sum them up"):
        await account.report(services, DEVICE, [gap(1, 2)])


numbers = st.sets(st.integers(1, 30))
spans = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 6)).map(lambda each: (each[0], each[0] + each[1])))


@given(numbers, spans)
def test_each_missing_number_is_told_once_with_its_reason(received: set[int], given_up: list[tuple[int, int]]) -> None:
    last = max([*received, *(end for _, end in given_up)], default=0)
    ranges = [(each, each) for each in sorted(received)]
    gaps = sorted((gap(start, end) for start, end in given_up), key=lambda each: each.first)
    missing = explain(holes(ranges, last), gaps)
    told = [(number, each.reason is not None) for each in missing for number in range(each.first, each.last + 1)]
    covered = {number for start, end in given_up for number in range(start, end + 1)}
    assert told == [(number, number in covered) for number in range(1, last + 1) if number not in received]
