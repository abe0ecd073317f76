"""A tenant that may have so many devices and no more."""

import asyncio
from typing import Any

import httpx
from serving import DEVAUTH, FakeDevice, RealServer

from vedette.errors import Unacceptable
from vedette.server.access import tenant_store
from vedette.server.access.permissions import Rights
from vedette.server.caller import Caller
from vedette.server.db import UserScope
from vedette.server.devices import service


def limit_to(server: RealServer, number: int) -> None:
    server.run(server.services.db.write(UserScope(server.tenant.id), tenant_store.set_device_limit, number))


def decide(admin: httpx.Client, identity: dict[str, str], status: str, key: int = 0) -> httpx.Response:
    (found,) = (each for each in admin.get(f"{DEVAUTH}/devices").json() if each["identity_data"] == identity)
    path = f"{DEVAUTH}/devices/{found['id']}/auth/{found['auth_sets'][key]['id']}/status"
    return admin.put(path, json={"status": status})


def test_the_device_beyond_the_limit_waits(server: RealServer, admin: httpx.Client) -> None:
    first, second = {"sn": "1"}, {"sn": "2"}
    for identity in (first, second, first):  # the first shows another key too
        assert FakeDevice(server, identity).request().status_code == 401
    assert admin.get(f"{DEVAUTH}/limits/max_devices").json() == {"limit": 0}
    limit_to(server, 1)
    assert admin.get(f"{DEVAUTH}/limits/max_devices").json() == {"limit": 1}
    assert decide(admin, first, "accepted").status_code == 204
    refused = decide(admin, second, "accepted")
    assert (refused.status_code, refused.json()["error"]) == (422, "maximum number of accepted devices reached")
    assert decide(admin, first, "accepted", key=1).status_code == 204  # another key is not another device
    assert decide(admin, first, "rejected", key=1).status_code == 204
    assert decide(admin, second, "accepted").status_code == 204


def test_an_announced_device_beyond_the_limit_waits(server: RealServer, admin: httpx.Client) -> None:
    assert FakeDevice(server, {"sn": "1"}).request().status_code == 401
    assert decide(admin, {"sn": "1"}, "accepted").status_code == 204
    device = FakeDevice(server, {"sn": "2"})
    body = {"identity_data": device.identity, "pubkey": device.pem}
    assert admin.post(f"{DEVAUTH}/devices", json=body).status_code == 201
    limit_to(server, 1)
    answer = device.request()
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    limit_to(server, 2)
    assert device.request().status_code == 200


def test_several_who_see_a_group_only_do_not_let_in_more_together(server: RealServer, admin: httpx.Client) -> None:
    names = [str(each) for each in range(6)]
    for name in names:
        assert FakeDevice(server, {"sn": name}).request().status_code == 401
    waiting = admin.get(f"{DEVAUTH}/devices").json()
    for each in waiting:
        path = f"/api/management/v1/inventory/devices/{each['id']}/group"
        assert admin.put(path, json={"group": f"g{each['identity_data']['sn']}"}).status_code == 204
    limit_to(server, 1)

    async def let_in(device: dict[str, Any]) -> None:
        scope = UserScope(server.tenant.id, frozenset({f"g{device['identity_data']['sn']}"}))
        caller = Caller(scope=scope, user_id="u", email="u@example.com", session="s", rights=Rights())
        (auth,) = device["auth_sets"]
        await service.set_auth_status(server.services, caller, device["id"], auth["id"], "accepted")

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*map(let_in, waiting), return_exceptions=True)

    answers = server.run(all_at_once())
    assert sorted(map(type, answers), key=str) == sorted([type(None), *[Unacceptable] * 5], key=str)
    assert admin.get(f"{DEVAUTH}/devices/count", params={"status": "accepted"}).json() == {"count": 1}
