"""What the device tells of itself besides alerts: its checks, and its inventory. Sent after the alerts."""

import json
from datetime import datetime, timedelta

from vedette.agent import inventory
from vedette.agent.store import Store
from vedette.agent.uplink.api import Api
from vedette.agent.uplink.deliver import Warn
from vedette.clock import Clock

CONFIG_PATH = "/api/devices/v1/devicemonitor/config"
INVENTORY_PATH = "/api/devices/v1/inventory/device/attributes"

# Keys of the store's meta table. The runner writes CONFIG; the rest is written here.
CONFIG, CONFIG_SENT, CONFIG_SENT_AT = "report.config", "report.config.sent", "report.config.sent_at"
INVENTORY_SENT = "report.inventory.sent"


class Reports:
    """The reports due to one server."""

    def __init__(self, store: Store, api: Api, clock: Clock, every_s: float, warn: Warn) -> None:
        self._store, self._api, self._clock, self._warn = store, api, clock, warn
        self._every = timedelta(seconds=every_s)

    def send(self) -> bool:
        """Send what is due; True when anything was. A refusal (4xx) is final until there is something new to say.

        Raises:
            TryLater: the server cannot take it now.
        """
        return any([self._send_config(), self._send_inventory()])

    def _send_config(self) -> bool:
        """The set of checks: on change, and again every CONFPUSH_INTERVAL in case the server has lost it."""
        checks = self._store.meta(CONFIG)
        if not checks or (checks == self._store.meta(CONFIG_SENT) and not self._interval_is_over()):
            return False
        self._push("set of checks", "POST", CONFIG_PATH, checks)
        self._store.set_meta(CONFIG_SENT_AT, self._clock.now().isoformat())
        self._store.set_meta(CONFIG_SENT, checks)
        return True

    def _interval_is_over(self) -> bool:
        try:
            age = self._clock.now() - datetime.fromisoformat(self._store.meta(CONFIG_SENT_AT) or "")
        except (ValueError, TypeError):
            return True
        return not timedelta(0) <= age < self._every  # a clock set back must not silence the report

    def _send_inventory(self) -> bool:
        attributes = json.dumps(inventory.attributes(), separators=(",", ":"))
        if attributes == self._store.meta(INVENTORY_SENT):
            return False
        self._push("inventory", "PATCH", INVENTORY_PATH, attributes)
        self._store.set_meta(INVENTORY_SENT, attributes)
        return True

    def _push(self, what: str, method: str, path: str, text: str) -> None:
        body = text.encode()
        answer = self._api.call(what, method, path, lambda _ours: body)
        if answer.status >= 400:
            self._warn(f"the server refuses the {what}: {answer.says}")
