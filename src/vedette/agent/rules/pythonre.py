"""Regular expressions of Python's `re` as Perl-compatible ones, so that several can stand in one pattern.

Groups are known by names of our own, so those of two expressions never meet; groups that nothing refers to capture
nothing. Sources: the documentation of Python's `re`, pcre2pattern(3).
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from vedette.errors import Invalid

_GLOBAL_FLAGS: Final = re.compile(r"\(\?([aiLmsux]+)\)")
_LATE_FLAGS: Final = re.compile(r"(?<!\\)((?:\\\\)*)\(\?[aiLmsux]+\)")
_GROUP: Final = re.compile(
    r"\(\?P<(?P<name>\w+)>|\(\?P=(?P<back>\w+)\)|\(\?\((?P<condition>\w+)\)|\(\?#[^)]*\)"
    r"|\(\?(?P<late>[aiLmsux]+)\)|\(\?(?P<flags>[aiLmsux]*(?:-[imsx]+)?):|\(\?(?:[=!>]|<[=!])|\((?!\?)"
)
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-9]{1,3}|.)", re.DOTALL)
_AT_MOST: Final = re.compile(r"\{,(\d+)\}")


@dataclass(slots=True)
class Token:
    """A piece of an expression. `kind` is one of open, close, bar, start, end, class, escape, text."""

    kind: str
    text: str
    name: str = ""  # of the group that opens here, or that is referred to
    refers: bool = False


@dataclass(slots=True)
class Expression:
    """One in pieces."""

    tokens: list[Token]
    flags: str = ""  # of all of it
    names: list[str] = field(default_factory=list)  # of its capturing groups, in their order; "" for those without


def parse(text: str) -> Expression:
    """Cut it up. Raises Invalid: Python would not take it."""
    flags = ""
    if found := _GLOBAL_FLAGS.match(text):
        flags, text = found[1], text[found.end() :]
    try:  # flags in the middle hold from there on for Perl, and for fail2ban; Python has given them up
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of what may once mean something else in Python
            re.compile(_LATE_FLAGS.sub(lambda late: late[1], text))
    except (re.error, RecursionError, OverflowError) as exc:
        raise Invalid(f"{text[:60]!r} is no regular expression: {exc}") from None
    out = Expression([], flags)
    for token in _tokens(text):
        out.tokens.append(token)
        if token.kind == "open" and token.text in ("(", "(?P<"):
            out.names.append(token.name)
    return out


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            found = _ESCAPE.match(text, at)
            assert found is not None
            yield _escape(found[0])
        elif char == "[":
            found = _CLASS.match(text, at)
            assert found is not None
            yield Token("class", _class(found[0]))
        elif char == "(":
            found = _GROUP.match(text, at)
            if found is None:
                raise Invalid(f"what begins with {text[at : at + 10]!r} is not known")
            yield from _group(found)
        elif found := _AT_MOST.match(text, at):
            yield Token("text", f"{{0,{found[1]}}}")
        else:
            kinds = {")": "close", "|": "bar", "^": "start", "$": "end"}
            yield Token(kinds.get(char, "text"), char)
            at += 1
            continue
        at = found.end()


def _group(found: re.Match[str]) -> Iterator[Token]:
    if found["name"] is not None:
        yield Token("open", "(?P<", found["name"])
    elif found["back"] is not None:
        yield Token("escape", "", found["back"], refers=True)
    elif found["condition"] is not None:
        yield Token("open", "(?(", found["condition"], refers=True)
    elif found[0] == "(":
        yield Token("open", "(")
    elif found["late"]:
        yield Token("text", f"(?{''.join(each for each in found['late'] if each in 'isx')})")
    elif found["flags"]:
        yield Token("open", f"(?{''.join(each for each in found['flags'] if each not in 'auL')}:")
    elif not found[0].startswith("(?#"):
        yield Token("open", found[0])


def _escape(text: str) -> Token:
    if text[1] in "123456789" and len(text) <= 3:
        return Token("escape", "", text[1:], refers=True)
    return Token("escape", _plain_escape(text))


def _plain_escape(text: str) -> str:
    if text[1] in "uU":
        return f"\\x{{{text[2:]}}}"
    if text == "\\Z":
        return r"\z"
    if text[1].isdigit():  # octal
        return f"\\x{{{int(text[1:], 8):x}}}"
    return text


def _class(text: str) -> str:
    """A bracket in a class is itself in Python; in PCRE it may begin [:alpha:]."""
    start = 2 if text.startswith("[^") else 1
    inside = _ESCAPE.sub(lambda found: _plain_escape(found[0]), text[start:-1])
    return text[:start] + re.sub(r"(\\.)|\[", lambda found: found[1] or r"\[", inside, flags=re.DOTALL) + "]"


def write(expression: Expression, unique: str, *, start: str = "^", end: str = "$") -> str:
    """As a Perl-compatible one; names of groups begin with `unique`.

    `start` stands for ^ where an alternative begins, `end` for $ wherever it is.

    Raises Invalid: there is a ^ elsewhere, and `start` is something else.
    """
    referred = {token.name for token in expression.tokens if token.refers}
    numbered = {str(index): name or str(index) for index, name in enumerate(expression.names, 1)}
    referred |= {numbered[each] for each in referred if each in numbered}
    out: list[str] = []
    index = 0
    for place, token in enumerate(expression.tokens):
        if token.kind == "open" and token.text in ("(", "(?P<"):
            index += 1
            name = token.name or str(index)
            out.append(f"(?P<{unique}{name}>" if name in referred else "(?:")
        elif token.refers:
            name = unique + numbered.get(token.name, token.name)
            out.append(f"(?({name})" if token.kind == "open" else f"(?P={name})")
        elif token.kind == "start" and start != "^":
            if not _begins(expression.tokens, place):
                raise Invalid("a ^ stands within it, where a line cannot begin")
            out.append(start)
        elif token.kind == "end":
            out.append(end)
        else:
            out.append(token.text)
    text = "".join(out)
    flags = "".join(each for each in expression.flags if each in "isx")
    return f"(?{flags}:{text})" if flags else text


def is_anchored(expression: Expression) -> bool:
    """Does every alternative begin with ^?"""
    tokens = expression.tokens
    first = [place for place in range(len(tokens)) if _is_top(tokens, place) and _begins(tokens, place)]
    return bool(tokens) and all(tokens[place].kind == "start" for place in first)


def _is_top(tokens: list[Token], place: int) -> bool:
    return sum((each.kind == "open") - (each.kind == "close") for each in tokens[:place]) == 0 and (
        place == 0 or tokens[place - 1].kind == "bar"
    )


def _begins(tokens: list[Token], place: int) -> bool:
    """Is that the first piece of the expression, or of an alternative at its beginning?"""
    while place > 0:
        before = tokens[place - 1]
        if (before.kind == "open" and _consumes(before)) or before.kind == "start":
            place -= 1
        elif before.kind == "bar":
            depth = 0
            place -= 1
            while place > 0:  # back to where these alternatives begin
                place -= 1
                depth += (tokens[place].kind == "close") - (tokens[place].kind == "open")
                if depth < 0:
                    if not _consumes(tokens[place]):
                        return False
                    break
            else:
                return True
        else:
            return False
    return True


def _consumes(opening: Token) -> bool:
    """Is that the beginning of a group, and not of an assertion or condition?"""
    return opening.text in ("(", "(?P<") or opening.text.endswith(":")
