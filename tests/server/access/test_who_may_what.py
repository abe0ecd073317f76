"""Every route, asked by everybody; compared with the table in docs/permissions.md, which people read.

A route that is new has no row there, and fails. VEDETTE_WRITE_TABLES=1 writes the rows as they are; read them.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fleet_of_two import ALPHA, BETA, PEOPLE, Made, World
from serving import real_server
from starlette.routing import Route

from vedette.server.app import hot_paths, routes
from vedette.server.settings import Settings

TABLE = Path(__file__).parents[3] / "docs" / "permissions.md"
START, END = "<!-- table -->\n", "<!-- end of table -->\n"
STRANGERS = ("no token", "expired", "revoked")
COLUMNS = (*PEOPLE, "other tenant", "device", "no valid token")
OF_DEVICE = re.compile(r"/devices?/\{\w+\}|/devauth/tokens/\{id\}|/groups/\{name\}|/group/\{name\}")
FORM = "application/x-www-form-urlencoded"
BODIES = {  # by method and the end of the path: what the handler can read
    ("POST", "/useradm/users"): '{"email":"new@example.com","password":"short"}',
    ("PUT", "/users/{id}"): '{"roles":["RBAC_ROLE_OBSERVER"]}',
    ("POST", "/useradm/roles"): '{"name":"new","permission_sets_with_scope":[{"name":"nonsense"}]}',
    ("PUT", "/roles/{name}"): '{"permission_sets_with_scope":[{"name":"ReadUsers"}]}',
    ("POST", "/devauth/devices"): '{"identity_data":{"a":"b"},"pubkey":"x"}',
    ("PUT", "/tags"): '[{"name":"a","value":"b"}]',
    ("PATCH", "/tags"): '[{"name":"a","value":"b"}]',
    ("PUT", "/{id}/group"): '{"group":"%(group)s"}',
    ("PATCH", "/groups/{name}/devices"): '["%(id)s"]',
    ("DELETE", "/groups/{name}/devices"): '["%(id)s"]',
    ("PUT", "/auth/{auth}/status"): '{"status":"rejected"}',
    ("PUT", "/configurations/device/{device}"): '{"key":"value"}',
    ("POST", "/inventory/filters"): '{"name":"","terms":[]}',
    ("PUT", "/filters/{id}"): '{"name":"x","terms":[{"scope":"a","attribute":"b","type":"$eq","value":"c"}]}',
    ("POST", "/statistics/list"): '{"deployment_ids":[]}',
    ("PUT", "/layers/tenant"): '{"values":{}}',
    ("PUT", "/layers/groups/{name}"): '{"values":{"key":"value"}}',
    ("PUT", "/layers/devices/{device}"): '{"values":{"key":"value"}}',
    ("POST", "/preview"): '{"values":{}}',
    ("POST", "/revert"): '{"version":1}',
}  # fmt: skip


def every() -> Iterator[tuple[str, str]]:
    for route in routes():
        assert isinstance(route, Route)
        for method in getattr(route.app, "_handlers", ("GET",)):
            yield route.path, method
    for path, app in hot_paths().items():
        for method in app.handlers:  # type: ignore[attr-defined]
            yield path, method


ROUTES = sorted((path, method) for path, method in set(every()) if method != "HEAD")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data = tmp_path_factory.mktemp("data")
    with real_server(Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")) as server:
        yield World(server)


def ask(world: World, name: str, client: httpx.Client, method: str, path: str, device: Made) -> str:
    """What becomes of it, in a word."""
    where = re.sub(r"/groups?/\{name\}", lambda found: found[0].replace("{name}", device.group), path)
    where = where.replace("/devauth/tokens/{id}", f"/devauth/tokens/{device.auth}")
    where = re.sub(r"/(devices?)/\{\w+\}", rf"/\1/{device.id}", where)
    where = where.replace("{auth}", device.auth).replace("{alert}", device.alert).replace("{channel}", "email")
    where = where.replace("limits/{name}", "limits/max_devices")
    where = re.sub(r"\{[\w:]+\}", "00000000-0000-4000-8000-000000000000", where)
    texts = [text for (verb, end), text in BODIES.items() if verb == method and path.endswith(end)]
    body, kind = (texts[0] % {"id": device.id, "group": device.group} if texts else "{}"), "application/json"
    if not path.startswith("/api/"):
        body, kind = f"enabled=on&status=rejected&auth={device.auth}&back=/devices", FORM
    headers = {"Content-Type": kind, "Sec-Fetch-Site": "same-origin"}
    if path.endswith("/logout") and name in (*PEOPLE, "other tenant"):
        client = world.server.client(world.login(name))  # of its own: the others are still needed
    with client.stream(method, where, content=None if method == "GET" else body, headers=headers) as answer:
        if "event-stream" not in answer.headers.get("content-type", ""):
            answer.read()
        return word(answer, bool(OF_DEVICE.search(path)))


def word(answer: httpx.Response, of_device: bool) -> str:
    assert answer.status_code < 500, answer.text
    to_login = answer.headers.get("location", "").startswith("/login") and "set-cookie" not in answer.headers
    if answer.status_code == 401 or to_login:
        return "login"
    if answer.status_code == 403:
        return "no"
    return "hidden" if answer.status_code == 404 and of_device else "yes"


def row(world: World, clients: dict[str, httpx.Client], path: str, method: str) -> str:
    """A line of the table, as it is."""
    cells = []
    for column in COLUMNS:
        words = set()
        for name in STRANGERS if column == "no valid token" else (column,):
            alpha, beta = world.make(ALPHA, BETA) if OF_DEVICE.search(path) else (NOBODY, NOBODY)
            first = ask(world, name, clients[name], method, path, alpha)
            second = ask(world, name, clients[name], method, path, beta) if alpha is not beta else first
            words.add(first if first == second else f"{first}, {second}")
        cells.append(" or ".join(sorted(words)))
    return f"| {method} | `{path}` | {' | '.join(cells)} |"


NOBODY = Made("none", ALPHA, "none", "none", "none")


def test_the_table_says_who_may_what(world: World) -> None:
    clients = {name: world.client(name) for name in world.tokens}
    actual = [row(world, clients, path, method) for path, method in ROUTES]
    head = f"| | | {' | '.join(COLUMNS)} |\n|{' --- |' * (len(COLUMNS) + 2)}\n"
    text = TABLE.read_text()
    before, _, rest = text.partition(START)
    written, _, after = rest.partition(END)
    if os.environ.get("VEDETTE_WRITE_TABLES"):
        TABLE.write_text(before + START + head + "\n".join(actual) + "\n" + END + after)
        return
    told = written.removeprefix(head).splitlines()
    assert [each for each in actual if each not in told] == [], "so it is, and docs/permissions.md does not say so"
    assert [each for each in told if each not in actual] == [], "docs/permissions.md says so, and it is not"


def test_strangers_get_nowhere(world: World) -> None:
    """Read from the table, which the test before compares with the server."""
    open_to_all = {"/", "/alive", "/health", "/api/v1/health", "/login", "/favicon.ico", "/static/{path:path}"}
    open_to_all |= {
        "/password",
        "/password/new",
        "/verify-email",
        "/oidc/login",
        "/oidc/callback",
        "/api/management/v1/useradm/oidc/{id}/start",
        "/api/openapi.json",
        "/api/docs",
    }
    for line in TABLE.read_text().partition(START)[2].partition(END)[0].splitlines()[2:]:
        _method, path, *cells = (each.strip(" `") for each in line.strip("|").split("|"))
        of = dict(zip(COLUMNS, cells, strict=True))
        if path in open_to_all or path.startswith("/api/internal/") or "login" in path or "authentication" in path:
            continue
        if "/auth/" in path and "useradm" in path and "logout" not in path:
            continue  # for who has no password at hand
        if "/download/" in path:
            continue  # its link is signed
        assert of["no valid token"] == "login", line
        if path.startswith(("/api/devices/", "/api/0.1.0/")):
            assert of["device"] == "yes", line
            assert {of[name] for name in (*PEOPLE, "other tenant")} == {"login"}, line
        else:
            assert of["device"] == "login", line
            assert of["admin"] in {"yes", "hidden"}, line  # hidden: there is no such thing at all
        if "/device" in path and "{" in path:
            assert "yes" not in of["no role"], line
            assert "yes" not in of["reads alpha"].partition(",")[2], line
