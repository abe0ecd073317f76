"""How a device gets in, and is put out."""

import base64
import contextlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from hypothesis import given
from hypothesis import strategies as st
from serving import AUTH, DEVAUTH, FakeDevice, RealServer

from vedette.errors import Invalid
from vedette.server.access import tokens
from vedette.server.access.roles import OBSERVER
from vedette.server.db import SYSTEM
from vedette.server.devices import check_ins, proof

ALERT = "/api/devices/v1/devicemonitor/alert"
INVENTORY = "/api/devices/v1/inventory/device/attributes"
Accept = Callable[[FakeDevice], str]


def rsa_sign(key: Any, body: bytes) -> bytes:
    return bytes(key.sign(body, padding.PKCS1v15(), hashes.SHA256()))


def ec_sign(key: Any, body: bytes) -> bytes:
    return bytes(key.sign(body, ec.ECDSA(hashes.SHA256())))


KEYS = {
    "rsa": (rsa.generate_private_key(65537, 2048), rsa_sign),
    "p256": (ec.generate_private_key(ec.SECP256R1()), ec_sign),
    "p384": (ec.generate_private_key(ec.SECP384R1()), ec_sign),
    "ed25519": (ed25519.Ed25519PrivateKey.generate(), FakeDevice.sign),
}


@pytest.mark.parametrize("kind", KEYS)
def test_the_road_in(server: RealServer, admin: httpx.Client, accept: Accept, kind: str) -> None:
    key, sign = KEYS[kind]
    device = FakeDevice(server, {"mac": kind}, key, sign=sign)
    answer = device.request()
    assert (answer.status_code, answer.json()["error"]) == (401, "dev auth: unauthorized")
    device_id = accept(device)
    answer = device.request()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jwt"
    assert answer.headers["x-vedette"]
    assert answer.text.count(".") == 2
    assert server.client(answer.text).put(INVENTORY, json=[]).status_code == 200
    shown = admin.get(f"{DEVAUTH}/devices/{device_id}").json()
    assert (shown["status"], len(shown["auth_sets"]), shown["identity_data"]) == ("accepted", 1, {"mac": kind})


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"id_data": None}, 400, "invalid auth request: id_data must be provided"),
        ({"id_data": ""}, 400, "invalid auth request: id_data must be provided"),
        ({"pubkey": ""}, 400, "invalid auth request: pubkey must be provided"),
        ({"pubkey": "nonsense"}, 400, "invalid auth request: cannot decode public key"),
        ({"id_data": "[]"}, 400, "invalid auth request: id_data is not a JSON object"),
        ({"id_data": "{}"}, 400, "invalid auth request: id_data must have"),
        ({"id_data": '{"a": "' + "x" * 9000 + '"}'}, 400, "invalid auth request: id_data must have"),
        ({"id_data": {"mac": "1"}}, 400, "invalid request body: Expected `str`, got `object` - at `$.id_data`"),
        ({"tenant_token": "wrong"}, 401, "dev auth: unauthorized"),
    ],
)
def test_a_request_that_makes_no_sense_makes_no_device(
    server: RealServer, admin: httpx.Client, device: FakeDevice, changes: Any, status: int, text: str
) -> None:
    answer = device.request(**changes)
    assert (answer.status_code, answer.json()["error"][: len(text)]) == (status, text)
    assert admin.get(f"{DEVAUTH}/devices").json() == []


def test_signatures_that_do_not_hold(server: RealServer, admin: httpx.Client, device: FakeDevice) -> None:
    body = json.dumps({"id_data": '{"a":"b"}', "pubkey": device.pem}).encode()
    good = base64.b64encode(device.key.sign(body)).decode()
    client = server.client()
    client.headers["Content-Type"] = "application/json"
    answer = client.post(AUTH, content=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "missing request signature header")
    other = base64.b64encode(ed25519.Ed25519PrivateKey.generate().sign(body)).decode()
    for signature in ("!", "AAAA", good[:-4], other):
        answer = client.post(AUTH, content=body, headers={"X-MEN-Signature": signature})
        assert (answer.status_code, answer.json()["error"]) == (401, "signature verification failed")
    # The bytes are signed, not what they mean.
    answer = client.post(AUTH, content=body + b"\n", headers={"X-MEN-Signature": good})
    assert answer.json()["error"] == "signature verification failed"
    assert admin.get(f"{DEVAUTH}/devices").json() == []
    answer = client.post(AUTH, content=body, headers={"X-MEN-Signature": good, "Authorization": "API_KEY"})
    assert answer.json()["error"] == "dev auth: unauthorized"


