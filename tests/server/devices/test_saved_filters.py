"""Saved filters, which are dynamic groups."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from serving import FakeDevice, RealServer

FILTERS = "/api/management/v2/inventory/filters"
TERM = {"scope": "identity", "attribute": "mac", "type": "$eq", "value": "de:ad:be:ef:00:01"}


def test_a_filter_is_saved_seen_used_changed_and_removed(
    admin: httpx.Client, device: FakeDevice, accept: Callable[[FakeDevice], str]
) -> None:
    device_id = accept(device)
    accept(FakeDevice(device.server, {"mac": "de:ad:be:ef:00:02"}))
    made = admin.post(FILTERS, json={"name": "mine", "terms": [TERM]})
    assert made.status_code == 201
    where = made.headers["location"]
    assert admin.get(where).json() == {"id": where.rpartition("/")[2], "name": "mine", "terms": [TERM]}
    assert admin.get(FILTERS).json() == [admin.get(where).json()]
    found = admin.get(f"{where}/search")
    assert ([each["id"] for each in found.json()], found.headers["x-total-count"]) == ([device_id], "1")
    every = [{"scope": "identity", "attribute": "status", "type": "$in", "value": ["accepted"]}]
    assert admin.put(where, json={"name": "all", "terms": every}).status_code == 204
    found = admin.get(f"{where}/search", params={"per_page": 1})
    assert (len(found.json()), found.headers["x-total-count"]) == (1, "2")
    assert 'rel="next"' in found.headers.get("link", "")
    assert admin.delete(where).status_code == 204
    assert [admin.get(where).status_code, admin.delete(where).status_code] == [404, 404]
    assert admin.get(FILTERS).json() == []


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"name": "old", "terms": [TERM]}, 409, "there is a filter with this name already"),
        ({"name": "", "terms": [TERM]}, 422, "filter name: give 1 to 256 printable characters"),
        ({"name": "x", "terms": []}, 422, "filter terms: give at least one; without any it is every device"),
        ({"name": "x"}, 400, "invalid request body: Object missing required field `terms`"),
        ({"name": "x", "terms": [{**TERM, "type": "$where"}]}, 400, ""),
        ({"name": "x", "terms": [{**TERM, "type": "$in"}]}, 400, ""),
    ],
)
def test_what_is_no_filter_is_refused(admin: httpx.Client, body: Any, status: int, text: str) -> None:
    where = admin.post(FILTERS, json={"name": "new", "terms": [TERM]}).headers["location"]
    admin.post(FILTERS, json={"name": "old", "terms": [TERM]})
    for answer in (admin.post(FILTERS, json=body), admin.put(where, json=body)):
        assert (answer.status_code, answer.json()["error"][: len(text)]) == (status, text)
    assert [each["name"] for each in admin.get(FILTERS).json()] == ["new", "old"]


def test_filters_of_another_tenant_do_not_exist(server: RealServer, admin: httpx.Client) -> None:
    where = admin.post(FILTERS, json={"name": "mine", "terms": [TERM]}).headers["location"]
    other = server.add_tenant("other")
    server.add_user("bob@example.com", tenant=other.id)
    bob = server.client(server.login("bob@example.com"))
    assert bob.get(FILTERS).json() == []
    body = {"name": "mine", "terms": [TERM]}
    answers = [bob.get(where), bob.put(where, json=body), bob.delete(where), bob.get(f"{where}/search")]
    assert [each.status_code for each in answers] == [404] * 4
    assert bob.post(FILTERS, json=body).status_code == 201
