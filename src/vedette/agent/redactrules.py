"""The user's own rules for what must not leave the device, besides those of `redact`.

A file with one Perl-compatible pattern in a line; empty lines and those that begin with "#" count for nothing. What a
pattern matches is made unreadable, or only its first group when it has one, so that a label can stay. The file is
looked at before each alert: a change needs no restart.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pcre2

from vedette.agent import log, redact
from vedette.model import Alert

MAX_BYTES: Final = 64 * 1024
MAX_RULES: Final = 200
MATCH_LIMIT: Final = 200_000
"""Steps one text may cost one rule. A text on which a rule gives up is hidden as a whole."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the file, compiled."""

    pattern: Any

    def hide(self, text: str) -> str:
        """`text` with what the rule means made unreadable."""
        out: list[str] = []
        done = 0
        try:
            for match in self.pattern.finditer(text):
                start, end = match.span(1) if self.pattern.groups else match.span(0)
                if done <= start < end:
                    out += (text[done:start], redact.MARK)
                    done = end
        except pcre2.LibraryError:
            return redact.MARK
        return "".join(out) + text[done:] if out else text


def parse(content: str, where: str) -> tuple[tuple[Rule, ...], list[str]]:
    """The rules of a file, and one sentence for each line that is none."""
    rules: list[Rule] = []
    problems: list[str] = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if len(rules) == MAX_RULES:
            problems.append(f"{where}, line {number}: more than {MAX_RULES} rules; the rest is not used")
            break
        try:
            rules.append(Rule(pcre2.compile(f"(*LIMIT_MATCH={MATCH_LIMIT}){line}", jit=False)))
        except pcre2.PatternError as exc:
            problems.append(f"{where}, line {number}: no valid pattern ({exc.msg}); this rule hides nothing")
    return tuple(rules), problems


class UserRules:
    """`alert` hides what our rules and those in the file mean. What is wrong with the file is logged once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._rules: tuple[Rule, ...] = ()
        self._look()

    def alert(self, value: Alert) -> Alert:
        """The alert as it may leave the device."""
        self._look()
        return redact.alert(value, self._text if self._rules else redact.text)

    def text(self, value: str) -> str:
        """A text as it may leave the device."""
        self._look()
        return self._text(value)

    def _text(self, value: str) -> str:
        value = redact.text(value)
        for rule in self._rules:
            value = rule.hide(value)
        return value

    def _look(self) -> None:
        stamp: tuple[int, ...] = ()
        try:
            status = os.stat(self._path)  # noqa: PTH116  before each alert
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp == self._stamp:
                return
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            self._rules, self._stamp = (), ()
            return
        except OSError as exc:
            if stamp != self._stamp:
                log.error(f"{self._path} cannot be read ({exc.strerror}): its rules as they were before are used")
            self._stamp = stamp
            return
        self._stamp = stamp
        if len(content) > MAX_BYTES:
            log.error(f"{self._path} is larger than {MAX_BYTES} bytes; only what is before that is used")
        self._rules, problems = parse(content[:MAX_BYTES].decode(errors="replace"), str(self._path))
        for problem in problems:
            log.error(problem)
