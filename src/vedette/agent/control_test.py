"""`mender-monitorctl test`: what a check or a pattern would do, tried on logs that are there. Changes nothing."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from vedette.agent import checkfiles, durations, redact, replay, settings
from vedette.agent.checks.log import LogCheck
from vedette.agent.match import Pattern
from vedette.agent.match.count import Counter
from vedette.agent.match.plan import make
from vedette.agent.paths import Paths
from vedette.agent.replay import Outcome, Told
from vedette.clock import SystemClock
from vedette.errors import Invalid, NotFound, Unavailable
from vedette.model import Alert, Level, Line

MAX_SHOWN: Final = 20
MAX_PATTERN_FILE: Final = 64 << 20


class Wrong(Exception):
    """Called wrongly; the message says how."""


@dataclass(slots=True)
class _Options:
    words: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    since: str = ""
    patterns: str = ""
    context: int = 3
    count: bool = False
    json: bool = False


def run(paths: Paths, arguments: Sequence[str]) -> str:
    """What is to be printed.

    Raises:
        Wrong: called wrongly.
        VedetteError: a pattern is not valid, a check or file is not there.
    """
    options = _options(list(arguments))
    if options.patterns or options.count:
        if not (options.patterns and options.count and options.words) or options.files or options.since:
            raise Wrong("--patterns PATTERNFILE --count LOG...")
        return _count(paths, options)
    if len(options.words) == 2 and options.words[0] == "log":  # as the other commands have it
        del options.words[0]
    if len(options.words) != 1:
        raise Wrong("CHECK|PATTERN [--file FILE]... [--since TIME]")
    return _replay(paths, options)


def _options(arguments: list[str]) -> _Options:
    out = _Options()
    takes = {"--file": "a file", "--since": "a time", "--patterns": "a file", "--context": "a number"}
    while arguments:
        argument = arguments.pop(0)
        name, equals, value = argument.partition("=")
        if argument == "--":
            out.words += arguments
            break
        if argument in ("--json", "--count"):
            setattr(out, argument[2:], True)
        elif name in takes:
            if not equals:
                if not arguments:
                    raise Wrong(f"{name} needs {takes[name]}")
                value = arguments.pop(0)
            if name == "--file":
                out.files.append(value)
            elif name == "--context":
                if not (value.isascii() and value.isdigit() and len(value) < 5):
                    raise Wrong("--context needs a number of lines")
                out.context = int(value)
            elif name == "--since":
                out.since = value
            else:
                out.patterns = value
        elif argument.startswith("--"):
            raise Wrong(f"there is no option {name!r}; a pattern that begins with a dash stands behind --")
        else:
            out.words.append(argument)
    return out


def _count(paths: Paths, options: _Options) -> str:
    """Like `grep -c -f`."""
    patterns = _pattern_file(options.patterns)
    counter = Counter(patterns, _cache(paths))
    counts: list[tuple[str, int]] = []
    for name in options.words:
        try:
            fd = os.dup(sys.stdin.fileno()) if name == replay.STDIN else os.open(_raw(name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                counts.append((name, counter.file(fd)))
            finally:
                os.close(fd)
        except OSError as exc:
            raise Unavailable(f"{name} cannot be read: {exc.strerror}") from exc
    if options.json:
        return json.dumps([{"file": name, "count": count} for name, count in counts]) + "\n"
    return "".join(f"{count}\n" if len(counts) == 1 else f"{name}:{count}\n" for name, count in counts)


def _pattern_file(name: str) -> list[Pattern]:
    try:
        with open(_raw(name), "rb") as file:  # noqa: PTH123 - a name of any bytes
            content = file.read(MAX_PATTERN_FILE + 1)
    except OSError as exc:
        raise Unavailable(f"{name} cannot be read: {exc.strerror}") from exc
    if len(content) > MAX_PATTERN_FILE:
        raise Invalid(f"{name} is larger than {MAX_PATTERN_FILE} bytes")
    out = []
    for number, line in enumerate(dict.fromkeys(content.removesuffix(b"\n").split(b"\n")), 1):
        try:
            out.append(Pattern.compile(line.decode("utf-8", "surrogateescape")))
        except Invalid as exc:
            raise Invalid(f"{name}, pattern {number}: {exc}") from exc
    return out


def _cache(paths: Paths) -> Path | None:
    """Where compiled patterns are kept: with the daemon's, or with those of the user."""
    if os.access(paths.state_dir, os.W_OK):
        return paths.state_dir / "patterns"
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - may stay as it is
    return Path(base, "vedette", "patterns") if base.startswith("/") else None


def _replay(paths: Paths, options: _Options) -> str:
    word = options.words[0]
    configured = settings.read(paths.config_sh)
    check = LogCheck(_check_file(paths, word, options.files), configured)
    files = options.files
    if not files:
        if check.source.startswith("@"):
            raise Invalid(f"{check.key} reads what a command prints; pipe some of it here and add --file -")
        files = replay.generations(check.source)
    since = _since(options.since) if options.since else None
    outcome = replay.replay(check, files, context=configured.default_log_lines_before, since=since)
    if options.json:
        return json.dumps(_as_json(check, outcome), ensure_ascii=False, indent=2) + "\n"
    return _as_text(check, files, outcome, options.context)


