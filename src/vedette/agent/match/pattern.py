"""One Perl-compatible pattern, asked about one line at a time.

A pattern of a check is somebody else's program: it may need exponential time. PCRE2 counts its steps and gives up at
a limit; such a line is neither a match nor a miss, and says so (`Undecided`), because a silent "no" would be a lie.

Lines are bytes. One that is pure ASCII is matched as it is, any other as UTF text with bad bytes replaced by U+FFFD;
the answer is that of UTF mode with Unicode properties in both cases, the first way is only quicker.
Source: pcre2api(3), pcre2pattern(3) "Special start-of-pattern items", pcre2unicode(3).
"""

from contextlib import suppress
from typing import Any, Final

from pcre2 import LibraryError, PatternError, _cy

from vedette.errors import Invalid

MATCH_LIMIT: Final = 400_000
"""Steps one line may cost: 2 to 40 ms compiled to machine code, for some steps are long; 14 ms interpreted."""
BRIEF_LIMITS: Final = {8: 10_000, 1000: 1_000}
"""Steps one line may cost once a pattern was undecided about so many lines: in the end what reading it costs anyway."""
HEAP_KIB: Final = 16 * 1024
"""Memory that one line may cost."""
PATTERN_BYTES_MAX: Final = 64 * 1024
"""Longest pattern that is taken; more than any argument people write, less than what stalls the compiler."""

# A pattern can only lower them.
_LIMIT: Final = f"(*LIMIT_HEAP={HEAP_KIB})(*LIMIT_MATCH={MATCH_LIMIT:07})"
_BRIEF: Final = {lines: f"(*LIMIT_HEAP={HEAP_KIB})(*LIMIT_MATCH={steps:07})" for lines, steps in BRIEF_LIMITS.items()}
_ALT_BSUX: Final = 0x00000002  # the binding turns on JavaScript's \x and \u; Perl's are wanted
_NO_OPTIONS: Final = 0
_GLOBAL: Final = 0x00000100  # all that is found, not only the first
_UNKNOWN: Final = object()
_JIT_STACK_FULL: Final = -46
_ANYWHERE: Final = _cy.create_match_context()
_match: Final = _cy.match  # asked so often that to look it up would tell


class Undecided(Exception):
    """The engine gave up on a line before it knew the answer; the message says why."""


