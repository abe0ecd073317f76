"""What the functions of the shell library do: `mender-monitorctl library FUNCTION`, arguments on standard input.

They work on the daemon's own store, whether the daemon runs or not; SQLite sees to it that nobody is in another's way.
Arguments come on standard input, each ended by a NUL: so they hold any byte a shell can, have no limit of length but
MAX_INPUT, and are not seen by other users of the machine, as those of a command are.
"""

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from vedette.agent import checkfiles, memory, settings
from vedette.agent.ledger import own_key
from vedette.agent.paths import Paths
from vedette.agent.redactrules import UserRules
from vedette.agent.states import QUIET, State
from vedette.agent.store import Store, boot_id
from vedette.agent.storebounds import Limits
from vedette.clock import SystemClock
from vedette.errors import Invalid, TooLarge, Unavailable
from vedette.model import Alert, Details, Level, Line, Subject

MAX_INPUT: Final = 8 * 1024 * 1024
MAX_LINES: Final = 1000  # of the lines around a match
DEFAULT_TYPE: Final = "custom"
CHECK_VARIABLE: Final = "env"
"""In the environment of a program that the daemon runs: the path of the file of the check it runs for."""


def run(paths: Paths, function: str) -> None:
    """Do what `function` says with the arguments on standard input; prints what it returns.

    Raises:
        Invalid: there is no such function, or its arguments are wrong.
        Unavailable: the store cannot be used.
    """
    if function not in FUNCTIONS:
        raise Invalid(f"the library has no function {function!r}, only {', '.join(FUNCTIONS)}")
    data = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise TooLarge(f"the arguments of {function} are longer than {MAX_INPUT} bytes")
    arguments = [each.decode("utf-8", "surrogateescape") for each in data.split(b"\0")[:-1]]
    found = settings.read(paths.config_sh)
    limits = Limits(count=found.alert_offline_store_max_count, age_s=found.alert_store_max_record_age_s)
    try:
        with closing(Store.open(paths.store, limits=limits)) as store:
            store.redact = UserRules(paths.redact_rules).alert
            out = FUNCTIONS[function](store, paths, arguments)
    except sqlite3.Error as exc:
        raise Unavailable(f"the store {paths.store} cannot be used: {exc}") from exc
    sys.stdout.buffer.write(out.encode("utf-8", "surrogateescape"))


def _send_alert(store: Store, paths: Paths, arguments: list[str]) -> str:
    """LEVEL NAME DETAILS SUBJECT_NAME SUBJECT_STATUS SUBJECT_TYPE [PATTERN FILE LINES_BEFORE LINE_MATCHING LINES_AFTER]

    A word that is empty is made up: an alert must not be lost for it.
    """
    if not 2 <= len(arguments) <= 11:
        raise Invalid(
            "monitor_send_alert LEVEL NAME DETAILS SUBJECT_NAME SUBJECT_STATUS SUBJECT_TYPE"
            " [PATTERN FILE LINES_BEFORE LINE_MATCHING LINES_AFTER]"
        )
    given = [*arguments, *[""] * (11 - len(arguments))]
    level, (name, description, subject_name, status, type_, pattern, file, *lines) = _level(given[0]), given[1:]
    check = _check(paths)
    type_ = type_ or (check.partition("_")[0] if check else DEFAULT_TYPE)
    subject_name = subject_name or check or type_
    if not description and pattern:
        description = f"{pattern} present in {file}" if file else f"{pattern} present"
    alert = Alert(
        name=_text(name or f"Alert of {subject_name}"),
        level=level,
        at=SystemClock().now(),
        subject=Subject(
            name=_text(subject_name),
            type=_text(type_),
            status=_text(status or level),
            details=_details(_text(description), *lines),
        ),
    )
    with store.commit() as tx:
        tx.add_alert(alert, UUID(boot_id()), SystemClock().elapsed())
        if check:  # so that it is called off when the check is disabled
            bare = Subject(name=alert.subject.name, type=alert.subject.type, status=alert.subject.status)
            raised = State(raised=True, alert_name=alert.name, subject=bare)
            tx.save_state(own_key(check, bare), QUIET if level is Level.OK else raised)
    _ring(paths)
    return ""


def _details(description: str, before: str, matching: str, after: str) -> Details:
    """Lines are numbered through, from 1: their numbers in the file are not known here."""
    lines_before = before.splitlines()[-MAX_LINES:]
    lines_after = after.splitlines()[:MAX_LINES]
    has_match = bool(matching or lines_before or lines_after)
    here = len(lines_before) + 1
    return Details(
        description=description,
        lines_before=tuple(Line(number, _text(each)) for number, each in enumerate(lines_before, 1)),
        line_matching=Line(here, _text(matching.rstrip("\n"))) if has_match else None,
        lines_after=tuple(Line(number, _text(each)) for number, each in enumerate(lines_after, here + 1)),
    )


