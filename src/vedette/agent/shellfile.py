"""Files of shell assignments, read as data: the quoting rules of the shell without a shell.

What only a shell could answer (a variable, a substitution, a command) is refused with its line number, so that a file
means here exactly what `. file` means to bash, or nothing. Source: POSIX.1-2017, Shell Command Language, 2.2, 2.3,
2.6 and 2.9.1.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from vedette.errors import Invalid

_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_DIGITS = frozenset("0123456789")
_BLANKS = frozenset(" \t")
_ESCAPED_IN_QUOTES = frozenset('$`"\\')  # 2.2.3: what a backslash quotes between double quotes, besides a newline
# Most of every file: taken in one step, for a device reads all its checks before it watches the first.
_PLAIN_IN_QUOTES = re.compile(r'[^"\\`$\n\0]*')
_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*)?")
_PLAIN_OUTSIDE = re.compile(r"[A-Za-z0-9_./+,-]*")
# A line as `dump` writes it, and most people do.
_USUAL_LINE = re.compile(
    r'(?:#[^\n]*|([A-Za-z_][A-Za-z0-9_]*)=(?:"([^"\\`$\n\0]*(?:\\["\\`$][^"\\`$\n\0]*)*)"|([A-Za-z0-9_./+,-]*)))\n'
)
_QUOTED = re.compile(r"\\(.)")
_EXPANDS = _LETTERS | _DIGITS | frozenset("{([@*#?-$!")  # after `$`: an expansion; after any other, `$` is itself


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `NAME=value` of a file."""

    name: str
    value: str
    line: int  # of the name, from 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """A statement that cannot be taken as data."""

    line: int
    why: str  # goes behind "line 3": "runs a command ..."


def scan(text: str) -> Iterator[Assignment | Refusal]:
    """Every statement of `text` in order; after a refused one, reading goes on with the line behind its first.

    A statement counts as a whole: `A=1 reboot` assigns nothing.
    """
    lines = _Reader(text)
    while not lines.at_end():
        start, line = lines.at, lines.line
        try:
            yield from lines.statement()
        except _Refused as refused:
            yield Refusal(refused.line, refused.why)
            lines.skip_line_of(start, line)


def parse(text: str, where: str = "") -> dict[str, str]:
    """All assignments of `text`, the last of each name.

    Args:
        where: what an error calls the file: "log_a.sh".
    Raises:
        Invalid: something in it needs a shell; names the line.
    """
    usual = _usual(text)
    if usual is not None:
        return usual
    values = {}
    for each in scan(text):
        if isinstance(each, Refusal):
            raise Invalid(f"{where}{', ' * bool(where)}line {each.line} {each.why}")
        values[each.name] = each.value
    return values


def _usual(text: str) -> dict[str, str] | None:
    """What `parse` returns, some times faster, when there is nothing in the text but usual lines; else None."""
    values: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _USUAL_LINE.match(text, at)
        if found is None:
            return None
        name, quoted, plain = found.groups()
        if name is not None:
            value = plain if quoted is None else _QUOTED.sub(r"\1", quoted) if "\\" in quoted else quoted
            values[sys.intern(name)] = value  # the same few in every file
        at = found.end()
    return values


def quote(value: str) -> str:
    """`value` between double quotes, so that the shell and `parse` give it back. It must hold no NUL."""
    for char in '\\"$`':
        value = value.replace(char, "\\" + char)
    return f'"{value}"'


def dump(assignments: Mapping[str, str | int] | Iterable[tuple[str, str | int]]) -> str:
    """Lines `NAME="value"` in the given order; numbers stay unquoted."""
    pairs = assignments.items() if isinstance(assignments, Mapping) else assignments
    return "".join(f"{name}={value if isinstance(value, int) else quote(value)}\n" for name, value in pairs)


class _Refused(Exception):
    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.why = why


