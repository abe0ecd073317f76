"""What people and scripts ask of a big fleet: 1,000,000 devices, 5,000,000 alerts, 20,000 of them open.

The fleet is written straight into the database: through the API it would take an hour, and the reads are measured.
"""

import base64
import http.client
import json
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.markdown import table
from bench.process import Cost
from vedette.demo.api import Api
from vedette.demo.stage import Stage, free_port
from vedette.demo.story import wait_until

DEVICES: Final = 1_000_000
ALERTS_EACH: Final = 5
OPEN_EVERY: Final = 50  # every so many devices has an open problem: 20,000
GROUPS: Final = 100
RARE_EVERY: Final = 100_000  # devices that share a rare value: 10
SAMPLES: Final = 40
LONGEST_MS: Final = 10_000  # all samples of a question; of one that takes long there are fewer
EMAIL, PASSWORD = "load@example.com", "a-long-password"
OF_SITE: Final = "site@example.com"  # sees the devices of one group alone

# n counts devices from 0. Ids sort as n does, and so do times: a million seconds before a fixed day, a second each.
_DEVICE: Final = "printf('%08x-0000-4000-8000-%012x', n, n)"
_AT: Final = "(1767225600000000 + n * 1000000)"
_MS: Final = "printf('%012x', 1767225600000 + n * 1000 + k)"
_ALERT: Final = f"substr({_MS}, 1, 8) || '-' || substr({_MS}, 9, 4) || '-8000-8000-' || printf('%012x', n * 8 + k)"
_OPEN: Final = f"(n % {OPEN_EVERY} = 0)"
_FILL: Final = (
    "INSERT INTO device (tenant, id, identity, identity_hash, status, group_name, created_at, updated_at, check_in_at,"
    f" open_count) SELECT :tenant, {_DEVICE}, json_object('mac', printf('02:00:%08x', n)), printf('%064x', n),"
    f" CASE WHEN n % 1000 = 999 THEN 'pending' ELSE 'accepted' END, printf('site-%02d', n % {GROUPS}), {_AT}, {_AT},"
    f" {_AT}, {_OPEN} FROM series",
    "INSERT INTO auth_set (tenant, device, id, pubkey, status, created_at)"
    f" SELECT :tenant, {_DEVICE}, printf('%08x-0000-4000-9000-%012x', n, n), printf('key %d', n),"
    f" CASE WHEN n % 1000 = 999 THEN 'pending' ELSE 'accepted' END, {_AT} FROM series",
    "INSERT INTO attribute (tenant, device, scope, name, value, updated_at)"
    f" SELECT :tenant, {_DEVICE}, 'identity', 'mac', json_quote(printf('02:00:%08x', n)), {_AT} FROM series",
    "INSERT INTO attribute (tenant, device, scope, name, value, updated_at)"
    f" SELECT :tenant, {_DEVICE}, 'inventory', 'device_type', '\"gate\"', {_AT} FROM series",
    "INSERT INTO attribute (tenant, device, scope, name, value, updated_at)"
    f" SELECT :tenant, {_DEVICE}, 'inventory', 'batch', json_quote(printf('batch-%d', n % {RARE_EVERY})), {_AT}"
    " FROM series",
    "INSERT INTO alert (tenant, device, id, name, level, at, received_at, subject_type, subject_name, subject_status,"
    f" details) SELECT :tenant, {_DEVICE}, {_ALERT}, 'Log file contains CVE.*HIGH',"
    f" CASE WHEN k % 2 = 0 AND (k < {ALERTS_EACH - 1} OR {_OPEN}) THEN 'CRITICAL' ELSE 'OK' END,"
    f" {_AT} + k * 1000, {_AT} + k * 1000, 'log', 'log_scan', 'LOGCONTAINS',"
    ' \'{"description":"CVE.*HIGH present in /tmp/x","line_matching":{"line_number":7,"data":"CVE-2026-1 HIGH"}}\''
    f" FROM series JOIN (SELECT value AS k FROM json_each('{json.dumps(list(range(ALERTS_EACH)))}')) AS each",
    "INSERT INTO subject (tenant, device, type, name, level, open, alert_id, at, account)"
    f" SELECT :tenant, {_DEVICE}, 'log', 'log_scan', CASE WHEN {_OPEN} THEN 'CRITICAL' ELSE 'OK' END, {_OPEN},"
    f" {_ALERT}, {_AT}, '' FROM series JOIN (SELECT {ALERTS_EACH - 1} AS k) AS last",
)


