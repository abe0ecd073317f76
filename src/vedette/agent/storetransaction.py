"""What is written to the store together: places, states, and alerts owed to the server."""

import json
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from vedette.agent import metakeys
from vedette.agent.follow.position import Position
from vedette.model import Alert, Level, Origin
from vedette.wire import outgoing

if TYPE_CHECKING:
    from vedette.agent.states import State
    from vedette.agent.store import Store

# What is there already is not written again: it would cost a flush to the disk for nothing.
_SAVE_POSITION: Final = """
INSERT INTO position VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT ("check") DO UPDATE
SET path = excluded.path, device = excluded.device, inode = excluded.inode, offset = excluded.offset,
    line = excluded.line, head = excluded.head, tail = excluded.tail, written_ns = excluded.written_ns
WHERE (path, device, inode, offset, line, head, tail, written_ns) IS NOT
    (excluded.path, excluded.device, excluded.inode, excluded.offset, excluded.line, excluded.head, excluded.tail,
     excluded.written_ns)
"""


class Transaction:
    """What is written together; only `Store.commit` makes one."""

    __slots__ = ("_added", "_store")

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._added = 0

    def save_position(self, check: str, position: Position) -> None:
        self._store._db.execute(
            _SAVE_POSITION,
            (
                check, position.path, signed(position.device), signed(position.inode),
                position.offset, position.line, position.head, position.tail, position.written_ns,
            ),
        )  # fmt: skip

    def save_state(self, check: str, state: "State") -> None:
        from vedette.agent import staterecord  # not by the uplink, whose start would take longer for it

        body = staterecord.dump(state)
        if body is None:
            self._store._db.execute('DELETE FROM state WHERE "check" = ?', (check,))
        else:
            self._store._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (check, body))

    def save_note(self, check: str, note: str) -> None:
        """What a check wants to know again."""
        self._store._put(metakeys.OF_CHECK + check, note)

    def forget(self, check: str) -> None:
        """The check was deleted: its position, state and note go. Alerts that are owed stay owed."""
        for table in ("position", "state"):
            self._store._db.execute(f'DELETE FROM {table} WHERE "check" = ?', (check,))  # noqa: S608
        self._store._db.execute("DELETE FROM meta WHERE key = ?", (metakeys.OF_CHECK + check,))

    def add_alert(self, alert: Alert, boot: UUID, elapsed_s: float) -> int:
        """Owe the server this alert, with secrets made unreadable; returns its sequence number."""
        db, id = self._store._db, uuid4()
        alert = self._store.redact(alert)
        subject = json.dumps([alert.subject.type, alert.subject.name])
        cursor = db.execute(
            "INSERT INTO alert (id, subject, ok, boot, elapsed_s, wall_s, size, body) VALUES (?, ?, ?, ?, ?, ?, 0, '')",
            (str(id), subject, alert.level is Level.OK, str(boot), elapsed_s, alert.at.timestamp()),
        )
        sequence = cursor.lastrowid
        assert sequence is not None
        origin = Origin(id=id, sequence=sequence, boot=boot, elapsed_s=elapsed_s, account=self._store.account)
        body = json.dumps(outgoing.alert(replace(alert, origin=origin), with_origin=True), ensure_ascii=False)
        body = body.encode(errors="replace").decode()  # a lone surrogate is no text
        db.execute("UPDATE alert SET body = ?, size = ? WHERE sequence = ?", (body, len(body.encode()), sequence))
        self._added += 1
        self._store._guess.grow(len(body.encode()))
        return sequence

    def add_record(self, record: str, boot: UUID, elapsed_s: float, wall: datetime) -> None:
        """Owe the server what is no alert, for it to refuse. Secrets are out of it already."""
        id, body = uuid4(), json.dumps(record)
        self._store._db.execute(
            "INSERT INTO alert (id, subject, ok, boot, elapsed_s, wall_s, size, body) VALUES (?, ?, 1, ?, ?, ?, ?, ?)",
            (str(id), json.dumps(["record", str(id)]), str(boot), elapsed_s, wall.timestamp(), len(body), body),
        )
        self._added += 1
        self._store._guess.grow(len(body))


def signed(value: int) -> int:
    """SQLite has signed 64-bit integers, the kernel unsigned inode numbers."""
    return value - (1 << 64) if value >= 1 << 63 else value
