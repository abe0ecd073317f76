"""What must hold of a line, as one Perl-compatible pattern."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """The expression matches somewhere in the line."""

    regex: str


@dataclass(frozen=True, slots=True)
class Every:
    """All of these hold."""

    items: Sequence["Claim"]


@dataclass(frozen=True, slots=True)
class Any:
    """One of these holds."""

    items: Sequence["Claim"]


@dataclass(frozen=True, slots=True)
class Not:
    """This does not hold."""

    item: "Claim"


Claim = Found | Every | Any | Not


def pattern(claim: Claim) -> str:
    """One that matches the lines of which it holds.

    What only asks for one of some expressions is their alternation, which is searched fast; all else is a row of looks
    ahead from where the line begins.
    """
    if isinstance(claim, Any | Every) and len(claim.items) == 1:
        return pattern(claim.items[0])
    if isinstance(claim, Found):
        return claim.regex
    if isinstance(claim, Any) and all(isinstance(each, Found) for each in claim.items):
        return "|".join(each.regex for each in claim.items if isinstance(each, Found))
    return "^" + _ahead(claim)


def _ahead(claim: Claim) -> str:
    """The same where the line begins, consuming nothing."""
    if isinstance(claim, Found):
        return f"(?=.*?(?:{claim.regex}))"
    if isinstance(claim, Not):
        if isinstance(claim.item, Found):
            return f"(?!.*?(?:{claim.item.regex}))"
        return f"(?!{_ahead(claim.item)})"
    if isinstance(claim, Every):
        return "".join(_ahead(each) for each in claim.items)
    return f"(?:{'|'.join(_ahead(each) for each in claim.items)})"
