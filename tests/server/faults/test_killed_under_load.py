"""`kill -9` of a server that takes in alerts: what was answered 204 is there once, whatever the moment."""

import asyncio
import random

import pytest

from fleet import Fleet, Program
from vedette.server.settings import Settings

DEVICES = 24
KILLS = 4


@pytest.mark.parametrize("seed", [1])
def test_what_was_acknowledged_survives_kill_9(settings: Settings, seed: int) -> None:
    kills_under_load(settings, seed, KILLS)


def kills_under_load(settings: Settings, seed: int, kills: int) -> None:
    """The story, also for `make torture`."""
    chance = random.Random(seed)
    fleet = Fleet.made(settings, DEVICES)
    database = ["--database", settings.database] if settings.database else []
    with Program(settings.data, *database) as program:

        async def load() -> None:
            ended = asyncio.Event()

            async def speak(number: int) -> None:
                sizes = random.Random(f"{seed} {number}")
                device = fleet.devices[number]
                while not ended.is_set():
                    await device.report(program.port, sizes.choice((1, 1, 2, 16)))

            async with asyncio.TaskGroup() as group:
                for number in range(DEVICES):
                    group.create_task(speak(number))
                for _ in range(kills):
                    before = sum(each.said for each in fleet.devices)
                    while sum(each.said for each in fleet.devices) == before:  # noqa: ASYNC110 - it works again
                        await asyncio.sleep(0.005)
                    await asyncio.sleep(chance.uniform(0, 0.3))  # the moment of the kill, anywhere in what it does
                    program.kill()
                    await asyncio.to_thread(program.start)
                ended.set()

        asyncio.run(load())
        program.stop()
    assert all(each.refused[0] for each in fleet.devices)  # each was without an answer at least once
    fleet.check()
