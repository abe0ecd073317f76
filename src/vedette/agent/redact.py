"""The one place where secrets are taken out of what a device tells: every alert passes here before it is stored.

Logs hold passwords and tokens by accident. What looks like one is replaced by `[redacted]`, its label stays, so that a
reader still sees what kind of thing was there. Better one word too many: the original is on the device.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from vedette.model import Alert, Details, Line

MARK: Final = "[redacted]"

# (of which an ASCII line must hold one, in lower case, for the rule to be worth trying; the rule; its replacement)
_RULES: Final = (
    # -----BEGIN PRIVATE KEY----- and its base64 when it is on one line
    (
        ("private key",),
        re.compile(r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)[^-]*"),
        rf"\1{MARK}",
    ),
    # JSON Web Token: three base64url parts, the first an object
    (("eyj",), re.compile(r"\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*"), MARK),
    # Authorization: Bearer abc, Basic abc
    (
        ("bearer", "basic", "digest", "token", "negotiate"),
        re.compile(r"(?i)\b(bearer|basic|digest|token|negotiate)(\s+)(?=[\w+/.~-]*[\d+/=]|[\w+/.~-]{32})[\w+/.~-]{16,}=*"),
        rf"\1\2{MARK}",
    ),
    # scheme://user:password@host
    (("://",), re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^\s/:@]{0,256}:)[^\s/@]{1,512}(?=@)"), rf"\1{MARK}"),
    # password=x, "api_key": "x", secret: x, AWS_SECRET_ACCESS_KEY='x'
    (
        ("pass", "secret", "key", "token"),
        re.compile(
            r"(?i)((?:pass(?:word|wd|phrase)?|secret|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|"
            r"secret[_-]?(?:access[_-]?)?key|auth[_-]?token|access[_-]?token|refresh[_-]?token|session[_-]?token|"
            r"client[_-]?secret)[\"']?\s{0,4}[=:]\s{0,4})"
            r"(?:\"[^\"]{1,1024}\"|'[^']{1,1024}'|(?!\[redacted\])[^\s\"',;&]{1,1024})"
        ),
        rf"\1{MARK}",
    ),
    # words that also stand in ordinary sentences: only before something with a digit in it
    (
        ("token", "credential", "pwd"),
        re.compile(
            r"(?i)((?:token|credentials?|pwd)[\"']?\s{0,4}[=:]\s{0,4})"
            r"(?:\"[^\"]{1,1024}\"|'[^']{1,1024}'|(?=[^\s\"',;&\d]{0,256}\d)[^\s\"',;&]{1,1024})"
        ),
        rf"\1{MARK}",
    ),
    # keys that carry their maker's mark
    (
        ("akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "sk_live_", "aiza"),
        re.compile(
            r"\b(?:AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255}|"
            r"glpat-[\w-]{20,64}|xox[abposr]-[\w-]{10,255}|sk_live_[A-Za-z0-9]{16,255}|AIza[\w-]{35})"
        ),
        MARK,
    ),
)  # fmt: skip


def text(value: str) -> str:
    """`value` without what looks like a secret."""
    lower = value.lower() if value.isascii() else ""
    for hints, rule, replacement in _RULES:
        if not lower or any(hint in lower for hint in hints):
            value = rule.sub(replacement, value)
    return value


def alert(value: Alert, clean: Callable[[str], str] = text) -> Alert:
    """The alert as it may leave the device. Its name and subject stay: they are what the user configured."""
    details = value.subject.details
    if details is None:
        return value

    def line(each: Line) -> Line:
        return Line(each.number, clean(each.data))

    cleaned = Details(
        description=clean(details.description),
        lines_before=tuple(map(line, details.lines_before)),
        line_matching=details.line_matching and line(details.line_matching),
        lines_after=tuple(map(line, details.lines_after)),
    )
    return replace(value, subject=replace(value.subject, details=cleaned))
