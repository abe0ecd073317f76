"""The audit log as its readers get it: filters, pages, a file for spreadsheets, and what is forgotten."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from serving import EMAIL, RealServer

from vedette.clock import FakeClock
from vedette.server.access import tenants
from vedette.server.access.roles import OBSERVER
from vedette.server.audit import changes, service
from vedette.server.audit.service import Actor, Thing
from vedette.server.db import Tx, UserScope
from vedette.server.services import open_services
from vedette.server.settings import Settings

LOGS = "/api/management/v1/auditlogs/logs"


def write(server: RealServer, *entries: tuple[str, Actor, Thing, str], tenant: str = "") -> None:
    async def work(tx: Tx) -> None:
        for action, actor, thing, change in entries:
            await service.record(tx, server.services, actor, action, thing, change)

    server.run(server.services.db.write(UserScope(tenant or server.tenant.id, None), work))


ANN, BOT = Actor("user", "a-1", "ann@example.com"), Actor("device", "d-9")


def test_entries_are_as_clients_read_them(server: RealServer, admin: httpx.Client) -> None:
    write(
        server,
        ("update", ANN, service.user("u-2", "bob@example.com"), "-a\n+b"),
        ("decommission", ANN, service.device("d-1", {"mac": "1", "a": 2}), ""),
        ("create", BOT, service.deployment("x-1", "configuration", "art"), ""),
    )
    shown = {each["action"]: each for each in admin.get(LOGS, params={"object_id": "u-2"}).json()}
    entry = shown["update"]
    assert entry["actor"] == {"id": "a-1", "type": "user", "email": "ann@example.com"}
    assert entry["object"] == {"id": "u-2", "type": "user", "user": {"email": "bob@example.com"}}
    assert entry["change"] == "-a\n+b"
    assert entry["time"].endswith("Z")
    (device,) = admin.get(LOGS, params={"object_type": "device"}).json()
    assert device["object"]["device"] == {"id": "d-1", "identity_data": '{"a":2,"mac":"1"}'}
    assert "change" not in device
    (made,) = admin.get(LOGS, params={"object_type": "deployment"}).json()
    assert made["actor"] == {"id": "d-9", "type": "device"}
    assert made["object"]["deployment"] == {"name": "configuration", "artifact_name": "art"}


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, "cba"),
        ({"sort": "asc"}, "abc"),
        ({"actor_id": "a-1"}, "ba"),
        ({"actor_type": "device"}, "c"),
        ({"actor_email": "ANN@example.com"}, "ba"),
        ({"object_id": "b"}, "b"),
        ({"object_type": "user", "actor_id": "a-1"}, "a"),
        ({"object_deployment_name": "night"}, "b"),
        ({"object_deployment_name": "nigh"}, ""),
        ({"created_after": "99999999999"}, ""),
        ({"created_before": "1"}, ""),
        ({"created_after": "1", "created_before": "99999999999"}, "cba"),
        ({"actor_id": ""}, "cba"),
    ],
)
def test_filters(server: RealServer, admin: httpx.Client, query: dict[str, str], ids: str) -> None:
    for action, actor, thing in (
        ("create", ANN, service.user("a", "night")),
        ("create", ANN, service.deployment("b", "night")),
        ("create", BOT, service.device("c")),
    ):
        write(server, (action, actor, thing, ""))
    answer = admin.get(LOGS, params=query)
    mine = [each["object"]["id"] for each in answer.json() if each["object"]["id"] in "abc"]
    assert mine == list(ids)
    assert int(answer.headers["x-total-count"]) == len(answer.json())


@pytest.mark.parametrize(
    "query",
    [{"created_after": "yesterday"}, {"sort": "up"}, {"actor_id": "x" * 600}, {"per_page": "501"}, {"page": "0"}],
)
def test_what_cannot_be_meant_is_refused(admin: httpx.Client, query: dict[str, str]) -> None:
    for path in (LOGS, f"{LOGS}/export"):
        if path == LOGS or "page" not in str(query):
            assert admin.get(path, params=query).status_code == 400


def test_pages(server: RealServer, admin: httpx.Client) -> None:
    write(server, *(("create", ANN, service.user(f"u-{number}", "x"), "") for number in range(5)))
    answer = admin.get(LOGS, params={"actor_id": "a-1", "per_page": 2, "page": 2})
    assert (len(answer.json()), answer.headers["x-total-count"]) == (2, "5")
    assert 'rel="last"' in answer.headers["link"]


def test_another_tenant_reads_nothing_of_it(server: RealServer, admin: httpx.Client) -> None:
    write(server, ("create", ANN, service.user("u-1", "x"), ""))
    other = server.add_tenant("other")
    server.add_user("eve@example.com", tenant=other.id)
    client = server.client(server.login("eve@example.com"))
    assert "u-1" not in client.get(LOGS).text + client.get(f"{LOGS}/export").text
    assert "u-1" in admin.get(LOGS).text


def test_only_who_may_read_it(server: RealServer) -> None:
    server.add_user(EMAIL, roles=(OBSERVER,))
    client = server.client(server.login())
    for path in (LOGS, f"{LOGS}/export"):
        assert client.get(path).status_code == 403
        assert server.client().get(path).status_code == 401


def exported(admin: httpx.Client, **query: Any) -> list[dict[str, str]]:
    answer = admin.get(f"{LOGS}/export", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), delimiter=query.get("format_separator", ",")))


def test_the_file_holds_everything_and_no_formula(server: RealServer, admin: httpx.Client) -> None:
    evil = ('=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")
    write(server, *(("create", ANN, service.user(f"u-{n}", text), text) for n, text in enumerate(evil)))
    write(server, ("update", ANN, service.user("many", 'a,"b"\nc;d'), "--- a/x\n+++ b/x"))
    for separator in (",", ";", "\t", "|"):
        rows = exported(admin, actor_id="a-1", sort="asc", format_separator=separator)
        assert len(rows) == 7
        for row, text in zip([row for row in rows if row["object_id"] != "many"], evil, strict=True):
            assert row["object_name"] == row["change"] == "'" + text
        (plain,) = (row for row in rows if row["object_id"] == "many")
        assert (plain["object_name"], plain["change"]) == ('a,"b"\nc;d', "'--- a/x\n+++ b/x")
    assert "change" not in exported(admin, ignore="change,time")[0]
    assert admin.get(f"{LOGS}/export", params={"format_separator": "\n"}).status_code == 400


def test_a_long_file_comes_whole_and_in_order(server: RealServer, admin: httpx.Client) -> None:
    async def work(tx: Tx) -> None:
        things = [(service.user(f"{number:05}", "x"), "") for number in range(1203)]
        await service.record_many(tx, server.services, ANN, "create", things)

    server.run(server.services.db.write(UserScope(server.tenant.id, None), work))
    for order in ("asc", "desc"):
        ids = [row["object_id"] for row in exported(admin, actor_id="a-1", sort=order)]
        assert len(ids) == len(set(ids)) == 1203
    assert len(exported(admin, actor_id="a-1", limit=501)) == 501
    assert admin.get(f"{LOGS}/export", params={"limit": "100001"}).status_code == 400


def test_what_is_a_year_old_is_forgotten_a_little_at_a_time(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(service, "FORGET_AT_ONCE", 3)

    async def test() -> None:
        clock = FakeClock()
        async with open_services(Settings(data=tmp_path), clock) as services:
            scope = UserScope((await tenants.create_tenant(services, "t")).id, None)

            async def work(tx: Tx, count: int) -> None:
                for _ in range(count):
                    await service.record(tx, services, ANN, "create", service.user("u", "x"))

            await services.db.write(scope, work, 5)
            clock.advance(timedelta(days=365, seconds=1).total_seconds())
            await services.db.write(scope, work, 2)
            at_once = [await service.forget_some(services, clock.now() - service.KEPT) for _ in range(4)]
            assert at_once[0] == 3
            assert 2 <= sum(at_once[1:]) <= 3  # the tenant's own entry, too, where its making is one
            left = await service.entries(services, scope, {}, ascending=True, limit=100, offset=0)
            assert left.total == 2

    asyncio.run(test())


def test_a_diff_shows_what_changed_and_nothing_secret() -> None:
    text = changes.diff("user/x", {"email": "a", "password": "one", "roles": ["r"]}, {"email": "b", "password": "two"})
    assert '-email: "a"' in text
    assert '+email: "b"' in text
    assert '-roles: ["r"]' in text
    assert "one" not in text
    assert "two" not in text
    assert changes.diff("x", {"a": 1}, {"a": 1}) == ""
    assert "hidden" in changes.diff("x", {"apiKey": "1"}, {"apiKey": "2"})
    assert changes.diff("x", None, {"a": 1}).splitlines()[-1] == "+a: 1"
    assert len(changes.diff("x", None, {"a": "y" * 10**6})) <= changes.MAX_CHANGE


@pytest.mark.parametrize(
    "key",
    ["password", "Wifi-Passphrase", "smtp_passwd", "clientSecret", "api-key", "API_KEY", "access_token", "privateKey",
     "credentials", "db.pwd", "wpa_psk"],
)  # fmt: skip
def test_values_that_sound_secret_are_hidden_at_any_depth(key: str) -> None:
    assert json.loads(changes.document({"a": [{key: "xyzzy"}], "b": "shown"})) == {
        "a": [{key: changes.HIDDEN}],
        "b": "shown",
    }