@dataclass(frozen=True, kw_only=True)
class Read:
    """One question, asked `SAMPLES` times of different devices after a few to warm up."""

    what: str
    to_reach: str
    median_ms: float
    worst_ms: float
    cpu_ms: float  # of the server, on average


class Asker:
    """A user on one connection, as a browser or script keeps it."""

    def __init__(self, port: int, email: str = EMAIL) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        basic = base64.b64encode(f"{email}:{PASSWORD}".encode()).decode()
        _, token = self._send(
            "POST", "/api/management/v1/useradm/auth/login", None, {"Authorization": f"Basic {basic}"}
        )
        self._with = {"Authorization": f"Bearer {token.decode()}"}

    def time(self, method: str, path: str, body: object = None) -> float:
        """Seconds from the question to the whole answer."""
        begun = time.monotonic()
        self._send(method, path, body, self._with)
        return time.monotonic() - begun

    def _send(self, method: str, path: str, body: object, headers: dict[str, str]) -> tuple[int, bytes]:
        sent = None if body is None else json.dumps(body)
        more = {} if body is None else {"Content-Type": "application/json"}
        self._line.request(method, path, sent, {**headers, **more})
        answer = self._line.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return answer.status, content


Question = tuple[Asker, str, str, Callable[[int], tuple[str, str, object]]]
"""Who asks, what it is called, what is to be reached, and the call that asks it of the n-th device."""


def measure(stage: Stage) -> list[str]:
    """Make the fleet, start the server on it, ask."""
    data = stage.path / "management"
    port = free_port(0)
    url = f"http://127.0.0.1:{port}"
    command = ("server", "--listen", f"127.0.0.1:{port}", "--data", str(data), "--public-url", url)
    first = stage.start("vedette", *command)
    wait_until("the server answers", Api(url).alive)
    tenant = json.loads(stage.run("vedette", "tenant", "create", "load", "--json", "--data", str(data)))
    words = ("user", "create", EMAIL, "--tenant", "load", "--password-stdin", "--data", str(data))
    stage.run("vedette", *words, stdin=PASSWORD)
    first.stop()
    stage.say(f"writing {DEVICES:,} devices and {DEVICES * ALERTS_EACH:,} alerts; some minutes")
    _fill(data / "vedette.db", tenant["id"])
    begun = time.monotonic()
    server = stage.start("vedette", *command)
    wait_until("the server answers", Api(url).alive)
    started_s = time.monotonic() - begun
    pid = server.pid
    reads = [*_ask(pid, _questions(Asker(port))), *_ask(pid, _questions_of_site(Asker(port), port))]
    size_gb = (data / "vedette.db").stat().st_size / 1e9
    return [
        "## Questions to a big fleet",
        "",
        f"{DEVICES:,} devices in {GROUPS} groups, {DEVICES * ALERTS_EACH:,} alerts, {DEVICES // OPEN_EVERY:,} open;"
        f" {size_gb:.1f} GB of SQLite; {SAMPLES} samples each (fewer where they take {LONGEST_MS // 1000} s), one after"
        " the other, over HTTP.",
        f"Start to first answer {started_s:.2f} s (to reach: 1). RSS afterwards {Cost.of(pid).rss_mb:.0f} MB"
        f" (to reach: 120). CPU is that of the server, on average.",
        "",
        *table(
            "question | median ms | worst ms | CPU ms | to reach",
            *(
                (each.what, f"{each.median_ms:.1f}", f"{each.worst_ms:.1f}", f"{each.cpu_ms:.1f}", each.to_reach)
                for each in reads
            ),
        ),
    ]


