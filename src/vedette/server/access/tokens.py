"""A bounded memory of tokens that were found valid, so that a signature is checked once and not at every call.

What is withdrawn is forgotten at once, in every process: `withdraw` in that transaction. All the same, what is
remembered is asked again of the database every few seconds.
"""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from vedette.clock import Clock
from vedette.errors import Unauthenticated
from vedette.server.access.signer import Claims
from vedette.server.db import Tx

T = TypeVar("T")

RECHECK_S: Final = 5.0  # a token withdrawn elsewhere works at most this much longer
MAX_TOKENS: Final = 20_000  # about 1.5 kB each


@dataclass(slots=True)
class Verified(Generic[T]):
    """A token whose signature is good."""

    claims: Claims
    subject: str  # whom it is forgotten with
    who: T  # as the database said last
    fresh_until: float  # elapsed seconds; ask the database again from then on
    check_in_due: float = 0.0  # elapsed seconds; of devices, see devices.check_ins


class TokenCache(Generic[T]):
    """By the text of the token; the oldest entry goes first. Used by one thread.

    Args:
        topic: what withdrawals are announced under, see db.core.
    """

    def __init__(self, topic: str, size: int = MAX_TOKENS) -> None:
        self.topic = topic
        self._size = size
        self._entries: dict[str, Verified[T]] = {}  # in order of their last check
        self._by_subject: dict[str, set[str]] = {}
        self.get = self._entries.get  # the hot path: no call in between
        self.doubts = 0  # how often something was forgotten or doubted: what was read before may be old

    def put(self, token: str, verified: Verified[T]) -> None:
        """Remember `token`, in place of what was known of it."""
        self._drop(token)
        self._entries[token] = verified
        self._by_subject.setdefault(verified.subject, set()).add(token)
        if len(self._entries) > self._size:
            self._drop(next(iter(self._entries)))

    def withdraw(self, tx: Tx, subject: str | None) -> None:
        """`forget` the tokens of `subject` (None: `doubt` all) in every process, once this transaction is durable."""
        tx.announce(self.topic, subject)

    def withdrawn(self, subject: str | None) -> None:
        """Some process has withdrawn these."""
        if subject is None:
            self.doubt()
        else:
            self.forget(subject)

    def forget(self, subject: str) -> None:
        """What is known of the tokens of `subject` no longer holds."""
        self.doubts += 1
        for token in tuple(self._by_subject.get(subject, ())):
            self._drop(token)

    def doubt(self) -> None:
        """What is known of any token may no longer hold: all are asked again of the database."""
        self.doubts += 1
        for verified in self._entries.values():
            verified.fresh_until = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def _drop(self, token: str) -> None:
        verified = self._entries.pop(token, None)
        if verified is None:
            return
        tokens = self._by_subject[verified.subject]
        tokens.discard(token)
        if not tokens:
            del self._by_subject[verified.subject]


def fresh_until(clock: Clock, expires_at: int | None) -> float:
    """When something found valid now has to be asked again, in elapsed seconds.

    Raises:
        Unauthenticated: `expires_at` (unix seconds; None: never) is past.
    """
    if expires_at is None:
        return clock.elapsed() + RECHECK_S
    left = expires_at - clock.now().timestamp()
    if left <= 0:
        raise Unauthenticated("the token has expired")
    return clock.elapsed() + min(RECHECK_S, left)