def _level(name: str) -> Level:
    try:
        return Level(name.upper())
    except ValueError:
        raise Invalid(f"the level of an alert is one of {', '.join(Level)}, not {name[:40]!r}") from None


def _check(paths: Paths) -> str:
    """The enabled check that this is called for, or "": a script may also be run by hand."""
    name = os.path.basename(os.environ.get(CHECK_VARIABLE, ""))  # noqa: PTH119 -- a string, perhaps no path
    stem = name.removesuffix(checkfiles.SUFFIX)
    try:
        checkfiles.split(stem)
    except Invalid:
        return ""
    return stem if os.path.lexists(paths.enabled / name) else ""


def _get(store: Store, _paths: Paths, arguments: list[str]) -> str:
    subsystem, key = _exactly(2, arguments, "subsystem_get SUBSYSTEM KEY")
    value = memory.get(store, subsystem, key)
    return "" if value is None else value + "\n"


def _set(store: Store, paths: Paths, arguments: list[str]) -> str:
    subsystem, key, value = _exactly(3, arguments, "subsystem_set SUBSYSTEM KEY VALUE")
    memory.put(store, subsystem, key, value, _check(paths))
    return ""


def _put(store: Store, paths: Paths, arguments: list[str]) -> str:
    """A record that is an alert becomes one like any other; what is none is left to the server to refuse."""
    (record,) = _exactly(1, arguments, "fixlenstore_put RECORD")
    clock = SystemClock()
    alert = _parsed(record)
    with store.commit() as tx:
        if alert is not None:
            tx.add_alert(alert, UUID(boot_id()), clock.elapsed())
        else:
            tx.add_record(_redacted(store, _text(record)), UUID(boot_id()), clock.elapsed(), clock.now())
    _ring(paths)
    return ""


def _parsed(record: str) -> Alert | None:
    """The alert that this JSON says, or None when it is none."""
    try:
        body = json.loads(record)
        subject = body["subject"]
        details = subject.get("details") or {}
        match = details.get("line_matching")
        return Alert(
            name=_text(body["name"]),
            level=Level(body["level"]),
            at=datetime.fromisoformat(body["timestamp"]),
            subject=Subject(
                name=_text(subject["name"]),
                type=_text(subject["type"]),
                status=_text(subject["status"]),
                details=Details(
                    description=_text(details.get("description", "")),
                    lines_before=_lines(details.get("lines_before", ())),
                    line_matching=_lines([match])[0] if match else None,
                    lines_after=_lines(details.get("lines_after", ())),
                ),
            ),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Invalid):
        return None


def _lines(lines: Iterable[Mapping[str, Any]]) -> tuple[Line, ...]:
    return tuple(Line(int(each["line_number"]), _text(each["data"])) for each in lines)


def _redacted(store: Store, text: str) -> str:
    subject = Subject(name="", type="", status="", details=Details(description=text))
    shown = store.redact(Alert(name="", level=Level.OK, at=SystemClock().now(), subject=subject)).subject.details
    return shown.description if shown is not None else ""


def _count(store: Store, _paths: Paths, arguments: list[str]) -> str:
    _exactly(0, arguments, "fixlenstore_count")
    store.give_up_old()  # it would not be sent any more
    return f"{store.counts().owed}\n"


def _keys(store: Store, _paths: Paths, arguments: list[str]) -> str:
    _exactly(0, arguments, "keys_nolock")
    store.give_up_old()
    return "".join(f"{sequence}\n" for sequence in store.owed_sequences())


def _exactly(count: int, arguments: list[str], usage: str) -> list[str]:
    if len(arguments) != count:
        raise Invalid(f"wrong number of arguments; call it as: {usage}")
    return arguments


def _text(value: str) -> str:
    """What is no UTF-8 becomes U+FFFD: alerts are JSON."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _ring(paths: Paths) -> None:
    """Tell the daemon, if there is one, that it owes something new."""
    try:
        fd = os.open(paths.bell, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return  # it will be sent with the next one
    try:
        os.write(fd, b"\n")
    finally:
        os.close(fd)


FUNCTIONS: Final[Mapping[str, Callable[[Store, Paths, list[str]], str]]] = {
    "send-alert": _send_alert,
    "get": _get,
    "set": _set,
    "put": _put,
    "count": _count,
    "keys": _keys,
}
