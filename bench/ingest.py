"""Alerts per second that one server process takes in durably: wrk with 64 connections, 1 and 16 alerts a POST.

The limit in the same run: the same rows put into SQLite by a bare loop, one commit for 64 alerts, `synchronous=FULL`.
The peer, where it is installed: Prometheus Alertmanager, which keeps alerts in memory and answers without storing them.
"""

import json
import shutil
import sqlite3
import subprocess
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench import wrk
from bench.fleet import enrol
from vedette.demo.api import Api
from vedette.demo.stage import Stage, free_port
from vedette.demo.story import wait_until

PER_POST = (1, 16)
DEVICES = 64
COMMIT_OF = 64  # the bare loop commits as many alerts as there are connections
ALERTMANAGER = "prometheus-alertmanager"


@dataclass(frozen=True, kw_only=True)
class Intake:
    """One load."""

    per_post: int
    load: wrk.Load
    stored: int  # alerts found in the database afterwards; of Alertmanager: in requests it answered

    @property
    def per_s(self) -> float:
        return self.stored / self.load.seconds

    @property
    def per_cpu_s(self) -> float:
        return self.stored / self.load.cpu_s


@dataclass(frozen=True, kw_only=True)
class Served:
    """A fresh server with a fleet."""

    url: str
    pid: int
    data: Path
    tokens: Path  # a device token a line


def serve(stage: Stage, devices: int = DEVICES) -> Served:
    """Start a server and let `devices` devices in."""
    port = free_port(0)
    url = f"http://127.0.0.1:{port}"
    data = stage.path / "intake"
    server = stage.start("vedette", "server", "--listen", f"127.0.0.1:{port}", "--data", str(data), "--public-url", url)
    api = Api(url)
    wait_until("the server answers", api.alive)
    tenant = json.loads(stage.run("vedette", "tenant", "create", "load", "--json", "--data", str(data)))
    password = "a-long-password"
    words = ("user", "create", "load@example.com", "--tenant", "load", "--password-stdin", "--data", str(data))
    stage.run("vedette", *words, stdin=password)
    api.login("load@example.com", password)
    tokens = stage.path / "tokens"
    tokens.write_text("\n".join(enrol(api, url, tenant["tenant_token"], devices)) + "\n")
    return Served(url=url, pid=server.pid, data=data, tokens=tokens)


def measure(served: Served) -> list[Intake]:
    """Load it, with the answers checked and the rows counted."""
    return [_measure(served, per_post) for per_post in PER_POST]


def _measure(served: Served, per_post: int) -> Intake:
    before = _stored(served.data)
    load = wrk.load("alerts.lua", served.url, served.pid, per_post, served.tokens)
    if load.errors:
        raise RuntimeError(f"{load.errors} requests failed")
    return Intake(per_post=per_post, load=load, stored=_stored(served.data) - before)


def _stored(data: Path) -> int:
    with closing(sqlite3.connect(f"file:{data}/vedette.db?mode=ro", uri=True)) as database:
        count: int = database.execute("SELECT count(*) FROM alert").fetchone()[0]
        return count


def alertmanager(path: Path) -> list[Intake]:
    """The same load on the peer; empty when it is not installed."""
    program = shutil.which(ALERTMANAGER)
    if program is None:
        return []
    return [_alertmanager(program, path / f"alertmanager-{per_post}", per_post) for per_post in PER_POST]


def _alertmanager(program: str, path: Path, per_post: int) -> Intake:
    """On an empty one: it looks through what it holds."""
    path.mkdir()
    config = path / "alertmanager.yml"
    config.write_text("route: {receiver: nobody, group_wait: 1h}\nreceivers: [{name: nobody}]\n")
    address = f"127.0.0.1:{free_port(0)}"
    words = [
        program, f"--config.file={config}", f"--storage.path={path}", f"--web.listen-address={address}",
        "--cluster.listen-address=", "--log.level=error",
    ]  # fmt: skip
    with (path / "log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log) as process:
        try:
            wait_until("Alertmanager answers", lambda: _answers(f"http://{address}/-/ready"))
            load = wrk.load("alertmanager.lua", f"http://{address}", process.pid, per_post)
        finally:
            process.terminate()
    return Intake(per_post=per_post, load=load, stored=(load.requests - load.errors) * per_post)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except OSError:
        return False
    return True


def bare_loop(path: Path) -> float:
    """Alerts per second of a loop that only stores: the limit on this disk, without network, checks or open state."""
    details = json.dumps({"lines_before": [{"line_number": i, "data": "x" * 80} for i in range(20)]})
    row = ("CRITICAL", "2026-01-01", "log", "log_scan", "LOGCONTAINS", details)
    with closing(sqlite3.connect(path / "bare.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute(
            "CREATE TABLE alert (device, id, level, at, type, name, status, details, PRIMARY KEY (device, id))"
            " WITHOUT ROWID"
        )
        begun, count = time.monotonic(), 0
        while time.monotonic() - begun < wrk.SECONDS / 2:
            database.execute("BEGIN IMMEDIATE")
            for number in range(COMMIT_OF):
                words = (f"device-{number}", f"{count + number:036}", *row)
                database.execute("INSERT INTO alert VALUES (?, ?, ?, ?, ?, ?, ?, ?)", words)
            database.execute("COMMIT")
            count += COMMIT_OF
        return count / (time.monotonic() - begun)
