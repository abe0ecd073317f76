"""What is open in the whole fleet, or in the part of it that the caller sees: one list, newest first."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from vedette.errors import Invalid
from vedette.model import Level
from vedette.server.alerts import inbox_store as store
from vedette.server.caller import Caller
from vedette.server.db import Row, Tx
from vedette.server.devices import service as devices
from vedette.server.devices.service import DeviceSummary
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros
from vedette.wire import incoming

MAX_TEXT: Final = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """Who has taken a problem over."""

    email: str
    note: str
    at: datetime
    until: datetime | None  # None: until the problem is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A subject of a device that is open, with its newest alert."""

    device: DeviceSummary
    alert_id: str
    level: Level
    name: str  # of the alert
    kind: str  # of the check: log, service, ports ...
    subject: str
    status: str
    at: datetime  # of the newest alert, by the device's clock
    since: datetime  # of the alert that opened it
    acknowledged: Acknowledgement | None  # None: nobody has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which problems. Conditions are and-ed; what is empty is none."""

    level: Level | None = None
    kind: str = ""
    group: str = ""
    device: str = ""
    acknowledged: bool | None = None  # None: whether somebody has it or not
    text: str = ""  # part of the name of alert or subject, or of the device's identity; or the beginning of its id

    def asked(self, *, narrowed: bool = True) -> Mapping[str, Any]:
        """As `inbox_store` takes it, with or without what is counted by."""
        found: dict[str, Any] = {}
        if self.level is not None and narrowed:
            found["levels"] = [self.level]
        if self.kind and narrowed:
            found["kind"] = self.kind
        if self.acknowledged is not None and narrowed:
            found["acknowledged"] = self.acknowledged
        given = {"group": self.group, "device": self.device.lower(), "text": self.text.strip()}
        return found | {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problems:
    """A part of the list, and how long it is."""

    items: tuple[Problem, ...]
    total: int
    levels: Mapping[str, int] = field(default_factory=dict)  # how many there would be of each level
    kinds: Mapping[str, int] = field(default_factory=dict)  # and of each kind
    taken: Mapping[bool, int] = field(default_factory=dict)  # and acknowledged, or not


async def problems(services: Services, caller: Caller, wanted: Wanted, page: int = 1, per_page: int = 50) -> Problems:
    """What is open now, newest first.

    Raises:
        Invalid: the text to look for is too long.
    """
    if len(wanted.text) > MAX_TEXT:
        raise Invalid(f"the text to look for is longer than {MAX_TEXT} characters")
    now = micros(services.clock.now())

    async def work(tx: Tx) -> tuple[list[Row], list[Row], Mapping[str, DeviceSummary]]:
        counts = await store.counts(tx, wanted.asked(narrowed=False), now)
        rows = await store.page(tx, wanted.asked(), now, offset=(page - 1) * per_page, limit=per_page)
        return counts, rows, await devices.summaries(tx, {row["device"] for row in rows})

    async with services.searches.turn(caller.user_id):
        counts, rows, owners = await services.db.read(caller.scope, work)
    levels: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    taken: Counter[bool] = Counter()
    total = 0
    for row in counts:
        meets = (
            wanted.level is None or row["level"] == wanted.level,
            not wanted.kind or row["kind"] == wanted.kind,
            wanted.acknowledged is None or bool(row["acknowledged"]) == wanted.acknowledged,
        )
        if meets[1] and meets[2]:
            levels[row["level"]] += row["problems"]
        if meets[0] and meets[2]:
            kinds[row["kind"]] += row["problems"]
        if meets[0] and meets[1]:
            taken[bool(row["acknowledged"])] += row["problems"]
        if all(meets):
            total += row["problems"]
    items = tuple(_problem(row, owners[row["device"]]) for row in rows if row["device"] in owners)
    return Problems(items=items, total=total, levels=levels, kinds=kinds, taken=taken)


def _problem(row: Row, device: DeviceSummary) -> Problem:
    return Problem(
        device=device,
        alert_id=row["alert_id"],
        level=Level(row["level"]),
        name=row["name"],
        kind=row["type"],
        subject=row["subject_name"],
        status=row["subject_status"],
        at=incoming.moment(row["at"]),
        since=incoming.moment(row["since"]),
        acknowledged=_acknowledged(row),
    )


def _acknowledged(row: Row) -> Acknowledgement | None:
    if row["email"] is None:
        return None
    return Acknowledgement(
        email=row["email"],
        note=row["note"],
        at=incoming.moment(row["acknowledged_at"]),
        until=datetime_of(row["until_at"]),
    )