class _Reader:
    """A place in the text, and the rules by which it moves on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1

    def at_end(self) -> bool:
        return self.at >= len(self.text)

    def peek(self, ahead: int = 0) -> str:
        """The character here, or "" at the end."""
        return self.text[self.at + ahead : self.at + ahead + 1]

    def take(self) -> str:
        char = self.peek()
        self.at += 1
        self.line += char == "\n"
        return char

    def take_plain(self, plain: re.Pattern[str]) -> str:
        """All that matches from here on, maybe nothing. No newline may match."""
        found = plain.match(self.text, self.at)
        assert found is not None  # each of these patterns matches nothing at all
        self.at = found.end()
        return found[0]

    def continued(self) -> bool:
        """Is this a backslash at the end of a line, which stands for nothing (2.2.1)? Takes the backslash."""
        if not self.text.startswith("\\\n", self.at):
            return False
        self.take()
        return True

    def skip_line_of(self, start: int, line: int) -> None:
        """Go behind the line on which a statement began."""
        end = self.text.find("\n", start)
        self.at, self.line = (len(self.text), line) if end < 0 else (end + 1, line + 1)

    def skip_blanks(self) -> None:
        while self.peek() in _BLANKS or self.continued():
            self.take()

    def statement(self) -> list[Assignment]:
        """The assignments up to and with the next newline or semicolon."""
        found: list[Assignment] = []
        while True:
            self.skip_blanks()
            char = self.peek()
            if char == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif char == ";":
                if not found:
                    raise _Refused(self.line, "has a semicolon with nothing before it")
                self.take()
                return found
            elif char in ("\n", ""):
                self.take()
                return found
            else:
                found.append(self.assignment())

    def assignment(self) -> Assignment:
        line, start = self.line, self.at
        name = self.take_plain(_NAME)
        if not name or self.peek() != "=":
            word = self.text[start : start + 40].split(maxsplit=1)
            raise _Refused(line, f"is no assignment NAME=value but {word[0] if word else name!r}")
        self.take()
        return Assignment(name, self.value(), line)

    def value(self) -> str:
        """One word: quoted and unquoted parts up to a blank, a newline or a semicolon."""
        out: list[str] = []
        before = "="  # the character just before this place when it was unquoted
        while (char := self.peek()) not in ("", "\n", ";") and char not in _BLANKS:
            if self.continued():
                self.take()
                continue
            if char == "'":
                out.append(self.single_quoted())
            elif char == '"':
                out.append(self.double_quoted())
            elif char == "\\":
                out.append(self.backslash())
            else:
                self.refuse_shell_only(char, before)
                out.append(self.take())
                if plain := self.take_plain(_PLAIN_OUTSIDE):
                    out.append(plain)
                    char = plain[-1]
            before = char
        return "".join(out)

    def refuse_shell_only(self, char: str, before: str) -> None:
        """Raise when this unquoted character asks for more than data."""
        if char in "&|<>()":
            raise _Refused(self.line, f"has {char!r} outside quotes, which needs a shell; put the value in quotes")
        if char == "~" and before in "=:":
            raise _Refused(self.line, "has '~' outside quotes, which needs a shell; write the whole path")
        if char == "$" and self.peek(1) in ("'", '"'):
            raise _Refused(self.line, f"has a ${self.peek(1)} quotation; use plain quotes")
        self.refuse_expansion(char)

    def refuse_expansion(self, char: str) -> None:
        """Raise when this character, unquoted or in double quotes, asks for more than data."""
        if char == "`":
            raise _Refused(self.line, "runs a command in backquotes; write a backslash before each, if they are meant")
        if char == "$" and (self.peek(1) in _EXPANDS or self.text.startswith("\\\n", self.at + 1)):
            raise _Refused(self.line, f"needs a shell to expand ${self.peek(1)}; write \\$ if a dollar is meant")
        if char == "\0":
            raise _Refused(self.line, "holds a NUL byte; the file is damaged")

    def backslash(self) -> str:
        """The character behind a backslash, as it is."""
        self.take()
        if self.at_end():
            raise _Refused(self.line, "ends in a backslash with nothing behind it")
        if self.peek() == "\0":
            self.refuse_expansion("\0")
        return self.take()

    def single_quoted(self) -> str:
        line = self.line
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise _Refused(line, "opens a quotation with ' that is never closed")
        value = self.text[self.at + 1 : end]
        if "\0" in value:
            self.refuse_expansion("\0")
        self.at = end + 1
        self.line += value.count("\n")
        return value

    def double_quoted(self) -> str:
        line = self.line
        self.take()
        out = [self.take_plain(_PLAIN_IN_QUOTES)]
        while (char := self.peek()) != '"':
            if not char:
                raise _Refused(line, 'opens a quotation with " that is never closed')
            if char == "\\" and (self.peek(1) in _ESCAPED_IN_QUOTES or self.peek(1) == "\n"):
                self.take()
                escaped = self.take()
                out.append("" if escaped == "\n" else escaped)
            else:
                self.refuse_expansion(char)
                out.append(self.take())
            out.append(self.take_plain(_PLAIN_IN_QUOTES))
        self.take()
        return "".join(out)
