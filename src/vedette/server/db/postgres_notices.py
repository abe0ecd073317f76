"""Announcements between the processes on one PostgreSQL: by NOTIFY, in the transaction they belong to.

A notification is the JSON array `[origin, [topic, word, ...], ...]`; `origin` is the process, which has told itself.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import asyncpg

from vedette.server.db.hearing import Hearing
from vedette.server.db.postgres_errors import is_trouble, sentence

MAX_PAYLOAD: Final = 7900  # bytes; PostgreSQL takes 7,999: NOTIFY
MAX_WORDS: Final = 4000  # of one announcement, as JSON
LOOK_EVERY_S: Final = 15.0  # whether the connection is still alive
ANSWER_S: Final = 10.0
AGAIN_S: Final = 1.0

Connect = Callable[[], Awaitable["asyncpg.Connection[Any]"]]

log = logging.getLogger(__name__)


class Notices:
    """What this process says to the others, and hears of them."""

    def __init__(self, channel: str, hearing: Hearing) -> None:
        self._channel = channel
        self._hearing = hearing
        self._origin = uuid4().hex
        self.listening = asyncio.Event()  # has listened once; from then on `missed` is told of whatever was lost

    def statements(self, announced: Iterable[str]) -> str:
        """SQL that announces these (each as `encoded`), for the end of a transaction."""
        texts = (each.replace("'", "''") for each in self._texts(announced))
        return "".join(f"NOTIFY \"{self._channel}\", '{each}'; " for each in texts)

    def _texts(self, announced: Iterable[str]) -> Iterator[str]:
        start = json.dumps([self._origin])[:-1]
        text = start
        for each in announced:
            if len(text) + len(each) > MAX_PAYLOAD:
                yield text + "]"
                text = start
            text += "," + each
        if text != start:
            yield text + "]"

    async def listen(self, connect: Connect) -> None:
        """Hear the others until cancelled; a connection that is lost is made again."""
        down = False
        while True:
            connection = None
            try:
                connection = await connect()
                ended = asyncio.Event()
                connection.add_termination_listener(lambda _, ended=ended: ended.set())
                await connection.add_listener(self._channel, self._heard)
                self.listening.set()
                if down:
                    self._hearing.miss()
                    log.info("the database is back: other servers are heard again")
                down = False
                while not ended.is_set():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_EVERY_S):
                            await ended.wait()
                    if not ended.is_set():
                        await connection.execute("SELECT 1", timeout=ANSWER_S)
                log.warning("the connection that hears other servers was lost")
            except Exception as exc:
                if not is_trouble(exc):
                    log.exception("other servers are not heard: this is a bug")
                elif not down:
                    log.warning("other servers are not heard: %s", sentence(exc))
            finally:
                if connection is not None:
                    connection.terminate()
            down = True
            self._hearing.miss()
            await asyncio.sleep(AGAIN_S)

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        try:
            origin, *announced = json.loads(str(payload))
            if origin != self._origin:
                for topic, *words in announced:
                    self._hearing.tell(topic, words)
        except (ValueError, TypeError, RecursionError):  # anybody who may connect may say anything
            log.warning("a notification that is none of ours: %.100r", payload)


def encoded(topic: str, words: Iterable[str | None]) -> str:
    """One announcement, in ASCII.

    Raises:
        RuntimeError: it is too long; an error in the program.
    """
    text = json.dumps([topic, *words])
    if len(text) > MAX_WORDS:
        raise RuntimeError(f"an announcement of {len(text)} characters: {text[:100]}")
    return text
