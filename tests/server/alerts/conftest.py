"""A real database with two tenants and three devices; no HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from vedette.server.db import SYSTEM, DeviceScope, Tx, UserScope
from vedette.server.services import Services, open_services
from vedette.server.settings import Settings

OURS = UserScope("t1", None)
DEVICE = DeviceScope("t1", "d1")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async def fill(tx: Tx) -> None:
        for tenant in ("t1", "t2"):
            await tx.execute("INSERT INTO tenant (id, name, token, created_at) VALUES (:id, :id, :id, 0)", id=tenant)
        for tenant, device, group in (("t1", "d1", "north"), ("t1", "d2", None), ("t2", "d3", None)):
            await tx.execute(
                "INSERT INTO device (tenant, id, identity, identity_hash, status, group_name, created_at, updated_at)"
                " VALUES (:tenant, :id, '{}', :id, 'accepted', :group, 0, 0)",
                tenant=tenant,
                id=device,
                group=group,
            )

    async with open_services(Settings(data=tmp_path)) as parts:
        await parts.db.write(SYSTEM, fill)
        yield parts
