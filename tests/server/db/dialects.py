"""A database of each dialect, for tests that ask the same of both."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vedette.server.db import Database, Tx, open_database

DIALECTS = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Opened:
    """A database that is empty at first."""

    dialect: str
    url: str

    def run(self, test: Callable[[Database], Awaitable[None]]) -> None:
        """Run `test` on it, opened before and closed at the end."""

        async def main() -> None:
            db = await open_database(self.url)
            try:
                await test(db)
            finally:
                await db.close()

        asyncio.run(main())


class Gate:
    """Keeps the writer busy until it is opened."""

    def __init__(self, opened: Opened) -> None:
        self._event = threading.Event()
        self._in_thread = opened.dialect == "sqlite"

    async def hold(self, tx: Tx) -> None:
        """A unit of work that ends when the gate is open."""
        if self._in_thread:
            self._event.wait(10)
        else:
            await asyncio.to_thread(self._event.wait, 10)

    def open(self) -> None:
        self._event.set()

    def shut(self) -> None:
        self._event.clear()
