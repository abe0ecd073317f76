"""The values of Sigma rules: text with wildcards, changed by modifiers, as regular expressions.

Source: "Sigma Rules Specification", Detection, "Escaping", and "Sigma Modifiers".
"""

import base64
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from vedette.agent.rules import pythonre
from vedette.agent.rules.pythonre import Expression
from vedette.errors import Invalid

ANY: Final = None
"""Between texts: anything, or nothing."""
ONE: Final = ""
"""One character, whichever."""
_DASHES: Final = re.compile(r"(?<!\S)[-/\u2013\u2014\u2015]")


@dataclass(frozen=True, slots=True)
class Value:
    """What is looked for: pieces of text with ANY and ONE between them; or a regular expression of its own."""

    parts: tuple[str | None, ...] = ()
    regex: str = ""  # of all of the value
    searched: Expression | None = None  # found somewhere in the value
    unique: str = ""  # begins the names of its groups
    cased: bool = False

    def write(self, any_: str = ".*", one: str = ".") -> str:
        """As an expression, with these for the wildcards; it says itself whether case matters."""
        if self.searched is not None:
            return f"(?:{pythonre.write(self.searched, self.unique)})"
        if self.regex:
            return f"(?:{self.regex})"
        text = "".join(any_ if part is ANY else one if part == ONE else re.escape(part) for part in self.parts)
        return f"(?:{text})" if self.cased or not re.search("[a-zA-Z]", text) else f"(?i:{text})"

    def within(self, before: str, end: str) -> str:
        """Of what is searched for: as an expression from where the value begins on.

        `before` is what may stand before it in the value, `end` what tells that the value ends.
        """
        assert self.searched is not None
        text = pythonre.write(self.searched, self.unique, start="", end=end)
        return f"{'' if pythonre.is_anchored(self.searched) else before}(?:{text})"

    def shape(self) -> tuple[bool, tuple[str | None, ...], bool]:
        """Does it begin and end with anything, and what is between?"""
        parts = self.parts
        starts, ends = parts[:1] == (ANY,), parts[-1:] == (ANY,) and len(parts) > 1
        return starts, parts[starts : len(parts) - ends], ends


def parse(text: str, *, wildcards: bool = True) -> Value:
    r"""* is anything, ? one character; \* \? and \\ stand for what is behind the backslash, any other is itself."""
    parts: list[str | None] = []
    plain = ""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if wildcards and char == "\\" and text[at : at + 1] in ("*", "?", "\\") and at < len(text):
            plain += text[at]
            at += 1
        elif wildcards and char in "*?":
            parts += [plain] if plain else []
            parts.append(ANY if char == "*" else ONE)
            plain = ""
        else:
            plain += char
    parts += [plain] if plain else []
    return Value(tuple(parts))


def modified(text: str, modifiers: Sequence[str], unique: str = "r_") -> list[Value]:
    """The values that one value with modifiers stands for; any of them will do. Raises Invalid.

    `unique` begins the names of groups, if there are any.
    """
    flags = [each for each in modifiers if each in ("i", "m", "s")]
    rest = [each for each in modifiers if each not in ("i", "m", "s", "all", "cased")]
    cased = "cased" in modifiers
    if "re" in rest:
        if rest != ["re"]:
            raise Invalid(f"the modifiers {'|'.join(modifiers)} together")
        expression = pythonre.parse(text)
        expression.flags += "".join(each for each in flags if each in "is" and each not in expression.flags)
        return [Value(searched=expression, unique=unique)]
    if "cidr" in rest:
        return [Value(regex=_network(text))]
    values = [parse(text)]
    for each in rest:
        values = [new for value in values for new in _changed(value, each)]
    return [replace(each, cased=cased or each.cased) for each in values]


def _changed(value: Value, modifier: str) -> list[Value]:
    parts = value.parts
    if modifier in ("contains", "startswith", "endswith"):
        before: tuple[str | None, ...] = (ANY,) if modifier != "startswith" and parts[:1] != (ANY,) else ()
        behind: tuple[str | None, ...] = (ANY,) if modifier != "endswith" and parts[-1:] != (ANY,) else ()
        return [replace(value, parts=(*before, *parts, *behind))]
    if modifier == "windash":
        texts = {dash: tuple(_dashed(each, dash) for each in parts) for dash in "-/\u2013\u2014\u2015"}
        return [replace(value, parts=each) for each in dict.fromkeys((parts, *texts.values()))]
    if modifier in ("base64", "base64offset"):
        if len(parts) != 1 or not parts[0]:
            raise Invalid(f"the modifier {modifier} of a value with wildcards")
        return [Value((each,), cased=True) for each in _base64(parts[0], modifier)]
    raise Invalid(f"the modifier {modifier}")


def _dashed(part: str | None, dash: str) -> str | None:
    return _DASHES.sub(dash, part) if part else part


def _base64(text: str, modifier: str) -> list[str]:
    """Encoded; with offset, what of it is there wherever it stands in something longer."""
    if modifier == "base64":
        return [base64.b64encode(text.encode()).decode()]
    found = []
    for offset in range(3):
        data = b" " * offset + text.encode()
        encoded = base64.b64encode(data).decode()
        end = len(encoded) - (0, 3, 2)[len(data) % 3]  # what what follows would change
        found.append(encoded[(0, 2, 3)[offset] : end])
    return found


def _network(text: str) -> str:
    """Addresses of an IPv4 network."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Invalid(f"{text[:40]!r} is no network") from None
    if network.version != 4:
        raise Invalid(f"the network {text[:40]!r}: addresses of IPv6 are written in too many ways")
    low = network.network_address.packed
    high = network.broadcast_address.packed
    octets = r"\.".join(_between(first, last) for first, last in zip(low, high, strict=True))
    return rf"(?<![\d.]){octets}(?![\d.])"


def _between(low: int, high: int) -> str:
    if low == high:
        return str(low)
    if (low, high) == (0, 255):
        return r"\d{1,3}"
    return f"(?:{'|'.join(str(each) for each in range(low, high + 1))})"
