"""One user's slow searches leave readers of the database to everybody else."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from serving import RealServer

from vedette.server.db.sqlite import SqliteDatabase
from vedette.server.devices import search_store, turns

SEARCH = "/api/management/v2/inventory/filters/search"
SLOW = {"filters": [{"scope": "inventory", "attribute": "slow", "type": "$regex", "value": "x"}]}


def test_who_searches_much_waits_for_himself_alone(
    server: RealServer, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add_user("bob@example.com")
    bob = server.client(server.login("bob@example.com"))
    go, running = threading.Event(), threading.Semaphore(0)
    find = search_store.find
    in_thread = isinstance(server.services.db, SqliteDatabase)

    async def slow(tx: Any, where: Any, *args: Any, **more: Any) -> Any:
        if "slow" in where.params.values():
            running.release()
            # SQLite's readers are threads; PostgreSQL's share the server's event loop.
            assert go.wait(20) if in_thread else await asyncio.to_thread(go.wait, 20)
        return await find(tx, where, *args, **more)

    monkeypatch.setattr(search_store, "find", slow)
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(admin.post, SEARCH, json=SLOW) for _ in range(6)]
        try:
            assert all(running.acquire(timeout=10) for _ in range(turns.AT_ONCE))
            for path in (
                "/api/management/v1/inventory/devices",
                "/api/management/v2/devauth/devices/count",
                "/devices",
            ):
                assert bob.get(path).status_code == 200
            assert not running.acquire(blocking=False)  # no third one has begun meanwhile
        finally:
            go.set()
        assert [each.result(20).status_code for each in answers] == [200] * 6
    assert server.services.searches._gates == {}
