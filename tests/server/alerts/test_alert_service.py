"""What a POST changes, and what users read: on a real database."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from postgresql import ON_SQLITE

from vedette.errors import Denied, NotFound, Unauthenticated
from vedette.model import ConfiguredCheck, Level
from vedette.server.access.permissions_table import of_everybody
from vedette.server.alerts import intake, service
from vedette.server.alerts.service import StoredAlert
from vedette.server.caller import Caller
from vedette.server.db import SYSTEM, DeviceScope, Tx, UserScope
from vedette.server.listing import Listing
from vedette.server.services import Services
from vedette.wire import incoming
from vedette.wire.incoming import WireAlert

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 8, 22, 12, tzinfo=UTC)
OURS, THEIRS = UserScope("t1", None), UserScope("t2", None)
DEVICE = DeviceScope("t1", "d1")
BOOT = UUID(int=7)


def record(level: str, minute: float, subject: str = "s", **changes: Any) -> dict[str, Any]:
    """A plain alert of a minute after noon."""
    return {
        "name": f"{subject} broke",
        "level": level,
        "timestamp": (NOON + timedelta(minutes=minute)).isoformat(),
        "subject": {"name": subject, "type": "log", "status": "LOGCONTAINS", "details": {"description": "seen"}},
        **changes,
    }


def wire(*records: dict[str, Any]) -> list[WireAlert]:
    return incoming.alerts(json.dumps(records).encode())


async def post(services: Services, *records: dict[str, Any], scope: DeviceScope = DEVICE) -> None:
    await intake.accept(services, scope, wire(*records))


async def open_subjects(services: Services) -> list[str]:
    listing = await service.open_problems(services, OURS, "d1")
    assert await open_count(services) == listing.total == len(listing.items)
    return [each.alert.subject.name for each in listing.items]


async def open_count(services: Services, device: str = "d1") -> int:
    async def work(tx: Tx) -> int:
        number: int = await tx.value("SELECT open_count FROM device WHERE id = :id", id=device)
        return number

    return await services.db.read(SYSTEM, work)


async def owed(services: Services) -> list[tuple[str, str]]:
    async def work(tx: Tx) -> list[tuple[str, str]]:
        return [(row["alert_id"], row["thread"]) for row in await tx.all("SELECT * FROM notification ORDER BY id")]

    return await services.db.read(SYSTEM, work)


async def everything(services: Services, **options: Any) -> Listing[StoredAlert]:
    return await service.history(services, OURS, "d1", 1, 500, **options)


async def test_a_problem_opens_and_is_called_off(services: Services) -> None:
    await post(services, record("CRITICAL", 0))
    assert await open_subjects(services) == ["s"]
    await post(services, record("CRITICAL", 1, "t"), record("OK", 2))
    assert await open_subjects(services) == ["t"]
    await post(services, record("OK", 3, "t"))
    assert await open_subjects(services) == []
    listing = await everything(services)
    assert [each.alert.level for each in listing.items] == [Level.OK, Level.OK, Level.CRITICAL, Level.CRITICAL]


async def test_an_alert_comes_out_as_it_went_in(services: Services) -> None:
    origin = {"id": str(uuid4()), "sequence": 1, "boot": str(BOOT), "elapsed_s": 1.5, "account": str(uuid4())}
    sent = wire(record("CRITICAL", 0.123456, origin=origin), record("OK", 1, name="x" * 4096))
    await intake.accept(services, DEVICE, sent)
    listing = await everything(services, ascending=True)
    assert [each.alert for each in listing.items] == [each.model() for each in sent]
    assert {each.device for each in listing.items} == {"d1"}
    one = listing.items[0]
    assert await service.alert(services, OURS, "d1", one.id.upper()) == one


async def test_the_same_alert_twice_counts_and_is_owed_once(services: Services) -> None:
    """Plain or with an account; in one body or in two."""
    numbered = record("CRITICAL", 1, "t", origin={"id": str(uuid4()), "sequence": 1, "boot": str(BOOT), "elapsed_s": 1})
    for _ in range(2):
        await post(services, record("CRITICAL", 0), record("CRITICAL", 0), numbered)
        await post(services, numbered)
    assert (await everything(services)).total == 2
    assert await open_subjects(services) == ["s", "t"]
    assert len(await owed(services)) == 2


async def test_an_older_alert_that_comes_late_changes_no_state(services: Services) -> None:
    await post(services, record("OK", 5))
    await post(services, record("CRITICAL", 0))
    assert await open_subjects(services) == []
    assert (await everything(services)).total == 2
    assert len(await owed(services)) == 2


async def test_the_account_decides_where_there_is_one(services: Services) -> None:
    def numbered(sequence: int, level: str, minute: float) -> dict[str, Any]:
        origin = {"id": str(UUID(int=sequence)), "sequence": sequence, "boot": str(BOOT), "elapsed_s": sequence}
        return record(level, minute, origin=origin)

    await post(services, numbered(2, "OK", -60 * 24 * 365))  # the clock was set back in between
    await post(services, numbered(1, "CRITICAL", 0))
    assert await open_subjects(services) == []
    await post(services, numbered(3, "CRITICAL", -60 * 24 * 300))
    assert await open_subjects(services) == ["s"]


async def test_two_accounts_are_both_remembered(services: Services) -> None:
    """A store that was lost begins at 1 again; what comes late from the old one is still old."""
    old, new = str(UUID(int=1)), str(UUID(int=2))
    ids = count(1)

    def numbered(account: str, sequence: int, level: str, minute: float) -> dict[str, Any]:
        origin = {"id": str(UUID(int=next(ids))), "sequence": sequence, "boot": str(BOOT), "elapsed_s": 1}
        return record(level, minute, origin=origin | {"account": account})

    await post(services, numbered(old, 500, "CRITICAL", 0))
    await post(services, numbered(new, 1, "OK", 1))
    assert await open_subjects(services) == []
    await post(services, numbered(old, 499, "CRITICAL", 2))
    assert await open_subjects(services) == []
    await post(services, numbered(new, 2, "CRITICAL", 3))
    assert await open_subjects(services) == ["s"]


async def test_an_ok_alone_is_stored_and_owed_but_opens_nothing(services: Services) -> None:
    await post(services, record("OK", 0))
    assert await open_subjects(services) == []
    assert len(await owed(services)) == 1


async def test_a_problem_and_its_end_are_one_thread(services: Services) -> None:
    await post(services, record("CRITICAL", 0), record("CRITICAL", 1), record("OK", 2))
    await post(services, record("CRITICAL", 3))
    await post(services, record("OK", 4))
    ids = [each.id for each in (await everything(services, ascending=True)).items]
    assert [thread for _, thread in await owed(services)] == [ids[0], ids[0], ids[0], ids[3], ids[3]]


async def test_every_level_that_is_not_ok_is_open(services: Services) -> None:
    await post(services, *(record(level, minute, level) for minute, level in enumerate(Level)))
    assert await open_subjects(services) == ["CRITICAL", "WARNING", "UNKNOWN", "CRITICAL_FLAPPING"]

    async def at_least(level: Level) -> list[str]:
        return [a.alert.level for a in (await service.latest(services, OURS, "d1", level_from=level)).items]

    assert await at_least(Level.CRITICAL) == [Level.CRITICAL]
    assert await at_least(Level.WARNING) == [Level.CRITICAL, Level.WARNING, Level.CRITICAL_FLAPPING]
    assert len(await at_least(Level.OK)) == 5


@ON_SQLITE
async def test_what_one_post_says_is_kept_whole_or_not_at_all(services: Services) -> None:
    """The last of many alerts cannot be stored: a device may only hear 2xx for all of them."""

    async def forbid(tx: Tx) -> None:
        await tx.execute(
            "CREATE TRIGGER no_more BEFORE INSERT ON notification WHEN (SELECT count(*) FROM notification) >= 2"
            " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )

    await services.db.write(SYSTEM, forbid)
    with pytest.raises(Exception, match="disk full"):
        await post(services, *(record("CRITICAL", minute, f"s{minute}") for minute in range(3)))
    assert await open_subjects(services) == []
    assert (await everything(services)).total == 0
    assert await owed(services) == []


async def test_nothing_is_published_for_what_is_known(services: Services) -> None:
    with services.live.subscribe(OURS) as listener:
        async with asyncio.timeout(20):
            await post(services, record("CRITICAL", 0))
            assert await anext(listener) == {"d1"}
            await post(services, record("CRITICAL", 0))
            await post(services, record("CRITICAL", 0), scope=DeviceScope("t1", "d2"))
            assert await anext(listener) == {"d2"}


async def test_devices_do_not_meet(services: Services) -> None:
    await post(services, record("CRITICAL", 0))
    await post(services, record("OK", 1), scope=DeviceScope("t1", "d2"))
    await post(services, record("OK", 1), scope=DeviceScope("t2", "d3"))
    assert await open_subjects(services) == ["s"]
    assert await open_count(services, "d2") == await open_count(services, "d3") == 0


@pytest.mark.parametrize("scope", [THEIRS, UserScope("t1"), UserScope("t1", frozenset({"south"}))])
async def test_what_is_not_yours_is_not_there(services: Services, scope: UserScope) -> None:
    await post(services, record("CRITICAL", 0))
    (stored,) = (await everything(services)).items
    for call in (
        service.history(services, scope, "d1", 1, 20),
        service.open_problems(services, scope, "d1"),
        service.alert(services, scope, "d1", stored.id),
        service.configuration(services, scope, "d1"),
    ):
        with pytest.raises(NotFound):
            await call


async def test_a_user_of_a_group_sees_its_devices(services: Services) -> None:
    await post(services, record("CRITICAL", 0))
    north = UserScope("t1", frozenset({"north"}))
    assert (await service.history(services, north, "d1", 1, 20)).total == 1
    with pytest.raises(NotFound):
        await service.history(services, north, "d2", 1, 20)


@pytest.mark.parametrize("scope", [DeviceScope("t1", "none"), DeviceScope("t2", "d1")])
async def test_a_device_that_is_gone_must_authenticate_again(services: Services, scope: DeviceScope) -> None:
    with pytest.raises(Unauthenticated):
        await post(services, record("CRITICAL", 0), scope=scope)
    with pytest.raises(Unauthenticated):
        await service.set_configuration(services, scope, [])


async def test_history_is_paged_and_limited_by_the_devices_time(services: Services) -> None:
    for minute in (3, 1, 0, 4, 2):
        await post(services, record("CRITICAL", minute, f"s{minute}"))

    async def minutes(page: int, per_page: int, **options: Any) -> tuple[list[str], int]:
        listing = await service.history(services, OURS, "d1", page, per_page, **options)
        return [each.alert.subject.name for each in listing.items], listing.total

    assert await minutes(1, 2) == (["s4", "s3"], 5)
    assert await minutes(3, 2) == (["s0"], 5)
    assert await minutes(4, 2) == ([], 5)
    assert await minutes(1, 2, ascending=True) == (["s0", "s1"], 5)
    at = [NOON + timedelta(minutes=minute) for minute in range(5)]
    assert await minutes(1, 9, issued_after=at[1]) == (["s4", "s3", "s2"], 3)
    assert await minutes(1, 9, issued_before=at[1]) == (["s0"], 1)
    assert await minutes(1, 9, issued_after=at[0], issued_before=at[3], ascending=True) == (["s1", "s2"], 2)


async def test_a_configuration_replaces_the_one_before(services: Services) -> None:
    assert await service.configuration(services, OURS, "d1") == ()
    log = ConfiguredCheck(name="a.sh", kind="log", settings={"pattern": "x", "path": "/y", "expire_seconds": 5})
    unit = ConfiguredCheck(name="b.sh", kind="service", settings={"name": "cron", "type": "systemd"})
    for checks in ((log, unit), (unit,), ()):
        await service.set_configuration(services, DEVICE, checks)
        assert await service.configuration(services, OURS, "d1") == checks


async def test_the_switch_is_the_tenants_and_an_administrators(services: Services) -> None:
    def caller(scope: UserScope, role: str) -> Caller:
        return Caller(scope=scope, user_id="u", email="u@example.com", session="s", rights=of_everybody(role))

    assert await service.email_enabled(services, OURS)
    await service.set_email_enabled(services, caller(OURS, "RBAC_ROLE_PERMIT_ALL"), False)
    assert not await service.email_enabled(services, OURS)
    assert await service.email_enabled(services, THEIRS)
    with pytest.raises(Denied):
        await service.set_email_enabled(services, caller(THEIRS, "RBAC_ROLE_OBSERVER"), False)


async def test_a_device_that_goes_takes_everything_along(services: Services) -> None:
    await post(services, record("CRITICAL", 0))
    await service.set_configuration(services, DEVICE, [])

    async def remove(tx: Tx) -> list[int]:
        await tx.execute("DELETE FROM device WHERE id = 'd1'")
        tables = ("alert", "subject", "monitor_config", "notification")
        return [await tx.value(f"SELECT count(*) FROM {table}") for table in tables]

    assert await services.db.write(SYSTEM, remove) == [0, 0, 0, 0]
