"""Mails that people ask for themselves, waiting to be written: a forgotten password, a new address.

What is asked is only put into this queue, so that the answer takes the same time whether or not there is an account.
It is in memory only: the secret of a mail must not stand anywhere but in the mail. A server that ends forgets what
waits, and people ask again.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Literal

from vedette.errors import Busy

MAX_WAITING: Final = 1000


@dataclass(frozen=True, slots=True)
class Wish:
    """A mail that somebody wants to be sent to an address, if it is one of a user."""

    purpose: Literal["password", "address"]
    email: str


class Letters:
    """Used by one thread."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Wish] = asyncio.Queue(MAX_WAITING)

    def ask(self, wish: Wish) -> None:
        """Raises Busy: too many wait already."""
        try:
            self._queue.put_nowait(wish)
        except asyncio.QueueFull:
            raise Busy("too many mails are waiting to be written") from None

    async def next(self) -> Wish:
        return await self._queue.get()
