"""A change reaches who may see the device, once, and nobody else."""

import asyncio
import gc

import pytest

from vedette.server.db import SYSTEM, DeviceScope, UserScope
from vedette.server.live import MAX_NAMED, Changed, Live, Subscription

ALL = UserScope("t1", None)


async def _next(listener: Subscription) -> Changed:
    async with asyncio.timeout(5):
        return await anext(listener)


async def _silent(listener: Subscription) -> bool:
    """Nothing has been said to `listener` so far."""
    waiting = asyncio.ensure_future(anext(listener))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    return not done


@pytest.mark.parametrize(
    ("scope", "hears"),
    [
        (ALL, True),
        (SYSTEM, True),
        (UserScope("t2", None), False),
        (UserScope("t1", frozenset({"north", "south"})), True),
        (UserScope("t1", frozenset({"south"})), False),
        (UserScope("t1", frozenset()), False),
        (UserScope("t1"), False),
    ],
)
def test_only_who_may_see_the_device_hears_of_it(scope: UserScope, hears: bool) -> None:
    async def run() -> None:
        live = Live()
        with live.subscribe(scope) as listener:
            live.publish("t1", "north", "d1")
            if hears:
                assert await _next(listener) == {"d1"}
            else:
                assert await _silent(listener)

    asyncio.run(run())


def test_a_device_without_group_is_seen_only_by_who_sees_all() -> None:
    async def run() -> None:
        live = Live()
        everything, some = live.subscribe(ALL), live.subscribe(UserScope("t1", frozenset({"north"})))
        live.publish("t1", None, "d1")
        assert await _next(everything) == {"d1"}
        assert await _silent(some)

    asyncio.run(run())


def test_what_happens_between_two_looks_is_one_change() -> None:
    async def run() -> None:
        live = Live()
        with live.subscribe(ALL) as listener:
            for device in ("d1", "d2", "d1"):
                live.publish("t1", None, device)
            assert await _next(listener) == {"d1", "d2"}
            assert await _silent(listener)
            live.publish("t1", None, "d3")
            assert await _next(listener) == {"d3"}

    asyncio.run(run())


def test_a_slow_listener_is_told_to_look_at_everything() -> None:
    async def run() -> None:
        live = Live()
        with live.subscribe(ALL) as listener:
            for number in range(MAX_NAMED * 3):
                live.publish("t1", None, f"d{number}")
            assert await _next(listener) is None
            live.publish("t1", None, "d1")
            assert await _next(listener) == {"d1"}

    asyncio.run(run())


def test_who_is_gone_costs_nothing() -> None:
    """Closed or merely dropped: neither stays in the list."""

    async def run() -> None:
        live = Live()
        with live.subscribe(ALL):
            forgotten = live.subscribe(ALL)
            assert len(live) == 2
            del forgotten
            gc.collect()
            assert len(live) == 1
        assert len(live) == 0

    asyncio.run(run())


def test_closing_ends_who_waits() -> None:
    async def run() -> None:
        live = Live()
        listener = live.subscribe(ALL)

        async def listen() -> list[Changed]:
            return [change async for change in listener]

        waiting = asyncio.ensure_future(listen())
        await asyncio.sleep(0)
        listener.close()
        async with asyncio.timeout(5):
            assert await waiting == []

    asyncio.run(run())


def test_a_device_does_not_listen() -> None:
    with pytest.raises(TypeError):
        Live().subscribe(DeviceScope("t1", "d1"))


def test_a_server_that_stops_is_not_held_up_by_open_pages() -> None:
    """Those who listen end, and who comes back in the last moment ends at once."""

    async def run() -> None:
        live = Live()
        before = live.subscribe(ALL)
        live.end()
        async with asyncio.timeout(5):
            assert [change async for change in before] == []
            assert [change async for change in live.subscribe(ALL)] == []
        assert len(live) == 0

    asyncio.run(run())