class Pattern:
    """A compiled pattern. Compiling costs some microseconds and less than a kilobyte; the machine code, made when the
    pattern is asked for the first time, as much again. Of many patterns most are never asked.

    One that runs into the limit again and again gets less and less time for each line from then on, so that a log full
    of such lines is still read as fast as it is written.
    """

    __slots__ = ("_ascii", "_cold", "_interpreted", "_limit", "_lines", "_utf", "text", "undecided")

    def __init__(self, text: str) -> None:
        self.text = text
        self.undecided = 0
        """Lines so far on which the engine gave up."""
        self._prepare(_LIMIT)

    def _prepare(self, limit: str) -> None:
        text = self.text
        self._limit = limit
        self._utf: Any = None
        self._ascii: Any = None
        self._interpreted: Any = None
        self._lines: Any = _UNKNOWN
        # As bytes only where that cannot change the answer: the pattern is ASCII itself and means the same without UTF.
        if text.isascii():
            with suppress(Invalid):  # for example \x{20AC}, which only UTF mode knows
                self._ascii = _compile(text.encode(), limit, jit=False)
        if self._ascii is None:
            self._ascii = self._utf = _compile(text, limit, jit=False)
        self._cold = True  # there is no machine code yet

    def _warm_up(self) -> None:
        self._cold = False
        _speed_up(self._ascii)

    def _wide(self) -> Any:
        """The pattern for lines that are not pure ASCII: made when one comes, for many logs have none.

        Raises `Undecided` when it is too large to be one.
        """
        if self._utf is None:
            try:
                self._utf = _compile(self.text, self._limit)
            except Invalid as exc:
                raise Undecided(str(exc)) from None
        return self._utf

    @classmethod
    def compile(cls, text: str) -> "Pattern":
        """Make a pattern.

        Raises:
            Invalid: it is no Perl-compatible pattern; says what PCRE says, and at which character (from 0).
        """
        if "\0" in text:
            raise Invalid("a pattern cannot hold a NUL character; write \\x00")
        if len(text.encode(errors="surrogateescape")) > PATTERN_BYTES_MAX:
            raise Invalid(f"the pattern is longer than {PATTERN_BYTES_MAX} bytes")
        return cls(text.encode(errors="surrogateescape").decode(errors="replace"))

    def matches(self, line: bytes) -> bool:
        """Is there a match anywhere in `line` (without its newline)?

        Raises:
            Undecided: the match limit was reached.
        """
        if self._cold:
            self._warm_up()
        if line.isascii():
            code = self._ascii
            subject: bytes | str = line if code is not self._utf else line.decode("ascii")
        else:
            code = self._wide()
            subject = line.decode(errors="replace")
        try:
            return _match(code, subject, len(subject), 0, _ANYWHERE, _NO_OPTIONS)[0] is not None
        except LibraryError as exc:
            if exc.code != _JIT_STACK_FULL:
                raise self._given_up(exc) from None
        return self._slowly(line)

    def misses(self, lines: list[bytes]) -> list[bytes]:
        """Those of many lines that do not match, or where it cannot be decided; quicker than asking one by one."""
        if self._cold:
            self._warm_up()
        code = self._ascii
        if code is self._utf or not b"".join(lines).isascii():
            return [line for line in lines if not self._surely(line)]
        out: list[bytes] = []
        for line in lines:
            try:
                if _match(code, line, len(line), 0, _ANYWHERE, _NO_OPTIONS)[0] is None:
                    out.append(line)
            except LibraryError:
                if not self._surely(line):
                    out.append(line)
        return out

    def strike(self, block: bytes) -> tuple[bytes, int] | None:
        """Those of many lines that do not match, and how many do; quicker still. None: it cannot be told in this way.

        Args:
            block: ASCII, whole lines each with its newline, none longer than is looked at.
        """
        if self._lines is _UNKNOWN:
            from vedette.agent.match.syntax import stays_within_lines  # wanted seldom

            self._lines = None
            if self.text.isascii() and stays_within_lines(self.text):
                self._lines = _compile(rb"(?m)^[^\n]*?(?:%b)[^\n]*+\n" % self.text.encode(), self._limit)
        if self._lines is None:
            return None
        try:
            left, count = _cy.substitute(self._lines, b"", block, 0, _GLOBAL)
        except LibraryError:  # too costly: for each line to decide, from now on
            self._lines = None
            return None
        return left, count

    def _surely(self, line: bytes) -> bool:
        try:
            return self.matches(line)
        except Undecided:
            return False

    def _slowly(self, line: bytes) -> bool:
        """Machine code has a small stack; the interpreter takes what it needs from the heap."""
        if self._interpreted is None:
            self._interpreted = _compile(self.text, self._limit, jit=False)
        try:
            text = line.decode(errors="replace")
            return _match(self._interpreted, text, len(text), 0, _ANYWHERE, _NO_OPTIONS)[0] is not None
        except LibraryError as exc:
            raise self._given_up(exc) from None

    def _given_up(self, exc: LibraryError) -> Undecided:
        self.undecided += 1
        if self.undecided in _BRIEF:
            self._prepare(_BRIEF[self.undecided])
        return Undecided(exc.msg)


def _compile(text: str | bytes, limit: str, *, jit: bool = True) -> Any:
    limited = limit + text if isinstance(text, str) else limit.encode() + text
    try:
        code = _cy.compile(limited, _NO_OPTIONS, _ALT_BSUX)
    except PatternError as exc:
        position = max(0, exc.pos - len(limit))
        reason = exc.msg.partition("; ")[2] or exc.msg
        raise Invalid(f"not a valid pattern: {reason} (at character {position})") from None
    if jit:
        _speed_up(code)
    return code


def _speed_up(code: Any) -> None:
    with suppress(LibraryError):  # too large for machine code, or no executable memory here: interpreted
        _cy.jit_compile(code)


def lines_with(expression: bytes, data: bytes) -> int | None:
    """How many lines hold an expression of our own, which stays within lines. None: to know it takes too long."""
    code = _compile(b"(?:%b)[^\n]*+" % expression, _LIMIT)
    try:
        count: int = _cy.substitute(code, b"", data, 0, _GLOBAL)[1]
    except LibraryError:
        return None
    return count


def compile_text(text: bytes) -> Any | None:
    """A text, to be searched for by machine code, many bytes at a time. None: there is no machine code here."""
    code = _cy.compile(b"".join(b"\\x%02x" % byte for byte in text), _NO_OPTIONS, _ALT_BSUX)
    try:
        _cy.jit_compile(code)
    except LibraryError:
        return None
    return code


def compile_bytes(expression: bytes) -> Any:
    """An expression of our own, for bytes as they are; bounded like every other."""
    return _compile(expression, _BRIEF[min(_BRIEF)])
