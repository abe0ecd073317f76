"""How much the store keeps, and which alerts it gives up beyond that: their numbers; nothing is changed here."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from vedette.clock import PLAUSIBLE, Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is kept while the server cannot be reached."""

    count: int = 10_000
    bytes: int = 64 * 1024 * 1024
    age_s: float = 30 * 86400


def totals(db: sqlite3.Connection) -> tuple[int, int]:
    """How many alerts there are, and their bytes."""
    count, size = db.execute("SELECT count(*), coalesce(sum(size), 0) FROM alert").fetchone()
    return count, size


def too_old(db: sqlite3.Connection, limits: Limits, boot: str, clock: Clock) -> list[int]:
    """What is past its age; nothing while the wall clock is not set."""
    now, elapsed = clock.now(), clock.elapsed()
    if now < PLAUSIBLE:
        return []
    rows = db.execute(
        "SELECT sequence FROM alert WHERE wall_s >= ? AND wall_s < ? AND NOT (boot = ? AND elapsed_s >= ?)",
        (PLAUSIBLE.timestamp(), now.timestamp() - limits.age_s, boot, elapsed - limits.age_s),
    )
    return [row[0] for row in rows]


def cancelling(db: sqlite3.Connection, limits: Limits, count: int, size: int) -> list[int]:
    """CRITICALs whose subject's next record is an OK, with that OK: leaving both out changes no state.

    Not where the record before is no OK either (a service that went up and down): its OK closes that one too.
    """
    from vedette.agent.states import FLAPPING_STATUS

    before: dict[str, tuple[int, int, bool]] = {}  # by subject: number, size and "opened it" of its last record
    pairs: list[tuple[int, int, int]] = []
    rows = db.execute(
        "SELECT sequence, subject, ok, size, quarantined IS NULL, body LIKE ? FROM alert ORDER BY sequence",
        (f'%"status": "{FLAPPING_STATUS}"%',),
    )
    for sequence, subject, ok, each, sound, flapping in rows:
        if not sound:
            before.pop(subject, None)
        elif not ok:
            opened = (subject not in before or before[subject][0] < 0) and not flapping
            before[subject] = (sequence, each, opened)
        else:
            first, first_size, opened = before.get(subject, (-1, 0, False))
            if first >= 0 and opened:
                pairs.append((first, sequence, first_size + each))
            before[subject] = (-1, 0, False)
    gone: list[int] = []
    for first, second, both in sorted(pairs):
        if count <= limits.count and size <= limits.bytes:
            break
        gone += (first, second)
        count, size = count - 2, size - both
    return gone


def oldest(db: sqlite3.Connection, limits: Limits, count: int, size: int) -> list[int]:
    """The first ones, until what is left fits."""
    gone: list[int] = []
    for sequence, each in db.execute("SELECT sequence, size FROM alert ORDER BY sequence"):
        if count <= limits.count and size <= limits.bytes:
            break
        gone.append(sequence)
        count, size = count - 1, size - each
    return gone


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as contiguous ranges: 1 2 3 7 is (1, 3), (7, 7)."""
    out: list[tuple[int, int]] = []
    for each in sorted(numbers):
        if out and out[-1][1] + 1 == each:
            out[-1] = (out[-1][0], each)
        else:
            out.append((each, each))
    return out
