"""A fleet that reports to a real server process: devices come again until they are answered; what is stored then."""

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Self

from serving import EMAIL, PASSWORD

from vedette.demo.stage import free_port
from vedette.server.access import service as access
from vedette.server.access import tenants
from vedette.server.db import SYSTEM, Tx, UserScope
from vedette.server.devices.sessions import digest
from vedette.server.services import Services, open_services
from vedette.server.settings import Settings

ALERT = "/api/devices/v1/devicemonitor/alert"
DEADLINE_S = 60  # `make torture` sets it higher: it may be the least of what a machine does
TRY_S = 30.0  # as devices wait for an answer, before they try again
SUBJECTS = 5  # of each device
BEGAN = datetime(2026, 8, 22, 12, tzinfo=UTC)


class Program:
    """`vedette server` as a process of its own, on one port for all its lives."""

    def __init__(self, data: Path, *options: str, before: Callable[[], None] | None = None) -> None:
        """`before` runs in the process before the program does."""
        self.port = free_port(0)
        self._before = before
        self._command = [sys.executable, "-m", "vedette", "server", "--listen", f"127.0.0.1:{self.port}"]
        # as the tests themselves see it, who may have been told to use another than SQLite
        self._command += ["--data", str(data), "--database", Settings(data=data).database_url, *options]
        self._said: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    @property
    def said(self) -> str:
        return "".join(self._said)

    @property
    def pid(self) -> int:
        assert self._process is not None
        assert self._process.poll() is None, self.said
        return self._process.pid

    def start(self) -> Self:
        """Start it; returns when it listens."""
        self._process = subprocess.Popen(
            self._command, stderr=subprocess.PIPE, text=True, preexec_fn=self._before, errors="replace"
        )
        listens: Future[None] = Future()
        threading.Thread(target=self._listen, args=[self._process.stderr, listens]).start()
        try:
            listens.result(DEADLINE_S)
        except AssertionError:  # it has ended
            self._process.wait(DEADLINE_S)
            raise
        return self

    def _listen(self, stderr: IO[str], listens: "Future[None]") -> None:
        with stderr:
            for line in stderr:
                self._said.append(line)
                if "listening on " in line and not listens.done():
                    listens.set_result(None)
        if not listens.done():
            listens.set_exception(AssertionError(f"the server did not start: {self.said}"))

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(DEADLINE_S)

    def stop(self) -> None:
        """As systemd does; it must end by itself."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                assert self._process.wait(DEADLINE_S) == 0, self.said
            finally:
                self._process.kill()

    def memory(self) -> int:
        """Resident bytes."""
        (pages,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(pages) * 1024

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)


@dataclass
class Device:
    """One that numbers what it has to say, and says it until it is answered 204."""

    id: str
    token: str
    said: int = 0  # alerts that were acknowledged
    refused: Counter[int] = field(default_factory=Counter)

    def record(self, number: int) -> dict[str, Any]:
        """Alert `number`: each subject is raised and called off in turn."""
        level = "CRITICAL" if number // SUBJECTS % 2 == 0 else "OK"
        subject = {"name": f"s{number % SUBJECTS}", "type": "log", "status": f"n{number}"}
        at = (BEGAN + timedelta(milliseconds=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"name": f"alert {number}", "level": level, "timestamp": at, "subject": subject}

    async def report(self, port: int, count: int, within_s: float | None = None) -> None:
        """The next `count` alerts in one POST, again and again until it is acknowledged."""
        body = json.dumps([self.record(self.said + each) for each in range(count)]).encode()
        async with asyncio.timeout(within_s or DEADLINE_S):
            while (status := await post(port, ALERT, self.token, body)) != 204:
                assert status in (0, 503), status  # nobody there, or not now
                self.refused[status] += 1
                await asyncio.sleep(random.uniform(0.5, 1) * min(1, 0.02 * 2 ** self.refused.total()))
        self.said += count

    @property
    def open(self) -> int:
        """How many of its subjects are open after all it has said."""
        last = {number % SUBJECTS: number // SUBJECTS % 2 for number in range(self.said)}
        return sum(1 for called_off in last.values() if not called_off)


async def post(port: int, path: str, token: str, body: bytes) -> int:
    """Its status; 0: nobody answered, or not in `TRY_S`. A connection of its own, as a device has after an outage."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer = None
    try:
        # A kernel whose queue of connections is full can leave a client believing that it has one.
        async with asyncio.timeout(TRY_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode() + body)
            line = await reader.readline()
        return int(line.split()[1]) if line.endswith(b"\n") else 0
    except OSError:  # also when the time is over
        return 0
    finally:
        if writer is not None:
            writer.close()


