"""A real HTTP server on a free port, with a device that holds a token and a user who is logged in."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from vedette.server.access import service as access
from vedette.server.access import tenants
from vedette.server.app import make_app, make_protocol
from vedette.server.db import SYSTEM, Tx, UserScope
from vedette.server.devices.sessions import digest
from vedette.server.http.protocol import Patient
from vedette.server.services import Services, open_services
from vedette.server.settings import Settings

PASSWORD = "correct horse battery"


class Server(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True)
class Site:
    """What a test talks to."""

    services: Services
    tenant: str
    port: int
    device: httpx.AsyncClient  # speaks as device d1
    user: httpx.AsyncClient  # speaks as an administrator


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["by the application", "directly"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """Both ways that a call can go (`server.http.direct`): what is true of the one must be of the other."""
    async with open_services(Settings(data=tmp_path)) as services:
        tenant = await tenants.ensure_tenant(services)
        assert tenant is not None
        token = services.signer.sign({"jti": "a1", "sub": "d1", "mender.device": True, "mender.tenant": tenant.id})

        async def fill(tx: Tx) -> None:
            await tx.execute(
                "INSERT INTO device (tenant, id, identity, identity_hash, status, created_at, updated_at)"
                " VALUES (:t, 'd1', '{}', 'h', 'accepted', 0, 0)",
                t=tenant.id,
            )
            await tx.execute(
                "INSERT INTO auth_set (tenant, device, id, pubkey, status, token_hash, created_at)"
                " VALUES (:t, 'd1', 'a1', 'k', 'accepted', :hash, 0)",
                t=tenant.id,
                hash=digest(token),
            )

        await services.db.write(SYSTEM, fill)
        await access.create_user(services, UserScope(tenant.id, None), "ann@example.com", PASSWORD)
        user_token = await access.login(services, "ann@example.com", PASSWORD, "127.0.0.1")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = Server(
                uvicorn.Config(
                    make_app(services),
                    loop="none",
                    http=Patient if request.param == "by the application" else make_protocol(services),
                    ws="none",
                    lifespan="off",
                    log_config=None,
                    timeout_graceful_shutdown=2,
                )
            )
            task = asyncio.create_task(server.serve([listener]))
            async with asyncio.timeout(20):
                while not server.started:  # noqa: ASYNC110  uvicorn offers nothing to wait for
                    await asyncio.sleep(0.01)
            port = listener.getsockname()[1]
            url = f"http://127.0.0.1:{port}"
            async with (
                httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}) as device,
                httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {user_token}"}) as user,
            ):
                yield Site(services, tenant.id, port, device, user)
            server.should_exit = True
            await task
