"""Devices deliver and users read, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from postgresql import ON_SQLITE

from vedette.server.db import SYSTEM, Tx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Site

pytestmark = pytest.mark.anyio

ALERT = "/api/devices/v1/devicemonitor/alert"
CONFIG = "/api/devices/v1/devicemonitor/config"
NEXT = "/api/devices/v1/deployments/device/deployments/next"
ALERTS = "/api/management/v1/devicemonitor/devices/d1/alerts"
LATEST = ALERTS + "/latest"
SWITCH = "/api/management/v1/devicemonitor/settings/global/channel/alerts/email/status"


def record(level: str = "CRITICAL", second: int = 0, subject: str = "s", **changes: Any) -> dict[str, Any]:
    return {
        "name": f"Log file contains {subject}",
        "level": level,
        "timestamp": f"2026-08-22T12:00:{second:02}.5Z",
        "subject": {"name": subject, "type": "log", "status": "LOGCONTAINS"},
        **changes,
    }


async def test_an_alert_is_readable_when_the_answer_comes(site: Site) -> None:
    sent = record()
    sent["subject"]["details"] = {
        "description": "s present in /l",
        "lines_before": [{"line_number": 1, "data": ""}],
        "line_matching": {"line_number": 2, "data": "s é \u0000"},
    }
    answer = await site.device.post(ALERT, json=[sent])
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["x-men-requestid"]
    (got,) = (await site.user.get(ALERTS)).json()
    assert got.pop("device_id") == "d1"
    assert (await site.user.get(f"/devices/d1/alerts/{got.pop('id')}")).status_code == 200
    assert got == sent | {"timestamp": "2026-08-22T12:00:00.500Z"}


async def test_lists_are_paged_as_clients_know_it(site: Site) -> None:
    assert (
        await site.device.post(ALERT, json=[record(second=n, subject=f"s{n}") for n in range(5)])
    ).status_code == 204
    answer = await site.user.get(ALERTS, params={"page": 2, "per_page": 2, "unknown": "x"})
    assert [each["subject"]["name"] for each in answer.json()] == ["s2", "s1"]
    assert answer.headers["x-total-count"] == "5"
    assert 'rel="next"' in answer.headers["link"]
    names = lambda answer: [each["subject"]["name"] for each in answer.json()]  # noqa: E731
    assert names(await site.user.get(LATEST)) == ["s0", "s1", "s2", "s3", "s4"]
    assert names(await site.user.get(ALERTS, params={"sort_ascending": "True", "per_page": 1})) == ["s0"]
    for before in ("2026-08-22T12:00:01.5Z", "2026-08-22T14:00:01.5+02:00", "2026-08-22T12:00:01.000Z"):
        assert names(await site.user.get(ALERTS, params={"issued_before": before})) == ["s0"]
    assert names(await site.user.get(ALERTS + "?issued_after=2026-08-22T14:00:03.4+02:00")) == ["s4", "s3"]
    assert names(await site.user.get(ALERTS, params={"issued_after": "1787400003"})) == ["s4", "s3"]


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (ALERTS, {"issued_before": "yesterday"}),
        (ALERTS, {"issued_after": "9" * 30}),
        (ALERTS, {"sort_ascending": "maybe"}),
        (ALERTS, {"page": "0"}),
        (ALERTS, {"per_page": "501"}),
        (LATEST, {"level_from": "BAD"}),
    ],
)
async def test_wrong_parameters_are_refused(site: Site, path: str, params: dict[str, str]) -> None:
    answer = await site.user.get(path, params=params)
    assert answer.status_code == 400
    assert answer.json()["request_id"] == answer.headers["x-men-requestid"]


async def test_the_latest_can_be_asked_by_level(site: Site) -> None:
    await site.device.post(ALERT, json=[record("OK", 1, "fine"), record("WARNING", 2, "odd"), record(second=3)])
    for level, expected in (("", 2), ("OK", 3), ("ok", 3), ("WARNING", 2), ("CRITICAL", 1)):
        answer = await site.user.get(LATEST, params={"level_from": level})
        assert (len(answer.json()), answer.headers["x-total-count"]) == (expected, str(expected))


async def test_a_configuration_is_replaced(site: Site) -> None:
    checks = [
        {"name": "a.sh", "status": "enabled", "type": "log", "log": {"pattern": "x", "path": "/y"}},
        {"name": "b.sh", "status": "enabled", "type": "service", "service": {"name": "cron", "type": "systemd"}},
    ]
    path = "/api/management/v1/devicemonitor/devices/d1/config"
    for method, body in (("POST", checks), ("PUT", checks[:1]), ("POST", [])):
        assert (await site.device.request(method, CONFIG, json=body)).status_code == 204
        assert (await site.user.get(path)).json() == body
    assert (await site.device.post(CONFIG, json=[{"name": "x"}])).status_code == 400


async def test_there_is_nothing_to_install(site: Site) -> None:
    assert (await site.device.get(NEXT, params={"device_type": "x", "artifact_name": "y"})).status_code == 204
    assert (await site.device.post(NEXT, json={"device_type": "x", "artifact_name": "y"})).status_code == 204
    provides = {"device_type": "x", "artifact_name": "y", "rootfs-image.version": "y"}
    asked = {"device_provides": provides, "update_control_map": True}
    assert (await site.device.post(NEXT.replace("v1", "v2"), json=asked)).status_code == 204
    for wrong in ({}, {"device_type": "x"}, {"device_type": "x", "artifact_name": ""}, {"device_type": 1}):
        assert (await site.device.post(NEXT, json=wrong)).status_code == 400


@pytest.mark.parametrize(
    ("content", "headers", "status", "text"),
    [
        (b"[{]", {}, 400, "not valid"),
        (json.dumps([record(name=7)]).encode(), {}, 400, "$[0].name"),
        (b"x" * (1024 * 1024 + 1), {}, 413, "larger than"),
        (b"[]", {"Content-Type": "text/plain"}, 415, "Bad Content-Type"),
        (b"[]", {"Authorization": "Bearer nonsense"}, 401, "not valid"),
        (b"[]", {"Authorization": "Basic x"}, 401, "Authorization"),
    ],
)
async def test_what_is_refused_says_why_and_keeps_nothing(
    site: Site, content: bytes, headers: dict[str, str], status: int, text: str
) -> None:
    answer = await site.device.post(ALERT, content=content, headers={"Content-Type": "application/json"} | headers)
    assert answer.status_code == status
    assert text in answer.json()["error"]
    assert (await site.user.get(ALERTS)).json() == []


async def test_one_bad_record_keeps_the_whole_body_out(site: Site) -> None:
    """The device then splits its batch; half of one must not be stored."""
    assert (await site.device.post(ALERT, json=[record(), record(level="BAD")])).status_code == 400
    assert (await site.user.get(ALERTS)).json() == []


async def test_a_users_token_is_none_of_a_device_and_the_reverse(site: Site) -> None:
    assert (await site.user.post(ALERT, json=[])).status_code == 401
    assert (await site.device.get(ALERTS)).status_code == 401


async def test_chunked_bodies_are_read(site: Site) -> None:
    """The Go client sends every body so, without a length."""

    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    good = await site.device.post(ALERT, content=pieces(json.dumps([record()]).encode()))
    assert good.status_code == 204


async def test_a_chunked_body_without_end_is_cut_off(site: Site) -> None:
    """The answer comes while the device still sends: nobody waits for, or keeps, more than the limit."""
    reader, writer = await _begin(site, "Transfer-Encoding: chunked")
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            for _ in range(17):
                writer.write(piece)
                await writer.drain()
        assert b" 413 " in await reader.readline()
    writer.close()


async def test_who_hangs_up_in_the_middle_leaves_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps([record()]).encode()
    _, writer = await _begin(site, f"Content-Length: {len(body)}\r\nContent-Type: application/json")
    writer.write(body[:-5])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await site.device.post(ALERT, json=[record(subject="t")])).status_code == 204
    assert len((await site.user.get(ALERTS)).json()) == 1
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []


async def _begin(site: Site, headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A POST of alerts by hand, up to its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    token = site.device.headers["authorization"]
    writer.write(f"POST {ALERT} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{headers}\r\n\r\n".encode())
    return reader, writer


async def test_options_and_other_methods(site: Site) -> None:
    options = await site.device.request("OPTIONS", ALERT)
    assert (options.status_code, options.headers["allow"]) == (200, "OPTIONS, POST")
    assert (await site.device.delete(ALERT)).status_code == 405


@ON_SQLITE
async def test_a_database_that_cannot_be_written_says_come_back(site: Site) -> None:
    """Nothing inside leaks out, and the device knows that trying again helps."""

    async def limit(tx: Tx) -> None:
        pages = await tx.value("PRAGMA page_count")
        await tx.value(f"PRAGMA max_page_count = {pages}")

    await site.services.db.write(SYSTEM, limit)
    many = [record(second=n % 60, subject=f"s{n}", name="x" * 4000) for n in range(100)]
    answer = await site.device.post(ALERT, json=many)
    assert (answer.status_code, answer.json()["error"]) == (503, "service unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert (await site.user.get(ALERTS)).json() == []

    async def widen(tx: Tx) -> None:
        await tx.value("PRAGMA max_page_count = 1000000")

    await site.services.db.write(SYSTEM, widen)
    assert (await site.device.post(ALERT, json=many)).status_code == 204
    assert (await site.user.get(ALERTS)).headers["x-total-count"] == "100"


async def test_many_at_once_are_all_kept_once(site: Site) -> None:
    """Every alert sent twice, all at the same time."""
    bodies = [[record(second=n, subject=f"s{n}")] for n in range(40)] * 2
    answers = await asyncio.gather(*(site.device.post(ALERT, json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {204}
    assert (await site.user.get(ALERTS)).headers["x-total-count"] == "40"
    assert (await site.user.get(LATEST)).headers["x-total-count"] == "40"


async def test_the_switch(site: Site) -> None:
    for body, status in (({"enabled": False}, 204), ({"enabled": "no"}, 400), ([], 400)):
        assert (await site.user.put(SWITCH, json=body)).status_code == status
    assert (await site.user.put(SWITCH.replace("email", "pigeon"), json={"enabled": True})).status_code == 400


@pytest.mark.parametrize("path", [ALERTS, LATEST, "/api/management/v1/devicemonitor/devices/d1/config"])
async def test_the_device_of_nobody_is_not_found(site: Site, path: str) -> None:
    assert (await site.user.get(path.replace("d1", "d2"))).status_code == 404


async def test_gaps_of_an_account_are_taken_and_told(site: Site) -> None:
    account = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    gap = {"account": account, "first": 1, "last": 3, "reason": "the store was full", "at": "2026-08-22T02:11:00Z"}
    origin = {"id": account, "sequence": 4, "boot": account, "elapsed_s": 1, "account": account}
    assert (await site.device.post(ALERT, json=[record(origin=origin)])).status_code == 204
    for _ in range(2):
        assert (await site.device.post("/api/devices/v1/vedette/gaps", json=[gap])).status_code == 204
    got = (await site.user.get("/api/management/v1/vedette/devices/d1/completeness")).json()
    missing = {"first": 1, "last": 3, "reason": "the store was full", "at": "2026-08-22T02:11:00.000Z"}
    assert got["accounts"] == [
        {"account": account, "received": 1, "last": 4, "complete_to": 4, "missing": [missing], "before": []}
    ]
    for bad in ({"first": 4}, {"at": "x"}, {"account": "x"}, {"last": -1}, {"reason": None}):
        assert (await site.device.post("/api/devices/v1/vedette/gaps", json=[gap | bad])).status_code == 400