@dataclass
class Fleet:
    """Devices that a server knows, and the user who is told of their alerts."""

    settings: Settings
    devices: Sequence[Device]

    @classmethod
    def made(cls, settings: Settings, count: int) -> Self:
        """Before the server starts: a tenant with a user and `count` devices that have been let in."""

        async def make(services: Services) -> Self:
            tenant = await tenants.ensure_tenant(services)
            assert tenant is not None
            await access.create_user(services, UserScope(tenant.id, None), EMAIL, PASSWORD)
            devices = []
            for number in range(count):
                names = {"jti": f"a{number}", "sub": f"d{number}"}
                token = services.signer.sign(names | {"mender.device": True, "mender.tenant": tenant.id})
                devices.append(Device(f"d{number}", token))

            async def fill(tx: Tx) -> None:
                await tx.many(
                    "INSERT INTO device (tenant, id, identity, identity_hash, status, created_at, updated_at)"
                    " VALUES (:t, :id, '{}', :id, 'accepted', 0, 0)",
                    ({"t": tenant.id, "id": each.id} for each in devices),
                )
                await tx.many(
                    "INSERT INTO auth_set (tenant, device, id, pubkey, status, token_hash, created_at)"
                    " VALUES (:t, :id, :auth, 'k', 'accepted', :hash, 0)",
                    (
                        {"t": tenant.id, "id": each.id, "auth": f"a{number}", "hash": digest(each.token)}
                        for number, each in enumerate(devices)
                    ),
                )

            await services.db.write(SYSTEM, fill)
            return cls(settings, devices)

        return opened(settings, make)

    def check(self) -> None:
        """Every alert that was acknowledged is there once, is owed once, and the state of all is what was said last."""

        async def look(services: Services) -> tuple[list[Any], ...]:
            async def read(tx: Tx) -> tuple[list[Any], ...]:
                asked = (
                    "SELECT device, subject_status FROM alert",
                    "SELECT device, alert_id FROM notification",
                    "SELECT device, alert_id FROM delivery",
                    "SELECT id, open_count FROM device",
                    "SELECT device, count(*) FROM subject WHERE open = 1 GROUP BY device",
                )
                return tuple([[tuple(row) for row in await tx.all(each)] for each in asked])

            return await services.db.read(SYSTEM, read)

        alerts, waiting, owed, counted, listed = opened(self.settings, look)
        expected = Counter((each.id, f"n{number}") for each in self.devices for number in range(each.said))
        assert Counter(alerts) == expected
        assert sorted(device for device, _ in waiting + owed) == sorted(device for device, _ in expected.elements())
        assert len(set(waiting + owed)) == len(waiting + owed)
        truth = {each.id: each.open for each in self.devices}
        assert dict(counted) == truth
        assert dict.fromkeys(truth, 0) | dict(listed) == truth


def opened(settings: Settings, work: Callable[[Services], Coroutine[Any, Any, Any]]) -> Any:
    """Run `work` on the services of `settings`, while no server does."""

    async def main() -> Any:
        async with open_services(settings) as services:
            return await work(services)

    return asyncio.run(main())
