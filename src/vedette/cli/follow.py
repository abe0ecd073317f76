"""Alerts as they come: the server says which devices have changed, and these are asked what is new."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from vedette.cli.client import path
from vedette.cli.command import Context
from vedette.cli.output import harmless
from vedette.cli.references import SEARCH
from vedette.errors import NotFound, Unavailable

STREAM: Final = "/live"
HISTORY: Final = "/api/management/v1/devicemonitor/devices/{}/alerts"
LATEST: Final = 100  # alerts of a device that are looked at after a change
SLACK: Final = timedelta(minutes=1)  # by which a device's clock may be behind at its first alert
MAX_DEVICES: Final = 1000  # that are looked at when the server does not say which have changed
MAX_LOST: Final = 5  # times in a row that the stream may not come back
PAUSE_S: Final = 2.0

Changed = frozenset[str] | None
"""Ids of devices; None: anything may have changed."""


def follow(context: Context, device: str | None) -> None:
    """Print what comes from now on, until the caller is interrupted.

    Raises:
        Unavailable: the server has gone and does not come back.
    """
    start = context.clock.now() - SLACK
    seen: dict[str, set[str]] = {}
    if device is not None:
        seen[device] = {each["id"] for each in _latest(context, device)}
    else:
        for each in _with_alerts(context):
            seen[each] = {alert["id"] for alert in _latest(context, each)}
    told = False
    for changed in _changes(context):
        if not told:
            told = True
            context.out.note("following; Ctrl-C ends it")
        for each in _asked(context, changed, device, seen):
            known = seen.get(each)
            latest = _latest(context, each)
            new = [
                alert
                for alert in reversed(latest)
                if (_time(alert) >= start if known is None else alert["id"] not in known)
            ]
            seen[each] = (known or set()) | {alert["id"] for alert in latest}
            for alert in new:
                _print(context, alert)


def _asked(context: Context, changed: Changed, device: str | None, seen: dict[str, set[str]]) -> list[str]:
    if device is not None:
        return [device] if changed is None or device in changed else []
    return sorted(changed) if changed is not None else sorted({*seen, *_with_alerts(context)})[:MAX_DEVICES]


def _changes(context: Context) -> Iterator[Changed]:
    lost = 0
    while True:
        try:
            login = context.login
            with context.connect(login.token, ca=login.ca, plain=login.plain) as listening:
                for changed in _events(listening.stream(STREAM, accept="text/event-stream", by_line=True)):
                    lost = 0
                    yield changed
        except Unavailable:
            if lost >= MAX_LOST:
                raise
        # The server lets go of a stream when it restarts, or its user may see something else now.
        lost += 1
        context.sleep(PAUSE_S * lost)


def _events(lines: Iterator[bytes]) -> Iterator[Changed]:
    """Source: HTML Standard, section 9.2.6, as far as this server uses it: one line of data an event."""
    name, begun = "", False
    for line in lines:
        if not begun:  # what came before the stream began, it does not tell
            begun = True
            yield None
        field, _, value = line.rstrip(b"\r\n").partition(b": ")
        if field == b"event":
            name = value.decode(errors="replace")
        elif field == b"data":
            if name == "changed":
                found = json.loads(value)
                yield None if found is None else frozenset(map(str, found))
            elif name == "beat":
                yield frozenset()


def _latest(context: Context, device: str) -> list[Any]:
    """Newest first. None of a device that is gone, or that one may no longer see."""
    try:
        return context.client.pages(path(HISTORY, device), limit=LATEST).items
    except NotFound:
        return []


def _with_alerts(context: Context) -> list[str]:
    wanted = {
        "filters": [{"scope": "monitor", "attribute": "alerts", "type": "$eq", "value": True}],
        "attributes": [{"scope": "monitor", "attribute": "alerts"}],
    }
    return [str(each["id"]) for each in context.client.pages(SEARCH, limit=MAX_DEVICES, body=wanted).items]


def _time(alert: Any) -> datetime:
    return datetime.fromisoformat(alert["timestamp"])


def _print(context: Context, alert: Any) -> None:
    if context.out.as_json:
        context.out.line(alert)
    else:
        context.out.text(f"{alert['timestamp']}  {alert['level']}  {alert['device_id']}  {harmless(alert['name'])}")
