"""Alerts from the store to the server, oldest first. A row leaves the store only when the server has said 2xx."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import urlsplit

from vedette.agent.store import Owed, Store
from vedette.agent.uplink.api import Api

BATCH_RECORDS = 64
BATCH_BYTES = 512 * 1024  # half of what the server takes
DEFAULT_PATH = "/api/devices/v1/devicemonitor/alert"
MAX_WHY = 500  # characters of the server's reason that are kept with a quarantined record

Warn = Callable[[str], None]


class Alerts:
    """The way of this device's alerts to one server."""

    def __init__(self, store: Store, api: Api, path: str, warn: Warn) -> None:
        self._store, self._api, self._path, self._warn = store, api, path, warn
        self._records = BATCH_RECORDS

    def deliver(self, stop: Callable[[], bool]) -> bool:
        """Send all that is owed, or until `stop` says so after a batch. True when anything was sent.

        Raises:
            TryLater: the server cannot take more now; what it took is done with, the rest is kept.
        """
        sent = False
        while batch := self._store.take(self._records, BATCH_BYTES):
            self._settle(batch)
            sent = True
            if stop():
                break
        return sent

    def _settle(self, batch: Sequence[Owed]) -> None:
        """Bring every record of `batch` to its end: delivered, or quarantined because the server refuses it alone."""
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            answer = self._api.call("alerts", "POST", self._path, partial(encode, part))
            if 200 <= answer.status < 300:
                if answer.status not in (200, 204):
                    self._warn(f"the server took alerts with the unusual answer {answer.status}")
                self._store.delivered([record.sequence for record in part])
            elif answer.status not in (400, 413):
                raise self._api.trouble("alerts", answer)
            elif len(part) == 1:
                why = f"the server answered {answer.says}"[:MAX_WHY]
                self._store.quarantine(part[0].sequence, why)
                self._warn(f"alert #{part[0].sequence} is put aside: {why}")
            else:
                middle = len(part) // 2
                if answer.status == 413:
                    self._records = max(1, min(self._records, middle))
                waiting += [part[middle:], part[:middle]]  # the older half is sent first


def encode(records: Sequence[Owed], ours: bool) -> bytes:
    """The request body: the stored records as they are for a server of ours, else without our own key."""
    if ours:
        return b"[" + b",".join(record.body.encode() for record in records) + b"]"
    return json.dumps([_documented(record.body) for record in records], ensure_ascii=False).encode()


def alert_path(setting: str, server_url: str, warn: Warn) -> str:
    """Where alerts go, below the server's URL. ALERT_URL may be a whole URL, but of this server: it gets the token."""
    if setting.startswith("/"):
        return setting
    if setting.startswith(server_url + "/"):
        return setting[len(server_url) :]
    if setting:
        warn(f"ALERT_URL names {urlsplit(setting).netloc!r}, not the server of mender.conf: {DEFAULT_PATH} is used")
    return DEFAULT_PATH


def _documented(body: str) -> object:
    alert: object = json.loads(body)
    if isinstance(alert, dict):  # else a record that somebody else put there, for the server to refuse
        alert.pop("origin", None)
    return alert
