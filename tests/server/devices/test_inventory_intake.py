"""Reports of many devices that share a transaction: each gets what it would have got alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from vedette.errors import Invalid, Unauthenticated
from vedette.server.db import SYSTEM, DeviceScope, Row, Tx
from vedette.server.devices import intake
from vedette.server.devices.inventory import MAX_ATTRIBUTES, Reported
from vedette.server.services import Services, open_services
from vedette.server.settings import Settings

DEVICES = [DeviceScope(tenant, device) for tenant, device in (("t1", "d1"), ("t1", "d2"), ("t2", "d1"))]
NOBODY = DeviceScope("t1", "nobody")
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async def fill(tx: Tx) -> None:
        for tenant in ("t1", "t2"):
            await tx.execute("INSERT INTO tenant (id, name, token, created_at) VALUES (:id, :id, :id, 0)", id=tenant)
        for each in DEVICES:
            await tx.execute(
                "INSERT INTO device (tenant, id, identity, identity_hash, status, created_at, updated_at)"
                " VALUES (:tenant, :id, '{}', :id, 'accepted', 0, 0)",
                tenant=each.tenant,
                id=each.device,
            )

    async with open_services(Settings(data=tmp_path)) as parts:
        await parts.db.write(SYSTEM, fill)
        yield parts


def said(**values: Any) -> list[Reported]:
    return [Reported(name=name, value=value) for name, value in values.items()]


async def rows(services: Services) -> list[Row]:
    async def read(tx: Tx) -> list[Row]:
        return await tx.all(
            "SELECT tenant, device, name, value, updated_at FROM attribute ORDER BY tenant, device, name"
        )

    return await services.db.read(SYSTEM, read)


async def stored(services: Services) -> dict[tuple[str, str], dict[str, str]]:
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in await rows(services):
        found.setdefault((row["tenant"], row["device"]), {})[row["name"]] = row["value"]
    return found


async def test_each_of_many_gets_its_own(services: Services) -> None:
    """Two of one device are taken in their order; who is gone, or says too much, spoils nothing for the others."""
    ours, neighbour, theirs = DEVICES
    too_many = said(**{f"n{number}": number for number in range(MAX_ATTRIBUTES)})
    outcomes = await asyncio.gather(
        intake.report(services, ours, said(os="a", old="x"), replace=True),
        intake.report(services, NOBODY, said(os="a"), replace=True),
        intake.report(services, ours, said(os="b", new="y"), replace=False),
        intake.report(services, neighbour, said(n=1), replace=True),
        intake.report(services, neighbour, too_many, replace=False),
        intake.report(services, theirs, said(os="c"), replace=True),
        return_exceptions=True,
    )
    assert [type(each) for each in outcomes if each is not None] == [Unauthenticated, Invalid]
    assert await stored(services) == {
        ("t1", "d1"): {"os": '"b"', "old": '"x"', "new": '"y"'},
        ("t1", "d2"): {"n": "1"},
        ("t2", "d1"): {"os": '"c"'},
    }
    await asyncio.gather(
        intake.report(services, ours, said(os="d"), replace=True),
        intake.report(services, theirs, [], replace=True),
    )
    assert await stored(services) == {("t1", "d1"): {"os": '"d"'}, ("t1", "d2"): {"n": "1"}}


async def test_only_what_has_changed_is_written(services: Services) -> None:
    ours = DEVICES[0]
    await intake.report(services, ours, said(os="a", uptime=1), replace=True)
    before = {row["name"]: row["updated_at"] for row in await rows(services)}
    await intake.report(services, ours, said(os="a", uptime=2), replace=True)
    after = {row["name"]: row["updated_at"] for row in await rows(services)}
    assert after["os"] == before["os"]
    assert after["uptime"] > before["uptime"]


@pytest.mark.parametrize("value", ["a\0b", ["a", "b\0"]])
def test_a_nul_is_refused(value: Any) -> None:
    """PostgreSQL could not search it: one device would spoil the search for everybody."""
    with pytest.raises(Invalid, match="NUL"):
        Reported(name="os", value=value)
    assert Reported(name="os", value="a\\u0000b").value
