"""Where this system says who logs in, and what it has said since the last scan: a log, the journal, or wtmp and btmp.

One of them, never two: they say the same. A log that is written comes first, then the journal, then the records of the
C library, which know neither su nor sudo. Once chosen, a source is kept until it falls silent or goes.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vedette.agent.follow.position import Position
from vedette.agent.security import login_log
from vedette.agent.security.login_lines import Event, parse
from vedette.agent.security.login_log import Places
from vedette.agent.security.stamp import stamp
from vedette.errors import Invalid, Unavailable

AUTO: Final = "auto"
JOURNAL: Final = "journal"
RECORDS: Final = "records"
LOGS: Final = ("/var/log/auth.log", "/var/log/secure", "/var/log/messages")
JOURNALS: Final = ("/var/log/journal", "/run/log/journal")
JOURNALCTL: Final = ("/usr/bin/journalctl", "/bin/journalctl")
RECORD_FILES: Final = ("/var/log/wtmp", "/var/log/btmp")
WEEK_S: Final = 7 * 86_400
"""So much of the journal is all there is, for who looks once."""
SILENT_S: Final = 86_400
"""A log without a line for so long is perhaps left over from a program that is not there any more."""
_WORTH: Final = (b"ss", b"login", b"su", b"dropbear", b"pam_", b"user", b"passw")
"""A line that holds none of these says nothing of a login."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What was chosen, and up to where it was read."""

    source: str = ""  # JOURNAL, RECORDS, the path of a log; "": there was none
    files: Mapping[str, Places] = field(default_factory=dict)
    cursor: str = ""
    since: float = 0.0  # what another source says after this is news (seconds since 1970)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one look brought."""

    events: Sequence[Event]
    place: Place
    more: bool = False
    notes: Sequence[str] = ()
    unseen: Sequence[str] = ()
    stamps: Mapping[str, str] = field(default_factory=dict)  # of what was read; {}: that is not known


def dump(place: Place) -> dict[str, Any]:
    """As JSON has it."""
    files = {path: [asdict(each) for each in places] for path, places in place.files.items()}
    return {"source": place.source, "files": files, "cursor": place.cursor, "since": place.since}


def load(json: object) -> Place | None:
    """What `dump` made; None for anything else, as of another version."""
    try:
        assert isinstance(json, dict)
        files = {str(path): tuple(Position(**each) for each in places) for path, places in json["files"].items()}
        return Place(source=str(json["source"]), files=files, cursor=str(json["cursor"]), since=float(json["since"]))
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError):
        return None


def read(
    root: Path, wanted: str, place: Place | None, now: datetime, *, all_there_is: bool, time_limit_s: float
) -> Said:
    """What was said since `place`; without one, what is said from now on, or also before with `all_there_is`.

    Raises Invalid: `wanted` is no source; Unavailable: it cannot be read.
    """
    source = _choose(root, wanted, place.source if place is not None else None, now)
    since = now.timestamp() - WEEK_S if all_there_is else place.since if place is not None else now.timestamp()
    if not source:  # until one comes
        return Said(events=(), place=Place(since=since), unseen=("/var/log: no log of logins, and no journal",))
    if source == JOURNAL:
        from vedette.agent.security import login_journal  # with all that starts a program

        cursor = place.cursor if place is not None else ""
        stamps = _journal_stamps(root)
        entries = login_journal.read(root, cursor, since, time_limit_s)
        return Said(
            events=entries.events,
            place=Place(source=source, cursor=entries.cursor, since=since),
            more=entries.more,
            stamps=stamps,
        )
    files = RECORD_FILES if source == RECORDS else (source,)
    # A log that comes later may be chosen then.
    missing = [str(_below(root, each)) for each in LOGS if wanted == AUTO and not _below(root, each).exists()]
    said = _read_files(root, source, files, place, since, all_there_is=all_there_is)
    return replace(said, stamps={**dict.fromkeys(missing, ""), **said.stamps})


def _journal_stamps(root: Path) -> dict[str, str]:
    """Of its files, and of the directories into which new ones come.

    journald writes through mapped memory, of which nobody hears, and at most a quarter of a second later sets the file
    to the size that it has, which is a change. Source: journal_file_post_change() of systemd.
    """
    found = [each for name in JOURNALS for pattern in ("*", "*/*.journal") for each in _below(root, name).glob(pattern)]
    return {str(each): stamp(str(each)) for each in found}


def _choose(root: Path, wanted: str, current: str | None, now: datetime) -> str:
    if wanted == JOURNAL or wanted.startswith("/"):
        return wanted
    if wanted != AUTO:
        raise Invalid(f"log: {wanted[:80]!r} is none of {AUTO}, {JOURNAL} and a path that begins with /")
    journal = any(os.access(each, os.X_OK) for each in JOURNALCTL) and any(
        next(_below(root, each).glob("*/*.journal"), None) is not None for each in JOURNALS
    )
    if current == JOURNAL and journal:
        return JOURNAL
    there = [each for each in (current or "", *LOGS) if each.startswith("/") and _below(root, each).is_file()]
    written = [each for each in there if now.timestamp() - _below(root, each).stat().st_mtime < SILENT_S]
    if written or journal:
        return written[0] if written else JOURNAL
    if there:
        return there[0]
    return RECORDS if any(_below(root, each).is_file() for each in RECORD_FILES) else ""


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _read_files(
    root: Path, source: str, names: Sequence[str], place: Place | None, since: float, *, all_there_is: bool
) -> Said:
    from vedette.agent.security import login_records

    events: list[Event] = []
    files: dict[str, Places] = {}
    notes: list[str] = []
    stamps: dict[str, str] = {}
    unseen: list[str] = []
    more = False
    for name in names:
        path = _below(root, name)
        stamps[str(path)] = stamp(str(path))
        try:
            record = login_records.record_size(path) if source == RECORDS and path.exists() else 0
            places = place.files.get(name) if place is not None else None
            if places is None and place is not None and not place.source:
                places = (login_log.nowhere(path),)  # it has come since
            if places is None:
                places = login_log.here(path, back=login_log.LOOK_BYTES if all_there_is else 0, record=record)
            news = login_log.news(path, places, record=record)
        except OSError as exc:
            unseen.append(f"{name}: {exc.strerror}")
            if place is not None and name in place.files:
                files[name] = place.files[name]
            continue
        files[name] = news.places
        more |= news.more
        if news.lost:
            notes.append(news.lost)
        for data, written_ns in news.parts:
            if record:
                events += login_records.events(data, record, failed=name == RECORD_FILES[1])
            else:
                events += _of_lines(data, datetime.fromtimestamp(written_ns / 1e9, UTC))
    if unseen and not files and len(unseen) == len(names):
        raise Unavailable("; ".join(unseen))
    return Said(
        events=events,
        place=Place(
            source=source, files=files, since=max([since, *(each[-1].written_ns / 1e9 for each in files.values())])
        ),
        more=more,
        notes=notes,
        unseen=unseen,
        stamps=stamps,
    )


def _of_lines(data: bytes, written: datetime) -> list[Event]:
    found = (parse(line, written) for line in data.split(b"\n") if any(each in line for each in _WORTH))
    return [each for each in found if each is not None]
