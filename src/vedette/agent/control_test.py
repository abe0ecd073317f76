"""`mender-monitorctl test`: what a check or a pattern would do, tried on logs that are there. Changes nothing."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vedette.agent.match.count import Counter
from vedette.agent.match.pattern import Pattern
from vedette.agent.paths import Paths
from vedette.errors import Invalid, Unavailable

STDIN: Final = "-"
MAX_PATTERN_FILE: Final = 64 << 20


class Wrong(Exception):
    """Called wrongly; the message says how."""


@dataclass(slots=True)
class _Options:
    """What was asked for."""

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
    from vedette.agent import control_replay  # much that counting, which is to start at once, does without

    return control_replay.run(
        paths,
        options.words[0],
        options.files,
        since=options.since,
        context=options.context,
        as_json=options.json,
    )


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
            fd = os.dup(sys.stdin.fileno()) if name == STDIN else os.open(_raw(name), os.O_RDONLY | os.O_CLOEXEC)
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


def _raw(name: str) -> bytes:
    """A name as the shell gave it."""
    return name.encode("utf-8", "surrogateescape")
