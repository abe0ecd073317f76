"""The few REST calls that the demo needs, by the standard library: what a user's script would do."""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from vedette.errors import Unavailable

TIMEOUT_S = 10


class Api:
    """A logged-in user of the server at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._token = ""

    def alive(self) -> bool:
        """Does the server answer?"""
        try:
            self._call("GET", "/api/internal/v1/devicemonitor/alive")
        except (Unavailable, OSError):
            return False
        return True

    def login(self, email: str, password: str) -> None:
        basic = base64.b64encode(f"{email}:{password}".encode()).decode()
        answer = self._call("POST", "/api/management/v1/useradm/auth/login", authorization=f"Basic {basic}")
        self._token = answer.decode()

    def devices(self, most: int = 20) -> list[dict[str, Any]]:
        """Devices with their authentication sets."""
        return self._list(f"/api/management/v2/devauth/devices?per_page={most}")

    def accept(self, device: str, auth_set: str) -> None:
        path = f"/api/management/v2/devauth/devices/{device}/auth/{auth_set}/status"
        self._call("PUT", path, {"status": "accepted"})

    def alerts(self, device: str) -> list[dict[str, Any]]:
        """The whole history, oldest first."""
        return self._list(f"{self._monitor(device)}/alerts?per_page=500&sort_ascending=true")

    def open_alerts(self, device: str) -> list[dict[str, Any]]:
        return self._list(f"{self._monitor(device)}/alerts/latest")

    def configured(self, device: str) -> list[dict[str, Any]]:
        """The checks that the device reports."""
        return self._list(f"{self._monitor(device)}/config")

    def alert_count(self, device: str) -> int:
        """What the device list shows: attribute `alert_count` of scope `monitor`."""
        found = json.loads(self._call("GET", f"/api/management/v1/inventory/devices/{device}"))
        return next(
            (
                each["value"]
                for each in found["attributes"]
                if (each["scope"], each["name"]) == ("monitor", "alert_count")
            ),
            0,
        )

    def _monitor(self, device: str) -> str:
        return f"/api/management/v1/devicemonitor/devices/{urllib.parse.quote(device)}"

    def _list(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self._call("GET", path))
        return found

    def _call(self, method: str, path: str, body: object = None, authorization: str = "") -> bytes:
        request = urllib.request.Request(  # noqa: S310 - always our own http:// address
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": authorization or f"Bearer {self._token}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                data: bytes = answer.read()
        except urllib.error.HTTPError as exc:
            with exc:
                raise Unavailable(f"{method} {path}: {exc.code} {exc.read(2000).decode(errors='replace')}") from exc
        return data
