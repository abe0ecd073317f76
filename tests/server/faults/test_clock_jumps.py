"""The server's clock jumps, years forward or back: who may speak and who is slowed down stays as it should be.

What a jump does to the history is in tests/server/notify/test_forgetting.py.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from serving import DEVAUTH, EMAIL, LOGIN, PASSWORD, FakeDevice, RealServer, real_server

from vedette.clock import FakeClock
from vedette.server.settings import Settings

ME = "/api/management/v1/useradm/users/me"
NEXT = "/api/devices/v1/deployments/device/deployments/next?device_type=x&artifact_name=y"
YEARS = timedelta(days=3650)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2036, 1, 1, tzinfo=UTC), since_boot=100_000)


@pytest.fixture
def server(tmp_path: Path, clock: FakeClock) -> Iterator[RealServer]:
    settings = Settings(listen="127.0.0.1:0", data=tmp_path, device_calls_per_minute="5")
    with real_server(settings, clock) as made:
        made.add_user(EMAIL)
        yield made


@pytest.mark.parametrize("jump", [YEARS, -YEARS])
def test_people(server: RealServer, clock: FakeClock, jump: timedelta) -> None:
    token = server.login()
    clock.wall += jump
    clock.since_boot += 3600  # long enough to be asked again
    assert server.client(token).get(ME).status_code == (401 if jump > timedelta() else 200)
    assert server.client(server.login()).get(ME).status_code == 200
    clock.wall -= jump
    clock.since_boot += 3600
    assert server.client(token).get(ME).status_code == 200


@pytest.mark.parametrize("jump", [YEARS, -YEARS])
def test_devices(server: RealServer, clock: FakeClock, jump: timedelta) -> None:
    """A token that has run out is a 401: the device asks for a new one by itself."""
    device, admin = FakeDevice(server, {"sn": "1"}), server.client(server.login())
    device.request()
    (found,) = admin.get(f"{DEVAUTH}/devices").json()
    url = f"{DEVAUTH}/devices/{found['id']}/auth/{found['auth_sets'][0]['id']}/status"
    assert admin.put(url, json={"status": "accepted"}).status_code == 204
    speaker = device.client()
    assert speaker.get(NEXT).status_code == 204
    clock.wall += jump
    clock.since_boot += 3600
    assert speaker.get(NEXT).status_code == (401 if jump > timedelta() else 204)
    assert device.client().get(NEXT).status_code == 204
    clock.wall -= jump
    clock.since_boot += 3600
    assert device.client().get(NEXT).status_code == 204


@pytest.mark.parametrize("jump", [YEARS, -YEARS])
def test_who_tries_too_often(server: RealServer, clock: FakeClock, jump: timedelta) -> None:
    """Waiting is measured by time that passes: no jump lets anybody try more, or less."""

    def tried(password: str) -> httpx.Response:
        return server.client().post(LOGIN, auth=(EMAIL, password))

    assert [tried("wrong").status_code for _ in range(11)] == [401] * 10 + [429]
    clock.wall += jump
    assert tried(PASSWORD).status_code == 429
    assert 0 < int(tried(PASSWORD).headers["retry-after"]) <= 30
    clock.since_boot += 60
    assert tried(PASSWORD).status_code == 200
