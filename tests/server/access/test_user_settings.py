"""What clients keep on the server, for a tenant and for a user."""

from typing import Any

import httpx
import pytest
from serving import EMAIL, RealServer

SETTINGS = "/api/management/v1/useradm/settings"
ME = f"{SETTINGS}/me"
LOGS = "/api/management/v1/auditlogs/logs"


@pytest.mark.parametrize("path", [SETTINGS, ME])
def test_post_replaces_and_the_etag_guards(admin: httpx.Client, path: str) -> None:
    first = admin.get(path)
    assert (first.json(), "etag" in first.headers) == ({}, False)
    assert admin.post(path, json={"a": 1, "b": {"c": ["d"]}}).status_code == 201
    saved = admin.get(path)
    etag = saved.headers["etag"]
    assert saved.json() == {"a": 1, "b": {"c": ["d"]}}
    assert admin.post(path, json={"z": 2}, headers={"If-Match": etag}).status_code == 201
    assert admin.get(path).json() == {"z": 2}
    assert admin.get(path).headers["etag"] != etag
    assert admin.post(path, json={}, headers={"If-Match": etag}).status_code == 412
    assert admin.post(path, json={"y": 3}).status_code == 201
    bare = admin.get(path).headers["etag"].strip('"')
    assert admin.post(path, json={"x": 4}, headers={"If-Match": bare}).status_code == 201


def test_a_guard_without_anything_saved(admin: httpx.Client) -> None:
    assert admin.post(ME, json={}, headers={"If-Match": '"x"'}).status_code == 412


def test_everybody_has_his_own_and_a_tenant_shares_one(server: RealServer, admin: httpx.Client) -> None:
    server.add_user("bob@example.com")
    bob = server.client(server.login("bob@example.com"))
    other = server.add_tenant("other")
    server.add_user("eve@example.com", tenant=other.id)
    eve = server.client(server.login("eve@example.com"))
    assert admin.post(ME, json={"mine": 1}).status_code == 201
    assert admin.post(SETTINGS, json={"ours": 1}).status_code == 201
    assert (bob.get(ME).json(), bob.get(SETTINGS).json()) == ({}, {"ours": 1})
    assert (eve.get(ME).json(), eve.get(SETTINGS).json()) == ({}, {})


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({f"k{number}": 1 for number in range(1024)}, 201),
        ({f"k{number}": 1 for number in range(1025)}, 400),
        ({"k" * 128: 1}, 201),
        ({"k" * 129: 1}, 400),
        ({"a": {"k" * 129: 1}}, 400),
        ({"k": "v" * 4096}, 201),
        ({"k": "v" * 4097}, 400),
        ({"k": ["v" * 4097]}, 400),
        ({str(number): "v" * 4096 for number in range(70)}, 413),
        ([], 400),
        ("x", 400),
        (None, 400),
    ],
)
def test_bounds(admin: httpx.Client, document: Any, status: int) -> None:
    assert admin.post(ME, json=document).status_code == status


def test_not_too_deep(admin: httpx.Client) -> None:
    deep: Any = 1
    for _ in range(20):
        deep = {"a": deep}
    assert admin.post(ME, json=deep).status_code == 400


def test_a_second_factor_needs_a_verified_address(server: RealServer, admin: httpx.Client) -> None:
    """Older clients speak of it here."""

    async def unverified(tx: Any) -> None:
        await tx.execute('UPDATE "user" SET verified = 0')

    from vedette.server.db import SYSTEM

    assert admin.post(ME, json={"2fa": "enabled"}).status_code == 201
    server.run(server.services.db.write(SYSTEM, unverified))
    assert admin.post(ME, json={"2fa": "enabled", "other": 1}).status_code == 201
    assert admin.post(ME, json={"2fa": "unverified"}).status_code == 403
    assert admin.post(SETTINGS, json={"x_2fa": "enabled"}).status_code == 403


def test_changes_are_in_the_audit_log_without_secrets(admin: httpx.Client) -> None:
    assert admin.post(ME, json={"smtpPassword": "hunter22", "columns": ["a"]}).status_code == 201
    entry = admin.get(LOGS, params={"object_type": "user"}).json()[0]
    assert entry["action"] == "update"
    assert (entry["object"]["user"]["email"], entry["actor"]["email"]) == (EMAIL, EMAIL)
    assert '+columns: ["a"]' in entry["change"]
    assert "hunter22" not in entry["change"]
    assert admin.post(SETTINGS, json={"x": 1}).status_code == 201
    assert admin.get(LOGS).json()[0]["object"]["type"] == "tenant"
