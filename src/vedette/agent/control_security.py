"""`mender-monitorctl create KIND`, `scan` and `accept`: security checks, by hand.

A scan by hand runs here, with or without a daemon, as whoever asks; it keeps nothing and changes nothing.
"""

import json
import sqlite3
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from vedette.agent import checkfiles, metakeys
from vedette.agent.paths import Paths
from vedette.agent.security import look
from vedette.agent.security.check import given
from vedette.agent.security.scanner import Context, Finding, Report
from vedette.agent.security.shelf import Shelf
from vedette.clock import SystemClock
from vedette.errors import Invalid, NotFound, Unavailable
from vedette.model.security import SECURITY, interpret, variable_of

BY_HAND: Final = "scan"  # the name of a check that is none


class Wrong(Exception):
    """Called wrongly; the message says how."""


@dataclass(slots=True)
class _Options:
    words: list[str] = field(default_factory=list)
    check: str = ""
    flags: set[str] = field(default_factory=set)


def scan(paths: Paths, arguments: Sequence[str]) -> tuple[str, bool]:
    """`scan KIND [SETTING=VALUE ...] [--check NAME] [--json]`: what is to be printed, and whether there are findings.

    What could not be looked at is said on standard error.

    Raises:
        Wrong: called wrongly.
        VedetteError: it cannot be looked.
    """
    options = _options(arguments, {"--json"}, takes_check=True)
    if not options.words:
        raise Wrong("KIND [SETTING=VALUE ...] [--check NAME] [--json]")
    kind, *rest = options.words
    report, has_learned = _look(paths, _kind(kind), options.check, read_settings(kind, rest))
    if not has_learned:
        print("the check has not looked yet, so nothing is known to be right", file=sys.stderr)
    accepted = Shelf(paths.state_dir, f"{kind}_{options.check}").accepted() if options.check else {}
    findings = [each for each in report.findings if not look.is_accepted(each, accepted)]
    for place in report.unseen:
        print(f"not looked at: {place}", file=sys.stderr)
    if report.partial:
        print("not all was looked at: the time limit came first (time-limit=...)", file=sys.stderr)
    if "--json" not in options.flags:
        return "".join(f"{_one_line(each)}\n" for each in findings), bool(findings)
    table = {
        "kind": kind,
        "findings": [_as_json(each) for each in findings],
        "unseen": list(report.unseen),
        "partial": report.partial,
        "notes": list(report.notes),
    }
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n", bool(findings)


def accept(paths: Paths, arguments: Sequence[str]) -> str:
    """`accept KIND CHECK [KEY ... | --all] [--undo]`: what is to be printed.

    Raises:
        Wrong: called wrongly.
        VedetteError: there is no such check or finding.
    """
    options = _options(arguments, {"--all", "--undo"}, takes_check=False)
    every, undo = "--all" in options.flags, "--undo" in options.flags
    if len(options.words) < 2 or (every and len(options.words) > 2) or (undo and not every and len(options.words) < 3):
        raise Wrong("KIND CHECK [KEY ... | --all] [--undo]")
    kind, name, *keys = options.words
    checkfiles.find(paths, _kind(kind), name)
    shelf = Shelf(paths.state_dir, f"{kind}_{name}")
    accepted = shelf.accepted()
    if not keys and not every:
        return "".join(f"{key}\n" for key in accepted)
    known = accepted if undo else _known(paths, kind, name)
    wanted = list(known) if every else keys
    for key in wanted:
        if key not in known:
            what = (
                "is not accepted"
                if undo
                else f"is not found; 'mender-monitorctl scan {kind} --check {name}' shows what is"
            )
            raise NotFound(f"{key!r} {what}")
    if undo:
        shelf.accept({key: value for key, value in accepted.items() if key not in wanted})
    else:
        shelf.accept(accepted | {key: known[key] for key in wanted})
    return ""


def help_of(kind: str) -> str:
    """A kind and its settings, for people."""
    lines = [f"create {kind} CHECK [SETTING=VALUE ...]", "", f"raises: {SECURITY[kind].help}", ""]
    for name, setting in SECURITY[kind].settings.items():
        text = f"{setting.help} ({', '.join(setting.choices)})" if setting.choices else setting.help
        usual = f"; without it {setting.default}" if setting.default else "; needed" if setting.required else ""
        lines += textwrap.wrap(text + usual, 88, initial_indent=f"{name:<13} ", subsequent_indent=" " * 14)
    return "\n".join(lines) + "\n"


