"""Which alert of a subject is the newest? Pure, and the same whatever the order of arrival.

A device that keeps an account numbers its records: within an account the number decides, for clocks jump. A device
that does not is ordered by its clock. Between accounts (a store was lost and began again at 1; another client took
over) only the clock is left. So the newest alert of each account is kept, and of these the latest by the clock counts.
"""

from typing import Final, NamedTuple

from vedette.model import Level

MAX_ACCOUNTS: Final = 8  # remembered for one subject; of more, the latest

NO_ACCOUNT: Final = ""  # the device numbers nothing
UNNAMED: Final = "-"  # it numbers, but does not say in which account


class Head(NamedTuple):
    """What order depends on, of one alert. (A tuple: thousands are made each second, and a frozen class takes thrice as
    long to make.)"""

    account: str
    sequence: int | None  # in the account; None without one
    at: int  # the device's clock, microseconds since 1970
    id: str
    level: Level

    @property
    def rank(self) -> tuple[int, str]:
        """Where it stands within its account."""
        return (self.at if self.sequence is None else self.sequence, self.id)

    @property
    def latest(self) -> tuple[int, str]:
        """Where it stands between accounts."""
        return (self.at, self.id)


class SubjectState(NamedTuple):
    """What is known of a subject: the newest alert of each account, the one that counts first."""

    heads: tuple[Head, ...] = ()
    opened_by: str | None = None  # id of the alert that opened its last problem

    @property
    def newest(self) -> Head | None:
        return self.heads[0] if self.heads else None

    @property
    def open(self) -> bool:
        return bool(self.heads) and self.heads[0].level is not Level.OK


def advance(state: SubjectState, new: Head) -> SubjectState:
    """The state after one more alert; unchanged by one that is known or older."""
    others = []
    for head in state.heads:
        if head.account != new.account:
            others.append(head)
        elif new.rank <= head.rank:
            return state
    heads: tuple[Head, ...] = (new,)
    if others:
        heads = tuple(sorted((new, *others), key=lambda head: head.latest, reverse=True)[:MAX_ACCOUNTS])
    opened_by = state.opened_by
    if heads[0].level is not Level.OK and not state.open:
        opened_by = heads[0].id
    return SubjectState(heads, opened_by)