def test_a_key_of_another_kind_is_refused(server: RealServer) -> None:
    key = dsa.generate_private_key(1024)
    device = FakeDevice(server, {"a": "b"}, key, sign=lambda key, body: bytes(key.sign(body, hashes.SHA256())))
    answer = device.request()
    assert (answer.status_code, answer.json()["error"]) == (401, "signature verification failed")


def test_the_same_identity_is_the_same_device(server: RealServer, admin: httpx.Client, accept: Accept) -> None:
    first = FakeDevice(server, {"a": "1", "b": "2"})
    device_id = accept(first)
    again = FakeDevice(server, {"b": "2", "a": "1"}, first.key)
    assert again.request().status_code == 200
    other_key = FakeDevice(server, {"a": "1", "b": "2"})
    assert other_key.request().status_code == 401
    (shown,) = admin.get(f"{DEVAUTH}/devices").json()
    assert shown["id"] == device_id
    assert [each["status"] for each in shown["auth_sets"]] == ["accepted", "pending"]
    assert shown["status"] == "accepted"


def test_accepting_a_second_key_puts_the_first_out(server: RealServer, admin: httpx.Client, accept: Accept) -> None:
    first = FakeDevice(server, {"a": "1"})
    accept(first)
    old = first.client()
    assert old.put(INVENTORY, json=[]).status_code == 200
    second = FakeDevice(server, {"a": "1"})
    second.request()
    (shown,) = admin.get(f"{DEVAUTH}/devices").json()
    (pending,) = (each["id"] for each in shown["auth_sets"] if each["status"] == "pending")
    path = f"{DEVAUTH}/devices/{shown['id']}/auth/{pending}/status"
    assert admin.put(path, json={"status": "accepted"}).status_code == 204
    assert old.put(INVENTORY, json=[]).status_code == 401
    assert first.request().status_code == 401
    assert second.client().put(INVENTORY, json=[]).status_code == 200


def test_a_device_has_one_live_token(device: FakeDevice, accept: Accept) -> None:
    accept(device)
    old, new = device.client(), device.client()
    assert old.put(INVENTORY, json=[]).status_code == 401
    assert new.put(INVENTORY, json=[]).status_code == 200


@pytest.mark.parametrize("how", ["reject", "dismiss", "decommission", "token"])
def test_a_device_that_is_put_out_is_out_at_once(
    admin: httpx.Client, device: FakeDevice, accept: Accept, how: str
) -> None:
    device_id = accept(device)
    client = device.client()
    assert client.post(ALERT, json=[]).status_code == 204
    (auth,) = admin.get(f"{DEVAUTH}/devices/{device_id}").json()["auth_sets"]
    here = f"{DEVAUTH}/devices/{device_id}"
    answer = {
        "reject": lambda: admin.put(f"{here}/auth/{auth['id']}/status", json={"status": "rejected"}),
        "dismiss": lambda: admin.delete(f"{here}/auth/{auth['id']}"),
        "decommission": lambda: admin.delete(here),
        "token": lambda: admin.delete(f"{DEVAUTH}/tokens/{auth['id']}"),
    }[how]()
    assert answer.status_code == 204
    assert client.post(ALERT, json=[]).status_code == 401
    assert client.put(INVENTORY, json=[]).status_code == 401
    left = admin.get(here)
    assert left.status_code == (404 if how == "decommission" else 200)
    if how != "decommission":
        assert left.json()["status"] == {"reject": "rejected", "dismiss": "noauth", "token": "accepted"}[how]
    assert device.request().status_code == (200 if how == "token" else 401)


