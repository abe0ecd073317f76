"""The description of the API says what the code does, is complete, and is what the repository holds."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from serving import RealServer

from vedette.server.app import described, hot_paths, routes
from vedette.server.openapi import reading
from vedette.server.openapi.__main__ import text
from vedette.server.openapi.document import Entry, entries, permission_sets, refusals

KEPT = Path(__file__).parents[3] / "docs" / "openapi.json"
HTML = {"Accept": "text/html"}
TABLE = list(entries(routes(), hot_paths()))


def handlers() -> dict[tuple[str, str], Any]:
    found = [(each.path, each.app) for each in routes()]  # type: ignore[attr-defined]
    return {
        (path, method): inspect.unwrap(handler)
        for path, app in (*found, *hot_paths().items())
        for method, handler in getattr(app, "handlers", {}).items()
    }


def of(method: str, path: str) -> Entry:
    (found,) = (each for each in TABLE if (each.method, each.path) == (method, path))
    return found


def test_every_call_is_described() -> None:
    assert len(TABLE) > 100
    missing = [f"{each.method} {each.path}" for each in TABLE if each.operation is None]
    assert missing == [], "put `@operation(...)` of vedette.server.openapi above their handlers"


def test_the_repository_holds_what_is_so() -> None:
    assert KEPT.read_text(encoding="utf-8") == text(described()), "run `make docs`"


def test_it_is_written_by_a_command(tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    subprocess.run([sys.executable, "-m", "vedette.server.openapi", str(file)], check=True)
    assert file.read_text(encoding="utf-8") == text(described())


def test_names_are_plain_and_no_two_are_the_same() -> None:
    document = described()
    calls = [call for methods in document["paths"].values() for call in methods.values()]
    ids = [call["operationId"] for call in calls]
    assert len(set(ids)) == len(ids) == len(TABLE)
    # msgspec puts the module before the names of two types that are called the same.
    assert [name for name in document["components"]["schemas"] if not name.isidentifier()] == []


def test_every_reference_leads_somewhere() -> None:
    document = described()
    for reference in set(re.findall(r'"\$ref": "#/([^"]*)"', json.dumps(document))):
        target: Any = document
        for part in reference.split("/"):
            target = target[part]


@pytest.mark.parametrize("entry", TABLE, ids=lambda each: f"{each.method} {each.path}")
def test_what_is_read_is_what_is_described(entry: Entry) -> None:
    """The type in `decode(request, ...)` is that in `@operation(body=...)`; the same for pages and parameters."""
    assert entry.operation is not None
    handler = handlers()[entry.path, entry.method]
    source = inspect.getsource(handler)
    code = source[source.index("async def ") :]
    read = re.findall(r"decode(?:_or_none)?\(request, ([\w.\[\], ]+)\)|parse\(body, (\w+)\)", code)
    for kinds in read:
        kind = eval(next(filter(None, kinds)), handler.__globals__)
        assert kind == entry.operation.body
    if re.search(r"\bpage_of\(", code):
        assert {"page", "per_page"} <= {each.name for each in entry.operation.parameters}
    for name in re.findall(r'query_params\.get(?:list)?\("(\w+)"', code):
        assert name in {each.name for each in entry.operation.parameters}, name


def test_what_follows_from_the_kind_of_a_call() -> None:
    put = of("PUT", "/api/management/v1/useradm/users/{id}")
    assert put.by == "user"
    assert refusals(put) == {400, 401, 403, 404, 413, 415, 422, 429, 500, 503}
    assert permission_sets(put) == ["ManageUsers", "SuperUser"]
    alert = of("POST", "/api/devices/v1/devicemonitor/alert")
    assert alert.by == "device"
    assert refusals(alert) == {400, 401, 413, 415, 429, 500, 503}
    assert permission_sets(alert) == []
    assert of("GET", "/alive").by == "nobody"
    assert permission_sets(of("POST", "/api/management/v1/useradm/auth/logout")) == []


def test_programs_fetch_it(server: RealServer) -> None:
    answer = server.client().get("/api/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == described()


def test_people_read_it_without_being_logged_in(server: RealServer) -> None:
    answer = server.client().get("/api/docs", headers=HTML)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    for path in described()["paths"]:
        assert f"<code>{path}</code>" in answer.text, path
    anchors = set(re.findall(r'id="([^"]+)"', answer.text))
    assert set(re.findall(r'href="#([^"]+)"', answer.text)) <= anchors
    assert len(re.findall(r'id="([^"]+)"', answer.text)) == len(anchors)
    assert "<script>" not in answer.text
    assert "style=" not in answer.text


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "format": "date-time"}, "time"),
        ({"type": "integer", "format": "unix-time", "minimum": 0}, "unix time in seconds"),
        ({"type": "integer", "minimum": 1, "maximum": 500}, "integer, from 1 to 500"),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 3}, "list of text, at most 3"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "object of boolean"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
        ({"enum": ["<b>", "c"]}, "<code>&lt;b&gt;</code> or <code>c</code>"),
        ({"$ref": "#/components/schemas/UserAnswer"}, '<a href="#type-UserAnswer">UserAnswer</a>'),
        ({}, "anything"),
    ],
)
def test_types_are_told_in_a_few_words(schema: dict[str, Any], shown: str) -> None:
    assert reading.kind_of(schema) == shown


def test_code_stands_between_backticks() -> None:
    assert reading.marked("`a<b`: <i>") == "<code>a&lt;b</code>: &lt;i&gt;"


def test_pages_lead_to_it(server: RealServer, admin: Any) -> None:
    page = server.client()
    page.cookies.set("JWT", admin.headers["Authorization"].removeprefix("Bearer "))
    assert 'href="/api/docs"' in page.get("/settings", headers=HTML).text
