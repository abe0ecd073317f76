"""Which vulnerabilities have alerts of their own: of one look the worst few. The others of that look have one together.

So the first look at a device, or a feed with the news of a month, does not bring a hundred mails; and what comes later
is still told by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sorted:
    """The keys of what was found."""

    alone: Sequence[str]
    together: Mapping[str, Sequence[str]]  # by when they were found first

    def dump(self) -> Json:
        """What counts for the next look."""
        return {"alone": list(self.alone), "together": {when: list(keys) for when, keys in self.together.items()}}


def sort_out(keys: Sequence[str], before: Json, most: int, now: datetime, *, keep: bool) -> Sorted:
    """What is new among `keys` goes to those that are told alone, or together; what was told stays where it is.

    Args:
        keys: the worst first.
        before: what `dump` gave; empty at the first look.
        most: so many new ones are told alone.
        keep: what is missing may only not have been seen.
    """
    found = set(keys)

    def still(some: Iterable[str]) -> list[str]:
        return [key for key in some if keep or key in found]

    alone = still(before.get("alone", ()))
    together = {when: left for when, some in before.get("together", {}).items() if (left := still(some))}
    known = {*alone, *(key for some in together.values() for key in some)}
    new = [key for key in keys if key not in known]
    if len(new) > most:
        when = now.isoformat(timespec="minutes")
        together[when] = [*together.get(when, ()), *new[most:]]
    return Sorted([*alone, *new[:most]], together)
