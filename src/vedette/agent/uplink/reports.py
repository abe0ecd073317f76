"""What the device tells of itself besides alerts: its checks, its inventory, and to servers of ours which alerts it
has given up. Sent after the alerts."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from vedette.agent import inventory
from vedette.agent.metakeys import CONFIG, CONFIG_SENT
from vedette.agent.store import Store
from vedette.agent.uplink.api import Api
from vedette.agent.uplink.backoff import TryLater
from vedette.agent.uplink.deliver import Warn
from vedette.clock import Clock
from vedette.wire import outgoing

CONFIG_PATH = "/api/devices/v1/devicemonitor/config"
INVENTORY_PATH = "/api/devices/v1/inventory/device/attributes"
GAPS_PATH = "/api/devices/v1/vedette/gaps"
MAX_GAPS = 500  # in one request
MAX_REASON = 500  # characters
MAX_CHECKS_BYTES = 512 * 1024  # servers read 1 MiB

# More keys of the table meta, which only the uplink knows.
CONFIG_SENT_AT = "report.config.sent_at"
INVENTORY_SENT = "report.inventory.sent"
GAPS_SENT = "report.gaps.sent"  # "1": this server has been told all there was when it took over


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
        return any([self._send_gaps(), self._send_config(), self._send_inventory()])

    def _send_gaps(self) -> bool:
        """Towards a server that is not ours nothing is said: it documents no such thing."""
        if not self._api.token().ours:
            return False
        before = self._store.meta(GAPS_SENT)
        if before != "1":
            if before is not None:  # empty: there was another server
                self._store.begin_elsewhere()
            self._store.set_meta(GAPS_SENT, "1")
        gaps = self._store.gaps()[:MAX_GAPS]
        if not gaps:
            return False
        records = [outgoing.gap(replace(each, reason=each.reason[:MAX_REASON])) for each in gaps]
        body = json.dumps(records, ensure_ascii=False).encode(errors="replace")

        def only_ours(ours: bool) -> bytes:
            if not ours:
                raise TryLater("another server answers here than before")
            return body

        answer = self._api.call("gaps", "POST", GAPS_PATH, only_ours)
        if answer.status == 404:  # an older server of ours: told when there is a newer one
            return False
        if answer.status >= 400:
            self._warn(f"the server refuses to hear of alerts that were given up: {answer.says}")
        self._store.gaps_told(gaps)
        return True

    def _send_config(self) -> bool:
        """The set of checks: on change, and again every CONFPUSH_INTERVAL in case the server has lost it."""
        checks = self._store.meta(CONFIG)
        if not checks or (checks == self._store.meta(CONFIG_SENT) and not self._interval_is_over()):
            return False
        self._push("set of checks", "POST", CONFIG_PATH, lambda ours: _checks_for(checks, ours))
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
        self._push("inventory", "PATCH", INVENTORY_PATH, lambda _ours: attributes.encode())
        self._store.set_meta(INVENTORY_SENT, attributes)
        return True

    def _push(self, what: str, method: str, path: str, make_body: Callable[[bool], bytes]) -> None:
        answer = self._api.call(what, method, path, make_body)
        if answer.status >= 400:
            self._warn(f"the server refuses the {what}: {answer.says}")


def _checks_for(checks: str, ours: bool) -> bytes:
    """The set of checks: a server of ours is told the settings of all kinds, unless they are too long for a body."""
    if ours and len(checks.encode()) <= MAX_CHECKS_BYTES:
        return checks.encode()
    return json.dumps([outgoing.documented_check(each) for each in json.loads(checks)], ensure_ascii=False).encode()
