"""One look of a security check, from what the daemon asks to what it is answered: both are JSON.

A question: kind, check (its stem), settings (as text, those that are given), root, state (directory), baseline (token
of the one that counts, "": none known), memory, raised (what is raised now: name of the subject -> is it an event?).
An answer:

    found     what is to be raised: name of the subject, name of the alert, status, description, expires_s
    over      what was raised before and is no more: name of the subject -> why
    baseline, memory   for the next question; they count once the rest is durable
    unseen    what could not be looked at
    unless    files, and how each was: while all are so, there is nothing new to find
    error     it could not look, or not keep what it found; the rest may be missing then
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import Any, Final, cast

from vedette.agent import log
from vedette.agent.security.scanner import Context, Finding, Report, Scanner
from vedette.agent.security.shelf import Shelf
from vedette.clock import Clock
from vedette.errors import Invalid, TooLarge, Unavailable, VedetteError
from vedette.model import security

MAX_OPEN: Final = 100
"""Problems that a check may have open at once; the rest is one problem more, which counts them."""
MAX_MEMORY: Final = 64 * 1024
MAX_KEY: Final = 200  # characters
MAX_NAME: Final = 300
MAX_TEXT: Final = 1000
MAX_UNSEEN: Final = 20
MAX_UNLESS: Final = 500
MAX_NOTES: Final = 8
"""Lines for the log; it takes ten a minute of one child."""
EVENT_S: Final = 86400
REST: Final = "further findings"
BASELINE: Final = "baseline"


@dataclass(frozen=True, slots=True)
class Before:
    """What is left of the scan before."""

    baseline: Any
    token: str  # of the baseline; "": there is none
    trouble: str = ""  # what has become of the one that should be there


def scanner(kind: str) -> Scanner:
    """The one of this kind. Raises Unavailable: it is not there."""
    try:
        module = import_module(f"vedette.agent.security.{kind.replace('-', '_')}")
        return cast(Scanner, module.Scanner())
    except (ImportError, AttributeError) as exc:
        raise Unavailable(f"the scanner of {kind} cannot be loaded: {exc}") from exc


def answer(question: Mapping[str, Any], clock: Clock, on_heavy: Callable[[], None]) -> dict[str, Any]:
    """Look, and say what has to be done about it; `on_heavy` is called before a scanner runs that reads much."""
    kind, check, shelf = question["kind"], question["check"], Shelf(Path(question["state"]), question["check"])
    try:
        settings = security.interpret(kind, question["settings"])
        before = recall(shelf, question["baseline"])
        accepted = shelf.accepted()
        context = Context(
            name=check,
            settings=settings,
            root=Path(question["root"]),
            state=Path(question["state"]),
            clock=clock,
            baseline=before.baseline,
            memory=question["memory"],
            accepted=frozenset(accepted),
            until=clock.elapsed() + settings["time-limit"],
        )
        looks = scanner(kind)
        if getattr(looks, "heavy", False):
            on_heavy()
        report = run(kind, looks, context)
    except (VedetteError, OSError) as exc:
        return {"error": _line(str(exc), MAX_TEXT)}
    out = _sort(report, check, question["raised"], accepted)
    if before.trouble:
        out["found"].append(_told(_baseline_lost(check, before.trouble), check))
    for note in _few(report.notes):
        log.info(f"{check}: {note}")
    out["unseen"] = list(report.unseen[:MAX_UNSEEN])
    if not report.partial and len(report.unless) <= MAX_UNLESS:
        out["unless"] = dict(report.unless)
    return out | _keep(shelf, report, before)


def run(kind: str, looks: Scanner, context: Context) -> Report:
    """What the scanner says, safe to show.

    Raises:
        VedetteError: it cannot look; also when the fault is its own.
        OSError: what it needs cannot be read.
    """
    try:
        return safe(looks.scan(context))
    except MemoryError:
        raise Unavailable("it takes more memory than it may have; watch less") from None
    except (VedetteError, OSError):
        raise
    except Exception as exc:
        import traceback  # a start takes longer for it

        where = traceback.extract_tb(exc.__traceback__)[-1]
        place = f"{Path(where.filename).name}, line {where.lineno}"
        raise Unavailable(f"a fault in the scanner of {kind}: {exc!r} in {place}") from exc


def recall(shelf: Shelf, token: str) -> Before:
    """The baseline of this token; of none, which is so when the store was lost, the newest that is there."""
    if not token:
        there = shelf.tokens()
        if not there:
            return Before(None, "")
        token = there[-1]
    try:
        shelf.settle(token)
        found = shelf.load(token)
    except FileNotFoundError:
        return Before(None, "", "is gone")
    except (Invalid, ValueError, ArithmeticError) as exc:
        aside = shelf.set_aside(token)
        return Before(None, "", f"was damaged ({exc}) and is kept as {aside}")
    return Before(found, token)


def safe(report: Report) -> Report:
    """The report with texts that are lines of printable text of bounded length, and one finding for each key."""
    found: dict[str, Finding] = {}
    for each in report.findings:
        clean = replace(
            each,
            key=_key(each.key),
            name=_line(each.name, MAX_NAME),
            status=_line(each.status, MAX_KEY),
            what=_line(each.what, MAX_TEXT),
            where=_line(each.where, MAX_TEXT),
            by=_line(each.by, MAX_TEXT),
            do=_line(each.do, MAX_TEXT),
        )
        found.setdefault(clean.key, clean)
    return replace(
        report,
        findings=tuple(found.values()),
        notes=tuple(_line(each, MAX_TEXT) for each in report.notes),
        unseen=tuple(_line(each, MAX_TEXT) for each in report.unseen),
    )


def is_accepted(finding: Finding, accepted: Mapping[str, str]) -> bool:
    """Have people accepted this, as it is? Without a fingerprint they have accepted whatever it is."""
    return finding.key in accepted and accepted[finding.key] in ("", finding.fingerprint)


def describe(finding: Finding) -> str:
    """What people are told of it, in lines."""
    lines = [finding.what]
    if finding.where:
        lines.append(f"Where: {finding.where}")
    if finding.since is not None:
        lines.append(f"Since: {finding.since.isoformat(timespec='seconds')}")
    if finding.by:
        lines.append(f"By: {finding.by}")
    if finding.do:
        lines.append(f"What to do: {finding.do}")
    return "\n".join(lines)


def _sort(report: Report, check: str, raised: Mapping[str, bool], accepted: Mapping[str, str]) -> dict[str, Any]:
    """What is to be raised, and what is over; the rest goes on."""
    findings = [each for each in report.findings if not is_accepted(each, accepted)]
    still = {each.key for each in findings}
    over = {}
    theirs = {key: is_event for key, is_event in raised.items() if not key.startswith(f"{check}: ")}  # those are ours
    for key, is_event in theirs.items():
        if key in still:
            continue
        if key in accepted:
            over[key] = "it was accepted on the device"
        elif not is_event and not report.partial and not any(_names(key, place) for place in report.unseen):
            over[key] = "a later scan does not find it any more"
    again = [each for each in findings if each.key in raised and each.expires_s]  # it is to be raised for longer
    new = [each for each in findings if each.key not in raised]
    room = max(0, MAX_OPEN - len(theirs.keys() - over.keys()))
    found = [_told(each, check) for each in [*again, *new[:room]]]
    if rest := new[room:]:
        found.append(_told(_summary(check, rest), check))
    elif raised.get(further := f"{check}: {REST}") is False and not report.partial:
        over[further] = "there are no further findings"
    return {"found": found, "over": over}


def _keep(shelf: Shelf, report: Report, before: Before) -> dict[str, Any]:
    """Baseline and memory for the next time. Where they cannot be kept, all is as before, and found again."""
    kept = {"baseline": before.token, "memory": None}
    try:
        if report.memory is not None and len(json.dumps(report.memory)) > MAX_MEMORY:
            raise TooLarge(f"what it wants to remember is larger than {MAX_MEMORY} bytes")
        if report.baseline is not None and report.baseline != before.baseline:
            kept["baseline"] = shelf.save(report.baseline)
    except (TooLarge, OSError) as exc:
        return kept | {"error": _line(f"what it knows cannot be kept: {exc}", MAX_TEXT)}
    return kept | {"memory": report.memory}


def _told(finding: Finding, check: str) -> dict[str, Any]:
    description = describe(finding)
    kind, _, name = check.partition("_")
    if not finding.expires_s:
        accept = f"mender-monitorctl accept {kind} {name} {quote(finding.key)}"
        description += f"\nIf it is all right: {accept}"
    return {
        "key": finding.key,
        "name": finding.name,
        "status": finding.status,
        "description": description,
        "expires_s": finding.expires_s,
    }


def _summary(check: str, rest: Sequence[Finding]) -> Finding:
    kind, _, name = check.partition("_")
    some = ", ".join(each.key for each in rest[:10])
    return Finding(
        key=f"{check}: {REST}",
        name=f"More than {MAX_OPEN} findings of the security check {check}",
        status="FURTHER_FINDINGS",
        what=f"{len(rest)} more findings have no alert of their own: {some}" + (" ..." if len(rest) > 10 else ""),
        do=f"mender-monitorctl scan {kind} --check {name}",
        expires_s=max(each.expires_s for each in rest),
    )


def _baseline_lost(check: str, trouble: str) -> Finding:
    return Finding(
        key=f"{check}: {BASELINE}",
        name=f"The baseline of the security check {check} is lost",
        status="BASELINE_LOST",
        what=f"the baseline {trouble}; what is there now was taken for right, so what changed before was not found",
        do="look through what is there: mender-monitorctl scan " + check.partition("_")[0],
        expires_s=EVENT_S,
    )


def _names(key: str, unseen: str) -> bool:
    """Is this finding about the place that could not be looked at, or something below it?"""
    place = unseen.partition(": ")[0]
    start = key.find(place) if place else -1
    return start >= 0 and not key[start + len(place) : start + len(place) + 1].isalnum()


def _few(notes: Sequence[str]) -> Sequence[str]:
    if len(notes) <= MAX_NOTES:
        return notes
    return [*notes[: MAX_NOTES - 1], f"and {len(notes) - MAX_NOTES + 1} more of the kind"]


def _key(text: str) -> str:
    shown = _line(text, 1 << 20)
    if len(shown) <= MAX_KEY:
        return shown
    from hashlib import sha256  # a start takes longer for it

    return f"{shown[: MAX_KEY - 20]}...{sha256(shown.encode()).hexdigest()[:16]}"


def _line(text: str, most: int) -> str:
    """One line of printable text, whatever a file name or a log had in it."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else _escaped(char) for char in text)
    return text if len(text) <= most else text[: most - 3] + "..."


def _escaped(char: str) -> str:
    """A byte that is no UTF-8 as the byte it is."""
    return f"\\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else repr(char)[1:-1]
