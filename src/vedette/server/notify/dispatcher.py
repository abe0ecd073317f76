"""The two loops that empty the outbox, beside the requests: one decides, one sends.

A delivery is leased by one atomic update, sent, and marked. A server that dies in between leaves its lease to run out
and the mail is sent again with the same `Message-ID`: at least once, never not at all. While the mail server cannot
be used, nothing is tried but one delivery now and then, and nobody else notices.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar
from zlib import crc32

from vedette.errors import VedetteError
from vedette.server.db import SYSTEM, Row
from vedette.server.notify import decisions, service, store
from vedette.server.notify.channels.smtp import SmtpConnection, SmtpServer
from vedette.server.notify.decisions import ChannelDown, Outcome, Policy
from vedette.server.services import Services
from vedette.server.times import micros

CONNECTIONS: Final = 4  # to the mail server; the mails of one person go through one of them, in order
DECIDE_AT_ONCE: Final = 200  # alerts; the ingest wants the database too
SHARE: Final = 0.1  # of the time for such batches: in a storm, taking in what comes is more urgent
MAX_BREATH_S: Final = 1.0  # between two of them
IDLE_S: Final = 10.0  # without mails for so long, connections are closed
GRACE_S: Final = 3.0  # at the end, a mail on its way gets so long to be marked
TROUBLE_S: Final = 1.0  # after an error that is not the mail server's

T = TypeVar("T")

log = logging.getLogger(__name__)


async def run(services: Services, policy: Policy | None = None) -> None:
    """Empty the outbox until cancelled."""
    policy, decided = policy or Policy(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(decide(services, policy, decided))
        if services.settings.smtp:
            group.create_task(Sender(services, policy, decided).run())


async def decide(services: Services, policy: Policy, decided: asyncio.Event) -> None:
    """Alerts become deliveries, soon after each was stored; `decided` is set when there are new ones."""
    with services.live.subscribe(SYSTEM) as changes:
        while True:
            begun = services.clock.elapsed()
            if await _guarded(partial(service.decide, services, DECIDE_AT_ONCE)):
                decided.set()
                took_s = services.clock.elapsed() - begun  # the busier the database, the longer
                await asyncio.sleep(min(MAX_BREATH_S, took_s * (1 / SHARE - 1)))
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(policy.poll_s):
                        async for _ in changes:
                            break
                        else:  # the server is about to end, and with it all that is live
                            await asyncio.Event().wait()


class Sender:
    """Deliveries become mails as they fall due."""

    def __init__(self, services: Services, policy: Policy, wake: asyncio.Event) -> None:
        self._services = services
        self._policy = policy
        self._wake = wake
        server = SmtpServer.of(services.settings.smtp, limit_s=policy.answer_s)
        self._connections = [SmtpConnection(server) for _ in range(CONNECTIONS)]
        self._held: set[int] = set()  # ids of what is leased and not concluded
        self._down: str = ""  # why the mail server could not be used in this round
        self._failures = 0  # rounds in which it could not be used, in a row
        self._stopping = False

    async def run(self) -> None:
        idle_since = 0.0
        loop = asyncio.get_running_loop()
        try:
            while True:
                count = await _guarded(self._round)
                if self._failures:
                    await asyncio.sleep(
                        decisions.backoff(
                            self._policy.channel_s,
                            self._policy.channel_max_s,
                            self._failures - 1,
                            random.random(),  # noqa: S311
                        )
                    )
                elif count:
                    idle_since = loop.time()
                else:
                    if loop.time() - idle_since > IDLE_S:
                        await self._close()
                    await self._wait()
        finally:
            await self._close()

    async def _wait(self) -> None:
        """Until a delivery may be due. Other processes that decide wake nobody here, so not for long."""
        due = await _guarded(partial(self._services.db.read, SYSTEM, store.next_due))
        wait_s = self._policy.poll_s
        if due is not None:
            wait_s = min(wait_s, max(0.0, (due - micros(self._services.clock.now())) / 1_000_000))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()

    async def _round(self) -> int:
        """Lease what is due and try it; how many there were."""
        self._wake.clear()
        now = self._services.clock.now()
        until = now + timedelta(seconds=self._policy.lease_s)
        limit = 1 if self._failures else self._policy.batch  # one is enough to see whether the mail server is back
        beyond = now + timedelta(seconds=2 * self._policy.longest_wait_s)
        rows = await self._services.db.write(SYSTEM, store.lease, micros(now), micros(until), micros(beyond), limit)
        lanes: list[list[Row]] = [[] for _ in self._connections]
        for row in rows:
            lanes[crc32(row["user_id"].encode()) % len(lanes)].append(row)
        self._down = ""
        async with self._leased({row["id"] for row in rows}), asyncio.TaskGroup() as group:
            for connection, lane in zip(self._connections, lanes, strict=True):
                if lane:
                    group.create_task(self._to_its_end(self._work_off(connection, lane)))
        self._remember_whether_down()
        return len(rows)

    async def _work_off(self, connection: SmtpConnection, lane: Sequence[Row]) -> None:
        """Try deliveries one after the other; once the mail server is down, only put the rest back."""

        async def send(to: str, message: bytes) -> str:
            try:
                return await connection.send(self._services.settings.mail_from, to, message)
            except ChannelDown as exc:
                self._down = str(exc)
                raise

        for row in lane:
            if self._down or self._stopping:
                outcome = Outcome("due", row["reason"], 0, 0)
            else:
                try:
                    outcome = await service.attempt(self._services, row, send, self._policy)
                except VedetteError as exc:  # the database: it falls due again when its lease has run out
                    log.warning("delivery %d waits: %s", row["id"], exc)
                    continue
            if outcome.state == "failed":
                log.warning("delivery %d: %s", row["id"], outcome.reason)
            await self._conclude(row, outcome)

    async def _conclude(self, row: Row, outcome: Outcome) -> None:
        """Mark it; a mail that is sent and not marked would be sent again, so try for a while."""
        self._held.discard(row["id"])
        for _ in range(5):
            try:
                return await service.conclude(self._services, row, outcome)
            except VedetteError as exc:
                log.warning("delivery %d could not be marked: %s", row["id"], exc)
                await asyncio.sleep(TROUBLE_S)
        return None

    def _remember_whether_down(self) -> None:
        if self._down:
            if not self._failures:
                log.warning("mails wait, the mail server cannot be used: %s", self._down)
            self._failures += 1
        elif self._failures:
            log.info("the mail server can be used again")
            self._failures = 0

    @asynccontextmanager
    async def _leased(self, ids: set[int]) -> AsyncIterator[None]:
        """Keep the lease of what is not concluded yet, for as long as this takes."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._policy.lease_s / 3)
                until = self._services.clock.now() + timedelta(seconds=self._policy.lease_s)
                held = sorted(self._held)
                await _guarded(partial(self._services.db.write, SYSTEM, store.renew, held, micros(until)))

        self._held = ids
        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            task.cancel()

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        """When all is to end: what is on its way is marked, what is not yet is put back."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            self._stopping = True
            await asyncio.wait({task}, timeout=GRACE_S)
            task.cancel()
            raise

    async def _close(self) -> None:
        await asyncio.gather(*(connection.close() for connection in self._connections))


async def _guarded(work: Callable[[], Awaitable[T]]) -> T | None:
    """Do `work`; whatever goes wrong is logged and must not end a loop, only slow it."""
    try:
        return await work()
    except VedetteError as exc:
        log.warning("the outbox waits: %s", exc)
    except Exception:
        log.exception("the outbox met something unforeseen")
    await asyncio.sleep(TROUBLE_S)
    return None