def _fill(path: Path, tenant: str) -> None:
    """Indexes are made afterwards: in the order of their keys, that takes a tenth of the time."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA cache_size=-262144")
        indexes = database.execute(
            "SELECT name, sql FROM sqlite_master"
            " WHERE type = 'index' AND sql IS NOT NULL AND tbl_name != 'device_count'"  # which triggers need
        ).fetchall()
        for name, _ in indexes:
            database.execute(f"DROP INDEX {name}")
        for statement in _FILL:
            database.execute("BEGIN")
            database.execute(
                f"WITH RECURSIVE series (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM series WHERE n < {DEVICES - 1})"
                f" {statement}",
                {"tenant": tenant},
            )
            database.execute("COMMIT")
        for _, sql in indexes:
            database.execute(sql)


def _device(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def _search(scope: str, attribute: str, value: object) -> tuple[str, str, object]:
    wanted = {"scope": scope, "attribute": attribute, "type": "$eq", "value": value}
    return "POST", "/api/management/v2/inventory/filters/search", {"per_page": 20, "filters": [wanted]}


def _questions(asker: Asker) -> Iterator[Question]:
    monitor, inventory = "/api/management/v1/devicemonitor/devices", "/api/management/v1/inventory"
    devauth = "/api/management/v2/devauth"
    questions = (
        ("open alerts of a device", "5", lambda n: ("GET", f"{monitor}/{_device(n)}/alerts/latest", None)),
        ("history of a device, first page", "5", lambda n: ("GET", f"{monitor}/{_device(n)}/alerts", None)),
        ("page of a device", "5", lambda n: ("GET", f"/devices/{_device(n)}", None)),
        ("device of the inventory", "5", lambda n: ("GET", f"{inventory}/devices/{_device(n)}", None)),
        ("devices with open alerts, 20", "5", lambda _: _search("monitor", "alerts", value=True)),
        ("the same, page for people", "5", lambda _: ("GET", "/devices?show=issues", None)),
        (
            "by a rare attribute",
            "5",
            lambda n: _search("inventory", "batch", f"batch-{n % RARE_EVERY}"),
        ),
        ("by a rare attribute, v1", "5", lambda n: ("GET", f"{inventory}/devices?batch=batch-{n % RARE_EVERY}", None)),
        ("by a common attribute, 20", "", lambda _: _search("inventory", "device_type", "gate")),
        ("by group, 20", "", lambda n: ("GET", f"{inventory}/devices?group=site-{n % GROUPS:02}", None)),
        ("list of devices, first page", "5", lambda _: ("GET", f"{devauth}/devices", None)),
        ("list of devices, page for people", "5", lambda _: ("GET", "/devices", None)),
        ("list of devices, page 1000", "", lambda _: ("GET", f"{devauth}/devices?page=1000", None)),
        ("count by status", "20", lambda _: ("GET", f"{devauth}/devices/count?status=accepted", None)),
        ("statistics", "20", lambda _: ("GET", "/api/management/v2/inventory/statistics", None)),
        ("groups", "", lambda _: ("GET", f"{inventory}/groups", None)),
        ("names of attributes", "", lambda _: ("GET", "/api/management/v2/inventory/filters/attributes", None)),
    )
    for what, to_reach, question in questions:
        yield asker, what, to_reach, question


def _questions_of_site(admin: Asker, port: int) -> Iterator[Question]:
    """Those of a user who sees one group, of which nobody else has to notice anything."""
    users = "/api/management/v2/useradm"
    scope = {"type": "DeviceGroups", "value": ["site-07"]}
    admin.time(
        "POST",
        f"{users}/roles",
        {"name": "site", "permission_sets_with_scope": [{"name": "ReadDevices", "scope": scope}]},
    )
    admin.time("POST", "/api/management/v1/useradm/users", {"email": OF_SITE, "password": PASSWORD, "roles": ["site"]})
    asker, devauth = Asker(port, OF_SITE), "/api/management/v2/devauth"
    questions = (
        ("list of devices", lambda _: ("GET", f"{devauth}/devices", None)),
        ("list of devices, page 400", lambda _: ("GET", f"{devauth}/devices?page=400", None)),
        ("list of devices, page for people", lambda _: ("GET", "/devices", None)),
        ("devices with open alerts, 20", lambda _: _search("monitor", "alerts", value=True)),
        ("by a rare attribute", lambda n: _search("inventory", "batch", f"batch-{n % RARE_EVERY}")),
        ("by a common attribute, 20", lambda _: _search("inventory", "device_type", "gate")),
        ("count by status", lambda _: ("GET", f"{devauth}/devices/count?status=accepted", None)),
    )
    for what, question in questions:
        yield asker, f"{what}; one group of {GROUPS} is visible", "", question


def _ask(pid: int, questions: Iterator[Question]) -> Iterator[Read]:
    for asker, what, to_reach, question in questions:
        step = DEVICES // SAMPLES // OPEN_EVERY * OPEN_EVERY
        for warm in range(3):
            asker.time(*question(warm * OPEN_EVERY))
        before = Cost.of(pid).cpu_s
        taken: list[float] = []
        while len(taken) < SAMPLES and sum(taken) < LONGEST_MS:
            taken.append(asker.time(*question(len(taken) * step)) * 1000)
        cpu_ms = (Cost.of(pid).cpu_s - before) / len(taken) * 1000
        yield Read(what=what, to_reach=to_reach, median_ms=statistics.median(taken), worst_ms=max(taken), cpu_ms=cpu_ms)
