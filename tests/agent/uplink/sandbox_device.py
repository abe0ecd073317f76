"""A device below a temporary root, with a real store and a real child."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from fake_server import ALERT, FakeServer

from vedette.agent.paths import Paths
from vedette.agent.settings import Settings
from vedette.agent.store import Counts, Store
from vedette.agent.uplink import child, terms
from vedette.clock import FakeClock
from vedette.model import Alert, Details, Level, Line, Subject

BOOT = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


class Device:
    """A device's store and configuration, and its child in this process or in one of its own."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.clock = FakeClock()
        self.settings = Settings(config_deployments="off")
        self.paths.mender_conf.parent.mkdir(parents=True)
        self.boot = BOOT
        self.processes: list[subprocess.Popen[bytes]] = []

    def belongs_to(self, url: str, **more: object) -> None:
        self.paths.mender_conf.write_text(json.dumps({"ServerURL": url, "TenantToken": "tenant", **more}))

    def store(self) -> closing[Store]:
        return closing(Store.open(self.paths.store, clock=self.clock))

    def owe(self, *names: str, text: str = "x") -> None:
        with self.store() as store, store.commit() as tx:
            for name in names:
                tx.add_alert(self.alert(name, text), BOOT, 1.0)

    def alert(self, name: str, text: str = "x") -> Alert:
        details = Details(line_matching=Line(1, text))
        subject = Subject(name="log_scan", type="log", status="LOGCONTAINS", details=details)
        return Alert(name=name, level=Level.CRITICAL, at=datetime(2026, 1, 1, tzinfo=UTC), subject=subject)

    def meta(self, key: str) -> str | None:
        with self.store() as store:
            return store.meta(key)

    def set_meta(self, key: str, value: str) -> None:
        with self.store() as store:
            store.set_meta(key, value)

    def counts(self) -> Counts:
        with self.store() as store:
            return store.counts()

    def deliver(self, draw: Callable[[float, float], float] = max) -> float | None:
        """One life of the child in this process, with nobody at the bell; what it wants to wait."""
        reader, writer = os.pipe()
        try:
            with self.store() as store:
                return child.Child(
                    store, self.paths, terms.of(self.settings), self.clock, child.Bell(reader), draw
                ).run()
        finally:
            os.close(reader)
            os.close(writer)

    def start(self) -> subprocess.Popen[bytes]:
        """A real child with pipes, as the daemon has it."""
        process = subprocess.Popen(
            [sys.executable, "-m", "vedette.agent.uplink", "--root", str(self.paths.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self.processes.append(process)
        return process


def names(server: FakeServer) -> list[str]:
    """Of all alerts in requests to the server, in the order in which they came."""
    return [alert["name"] for asked in server.to(ALERT) for alert in asked.json]
