"""Fixtures of the server's tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from postgresql import Cluster, cluster
from serving import DEVAUTH, EMAIL, FakeDevice, RealServer, cheap_secrets, real_server

from vedette.server.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def cheap() -> Iterator[None]:
    with cheap_secrets():
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A running PostgreSQL, one for all tests."""
    with cluster() as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def dialect(request: pytest.FixtureRequest) -> Iterator[None]:
    """With TEST_DATABASE=postgresql, servers that would have SQLite in their data directory have PostgreSQL."""
    if os.environ.get("TEST_DATABASE") != "postgresql":
        yield
        return
    running: Cluster = request.getfixturevalue("postgresql")
    urls: dict[Path, str] = {}

    def url(settings: Settings) -> str:
        if not settings.database and settings.data not in urls:
            urls[settings.data] = running.new_database()
        return settings.database or urls[settings.data]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settings, "database_url", property(url))
        yield


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    """A server with one tenant and nobody in it."""
    data = tmp_path / "data"
    data.mkdir()
    with real_server(Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")) as made:
        yield made


@pytest.fixture
def admin(server: RealServer) -> httpx.Client:
    """An administrator of the tenant, logged in."""
    server.add_user(EMAIL)
    return server.client(server.login())


@pytest.fixture
def device(server: RealServer) -> FakeDevice:
    """A device that nobody knows yet."""
    return FakeDevice(server, {"mac": "de:ad:be:ef:00:01", "sn": "1"})


@pytest.fixture
def accept(admin: httpx.Client) -> Callable[[FakeDevice], str]:
    """Lets a device in; gives its id."""

    def work(device: FakeDevice) -> str:
        assert device.request().status_code == 401
        found = admin.get(f"{DEVAUTH}/devices", params={"status": "pending", "per_page": 500}).json()
        this = next(each for each in found if each["identity_data"] == device.identity)
        (pending,) = (each["id"] for each in this["auth_sets"] if each["status"] == "pending")
        answer = admin.put(f"{DEVAUTH}/devices/{this['id']}/auth/{pending}/status", json={"status": "accepted"})
        assert answer.status_code == 204, answer.text
        device_id: str = this["id"]
        return device_id

    return work
