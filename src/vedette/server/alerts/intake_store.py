"""The SQL of the intake: it fills `alert`, `subject`, the column `device.open_count`, and `notification` (which notify/
empties). Every statement takes a whole batch, as JSON, and is one step of the database.

Between two steps Python lets go of its lock and has to win it back from the busy event loop, which costs more than the
step: with a statement for each row, that was half of what a server could take in.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final

import msgspec

from vedette.model import Level
from vedette.server.alerts.order import Head, SubjectState
from vedette.server.db import Tx

Key = tuple[str, str]
"""A subject of a device: its type and name."""
DeviceKey = tuple[str, str]
"""A device's id, and the id of one of its alerts."""
SubjectKey = tuple[str, Key]
"""A device's id, and one of its subjects."""

COLUMNS: Final = (
    "device", "id", "name", "level", "at", "received_at", "subject_type", "subject_name", "subject_status", "details",
    "sequence", "boot", "elapsed_us", "account", "origin",
)  # fmt: skip
MAX_ROWS: Final = 32  # in one statement, of 16 parameters each: each number of rows is a statement that SQLite keeps

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


def _batch(sql: str) -> str:
    """A statement on the JSON array `:items`, whose items begin with a device; only those that are there count."""
    return sql.replace(
        "{items}", "{rows:items} {ordered} JOIN device ON device.tenant = :tenant AND device.id = {text:item.0}"
    )


_GROUPS: Final = (
    "SELECT {list:device.id, device.group_name} FROM {rows:items} {ordered} JOIN device"
    " ON device.tenant = :tenant AND device.id = {text:item} WHERE {visible} AND device.decommissioning = 0"
)
_KNOWN: Final = _batch(
    "SELECT {list:alert.device, alert.id} FROM {items} {ordered} JOIN alert ON alert.tenant = :tenant"
    " AND alert.device = {text:item.0} AND alert.id = {text:item.1} WHERE {visible}"
)
_STATES: Final = _batch(
    "SELECT {list:subject.device, subject.type, subject.name, subject.level, subject.alert_id, subject.at,"
    " subject.account, subject.sequence, subject.others, subject.opened_by}"
    " FROM {items} {ordered} JOIN subject ON subject.tenant = :tenant AND subject.device = {text:item.0}"
    " AND subject.type = {text:item.1} AND subject.name = {text:item.2} WHERE {visible}"
)
_SET_STATES: Final = _batch(
    "INSERT INTO subject (tenant, device, type, name, level, open, alert_id, at, account, sequence, others, opened_by)"
    " SELECT :tenant, {text:item.0}, {text:item.1}, {text:item.2}, {text:item.3}, {int:item.4}, {text:item.5},"
    " {int:item.6}, {text:item.7}, {int:item.8}, {text:item.9}, {text:item.10} FROM {items} WHERE {visible}"
    " ON CONFLICT (tenant, device, type, name) DO UPDATE SET level = excluded.level,"
    " open = excluded.open, alert_id = excluded.alert_id, at = excluded.at, account = excluded.account,"
    " sequence = excluded.sequence, others = excluded.others, opened_by = excluded.opened_by"
)
_COUNT_OPEN: Final = (
    "UPDATE device SET open_count = CASE WHEN open_count + change.more > 0 THEN open_count + change.more ELSE 0 END"
    " FROM (SELECT {text:item.0} AS id, {int:item.1} AS more FROM {rows:items}) AS change"
    " WHERE {visible} AND device.id = change.id"
)
_OWE: Final = _batch(
    "INSERT INTO notification (tenant, device, alert_id, thread, created_at)"
    " SELECT :tenant, {text:item.0}, {text:item.1}, {text:item.2}, :now FROM {items} WHERE {visible} ORDER BY item.key"
)


async def groups(tx: Tx, devices: Collection[str]) -> dict[str, str | None]:
    """Which of these devices are there, and the static group of each."""
    text = await tx.value(_GROUPS, items=_text(devices))
    return dict(_decode(text))


async def known(tx: Tx, alerts: Iterable[DeviceKey]) -> set[DeviceKey]:
    """Which of these alerts are stored already."""
    text = await tx.value(_KNOWN, items=_text(alerts))
    return {(device, id) for device, id in _decode(text)}


async def add(tx: Tx, alerts: Sequence[tuple[Any, ...]]) -> None:
    """Store new alerts of devices that are there; the values of each as in `COLUMNS`."""
    for start in range(0, len(alerts), MAX_ROWS):
        rows = alerts[start : start + MAX_ROWS]
        sql, names = _add_rows(len(rows))
        await tx.execute(sql, **dict(zip(names, chain.from_iterable(rows), strict=True)))


@cache
def _add_rows(count: int) -> tuple[str, tuple[str, ...]]:
    """A statement that adds `count` alerts, and the names of its parameters.

    Not by JSON, as the others: the details are long, and SQLite would write and read them anew for each column.
    """
    names = tuple(f"{column}_{row}" for row in range(count) for column in COLUMNS)
    rows = (f"(:tenant, :{', :'.join(names[at : at + len(COLUMNS)])})" for at in range(0, len(names), len(COLUMNS)))
    sql = f"INSERT INTO alert (tenant, {', '.join(COLUMNS)}) VALUES {', '.join(rows)} ON CONFLICT DO NOTHING"  # noqa: S608
    return sql, names


async def states(tx: Tx, subjects: Iterable[SubjectKey]) -> dict[SubjectKey, SubjectState]:
    """What is known of these subjects; those never heard of are left out."""
    text = await tx.value(_STATES, items=_text((device, *key) for device, key in subjects))
    return {(device, (type_, name)): _state(*rest) for device, type_, name, *rest in _decode(text)}


async def set_states(tx: Tx, changed: Mapping[SubjectKey, SubjectState]) -> None:
    """What is known of these subjects from now on."""
    await tx.execute(_SET_STATES, items=_text(_row(subject, state) for subject, state in changed.items()))


async def count_open(tx: Tx, more: Mapping[str, int]) -> None:
    """By device, how many more of its subjects are open than before; less than 0: fewer."""
    await tx.execute(_COUNT_OPEN, items=_text(more.items()))


async def owe(tx: Tx, alerts: Iterable[tuple[str, str, str]], now: int) -> None:
    """Somebody may have to hear of these alerts: (device, id, id of the one that opened the problem)."""
    await tx.execute(_OWE, items=_text(alerts), now=now)


def _text(items: Iterable[object]) -> str:
    return _encode(list(items)).decode()


def _row(subject: SubjectKey, state: SubjectState) -> tuple[object, ...]:
    device, (type_, name) = subject
    newest, *others = state.heads
    return (
        device, type_, name, newest.level.value, int(state.open), newest.id, newest.at, newest.account,
        newest.sequence, _heads(others), state.opened_by,
    )  # fmt: skip


def _state(
    level: str, id: str, at: int, account: str, sequence: int | None, others: str | None, opened_by: str | None
) -> SubjectState:
    rest = () if others is None else (_head(*each) for each in _decode(others))
    return SubjectState((_head(account, sequence, at, id, level), *rest), opened_by)


def _head(account: str, sequence: int | None, at: int, id: str, level: str) -> Head:
    return Head(account, sequence, at, id, Level(level))


def _heads(heads: list[Head]) -> str | None:
    """The newest alerts of a device's other accounts; nearly always there are none."""
    if not heads:
        return None
    return _text((head.account, head.sequence, head.at, head.id, head.level.value) for head in heads)
