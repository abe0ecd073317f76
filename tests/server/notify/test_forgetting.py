"""What is old is forgotten, what counts now is not, and a clock that jumps takes little."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from postgresql import Cluster

from vedette.clock import FakeClock
from vedette.server import ageing
from vedette.server.alerts import account, intake
from vedette.server.db import SYSTEM, DeviceScope, Tx, UserScope
from vedette.server.notify import forgetting, service
from vedette.server.services import Services, open_services
from vedette.server.settings import Settings
from vedette.wire import incoming

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400
UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
DEVICE = DeviceScope("t1", "d1")
Story = Callable[[Services, FakeClock], Awaitable[None]]


@pytest.fixture(params=["sqlite", "postgresql"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a story on services with one device, on each database."""
    database = ""
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        database = cluster.new_database()

    async def fill(tx: Tx) -> None:
        await tx.execute(
            "INSERT INTO tenant (id, name, token, status, created_at) VALUES ('t1', 't', 'x', 'active', 0)"
        )
        await tx.execute(
            "INSERT INTO device (tenant, id, identity, identity_hash, status, created_at, updated_at)"
            " VALUES ('t1', 'd1', '{}', 'h', 'accepted', 0, 0)"
        )

    def work(story: Story) -> None:
        async def main() -> None:
            clock = FakeClock(BEGAN)
            async with open_services(Settings(data=tmp_path, database=database, alert_days="30"), clock) as services:
                await services.db.write(SYSTEM, fill)
                await story(services, clock)

        asyncio.run(main())

    return work


async def report(services: Services, at: datetime, subject: str, level: str, number: int | None = None) -> None:
    """One alert of the device, by its own clock; `number` in its account."""
    record: dict[str, Any] = {
        "name": f"{subject} {number}",
        "level": level,
        "timestamp": at.isoformat().replace("+00:00", "Z"),
        "subject": {"name": subject, "type": "log", "status": "x"},
    }
    if number is not None:
        origin = UUID[:-6] + f"{number:06}"
        record["origin"] = {"id": origin, "sequence": number, "boot": UUID, "elapsed_s": 1, "account": UUID}
    await intake.accept(services, DEVICE, incoming.alerts(json.dumps([record]).encode()))


async def names(services: Services) -> list[str]:
    async def read(tx: Tx) -> list[str]:
        return sorted(row["name"] for row in await tx.all("SELECT name FROM alert"))

    return await services.db.read(SYSTEM, read)


async def pass_days(services: Services, clock: FakeClock, days: int) -> None:
    """Of a server that runs."""
    for _ in range(days):
        clock.advance(DAY_S)
        await ageing.look(services, "alert")


def test_what_is_known_now_does_not_age(run: Callable[[Story], None]) -> None:
    async def story(services: Services, clock: FakeClock) -> None:
        await ageing.look(services, "alert")
        for number, (subject, level) in enumerate(
            [("a", "CRITICAL"), ("a", "OK"), ("a", "CRITICAL"), ("a", "WARNING"), ("b", "CRITICAL"), ("b", "OK")], 1
        ):
            await report(services, BEGAN + timedelta(seconds=number), subject, level, number)
        await report(services, datetime(2001, 1, 1, tzinfo=UTC), "old clock", "CRITICAL", 7)
        await report(services, datetime(2001, 1, 2, tzinfo=UTC), "old clock", "OK", 8)
        await report(services, datetime(2099, 1, 1, tzinfo=UTC), "future", "CRITICAL", 9)
        await report(services, datetime(2099, 1, 2, tzinfo=UTC), "future", "OK", 10)
        while await service.decide(services, 100):
            pass
        await pass_days(services, clock, 29)
        assert await forgetting.forget_old(services) == 0
        await pass_days(services, clock, 2)
        await report(services, clock.now(), "c", "CRITICAL", 11)
        assert await forgetting.forget_old(services) == 5
        # Of `a` what opened it and what is newest; of each other subject the newest.
        assert await names(services) == ["a 3", "a 4", "b 6", "c 11", "future 10", "old clock 8"]
        (kept,) = await account.completeness(services, UserScope("t1", None), "d1")
        assert (kept.received, kept.last, kept.complete_to, kept.missing) == (11, 11, 11, ())
        assert await forgetting.forget_old(services) == 0

    run(story)


def test_a_clock_that_jumps_forward_takes_a_day_at_a_look(run: Callable[[Story], None]) -> None:
    async def story(services: Services, clock: FakeClock) -> None:
        await ageing.look(services, "alert")
        for day in range(10):
            await report(services, clock.now(), "s", "WARNING", day + 1)
            await pass_days(services, clock, 1)
        clock.wall += timedelta(days=3650)
        for _ in range(12):  # hours
            await forgetting.forget_old(services)
        assert len(await names(services)) == 10
        clock.wall -= timedelta(days=3650)  # mended
        assert await forgetting.forget_old(services) == 0
        assert await ageing.look(services, "alert") == clock.now()
        clock.wall -= timedelta(days=3650)  # and wrong the other way
        assert await forgetting.forget_old(services) == 0
        assert len(await names(services)) == 10

    run(story)


def test_what_somebody_is_still_to_hear_of_is_not_forgotten(run: Callable[[Story], None]) -> None:
    async def story(services: Services, clock: FakeClock) -> None:
        await ageing.look(services, "alert")
        for number in range(3):
            await report(services, BEGAN + timedelta(seconds=number), "s", "WARNING", number + 1)
        await pass_days(services, clock, 31)
        assert await forgetting.forget_old(services) == 0  # nobody has even decided who that is
        while await service.decide(services, 100):
            pass
        assert await forgetting.forget_old(services) == 1

    run(story)


def test_a_long_history_goes_in_small_steps(run: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "AT_ONCE", 7)

    async def story(services: Services, clock: FakeClock) -> None:
        await ageing.look(services, "alert")
        for number in range(50):
            await report(services, BEGAN + timedelta(seconds=number), "s", "WARNING", 50 - number)
        while await service.decide(services, 100):
            pass
        await pass_days(services, clock, 31)
        assert await forgetting.forget_old(services) == 49
        (kept,) = await account.completeness(services, UserScope("t1", None), "d1")
        assert (kept.received, kept.complete_to, kept.missing) == (50, 50, ())

    run(story)
