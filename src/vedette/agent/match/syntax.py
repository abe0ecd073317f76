"""What every match of a Perl-compatible pattern must hold, read from the pattern's text.

Only ever too little is claimed, never too much: what is not understood may match anything, and a pattern whose text
cannot be followed for certain has no structure at all (`parse` returns None). So nothing here decides a match; it
only tells where it is not worth asking.
Source: pcre2pattern(3), pcre2syntax(3).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_DEPTH: Final = 50
MAX_REPEAT: Final = 1000
CASELESS_ALIENS: Final = "\u212a\u017f"
"""KELVIN SIGN and LONG S: the only characters outside ASCII that are a k or an s when case does not count."""
BAD: Final = "\ufffd"
"""Stands for bytes that are no UTF-8, so it does not say which bytes are there."""

_POSIX: Final = re.compile(r"\[:\^?[a-z<>]+:\]")
_QUANTIFIER: Final = re.compile(r"\{(\d{1,5})(?:(,)(\d{0,5}))?\}")
_SPACED_QUANTIFIER: Final = re.compile(r"\{[ \t]*\d*[ \t]*(,[ \t]*\d*[ \t]*)?\}")
_FLAGS: Final = re.compile(r"\(\?(\^?[imsnxJU]*(?:-[imsnxJU]*)?)([:)])")
_NAMED: Final = re.compile(r"\(\?(?:P?<[A-Za-z_]\w*>|'[A-Za-z_]\w*')", re.ASCII)
_CALL: Final = re.compile(r"\(\?(?:R|[+-]?\d+|&\w+|P>\w+|P=\w+)\)", re.ASCII)
_CONDITION: Final = re.compile(r"\(\?\((?:[+-]?\d+|<\w+>|'\w+'|R\d*|R&\w+|DEFINE|\w+)\)", re.ASCII)
_SINGLE: Final = {"a": "\a", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ZERO_WIDTH: Final = "AzZbBGK"
_CLASS_ESCAPES: Final = "dDwWsShHvVNRXpP"


@dataclass(frozen=True, slots=True)
class Char:
    """One certain character; of a letter of ASCII either case when `caseless`."""

    char: str
    caseless: bool


@dataclass(frozen=True, slots=True)
class Class:
    """One character of these of ASCII, or one outside ASCII if `wide`."""

    members: frozenset[str]
    wide: bool


@dataclass(frozen=True, slots=True)
class Series:
    """One after the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of them."""

    branches: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """Several times the same; `most` None: any number."""

    part: "Node"
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Anything:
    """Any text, also none: what was not understood."""


Node = Char | Class | Series | Choice | Repeat | Anything

NOTHING: Final = Series(())
ANYTHING: Final = Anything()
ASCII: Final = frozenset(map(chr, range(128)))
ANY_CHAR: Final = Class(ASCII, wide=True)
_ENDS: Final = frozenset("\n\r\0")


class _Lost(Exception):
    """The text of the pattern cannot be followed for certain."""


def parse(pattern: str) -> Node | None:
    """The structure of a valid pattern, or None."""
    return _Parser(pattern).all()


def stays_within_lines(pattern: str) -> bool:
    """Is what it finds in a text of ASCII lines surely what it finds in each line alone?

    It is where nothing in it can match an end of line or what is stripped from lines, or looks at what is around.
    """
    parser = _Parser(pattern)
    node = parser.all()
    return node is not None and not parser.looks and "\\Q" not in pattern and _stays(node)


def _stays(node: Node) -> bool:
    if isinstance(node, Char):
        return node.char.isascii() and node.char not in _ENDS
    if isinstance(node, Class):
        return bool(node.members) and node.members.isdisjoint(_ENDS)
    if isinstance(node, Repeat):
        return _stays(node.part)
    if isinstance(node, Series):
        return bool(node.parts) and all(map(_stays, node.parts))
    return isinstance(node, Choice) and all(map(_stays, node.branches))


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.caseless = False
        self.looks = False  # something in it matches no text but says what is around

    def all(self) -> Node | None:
        """The whole pattern; None: it is not followed."""
        try:
            node = self.choice(0)
        except (_Lost, IndexError):
            return None
        return node if self.at == len(self.text) else None

    def choice(self, depth: int) -> Node:
        """Up to the parenthesis that closes this group, or the end."""
        if depth > MAX_DEPTH:
            raise _Lost
        branches: list[Node] = []
        parts: list[Node] = []
        while self.at < len(self.text) and (char := self.text[self.at]) != ")":
            if char == "|":
                self.at += 1
                branches.append(_sequence(parts))
                parts = []
            else:
                self.item(parts, depth)
        branches.append(_sequence(parts))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def item(self, parts: list[Node], depth: int) -> None:
        """One thing with its quantifier."""
        char = self.text[self.at]
        if self.text.startswith("\\Q", self.at):
            end = self.text.find("\\E", self.at + 2)
            literal = self.text[self.at + 2 : end if end >= 0 else len(self.text)]
            self.at = end + 2 if end >= 0 else len(self.text)
            parts += (Char(each, self.caseless) for each in literal)
            if not literal:
                raise _Lost  # a quantifier behind it would belong to what stands before
            parts.append(self.quantified(parts.pop()))
            return
        if char == "(":
            node = self.group(depth)
        elif char == "[":
            node = self.bracket()
        elif char == "\\":
            node = self.escape()
        elif char in "^$":
            self.at += 1
            self.looks = True
            node = NOTHING
        elif char == ".":
            self.at += 1
            node = ANY_CHAR
        elif char in "*+?":
            raise _Lost  # a quantifier of nothing
        else:
            self.at += 1
            node = Char(char, self.caseless)
        parts.append(self.quantified(node))

    def quantified(self, node: Node) -> Node:
        while self.at < len(self.text):
            char = self.text[self.at]
            least: int
            most: int | None
            if char in "*+?":
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
                self.at += 1
            elif found := _QUANTIFIER.match(self.text, self.at):
                least = int(found[1])
                most = least if not found[2] else int(found[3]) if found[3] else None
                self.at = found.end()
            elif _SPACED_QUANTIFIER.match(self.text, self.at) and char == "{":
                raise _Lost  # {,3} and { 1, 2 }: a quantifier or not, as the version of the engine has it
            else:
                return node
            if self.at < len(self.text) and self.text[self.at] in "+?":
                self.at += 1
            node = Repeat(node, least, most)
        return node

    def group(self, depth: int) -> Node:
        text, at = self.text, self.at
        if text.startswith("(*", at):
            raise _Lost  # verbs, such as (*ACCEPT), which makes the rest optional
        if text.startswith("(?#", at):
            raise _Lost  # a quantifier behind it belongs to what stands before
        before = self.caseless
        effect = "plain"
        if not text.startswith("(?", at):
            self.at += 1
        elif found := _FLAGS.match(text, at):
            self.at = found.end()
            self.flags(found[1])
            if found[2] == ")":
                return NOTHING  # until the end of the group around it
        elif found := _NAMED.match(text, at):
            self.at = found.end()
        elif found := _CALL.match(text, at):
            self.at = found.end()
            return ANYTHING
        elif found := _CONDITION.match(text, at):
            self.at, effect = found.end(), "anything"
        elif text.startswith(("(?>", "(?|"), at):
            self.at += 3
        elif text.startswith(("(?=", "(?!"), at):
            self.at, effect = at + 3, "nothing"
        elif text.startswith(("(?<=", "(?<!"), at):
            self.at, effect = at + 4, "nothing"
        else:
            raise _Lost
        node = self.choice(depth + 1)
        if self.text[self.at] != ")":
            raise _Lost
        self.at += 1
        self.caseless = before
        self.looks |= effect == "nothing"
        return {"plain": node, "anything": ANYTHING, "nothing": NOTHING}[effect]

    def flags(self, flags: str) -> None:
        on, _, off = flags.removeprefix("^").partition("-")
        if "x" in on or "n" in on:
            raise _Lost  # white space and comments that mean nothing
        if flags.startswith("^"):
            self.caseless = False
        if "i" in on:
            self.caseless = True
        if "i" in off:
            self.caseless = False

    def escape(self) -> Node:
        char = self.text[self.at + 1]
        self.at += 2
        if char in _SINGLE:
            return Char(_SINGLE[char], self.caseless)
        if char in _ZERO_WIDTH:
            self.looks = True
            return NOTHING
        if char in _CLASS_ESCAPES:
            self.property_(char)
            return ANYTHING if char in "RX" else _class_of(char)
        if char == "x":
            return Char(self.hexadecimal(), self.caseless)
        if char in "gk":
            found = re.compile(r"\{[^}]*\}|<[^>]*>|'[^']*'|[+-]?\d+").match(self.text, self.at)
            if found is None:
                raise _Lost
            self.at = found.end()
            return ANYTHING
        if char in "123456789":
            self.at = re.compile(r"\d*").match(self.text, self.at).end()  # type: ignore[union-attr]  # matches always
            return ANYTHING
        if char == "0":
            found = re.compile(r"[0-7]{0,2}").match(self.text, self.at)
            assert found is not None
            self.at = found.end()
            return Char(chr(int(found[0] or "0", 8)), self.caseless)
        if char.isascii() and char.isalnum():
            raise _Lost
        return Char(char, self.caseless)

    def property_(self, char: str) -> None:
        """Behind \\p stands a name."""
        if char in "pP":
            if self.text[self.at] == "{":
                self.at = self.text.index("}", self.at) + 1
            else:
                self.at += 1
        elif char == "N" and self.text.startswith("{", self.at):
            raise _Lost

    def hexadecimal(self) -> str:
        """Behind \\x: up to two digits, or any number in braces."""
        if self.text.startswith("{", self.at):
            end = self.text.find("}", self.at)
            digits = self.text[self.at + 1 : end].strip(" \t")
            self.at = end + 1
        else:
            found = re.compile(r"[0-9a-fA-F]{0,2}").match(self.text, self.at)
            assert found is not None
            digits = found[0] or "0"
            self.at = found.end()
        try:
            return chr(int(digits, 16))
        except ValueError:
            raise _Lost from None

    def bracket(self) -> Node:
        """A class; at least its members. Of one that says what it is not, all are taken."""
        text = self.text
        at = self.at + 1
        if text.startswith("[[:<:]]", self.at) or text.startswith("[[:>:]]", self.at):
            self.at += 7
            self.looks = True
            return NOTHING
        negative = text.startswith("^", at)
        at += negative
        members: set[str] = set()
        wide = negative
        first = True
        while text[at] != "]" or first:
            first = False
            char = text[at]
            if char == "[" and text[at + 1] in ":.=":
                found = _POSIX.match(text, at)
                if found is None:
                    raise _Lost
                at = found.end()
                members |= ASCII
                wide = True
            elif char == "\\":
                escape = text[at + 1]
                at += 2
                if escape in "dDwWsShHvV":
                    known = _class_of(escape)
                    members |= known.members
                    wide |= known.wide
                elif escape == "x":
                    self.at = at
                    char = self.hexadecimal()
                    at = self.at
                    members.add(char)
                elif escape in _SINGLE or not (escape.isascii() and escape.isalnum()):
                    char = _SINGLE.get(escape, escape)
                    members.add(char)
                else:
                    raise _Lost
            else:
                at += 1
                members.add(char)
            if text[at] == "-" and text[at + 1] != "]":  # a range, or perhaps not: then it holds too much
                end = text[at + 1]
                at += 2
                if end == "\\" and text[at] == "x":
                    self.at = at + 1
                    end = self.hexadecimal()
                    at = self.at
                elif end in "\\[":
                    raise _Lost
                members |= {"-", end}
                if char in "\\[":  # a class such as \d stood before
                    members |= ASCII
                members |= {chr(code) for code in range(ord(char), min(ord(end), 127) + 1)}
                wide |= not end.isascii()
        self.at = at + 1
        wide |= any(not each.isascii() for each in members)
        if negative:
            return ANY_CHAR
        if self.caseless:
            wide |= bool(members & set("kKsS"))
            members |= {each.swapcase() for each in members if each.isascii()}
            if wide:
                members |= set("kKsS")
        return Class(frozenset(each for each in members if each.isascii()), wide)


def _sequence(parts: Sequence[Node]) -> Node:
    flat: list[Node] = []
    for part in parts:
        flat += part.parts if isinstance(part, Series) else (part,)
    return flat[0] if len(flat) == 1 else Series(tuple(flat))


def _class_of(escape: str) -> Class:
    """At least the members of \\d, \\w and the like."""
    if escape == "d":
        return Class(frozenset("0123456789"), wide=True)
    if escape == "w":
        return Class(frozenset(each for each in ASCII if each.isalnum() or each == "_"), wide=True)
    if escape in "shv":
        return Class(frozenset("\t\n\v\f\r "), wide=True)
    return ANY_CHAR
