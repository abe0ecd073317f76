"""A real server for tests: real database, real sockets, real tokens; see the fixtures in conftest.py."""

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest
import uvicorn
import uvloop
from argon2 import PasswordHasher
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vedette.clock import Clock
from vedette.server.access import keys, passwords, tenants
from vedette.server.access import service as access
from vedette.server.access.roles import ADMIN
from vedette.server.access.signer import new_key
from vedette.server.app import make_app, make_protocol
from vedette.server.db import UserScope
from vedette.server.runtime import listen
from vedette.server.services import Services, open_services
from vedette.server.settings import Settings

DEADLINE_S = 20
EMAIL, PASSWORD = "ann@example.com", "correct horse battery"
LOGIN = "/api/management/v1/useradm/auth/login"
AUTH = "/api/devices/v1/authentication/auth_requests"
DEVAUTH = "/api/management/v2/devauth"


@dataclass
class RealServer:
    """A server in a thread of its own, on a free port, without background tasks."""

    url: str
    services: Services
    loop: asyncio.AbstractEventLoop
    tenant: tenants.Tenant
    clients: list[httpx.Client] = field(default_factory=list)

    def run(self, work: Any) -> Any:
        """Await something in the server's own event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE_S)

    def client(self, token: str = "") -> httpx.Client:
        """Somebody with a token, or nobody."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        made = httpx.Client(base_url=self.url, headers=headers, timeout=DEADLINE_S, trust_env=False)
        self.clients.append(made)
        return made

    def add_user(self, email: str, *, tenant: str = "", roles: tuple[str, ...] = (ADMIN,)) -> access.User:
        scope = UserScope(tenant or self.tenant.id)
        user: access.User = self.run(access.create_user(self.services, scope, email, PASSWORD, roles))
        return user

    def login(self, email: str = EMAIL, password: str = PASSWORD) -> str:
        answer = self.client().post(LOGIN, auth=(email, password))
        assert answer.status_code == 200, answer.text
        return answer.text

    def add_tenant(self, name: str) -> tenants.Tenant:
        tenant: tenants.Tenant = self.run(tenants.create_tenant(self.services, name))
        return tenant


@dataclass
class FakeDevice:
    """What a device sends, with a real key."""

    server: RealServer
    identity: dict[str, Any]
    key: Any = field(default_factory=Ed25519PrivateKey.generate)
    tenant_token: str | None = None
    sign: Callable[[Any, bytes], bytes] = lambda key, body: bytes(key.sign(body))

    def request(self, **changes: Any) -> httpx.Response:
        """Ask to be let in. `changes` to the body; None takes a key out."""
        body = {"id_data": json.dumps(self.identity), "tenant_token": self.tenant_token, "pubkey": self.pem} | changes
        raw = json.dumps({key: value for key, value in body.items() if value is not None}).encode() + b"\n"
        signature = base64.b64encode(self.sign(self.key, raw)).decode()
        headers = {"Content-Type": "application/json", "X-MEN-Signature": signature}
        return self.server.client().post(AUTH, content=raw, headers=headers)

    @property
    def pem(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        pem: bytes = self.key.public_key().public_bytes(serialization.Encoding.PEM, form)
        return pem.decode()

    def client(self) -> httpx.Client:
        """The device, let in."""
        answer = self.request()
        assert answer.status_code == 200, answer.text
        return self.server.client(answer.text)


@contextmanager
def cheap_secrets() -> Iterator[None]:
    """Real keys and real hashes, but one key for all servers and hashes that are quickly made."""
    key = new_key()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "new_key", lambda: key)
        patch.setattr(passwords, "PasswordHasher", partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1))
        yield


@contextmanager
def real_server(settings: Settings, clock: Clock | None = None) -> Iterator[RealServer]:
    """Start a server, and stop it. `clock`: one that the test moves."""
    ready: Future[RealServer] = Future()
    stop = threading.Event()

    async def main() -> None:
        async with open_services(settings, clock) as services:
            tenant = await tenants.ensure_tenant(services) or await tenants.tenant_named(services, "default")
            with listen(settings.address) as listener:
                config = uvicorn.Config(
                    make_app(services),
                    http=make_protocol(services),
                    ws="none",
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    proxy_headers=False,
                )
                server = uvicorn.Server(config)
                serving = asyncio.create_task(server.serve(sockets=[listener]))
                port = listener.getsockname()[1]
                ready.set_result(RealServer(f"http://127.0.0.1:{port}", services, asyncio.get_running_loop(), tenant))
                await asyncio.to_thread(stop.wait)
                server.should_exit = True
                await serving

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the server does
                runner.run(main())
        except BaseException as exc:
            if ready.done():
                raise
            ready.set_exception(exc)

    thread = threading.Thread(target=run, name="server")
    thread.start()
    try:
        server = ready.result(DEADLINE_S)
        try:
            yield server
        finally:
            for client in server.clients:
                client.close()
    finally:
        stop.set()
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), "the server did not stop"
