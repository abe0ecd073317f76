"""A real server process, a real browser, and devices that speak the wire: pages are looked at as people do."""

import asyncio
import base64
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from vedette.server.access import service as access
from vedette.server.access import tenants
from vedette.server.access.roles import ADMIN
from vedette.server.db import UserScope
from vedette.server.services import open_services
from vedette.server.settings import Settings

PASSWORD = "correct horse battery staple"
PATIENCE_S = 20
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def wait_until(what: str, met: Callable[[], Any]) -> Any:
    """Ask again until `met` gives something true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := met()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain until {what}"
        time.sleep(0.02)
    return found


class Server:
    """One server on one data directory, which can be stopped and started again at the same address."""

    def __init__(self, data: Path) -> None:
        self.data = data
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.url = f"http://{self.address}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "vedette", "server", "--data", str(self.data), "--listen", self.address]
        with (self.data.parent / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until("the server answers", self._alive)

    def _alive(self) -> bool:
        assert self._process.poll() is None, (self.data.parent / "server.log").read_text()
        try:
            return httpx.get(f"{self.url}/alive").status_code == 204
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)


@dataclass
class Tenant:
    """An organisation of its own for one test, with one user."""

    server: Server
    name: str
    token: str
    email: str

    def jwt(self) -> str:
        answer = httpx.post(f"{self.server.url}/api/management/v1/useradm/auth/login", auth=(self.email, PASSWORD))
        assert answer.status_code == 200, answer.text
        return answer.text

    def device(self, **identity: str) -> "Device":
        return Device(self, identity or {"mac": "52:54:00:12:34:56"})

    def accepted_device(self, **identity: str) -> "Device":
        """A device that has been let in and has its token."""
        device = self.device(**identity)
        device.ask()
        headers = {"Authorization": f"Bearer {self.jwt()}"}
        base = f"{self.server.url}/api/management/v2/devauth/devices"
        for each in httpx.get(base, headers=headers).json():
            if each["identity_data"] == device.identity:
                auth = each["auth_sets"][0]["id"]
                done = httpx.put(
                    f"{base}/{each['id']}/auth/{auth}/status", headers=headers, json={"status": "accepted"}
                )
                assert done.status_code == 204, done.text
                device.id = each["id"]
        assert device.ask(), "the device was accepted and yet gets no token"
        return device


@dataclass
class Device:
    """What a device says to the server, by hand."""

    tenant: Tenant
    identity: dict[str, str]
    id: str = ""
    token: str = ""
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def ask(self) -> bool:
        """Ask to be let in; whether it is."""
        pem = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        request = {"id_data": json.dumps(self.identity), "pubkey": pem, "tenant_token": self.tenant.token}
        body = json.dumps(request).encode()
        answer = httpx.post(
            f"{self.tenant.server.url}/api/devices/v1/authentication/auth_requests",
            content=body,
            headers={
                "Content-Type": "application/json",
                "X-MEN-Signature": base64.b64encode(self.key.sign(body)).decode(),
            },
        )
        assert answer.status_code in {200, 401}, answer.text
        self.token = answer.text if answer.status_code == 200 else ""
        return bool(self.token)

    def send(self, method: str, path: str, value: Any) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.request(method, f"{self.tenant.server.url}/api/devices/v1/{path}", headers=headers, json=value)
        assert answer.status_code in {200, 204}, answer.text

    def alert(self, level: str = "CRITICAL", *, name: str = "Log file contains CVE.*HIGH", **changes: Any) -> None:
        self.alerts(alert(level, name=name, **changes))

    def alerts(self, *alerts: dict[str, Any]) -> None:
        self.send("POST", "devicemonitor/alert", list(alerts))

    def report(self, *checks: dict[str, Any]) -> None:
        self.send("PUT", "devicemonitor/config", list(checks))

    def inventory(self, **attributes: Any) -> None:
        self.send("PUT", "inventory/device/attributes", [{"name": k, "value": v} for k, v in attributes.items()])


def alert(level: str = "CRITICAL", *, name: str = "Log file contains CVE.*HIGH", **changes: Any) -> dict[str, Any]:
    """An alert as a device sends it; `changes` replace keys of its subject."""
    line = [{"line_number": number, "data": f"scanner[4711]: checked package {number}"} for number in range(1001, 1062)]
    line[30]["data"] = "scanner[4711]: CVE-2026-12345 severity HIGH in openssl"
    details = {
        "description": "CVE.*HIGH present in /tmp/results-scan",
        "lines_before": line[:30],
        "line_matching": line[30],
        "lines_after": line[31:],
    }
    subject = {"name": "log_results-scan", "type": "log", "status": "LOGCONTAINS", "details": details} | changes
    return {
        "name": name,
        "level": level,
        "subject": {key: value for key, value in subject.items() if value is not None},
        "timestamp": datetime.now(UTC).isoformat(),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("browser") / "data")
    yield server
    server.stop()


def make_tenant(server: Server, name: str, role: str = ADMIN) -> Tenant:
    """A new tenant with one user, made beside the running server as `vedette tenant` and `vedette user` do."""

    async def make() -> Tenant:
        async with open_services(Settings(data=server.data)) as services:
            made = await tenants.create_tenant(services, name)
            email = f"ann.{made.id}@example.com"
            await access.create_user(services, UserScope(made.id), email, PASSWORD, [role])
            return Tenant(server, name, made.token, email)

    with ThreadPoolExecutor(1) as pool:  # this thread has Playwright's event loop
        return pool.submit(lambda: asyncio.run(make())).result()


@pytest.fixture
def tenant(server: Server, request: pytest.FixtureRequest) -> Tenant:
    return make_tenant(server, request.node.name[:100])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Per module: while Playwright runs, its thread has an event loop, and other tests need to run their own.
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("the browser tests need Debian's Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Somebody with a browser; whatever a page complains of there fails the test."""

    browser: Browser
    server: Server
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def page(self, tenant: Tenant | None = None, **options: Any) -> Page:
        """A new page, logged in as the user of `tenant`."""
        context = self.browser.new_context(base_url=self.server.url, **options)
        self.contexts.append(context)
        if tenant is not None:
            cookie = {"name": "JWT", "value": tenant.jwt(), "url": self.server.url, "httpOnly": True}
            context.add_cookies([{**cookie, "sameSite": "Strict"}])  # type: ignore[typeddict-item]
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} at {message.location}")


@pytest.fixture
def visitor(browser: Browser, server: Server) -> Iterator[Visitor]:
    visitor = Visitor(browser, server)
    yield visitor
    for context in visitor.contexts:
        context.close()
    assert visitor.complaints == []