def test_a_token_withdrawn_elsewhere_dies_soon(server: RealServer, device: FakeDevice, accept: Accept) -> None:
    accept(device)
    client = device.client()
    assert client.put(INVENTORY, json=[]).status_code == 200

    async def elsewhere(tx: Any) -> None:
        await tx.execute("UPDATE auth_set SET token_hash = NULL")

    server.run(server.services.db.write(SYSTEM, elsewhere))
    for known in server.services.device_tokens._entries.values():
        assert known.fresh_until - server.services.clock.elapsed() <= tokens.RECHECK_S
        known.fresh_until = 0  # time passes
    assert client.put(INVENTORY, json=[]).status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("{id}/auth/{auth}/status", {"status": "king"}, 400, "incorrect device status"),
        ("{id}/auth/{auth}/status", {}, 400, "invalid request body: Object missing required field `status`"),
        ("{id}/auth/{id}/status", {"status": "accepted"}, 404, "authentication set not found"),
        ("{auth}/auth/{auth}/status", {"status": "accepted"}, 404, "authentication set not found"),
        ("{id}/auth/{auth}/status", {"status": "pending"}, 204, ""),
    ],
)
def test_wrong_changes_of_status(
    admin: httpx.Client, device: FakeDevice, path: str, body: Any, status: int, text: str
) -> None:
    device.request()
    (shown,) = admin.get(f"{DEVAUTH}/devices").json()
    where = path.format(id=shown["id"], auth=shown["auth_sets"][0]["id"])
    answer = admin.put(f"{DEVAUTH}/devices/{where}", json=body)
    assert answer.status_code == status
    assert not text or answer.json()["error"] == text


def test_a_device_that_was_announced_is_let_in_at_once(
    server: RealServer, admin: httpx.Client, device: FakeDevice
) -> None:
    body = {"identity_data": device.identity, "pubkey": device.pem}
    made = admin.post(f"{DEVAUTH}/devices", json=body)
    assert made.status_code == 201
    device_id = made.headers["location"].removeprefix("devices/")
    assert admin.get(f"{DEVAUTH}/devices/count", params={"status": "preauthorized"}).json() == {"count": 1}
    again = admin.post(f"{DEVAUTH}/devices", json=body)
    assert (again.status_code, again.json()["id"]) == (409, device_id)
    assert FakeDevice(server, device.identity).request().status_code == 401  # another key
    assert device.request().status_code == 200
    assert admin.get(f"{DEVAUTH}/devices/{device_id}").json()["status"] == "accepted"


def test_lists_and_counts(server: RealServer, admin: httpx.Client, accept: Accept) -> None:
    devices = [FakeDevice(server, {"n": str(number)}) for number in range(3)]
    ids = [accept(devices[0])]
    for each in devices[1:]:
        each.request()
    shown = admin.get(f"{DEVAUTH}/devices", params={"per_page": 2})
    assert [each["status"] for each in shown.json()] == ["accepted", "pending"]
    assert [link.partition("rel=")[2] for link in shown.headers.get_list("link")] == ['"first"', '"next"']
    assert "x-total-count" not in shown.headers
    last = admin.get(f"{DEVAUTH}/devices", params={"per_page": 2, "page": 2})
    assert len(last.json()) == 1
    assert [link.partition("rel=")[2] for link in last.headers.get_list("link")] == ['"first"', '"prev"']
    assert admin.get(f"{DEVAUTH}/devices/count").json() == {"count": 3}
    assert admin.get(f"{DEVAUTH}/devices/count", params={"status": "pending"}).json() == {"count": 2}
    assert admin.get(f"{DEVAUTH}/devices/count", params={"status": "king"}).status_code == 400
    assert admin.get(f"{DEVAUTH}/devices", params={"status": "king"}).status_code == 400
    found = admin.post(f"{DEVAUTH}/devices/search", json={"status": ["accepted"], "id": ids[0]})
    assert [each["id"] for each in found.json()] == ids
    assert admin.post(f"{DEVAUTH}/devices/search", json={"status": 5}).status_code == 400
    assert admin.get(f"{DEVAUTH}/limits/max_devices").json() == {"limit": 0}
    assert admin.get(f"{DEVAUTH}/limits/other").status_code == 400


