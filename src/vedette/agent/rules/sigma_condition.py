"""The condition of a Sigma rule: names of what it is searched for, with and, or, not, and "1 of NAME*".

Source: "Sigma Rules Specification", Detection, Condition.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from vedette.agent.rules.logic import Any, Claim, Every, Not
from vedette.errors import Invalid

MAX_DEPTH: Final = 30
_WORD: Final = re.compile(r"\s*(\(|\)|\||[^\s()|]+)")
_AT_LEAST_ONE: Final = re.compile(r"count\s*\(\s*\w*\s*\)\s*(?:by\s+\w+\s*)?(?:>\s*0|>=\s*1)\s*", re.IGNORECASE)


def parse(text: str, searches: Mapping[str, Claim]) -> Claim:
    """What it says of the searches. Raises Invalid."""
    condition, bar, counting = text.partition("|")
    if bar and not _AT_LEAST_ONE.fullmatch(counting.strip()):
        raise Invalid(f"it counts ({counting.strip()[:60]!r}), which a check of a log does not")
    words = _WORD.findall(condition)
    if "".join(words) != re.sub(r"\s", "", condition):
        raise Invalid(f"its condition {condition.strip()[:80]!r} is not understood")
    reader = _Reader(words, searches)
    claim = reader.any_of(0)
    if reader.next():
        raise Invalid(f"its condition goes on with {reader.next()[:40]!r}, which is not understood")
    return claim


class _Reader:
    """Goes through the words. `or` binds least, then `and`, then `not`."""

    def __init__(self, words: list[str], searches: Mapping[str, Claim]) -> None:
        self._words, self._at, self._searches = words, 0, searches

    def next(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def _take(self, word: str) -> bool:
        if self.next().lower() != word:
            return False
        self._at += 1
        return True

    def any_of(self, depth: int) -> Claim:
        if depth > MAX_DEPTH:
            raise Invalid("its condition has too many brackets in one another")
        items = [self._every(depth)]
        while self._take("or"):
            items.append(self._every(depth))
        return items[0] if len(items) == 1 else Any(items)

    def _every(self, depth: int) -> Claim:
        items = [self._one(depth)]
        while self._take("and"):
            items.append(self._one(depth))
        return items[0] if len(items) == 1 else Every(items)

    def _one(self, depth: int) -> Claim:
        if depth > MAX_DEPTH:
            raise Invalid("its condition says 'not' too often")
        if self._take("not"):
            return Not(self._one(depth + 1))
        if self._take("("):
            inside = self.any_of(depth + 1)
            if not self._take(")"):
                raise Invalid("a bracket of its condition is not closed")
            return inside
        word = self.next()
        self._at += 1
        if self.next().lower() == "of" and (word.isdigit() or word.lower() in ("all", "any")):
            self._at += 1
            return self._some(word.lower())
        if word not in self._searches:
            raise Invalid(
                f"its condition names {word[:40]!r}, which is not there" if word else "its condition ends early"
            )
        return self._searches[word]

    def _some(self, how_many: str) -> Claim:
        wanted = self.next()
        self._at += 1
        if wanted.lower() == "them":
            found = [claim for name, claim in self._searches.items() if not name.startswith("_")]
        else:
            found = [claim for name, claim in self._searches.items() if fnmatchcase(name, wanted.replace("[", "[[]"))]
        if not found:
            raise Invalid(f"its condition speaks of {wanted[:40]!r}, and there is none")
        if how_many == "all":
            return Every(found)
        if how_many not in ("1", "any"):
            raise Invalid(f"its condition asks for {how_many} of {wanted[:40]!r}; only 1 and all are understood")
        return Any(found)
