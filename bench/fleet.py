"""Devices for load tests: enrolled and accepted through the API, with their tokens."""

import base64
import json
import urllib.error
import urllib.request

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vedette.demo.api import Api


def enrol(api: Api, url: str, tenant_token: str, count: int) -> list[str]:
    """Tokens of `count` new devices."""
    requests = [_auth_request(url, tenant_token, number) for number in range(count)]
    for request in requests:
        try:
            urllib.request.urlopen(request).close()
        except urllib.error.HTTPError as exc:
            with exc:
                if exc.code != 401:
                    raise
    for device in api.devices(count):
        for each in device["auth_sets"]:
            if each["status"] == "pending":
                api.accept(device["id"], each["id"])
    tokens = []
    for request in requests:
        with urllib.request.urlopen(request) as answer:
            tokens.append(answer.read().decode())
    return tokens


def _auth_request(url: str, tenant_token: str, number: int) -> urllib.request.Request:
    key = Ed25519PrivateKey.generate()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    identity = json.dumps({"mac": f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"})
    body = json.dumps({"id_data": identity, "tenant_token": tenant_token, "pubkey": pem}).encode()
    signature = base64.b64encode(key.sign(body)).decode()
    return urllib.request.Request(
        f"{url}/api/devices/v1/authentication/auth_requests",
        data=body,
        headers={"Content-Type": "application/json", "X-MEN-Signature": signature},
    )