def assignments(kind: str, arguments: Sequence[str]) -> list[tuple[str, str | int]]:
    """SETTING=VALUE as the variables of a check's file. Raises Invalid."""
    return [(variable_of(kind, setting), value) for setting, value in read_settings(kind, arguments).items()]


def read_settings(kind: str, arguments: Sequence[str]) -> dict[str, str]:
    """SETTING=VALUE, or as in a file <KIND>_<SETTING>=VALUE, all of them valid. Raises Invalid."""
    names = {variable_of(kind, setting): setting for setting in SECURITY[kind].settings}
    out = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            raise Invalid(f"{argument[:80]!r} is no SETTING=VALUE; the settings of {kind}: {', '.join(names.values())}")
        out[names.get(name, name)] = value
    interpret(kind, out)
    return out


def _kind(kind: str) -> str:
    if kind not in SECURITY:
        raise Invalid(f"there is no security check {kind[:80]!r}, only {', '.join(SECURITY)}")
    return kind


def _look(paths: Paths, kind: str, name: str, settings: Mapping[str, str]) -> tuple[Report, bool]:
    """As the check would look now, or, without one, at all there is; findings may be accepted ones.

    And whether the check, if there is one, has learned something.
    """
    baseline: Any = {}
    has_learned = True
    memory = None
    stem = f"{kind}_{name or BY_HAND}"
    if name:
        settings = given(kind, checkfiles.find(paths, kind, name)) | dict(settings)
        note = _note(paths, stem)
        baseline, memory = Shelf(paths.state_dir, stem).peek(note.get("baseline", "")), note.get("memory")
        has_learned = bool(note) or baseline is not None
        baseline = {} if baseline is None else baseline
    values, clock = interpret(kind, settings), SystemClock()
    context = Context(
        name=stem,
        settings=values,
        root=paths.scanned,
        state=paths.state_dir,
        clock=clock,
        baseline=baseline,
        memory=memory,
        by_hand=True,
        until=clock.elapsed() + values["time-limit"],
    )
    return look.run(kind, look.scanner(kind), context), has_learned


def _known(paths: Paths, kind: str, name: str) -> dict[str, str]:
    """What could be accepted: what a scan finds now, and what is raised; fingerprints by keys."""
    report, _ = _look(paths, kind, name, {})
    stem = f"{kind}_{name}"
    raised = {key: "" for key in _raised(paths, stem, kind) if not key.startswith(f"{stem}: ")}
    return raised | {each.key: each.fingerprint for each in report.findings}


def _note(paths: Paths, stem: str) -> dict[str, Any]:
    rows = _query(paths, "SELECT value FROM meta WHERE key = ?", metakeys.OF_CHECK + stem)
    return json.loads(rows[0][0]) if rows else {}


def _raised(paths: Paths, stem: str, kind: str) -> list[str]:
    from vedette.agent import staterecord
    from vedette.agent.ledger import OWNER

    start = stem + OWNER
    rows = _query(paths, 'SELECT body FROM state WHERE substr("check", 1, length(?)) = ?', start, start)
    states = [staterecord.load(body) for (body,) in rows]
    return [each.subject.name for each in states if each.raised and each.subject is not None]


def _query(paths: Paths, sql: str, *arguments: str) -> list[tuple[Any, ...]]:
    """Of the store, as it is; without one, nothing has happened yet. Raises Unavailable."""
    try:
        if not paths.store.exists():
            return []
        db = sqlite3.connect(f"{paths.store.as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql, arguments).fetchall()
        finally:
            db.close()
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"what the check knows cannot be read: {paths.store}: {error}; run this as root") from None


def _options(arguments: Sequence[str], flags: set[str], *, takes_check: bool) -> _Options:
    out, todo = _Options(), list(arguments)
    while todo:
        argument = todo.pop(0)
        name, equals, value = argument.partition("=")
        if argument == "--":
            out.words += todo
            break
        if argument in flags:
            out.flags.add(argument)
        elif takes_check and name == "--check":
            out.check = value if equals else todo.pop(0) if todo else ""
            if not out.check:
                raise Wrong("--check NAME: the name of a check of this kind")
        elif argument.startswith("--"):
            raise Wrong(f"there is no option {name!r}")
        else:
            out.words.append(argument)
    return out


def _one_line(finding: Finding) -> str:
    since = "" if finding.since is None else f"; since {finding.since.isoformat(timespec='seconds')}"
    by = f"; by {finding.by}" if finding.by else ""
    return f"{finding.key}: {finding.what}{since}{by}"


def _as_json(finding: Finding) -> dict[str, Any]:
    table = asdict(replace(finding, since=None))
    table["since"] = finding.since.isoformat() if finding.since is not None else None
    return table