def test_devices_of_another_tenant_do_not_exist(server: RealServer, admin: httpx.Client, accept: Accept) -> None:
    other = server.add_tenant("other")
    server.add_user("bob@example.com", tenant=other.id)
    bob = server.client(server.login("bob@example.com"))
    ours = FakeDevice(server, {"a": "1"}, tenant_token=server.tenant.token)
    device_id = accept(ours)
    (auth,) = admin.get(f"{DEVAUTH}/devices/{device_id}").json()["auth_sets"]
    here = f"{DEVAUTH}/devices/{device_id}"
    for answer in (
        bob.get(here),
        bob.delete(here),
        bob.delete(f"{here}/auth/{auth['id']}"),
        bob.get(f"{here}/auth/{auth['id']}/status"),
        bob.put(f"{here}/auth/{auth['id']}/status", json={"status": "rejected"}),
        bob.delete(f"{DEVAUTH}/tokens/{auth['id']}"),
        bob.get(f"/api/management/v1/inventory/devices/{device_id}"),
        bob.put(f"/api/management/v1/inventory/devices/{device_id}/group", json={"group": "g"}),
        bob.put(f"/api/management/v1/inventory/devices/{device_id}/tags", json=[]),
    ):
        assert answer.status_code == 404
    assert bob.get(f"{DEVAUTH}/devices").json() == []
    assert bob.delete(f"/api/management/v1/inventory/devices/{device_id}").status_code == 204
    # The same identity with the token of the other tenant is another device; without a token, none.
    assert FakeDevice(server, {"a": "1"}, ours.key, tenant_token=other.token).request().status_code == 401
    (theirs,) = bob.get(f"{DEVAUTH}/devices").json()
    assert theirs["id"] != device_id
    assert FakeDevice(server, {"z": "1"}).request().status_code == 401
    assert len(admin.get(f"{DEVAUTH}/devices").json()) == 1
    assert ours.request().status_code == 200


def test_an_observer_lets_nobody_in(server: RealServer, admin: httpx.Client, device: FakeDevice) -> None:
    server.add_user("eve@example.com", roles=(OBSERVER,))
    eve = server.client(server.login("eve@example.com"))
    device.request()
    (shown,) = eve.get(f"{DEVAUTH}/devices").json()
    path = f"{DEVAUTH}/devices/{shown['id']}/auth/{shown['auth_sets'][0]['id']}/status"
    assert eve.put(path, json={"status": "accepted"}).status_code == 403
    assert device.request().status_code == 401


def test_a_check_in_is_noted_once_a_minute_and_written_together(
    server: RealServer, admin: httpx.Client, device: FakeDevice, accept: Accept
) -> None:
    device_id = accept(device)
    client = device.client()
    at_login = admin.get(f"{DEVAUTH}/devices/{device_id}").json()["check_in_time"]
    for _ in range(3):
        client.put(INVENTORY, json=[])
    assert len(server.services.check_ins._waiting) == 1
    server.run(check_ins.write(server.services))
    assert server.services.check_ins._waiting == {}
    assert admin.get(f"{DEVAUTH}/devices/{device_id}").json()["check_in_time"] > at_login
    client.put(INVENTORY, json=[])
    assert server.services.check_ins._waiting == {}


def test_two_first_requests_at_once_make_one_device(
    server: RealServer, admin: httpx.Client, device: FakeDevice
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: device.request().status_code, range(16)))
    assert answers == [401] * 16
    (shown,) = admin.get(f"{DEVAUTH}/devices").json()
    assert len(shown["auth_sets"]) == 1


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts, lambda inner: st.lists(inner, max_size=3)
)


@given(identity=st.dictionaries(texts, values, min_size=1, max_size=5), data=st.data())
def test_order_and_spaces_of_an_identity_do_not_matter(identity: dict[str, Any], data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(identity.items()))))
    spaced = proof.canonical_identity(json.dumps(shuffled, indent=data.draw(st.sampled_from([None, 0, 3]))))
    assert spaced == proof.canonical_identity(json.dumps(identity, ensure_ascii=False))
    assert json.loads(spaced) == identity
    assert proof.canonical_identity(spaced) == spaced


@given(st.text())
def test_no_text_breaks_the_reading_of_an_identity(text: str) -> None:
    with contextlib.suppress(Invalid):
        proof.canonical_identity(text)


def test_the_canonical_key_is_the_same_however_it_is_written(device: FakeDevice) -> None:
    pem = device.pem
    windows = pem.replace("\n", "\r\n")
    assert proof.public_key(windows)[1] == proof.public_key(pem)[1] == pem
    private = device.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(Invalid):
        proof.public_key(private.decode())
