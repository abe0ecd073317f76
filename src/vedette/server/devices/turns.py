"""Searches can be slow, and the database answers few at once: one user's must not keep all others waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

AT_ONCE: Final = 2  # searches of one user; SQLite has four readers


class Turns:
    """Who searches how often at once. Further searches of a user wait for his own. Used by one thread."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # of those who search now

    @asynccontextmanager
    async def turn(self, user_id: str) -> AsyncIterator[None]:
        """Wait until it is this user's turn, and have it."""
        gate = self._gates.get(user_id)
        if gate is None:
            gate = self._gates[user_id] = asyncio.Semaphore(self._at_once)
        async with gate:
            yield
