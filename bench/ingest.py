"""Alerts per second that one server process takes in durably: wrk with 64 connections, 1 and 16 alerts a POST.

The limit in the same run: the same rows put into SQLite by a bare loop, one commit for 64 alerts, `synchronous=FULL`.
"""

import json
import re
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.fleet import enrol
from bench.process import Cost
from vedette.demo.api import Api
from vedette.demo.stage import Stage, free_port
from vedette.demo.story import wait_until

CONNECTIONS = 64
DEVICES = 64
SECONDS = 10
COMMIT_OF = 64  # the bare loop commits as many alerts as there are connections

SCRIPT = Path(__file__).with_name("alerts.lua")


@dataclass(frozen=True, kw_only=True)
class Intake:
    """One load."""

    per_post: int
    alerts_per_s: float
    alerts_per_cpu_s: float  # of the server alone
    p50_ms: float
    p99_ms: float
    stored: int
    answered: int  # alerts in POSTs answered 2xx, by wrk's count
    rss_mb: float


def measure(stage: Stage) -> list[Intake]:
    """Load a fresh server."""
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
    tokens = enrol(api, url, tenant["tenant_token"], DEVICES)
    return [_load(stage.path, url, server.pid, data, tokens, per_post) for per_post in (1, 16)]


def _load(path: Path, url: str, pid: int, data: Path, tokens: list[str], per_post: int) -> Intake:
    token_file = path / "tokens"
    token_file.write_text("\n".join(tokens) + "\n")
    stored_before, before = _stored(data), Cost.of(pid)
    arguments = ["--", str(per_post), str(token_file)]
    said = subprocess.run(
        ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(SCRIPT), url, *arguments],
        capture_output=True, text=True, check=True, timeout=SECONDS + 60,
    ).stdout  # fmt: skip
    after, stored = Cost.of(pid), _stored(data) - stored_before
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", said)
    assert found, said
    requests, errors, duration_us, p50_us, p99_us = map(int, found.groups())
    assert errors == 0, said
    return Intake(
        per_post=per_post,
        alerts_per_s=stored / (duration_us / 1e6),
        alerts_per_cpu_s=stored / (after.cpu_s - before.cpu_s),
        p50_ms=p50_us / 1000,
        p99_ms=p99_us / 1000,
        stored=stored,
        answered=requests * per_post,
        rss_mb=after.rss_mb,
    )


def _stored(data: Path) -> int:
    with closing(sqlite3.connect(f"file:{data}/vedette.db?mode=ro", uri=True)) as database:
        count: int = database.execute("SELECT count(*) FROM alert").fetchone()[0]
        return count


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
        while time.monotonic() - begun < SECONDS / 2:
            database.execute("BEGIN IMMEDIATE")
            for number in range(COMMIT_OF):
                words = (f"device-{number}", f"{count + number:036}", *row)
                database.execute("INSERT INTO alert VALUES (?, ?, ?, ?, ?, ?, ?, ?)", words)
            database.execute("COMMIT")
            count += COMMIT_OF
        return count / (time.monotonic() - begun)
