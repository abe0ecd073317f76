"""What must hold of every route there is, also of those that will be written: asked of the routing table itself.

Who may do what: access/test_who_may_what.py.
"""

from collections.abc import Iterator

import httpx
import pytest
from serving import EMAIL, FakeDevice, RealServer, real_server

from vedette.server.app import hot_paths, routes
from vedette.server.http.routes import SAFE
from vedette.server.settings import Settings

PUBLIC = ("/alive", "/health", "/api/v1/health", "/api/internal/", "/login", "/oidc/", "/password", "/verify-email",
          "/static/", "/favicon.ico", "/api/openapi.json", "/api/docs",
          "/api/management/v1/useradm/auth/login", "/api/management/v1/useradm/oidc/",
          "/api/management/v1/useradm/auth/password-reset/",
          "/api/management/v1/useradm/auth/verify-email/", "/api/devices/v1/authentication/",
          "/api/devices/v1/deployments/download/")  # fmt: skip
FORM = "application/x-www-form-urlencoded"


def every() -> Iterator[tuple[str, str]]:
    """(method, path) of all."""
    for route in routes():
        handlers = getattr(route.app, "_handlers", None)  # type: ignore[attr-defined]
        for method in handlers or ("GET",):
            yield method, route.path  # type: ignore[attr-defined]
    for path, app in hot_paths().items():
        for method in app.handlers:  # type: ignore[attr-defined]
            yield method, path


ALL = sorted(set(every()))
PRIVATE = [each for each in ALL if each[1] != "/" and not each[1].startswith(PUBLIC)]
OF_DEVICES = [each for each in PRIVATE if each[1].startswith(("/api/devices/", "/api/0.1.0/"))]
OF_USERS = [each for each in PRIVATE if each not in OF_DEVICES]


def ids(case: object) -> str:
    return " ".join(case) if isinstance(case, tuple) else str(case)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    data = tmp_path_factory.mktemp("data")
    with real_server(Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")) as made:
        made.add_user(EMAIL)
        yield made


@pytest.fixture(scope="module")
def ann(server: RealServer) -> str:
    return server.login()


def ask(client: httpx.Client, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """With ids that do not exist, and a body that nearly every handler can read."""
    for name in ("id", "auth", "device", "alert", "name", "channel", "service"):
        path = path.replace("{" + name + "}", {"channel": "email", "name": "max_devices"}.get(name, "none"))
    if path.startswith("/api/"):
        body = b"[]" if path.endswith(("/tags", "/attributes", "/alert")) else b'{"status":"accepted","enabled":false}'
        if path.endswith(("/group",)):
            body = b'{"group":"g"}'
        if path.endswith("/devices") and "/groups/" in path:
            body = b'["none"]'
        if path.endswith("/useradm/users"):
            body = b'{"email":"new@example.com","password":"a good password"}'
        if path.endswith("/devauth/devices"):
            body = b'{"identity_data":{"a":"b"},"pubkey":"x"}'
        if path.endswith("/users/none"):
            body = b'{"roles":["RBAC_ROLE_PERMIT_ALL"]}'
        kind = "application/json"
    else:
        body, kind = b"enabled=off&status=accepted&auth=x", FORM
    sent = {"Content-Type": kind, "Sec-Fetch-Site": "same-origin", **(headers or {})}
    with client.stream(method, path, content=body if method not in SAFE else None, headers=sent) as answer:
        if "event-stream" not in answer.headers.get("content-type", ""):
            answer.read()
        return answer


def test_the_table_is_what_is_asked() -> None:
    assert len(OF_USERS) > 40
    assert len(OF_DEVICES) >= 8


@pytest.mark.parametrize("route", PRIVATE, ids=ids)
def test_nobody_gets_in_without_a_token(server: RealServer, route: tuple[str, str]) -> None:
    answer = ask(server.client(), *route)
    if route[1].startswith("/api/") or route[1] == "/live":
        assert answer.status_code == 401
    else:
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login")


@pytest.mark.parametrize("route", OF_DEVICES, ids=ids)
def test_a_user_is_no_device(server: RealServer, ann: str, route: tuple[str, str]) -> None:
    assert ask(server.client(ann), *route).status_code == 401


@pytest.mark.parametrize("route", [each for each in OF_USERS if each[0] not in SAFE], ids=ids)
def test_a_stolen_cookie_does_nothing_from_another_site(server: RealServer, ann: str, route: tuple[str, str]) -> None:
    for origin in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        answer = ask(server.client(), *route, {"Cookie": f"JWT={ann}", **origin})
        assert answer.status_code == 403, answer.text


def test_a_device_is_no_user(server: RealServer, ann: str) -> None:
    device, admin = FakeDevice(server, {"sn": "1"}), server.client(ann)
    assert device.request().status_code == 401
    (found,) = admin.get("/api/management/v2/devauth/devices").json()
    path = f"/api/management/v2/devauth/devices/{found['id']}"
    assert admin.put(f"{path}/auth/{found['auth_sets'][0]['id']}/status", json={"status": "accepted"}).is_success
    client = device.client()
    for route in OF_USERS:
        answer = ask(client, *route)
        assert answer.status_code == 401 or answer.headers.get("location", "").startswith("/login"), route
    assert ask(client, "POST", "/api/devices/v1/devicemonitor/alert").status_code == 204


@pytest.mark.parametrize("route", ALL, ids=ids)
def test_what_is_not_there_is_said_plainly(server: RealServer, ann: str, route: tuple[str, str]) -> None:
    """For an administrator, with ids of nobody: never a failure of the server."""
    if route[1].endswith("/logout"):
        return
    for method in (route[0], "PURGE", "TRACE", "OPTIONS"):
        if method in ("GET", "HEAD") and route[1] == "/live":
            continue
        assert ask(server.client(ann), method, route[1]).status_code < 500, method
