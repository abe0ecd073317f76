"""What a check would have raised on logs that are there, for people and for programs."""

import json
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from vedette.agent import checkfiles, redact, replay, settings
from vedette.agent.checks.log import LogCheck
from vedette.agent.match.plan import make
from vedette.agent.paths import Paths
from vedette.agent.replay import Outcome, Told
from vedette.clock import SystemClock
from vedette.errors import Invalid, NotFound
from vedette.model import Alert, Level, Line, durations

MAX_SHOWN: Final = 20


def run(paths: Paths, word: str, files: Sequence[str], *, since: str, context: int, as_json: bool) -> str:
    """What is to be printed.

    Args:
        word: the name of a check, or a pattern.
        files: logs; none: those of the check.
        since: a time or a duration before now; empty: from the start.
        context: lines shown before and behind a match.

    Raises:
        VedetteError: a pattern is not valid, a check or file is not there.
    """
    configured = settings.read(paths.config_sh)
    check = LogCheck(_check_file(paths, word, files), configured)
    if not files:
        if check.source.startswith("@"):
            raise Invalid(f"{check.key} reads what a command prints; pipe some of it here and add --file -")
        files = replay.logs(check.source)
        if not files:
            raise NotFound(f"{check.key}: there is no file {check.source} yet")
    begin = _since(since) if since else None
    outcome = replay.replay(check, files, context=configured.default_log_lines_before, since=begin)
    if as_json:
        return json.dumps(_as_json(check, outcome), ensure_ascii=False, indent=2) + "\n"
    return _as_text(check, files, outcome, context)


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
    share = f" ({100 * out.matches / out.lines:.2g} %)" if out.lines and out.matches and check.events is None else ""
    lines.append(
        f"{out.matches:,} {'of' if check.events is None else 'events in'} {out.lines:,} lines match{share}: {problems}"
        " would be raised" + (", the last one still open." if out.raised else ".")
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
