"""Which devices are owed something: never a device forgotten, and seldom a question to the database."""

from collections.abc import Callable
from typing import Any

import pytest

from vedette.clock import FakeClock
from vedette.server.db import DeviceScope
from vedette.server.deployments import due as due_module
from vedette.server.deployments.due import FRESH_S, Due

pytestmark = pytest.mark.anyio


class Told:
    """Answers with the devices that are owed something, and does something else meanwhile."""

    def __init__(self) -> None:
        self.devices: list[str] = []
        self.asked = 0
        self.meanwhile: Callable[[], None] = lambda: None

    async def read(self, scope: Any, work: Any, limit: int) -> list[str]:
        self.asked += 1
        found = self.devices[:limit]
        self.meanwhile()
        return found

    def hear(self, topic: str, call: Callable[..., None], missed: Callable[[], None]) -> None:
        self.announce, self.miss = call, missed


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def due(told: Told, clock: FakeClock) -> Due:
    return Due(told, clock)  # type: ignore[arg-type]


def device(name: str, tenant: str = "t") -> DeviceScope:
    return DeviceScope(tenant, name)


async def test_one_question_serves_a_whole_tenant(due: Due, told: Told) -> None:
    told.devices = ["a"]
    assert await due.may_be(device("a"))
    assert not any([await due.may_be(device(name)) for name in ("b", "c", "d")])
    assert told.asked == 1
    assert await due.may_be(device("a", "other"))
    assert told.asked == 2


async def test_what_is_new_is_known_at_once(due: Due, told: Told) -> None:
    assert not await due.may_be(device("a"))
    told.announce("t", "a")
    assert await due.may_be(device("a"))
    assert not await due.may_be(device("b"))
    assert told.asked == 1


async def test_what_comes_up_during_the_question_is_not_forgotten(due: Due, told: Told) -> None:
    told.meanwhile = lambda: told.announce("t", "a")
    assert await due.may_be(device("b")), "it cannot be known: the database is asked"
    told.meanwhile = lambda: None
    told.devices = ["a"]
    assert await due.may_be(device("a"))


async def test_what_has_ended_is_forgotten_in_time(due: Due, told: Told, clock: FakeClock) -> None:
    told.devices = ["a"]
    assert await due.may_be(device("a"))
    told.devices = []
    assert await due.may_be(device("a"))
    clock.advance(FRESH_S)
    assert not await due.may_be(device("a"))
    assert told.asked == 2


async def test_after_lost_announcements_all_is_asked_anew(due: Due, told: Told) -> None:
    assert not await due.may_be(device("a"))
    told.devices = ["a"]
    told.miss()
    assert await due.may_be(device("a"))


async def test_of_many_it_is_asked_less_often(due: Due, told: Told, clock: FakeClock) -> None:
    told.devices = [str(number) for number in range(100_000)]
    assert await due.may_be(device("99999"))
    assert not await due.may_be(device("none"))
    clock.advance(99)
    assert not await due.may_be(device("none"))
    assert told.asked == 1
    clock.advance(1)
    assert not await due.may_be(device("none"))
    assert told.asked == 2


async def test_a_whole_tenant_may_be_owed_something(due: Due, told: Told) -> None:
    assert not await due.may_be(device("a"))
    told.devices = ["a"]
    told.announce("t", "")
    assert await due.may_be(device("a"))
    assert not await due.may_be(device("b"))
    assert told.asked == 2


async def test_what_is_remembered_is_bounded(due: Due, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_module, "MAX_REMEMBERED", 3)
    told.devices = ["a", "b"]
    for tenant in ("t", "u", "t"):
        assert await due.may_be(device("a", tenant))
    assert told.asked == 3, "the first was forgotten for the second"


async def test_too_many_to_name(due: Due, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_module, "MAX_DEVICES", 2)
    told.devices = ["a", "b"]
    assert not await due.may_be(device("c"))
    told.announce("t", "c")
    assert await due.may_be(device("d")), "beyond the limit each is looked up"
    told.devices = ["a", "b", "c"]
    told.miss()
    assert await due.may_be(device("d"))