def _check_file(paths: Paths, word: str, files: Sequence[str]) -> checkfiles.CheckFile:
    """A check of this name, enabled or not; else one that would look for `word`."""
    try:
        return checkfiles.find(paths, "log", word.removeprefix("log_"))
    except NotFound:
        pass
    except Invalid:  # as a name; or the check of that name is
        if (paths.available / f"log_{word.removeprefix('log_')}.sh").exists():
            raise
    if not files:
        raise NotFound(f"there is no log check {word!r}; to try it as a pattern, name a log with --file")
    source = os.path.abspath(files[0]) if files[0] != replay.STDIN else "/dev/stdin"  # noqa: PTH100
    values = (("SERVICE_NAME", "test"), ("LOG_PATTERN", word), ("LOG_FILE", source))
    return checkfiles.draft(paths, "log", "test", values)


def _since(text: str) -> datetime:
    """A duration before now, or a time."""
    try:
        return SystemClock().now() - timedelta(seconds=durations.parse(text))
    except Invalid:
        pass
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise Invalid(f"{text[:40]!r} is neither a duration (2d) nor a time (2026-08-24 or 2026-08-24T10:00)") from None


def _as_text(check: LogCheck, files: Sequence[str], out: Outcome, context: int) -> str:
    lines = [f"{check.pattern.text} in {', '.join(files)}", ""]
    for told in out.alerts[:MAX_SHOWN]:
        lines += _told(told, context, check.expires_s)
    if len(out.alerts) > MAX_SHOWN:
        lines += [f"... and {len(out.alerts) - MAX_SHOWN} more alerts; --json shows all", ""]
    raised = sum(each.level is not Level.OK for each in out.alerts)
    problems = "no alert" if not raised else "1 alert" if raised == 1 else f"{raised} alerts"
    share = f" ({100 * out.matches / out.lines:.2g} %)" if out.lines and out.matches else ""
    lines.append(
        f"{out.matches:,} of {out.lines:,} lines match{share}: {problems} would be raised"
        + (", the last one still open." if out.raised else ".")
    )
    if out.timeless and check.expires_s:
        lines.append(f"{out.timeless:,} matching lines tell no time that is understood: no expiry was seen there.")
    if out.undecided:
        lines.append(
            f"{out.undecided:,} lines could not be decided: the pattern takes too long; a simpler one would help."
        )
    rate = out.bytes / out.seconds / 1e6 if out.seconds else 0.0
    lines.append(f"{out.bytes / 1e6:,.1f} MB in {out.seconds * 1000:,.0f} ms ({rate:,.0f} MB/s), {_searched(check)}.")
    return "\n".join(lines) + "\n"


def _told(told: Told, context: int, expires_s: int) -> list[str]:
    at = told.at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if told.at else "at a time that the lines do not tell"
    if told.level is Level.OK:
        return [f"{told.level}  {at}  {durations.show(expires_s)} after the last match", ""]
    details = redact.alert(_alert(told)).subject.details
    assert details is not None
    assert details.line_matching is not None
    lines = [f"{told.level}  {at}  {told.name}"]
    before = details.lines_before[len(details.lines_before) - min(context, len(details.lines_before)) :]
    for mark, some in ((" ", before), (">", (details.line_matching,)), (" ", details.lines_after[:context])):
        lines += (f"  {mark} {each.number:>6}  {_printable(each)}" for each in some)
    if told.matches > 1:
        until = f", the last at {told.last.astimezone():%Y-%m-%d %H:%M:%S}" if told.last else ""
        lines.append(f"    and {told.matches - 1:,} more matching lines{until}")
    return [*lines, ""]


def _printable(line: Line) -> str:
    return "".join(each if each.isprintable() or each == "\t" else repr(each)[1:-1] for each in line.data)


def _alert(told: Told) -> Alert:
    return Alert(name=told.name, level=told.level, at=told.at or SystemClock().now(), subject=told.subject)


def _searched(check: LogCheck) -> str:
    plan = make([check.pattern.text])
    texts = [each.text.decode(errors="replace") for each in plan.probes if not each.outline]
    if not plan.probes:
        return "the pattern asked about every line, for no text in it must always be there"
    if not texts:
        return "searched for the outline of the pattern"
    return "searched for " + " or ".join(repr(each) for each in texts[:4])


def _as_json(check: LogCheck, out: Outcome) -> dict[str, Any]:
    return {
        "pattern": check.pattern.text,
        "lines": out.lines,
        "matches": out.matches,
        "undecided": out.undecided,
        "without_time": out.timeless,
        "bytes": out.bytes,
        "seconds": round(out.seconds, 6),
        "open": out.raised,
        "alerts": [_told_json(each) for each in out.alerts],
    }


def _told_json(told: Told) -> dict[str, Any]:
    alert = redact.alert(_alert(told))
    details = alert.subject.details
    found: dict[str, Any] = {
        "level": told.level.value,
        "name": told.name,
        "timestamp": told.at.isoformat() if told.at else None,
        "file": told.file,
        "matches": told.matches,
        "last_match": told.last.isoformat() if told.last else None,
    }
    if told.level is not Level.OK and details is not None and details.line_matching is not None:
        found["line_matching"] = _line_json(details.line_matching)
        found["lines_before"] = [_line_json(each) for each in details.lines_before]
        found["lines_after"] = [_line_json(each) for each in details.lines_after]
    return found


def _line_json(line: Line) -> dict[str, Any]:
    return {"line_number": line.number, "data": line.data}


def _raw(name: str) -> bytes:
    """A name as the shell gave it."""
    return name.encode("utf-8", "surrogateescape")
