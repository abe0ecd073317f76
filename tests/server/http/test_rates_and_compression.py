"""Who calls too often is told when to come back; answers are compressed for who asks; headers make browsers strict."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import EMAIL, FakeDevice, RealServer, real_server

from vedette.errors import Invalid
from vedette.server.http.compression import accepts_gzip
from vedette.server.settings import Settings

ME = "/api/management/v1/useradm/users/me"
TOKENS = "/api/management/v1/useradm/settings/tokens"
ALERT = "/api/devices/v1/devicemonitor/alert"
INVENTORY = "/api/devices/v1/inventory/device/attributes"


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[RealServer]:
    settings = Settings(
        listen="127.0.0.1:0", data=tmp_path, public_url="http://vedette.test", user_calls_per_minute="6",
        device_calls_per_minute="4",
    )  # fmt: skip
    with real_server(settings) as made:
        yield made


def test_a_user_is_counted_whatever_token_he_uses(limited: RealServer) -> None:
    limited.add_user(EMAIL)
    limited.add_user("bob@example.com")
    ann = limited.client(limited.login())
    program = limited.client(ann.post(TOKENS, json={"name": "ci"}).text)
    statuses = [client.get(ME).status_code for client in (ann, program) * 4]
    assert statuses == [200] * 5 + [429] * 3
    refused = ann.get("/devices")
    assert refused.status_code == 429
    told = ann.get(ME)
    assert 1 <= int(told.headers["retry-after"]) <= 10
    assert "6 a minute" in told.json()["error"]
    assert limited.client(limited.login("bob@example.com")).get(ME).status_code == 200
    assert limited.client("x").get(ME).status_code == 401, "the token is looked at first"


def test_a_device_is_counted_on_all_its_paths(limited: RealServer) -> None:
    limited.add_user(EMAIL)
    ann = limited.client(limited.login())
    clients = []
    for number in range(2):
        device = FakeDevice(limited, {"sn": str(number)})
        device.request()
        (found,) = ann.get("/api/management/v2/devauth/devices", params={"status": "pending"}).json()
        path = f"/api/management/v2/devauth/devices/{found['id']}/auth/{found['auth_sets'][0]['id']}/status"
        assert ann.put(path, json={"status": "accepted"}).status_code == 204
        clients.append(device.client())
    first, second = clients
    statuses = []
    for _ in range(3):
        statuses += [first.post(ALERT, json=[]).status_code, first.put(INVENTORY, json=[]).status_code]
    assert statuses == [204, 200, 204, 200, 429, 429]
    assert first.post(ALERT, json=[]).headers["retry-after"]
    assert second.post(ALERT, json=[]).status_code == 204


def test_without_a_setting_there_is_no_limit(server: RealServer, admin: httpx.Client) -> None:
    assert server.services.user_calls is None
    assert server.services.device_calls is None
    assert {admin.get(ME).status_code for _ in range(50)} == {200}


@pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "1000000", "٣"])
def test_a_limit_is_a_number(value: str) -> None:
    with pytest.raises(Invalid, match="user_calls_per_minute"):
        Settings(user_calls_per_minute=value)


def raw(client: httpx.Client, path: str, accept: str) -> tuple[httpx.Headers, bytes]:
    with client.stream("GET", path, headers={"Accept-Encoding": accept}) as answer:
        assert answer.status_code == 200
        return answer.headers, b"".join(answer.iter_raw())


@pytest.mark.parametrize("path", ["/api/management/v2/useradm/permission_sets", "/devices", "/settings",
                                  "/api/management/v1/auditlogs/logs/export"])  # fmt: skip
def test_answers_are_compressed_when_asked(admin: httpx.Client, path: str) -> None:
    for number in range(9):  # something for the log
        admin.post("/api/management/v1/useradm/settings/me", json={"x": number})
    plain_headers, plain = raw(admin, path, "identity")
    assert "content-encoding" not in plain_headers
    headers, packed = raw(admin, path, "gzip")
    assert headers["content-encoding"] == "gzip"
    assert "accept-encoding" in headers["vary"].lower()
    assert len(packed) < len(plain)
    assert abs(len(gzip.decompress(packed)) - len(plain)) < 100  # times in it may differ
    assert raw(admin, path, "gzip;q=0")[0].get("content-encoding") is None


def test_devices_and_live_pages_get_answers_as_they_are(
    server: RealServer, admin: httpx.Client, accept: Callable[[Any], str], device: FakeDevice
) -> None:
    accept(device)
    headers = {"Accept-Encoding": "gzip"}
    assert "content-encoding" not in device.client().put(INVENTORY, json=[], headers=headers).headers
    with admin.stream("GET", "/live", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        assert next(answer.iter_raw())


@pytest.mark.parametrize(
    ("header", "wanted"),
    [(None, False), ("", False), ("gzip", True), ("br, GZIP ;q=0.5", True), ("gzip;q=0", False),
     ("gzip; q=0.000", False), ("gzip;q=0.1", True), ("xgzip", False), ("*", False),
     ("gzip;q=1.0", True), ("gzip;q=10", True)],
)  # fmt: skip
def test_who_asks_for_gzip(header: str | None, wanted: bool) -> None:
    assert accepts_gzip(header) is wanted


@pytest.mark.parametrize("path", ["/login", ME, "/nothing", "/api/management/v1/nothing"])
def test_browsers_are_told_to_be_strict(server: RealServer, path: str) -> None:
    headers = server.client().get(path).headers
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers.get_list("x-xss-protection") == ["1; mode=block"]
