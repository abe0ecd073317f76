"""`mender-monitorctl import`: rules of other systems become checks of logs, and it is told how well."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from vedette.agent import checkfiles, control_subsystems
from vedette.agent.checkfiles import CheckFile
from vedette.agent.paths import Paths
from vedette.agent.rules.imported import APPROXIMATED, EXACT, REFUSED, Imported
from vedette.errors import Conflict, Invalid, NotFound, VedetteError
from vedette.model import durations

USAGE: Final = (
    "fail2ban|sigma FILE|DIRECTORY [--log FILE] [--name NAME] [--expiration TIME] [--enable] [--dry-run] [--json]"
)
ORIGIN: Final = "LOG_IMPORTED_FROM"
"""Variable of a check that was imported: which rule it is, so that it can be imported again."""
_FLAGS: Final = ("--enable", "--dry-run", "--json")
_VALUED: Final = ("--log", "--name", "--expiration")


class Wrong(Exception):
    """Called wrongly; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    system: str
    path: Path
    flags: frozenset[str]
    log: str = ""
    name: str = ""
    expiration_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A rule, and the checks it became."""

    rule: Imported
    checks: Sequence[CheckFile] = ()


def run(paths: Paths, arguments: Sequence[str], refuse_servers: Callable[[Paths, str, str], None]) -> tuple[str, bool]:
    """What is to be printed, and whether there is a check. `refuse_servers` raises Conflict for one of the server's.

    Raises:
        Wrong: called wrongly.
        VedetteError, OSError: there is nothing to read, or a check cannot be written.
    """
    options = _options(arguments)
    rules = list(_load(options))
    taken: set[str] = set()
    made = [_checks(paths, each, options, taken, refuse_servers, several=len(rules) > 1) for each in rules]
    if "--dry-run" not in options.flags:
        for each in made:
            for check in each.checks:
                checkfiles.create(paths, check.subsystem, check.name, check.values.items())
                if "--enable" in options.flags:
                    checkfiles.enable(paths, check.subsystem, check.name)
    text = _json(made) if "--json" in options.flags else _report(made, dry_run="--dry-run" in options.flags)
    return text, any(each.checks for each in made)


def _options(arguments: Sequence[str]) -> _Options:
    words: list[str] = []
    values: dict[str, str] = {}
    flags: set[str] = set()
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in _VALUED:
            if not equals and not rest:
                raise Wrong(USAGE)
            values[name.removeprefix("--")] = value if equals else rest.pop(0)
        elif word in _FLAGS:
            flags.add(word)
        elif word.startswith("--"):
            raise Wrong(USAGE)
        else:
            words.append(word)
    if len(words) != 2 or words[0] not in ("fail2ban", "sigma"):
        raise Wrong(USAGE)
    log = values.get("log", "")
    if "log" in values and (not log.startswith(("/", "@")) or log == "@"):
        raise Invalid(f"--log {log[:80]!r} is neither an absolute path nor '@' and a command")
    if "name" in values:
        checkfiles.good_name("log", values["name"])
    path = Path(os.fsdecode(words[1].encode("utf-8", "surrogateescape")))
    return _Options(
        system=words[0],
        path=path,
        flags=frozenset(flags),
        log=log,
        name=values.get("name", ""),
        expiration_s=durations.parse(values["expiration"]) if "expiration" in values else None,
    )


def _load(options: _Options) -> Iterable[Imported]:
    if not options.path.exists():
        raise NotFound(f"there is no {options.path}")
    if options.system == "sigma":
        from vedette.agent.rules import sigma

        return sigma.load(options.path, log=options.log)
    from vedette.agent.rules import fail2ban

    found = fail2ban.load(options.path)
    return (replace(each, sources=(options.log,)) for each in found) if options.log else found


def _checks(
    paths: Paths,
    rule: Imported,
    options: _Options,
    taken: set[str],
    refuse_servers: Callable[[Paths, str, str], None],
    *,
    several: bool,
) -> _Made:
    """The checks of a rule, not written yet; a rule that no check can be made from is refused."""
    if rule.refused:
        return _Made(rule=rule)
    try:
        if not rule.sources or "" in rule.sources:
            raise Invalid("nothing says which log it is for; give --log FILE")
        base = rule.name if not options.name else f"{options.name}-{rule.name}" if several else options.name
        made = []
        for source in rule.sources:
            name = _free(paths, base, rule.origin, source, taken)
            refuse_servers(paths, "log", name)
            assignments = _assignments(rule, name, source, options.expiration_s)
            check = checkfiles.draft(paths, "log", checkfiles.good_name("log", name), assignments)
            control_subsystems.validate(check)
            taken.add(name)
            made.append(check)
    except VedetteError as exc:
        return _Made(rule=replace(rule, refused=str(exc)))
    return _Made(rule=rule, checks=made)


def _free(paths: Paths, base: str, origin: str, source: str, taken: set[str]) -> str:
    """The name of the check of this rule and log: the one it has already, or the first that is not used."""
    for name in _names(base):
        if name in taken:
            continue
        try:
            there = checkfiles.find(paths, "log", name)
        except NotFound:
            return name
        if there.values.get(ORIGIN) == origin and (there.values.get("LOG_FILE") == source or name == base):
            return name
        if there.values.get(ORIGIN) != origin:
            raise Conflict(f"there is a check log {name} that does not come from this rule; give --name")
    raise Conflict(f"there are too many checks called {base}")


def _names(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}-{number}" for number in range(2, 1000))


def _assignments(rule: Imported, name: str, source: str, expiration_s: int | None) -> list[tuple[str, str | int]]:
    given: list[tuple[str, str | int]] = [("SERVICE_NAME", name), ("LOG_PATTERN", rule.pattern), ("LOG_FILE", source)]
    if rule.level is not None:
        given.append(("LOG_ALERT_LEVEL", str(rule.level)))
    given.append(("LOG_ALERT_DESCRIPTION", rule.title or rule.rule))
    given.append(("LOG_ALERT_DETAILS", f"{rule.title or rule.rule}: %line_matching"))
    given.append((ORIGIN, rule.origin))
    if expiration_s is not None:
        given.append(("LOG_PATTERN_EXPIRATION", expiration_s))
    return given


def _report(made: Sequence[_Made], *, dry_run: bool) -> str:
    lines: list[str] = []
    for each in made:
        rule = each.rule
        if rule.refused:
            lines.append(f"{rule.rule}: {REFUSED}: {rule.refused}")
            continue
        checks = ", ".join(f"log {check.name} on {check.values['LOG_FILE']}" for check in each.checks)
        lines.append(f"{rule.rule}: {rule.verdict}: {checks}")
        lines += [f"    otherwise: {note}" for note in rule.notes]
        lines += [f"    note: {hint}" for hint in rule.hints]
    verdicts = [each.rule.verdict for each in made]
    total = sum(len(each.checks) for each in made)
    lines.append(
        f"{total} check{'' if total == 1 else 's'} {'would be ' if dry_run else ''}made; rules: "
        + ", ".join(f"{verdicts.count(each)} {each}" for each in (EXACT, APPROXIMATED, REFUSED))
    )
    return "".join(f"{line}\n" for line in lines)


def _json(made: Sequence[_Made]) -> str:
    table: list[dict[str, Any]] = [
        {
            "rule": each.rule.rule,
            "origin": each.rule.origin,
            "verdict": each.rule.verdict,
            "refused": each.rule.refused or None,
            "otherwise": list(each.rule.notes),
            "notes": list(each.rule.hints),
            "checks": [{"name": check.name, **check.values} for check in each.checks],
        }
        for each in made
    ]
    return json.dumps(table, ensure_ascii=False, indent=2) + "\n"
