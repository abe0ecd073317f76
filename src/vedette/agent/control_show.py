"""What `mender-monitorctl list` and `status` print: a table for people, `--json` for programs. Changes nothing."""

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vedette.agent import checkfiles, control_subsystems
from vedette.agent.checkfiles import CheckFile, Problem
from vedette.agent.ledger import OWNER
from vedette.agent.paths import Paths
from vedette.agent.store import Store
from vedette.agent.storebounds import Limits
from vedette.clock import SystemClock
from vedette.errors import Invalid, Unavailable
from vedette.model import durations

LONG_PATTERN: Final = 100
"""Characters of a pattern that are shown in a table."""


def checks(paths: Paths, *, as_json: bool) -> str:
    """Every check, by name: what is available, and what only is in enabled/."""
    enabled = {each.stem: each for each in checkfiles.enabled(paths)}
    known = enabled | {each.stem: each for each in checkfiles.available(paths)}
    servers, changed = _servers(paths, known)
    rows = [
        _check(known[stem], stem in enabled)
        | {"source": "server" if stem in servers else "hand", "changed": stem in changed}
        for stem in sorted(known)
    ]
    if as_json:
        return _json(rows)
    if not rows:
        return "There are no checks yet; 'mender-monitorctl help create' shows how to make one.\n"
    return _table(
        ("SUBSYSTEM", "CHECK", "STATE", "SOURCE", "WATCHES"),
        [(row["subsystem"], row["check"], _state(row), _source(row), row["problem"] or _watches(row)) for row in rows],
    )


def status(paths: Paths, *, as_json: bool) -> str:
    """Is the daemon at work, what is raised, what has the server not got yet."""
    from vedette.agent.configure import deployment

    found = {"daemon": _daemon(paths), **_stored(paths), "deployment": next(reversed(deployment.known(paths)), None)}
    if as_json:
        return _json(found)
    pid = found["daemon"]["pid"]
    lines = [
        ("daemon", f"running, pid {pid}" if pid else "not running"),
        ("alerts to send", str(found["owed"])),
        ("alerts refused", f"{found['quarantined']} (by the server; kept)"),
        ("alerts given up", f"{found['dropped']} (while they could not be sent)"),
        *_deployed(found["deployment"]),
        ("checks raised", str(len(found["raised"]))),
        *(("", f"{each['check']}: {each['alert']}{_until(each['called_off'])}") for each in found["raised"]),
    ]
    return "".join(f"{name:<17}{_shown(text)}\n" for name, text in lines)


def _deployed(last: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """The last configuration that the server has sent to our agent."""
    if last is None:
        return []
    return [("configuration", f"{last['artifact']}: {last['status']}{': ' * bool(last['error'])}{last['error']}")]


def _servers(paths: Paths, stems: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Of these checks, those that the server's configuration has made, and those of them that were changed here."""
    from vedette.agent.configure import apply

    if os.access(paths.configuration, os.R_OK):
        return apply.from_server(paths), apply.changed_here(paths)
    if os.access(paths.state_dir, os.R_OK) or not paths.state_dir.exists():
        return frozenset(), frozenset()
    # Whoever is not root may not look there, so what the files say themselves has to do.
    return frozenset(stem for stem in stems if apply.says_server(paths, stem)), frozenset()


def _check(found: CheckFile | Problem, enabled: bool) -> dict[str, Any]:
    subsystem, _, name = found.stem.partition("_")
    return {
        "subsystem": subsystem,
        "check": name,
        "enabled": enabled,
        "file": str(found.path),
        "problem": _problem(found),
        "values": {} if isinstance(found, Problem) else dict(found.values),
    }


def _problem(found: CheckFile | Problem) -> str | None:
    """Why this cannot work, though it is written down."""
    if isinstance(found, Problem):
        return found.sentence
    try:
        control_subsystems.validate(found)
    except Invalid as invalid:
        return str(invalid)
    return None


def _source(row: Mapping[str, Any]) -> str:
    return f"{row['source']}*" if row["changed"] else str(row["source"])


def _state(row: Mapping[str, Any]) -> str:
    return "unusable" if row["problem"] else "enabled" if row["enabled"] else "disabled"


def _watches(row: Mapping[str, Any]) -> str:
    values = row["values"]
    if row["subsystem"] != "log":
        return " ".join(f"{key}={value}" for key, value in values.items())
    pattern = values.get("LOG_PATTERN", "")
    if len(pattern) > LONG_PATTERN:  # as those that were imported are
        pattern = pattern[:LONG_PATTERN] + "..."
    watched = f'"{pattern}" in {values.get("LOG_FILE", "")}'
    try:
        return f"{watched}, called off after {durations.show(durations.parse(values['LOG_PATTERN_EXPIRATION']))}"
    except (KeyError, Invalid):  # not given, or by hand and wrong: the daemon says so
        return watched


def _daemon(paths: Paths) -> dict[str, Any]:
    """The daemon holds a lock on its pid file for as long as it lives, so a file left behind tells no lie."""
    try:
        with paths.pid_file.open("rb") as file:
            pid, inode = int(file.read(20)), os.fstat(file.fileno()).st_ino
    except (FileNotFoundError, ValueError):
        return {"running": False, "pid": None}
    running = (pid, inode) in _locked()
    return {"running": running, "pid": pid if running else None}


def _locked() -> set[tuple[int, int]]:
    """Process and inode of every whole-file lock. Trying to lock would make a daemon that starts just now give up.

    Source: proc_locks(5): "1: FLOCK  ADVISORY  WRITE 708 00:13:10589 0 EOF"; a line behind "->" only waits for one.
    """
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return {(int(line[4]), int(line[5].rpartition(":")[2])) for line in lines if line[1] == "FLOCK"}


def _stored(paths: Paths) -> dict[str, Any]:
    """Counts and raised checks. Without a store, nothing has happened yet.

    Raises:
        Unavailable: the store is there and cannot be read.
    """
    if not paths.store.exists():
        return {"owed": 0, "quarantined": 0, "dropped": 0, "raised": []}
    try:
        db = sqlite3.connect(f"{paths.store.as_uri()}?mode=ro", uri=True, timeout=10, isolation_level=None)
        try:
            store = Store(db, paths.store, Limits(), SystemClock())
            counts = store.counts()
            states = [(check, store.state(check)) for check in store.checks()]
        finally:
            db.close()
    except sqlite3.Error as error:
        hint = "" if os.access(paths.store, os.R_OK) else "; run this as root"
        raise Unavailable(f"the store {paths.store} cannot be read: {error}{hint}") from None
    return {
        "owed": counts.owed,
        "quarantined": counts.quarantined,
        "dropped": counts.dropped,
        "raised": [
            {
                "check": check.partition(OWNER)[0],
                "alert": state.alert_name,
                "called_off": state.deadline.wall.isoformat(timespec="seconds") if state.deadline else None,
            }
            for check, state in states
            if state.raised
        ],
    }


def _until(called_off: str | None) -> str:
    return f" (called off at {called_off} without another match)" if called_off else ""


def _json(value: Any) -> str:
    """One document; bytes that are no UTF-8 become U+FFFD, for JSON has no way to say them."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    shown = [tuple(head), *(tuple(_shown(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(head))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in shown
    )


def _shown(text: str) -> str:
    """On one line, and nothing in it that a terminal obeys."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
