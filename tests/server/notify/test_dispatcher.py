"""The outbox against a real mail server that is late, rude, silent or gone."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections import Counter
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import SMTP as POLICY
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.smtp import SMTP
from postgresql import ON_SQLITE

from vedette.clock import FakeClock
from vedette.errors import NotFound
from vedette.server.access import service as access
from vedette.server.access import tenants
from vedette.server.access.permissions_table import of_everybody
from vedette.server.access.roles import ADMIN, OBSERVER
from vedette.server.alerts import intake
from vedette.server.alerts import service as alerts
from vedette.server.caller import Caller
from vedette.server.db import SYSTEM, DeviceScope, Tx, UserScope
from vedette.server.notify import decisions, dispatcher, service
from vedette.server.notify.decisions import Policy
from vedette.server.services import Services, open_services
from vedette.server.settings import Settings
from vedette.wire import incoming

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from email.message import EmailMessage
    from pathlib import Path

pytestmark = pytest.mark.anyio

QUICK = Policy(retry_s=0.05, retry_max_s=0.2, channel_s=0.05, channel_max_s=0.2, poll_s=0.2, answer_s=0.5)
OURS = UserScope("", None)
NOON = datetime(2026, 8, 22, 12, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def port() -> int:
    """Free now, and nobody listens on it until the test says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
        return number


class Mailbox:
    """An SMTP server that keeps what it takes, and answers as it is told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, tuple[str, ...], EmailMessage]] = []
        self.asked: Counter[str] = Counter()  # by recipient
        self.answers: dict[str, list[str]] = {}  # to RCPT, by recipient, used up one by one
        self.after_data: list[str] = []  # to the message itself; "drop" hangs up, "hang" says nothing

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        self.asked[address] += 1
        waiting = self.answers.get(address)
        if waiting:
            return waiting.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        answer = self.after_data.pop(0) if self.after_data else "250 taken"
        if answer == "drop":
            server.transport.abort()
        if answer == "hang":
            await asyncio.Event().wait()
        if answer.startswith("2"):
            message = message_from_bytes(envelope.content, policy=POLICY)
            self.taken.append((envelope.mail_from, tuple(envelope.rcpt_tos), message))
        return answer

    @property
    def recipients(self) -> list[str]:
        return sorted(address for _, addresses, _ in self.taken for address in addresses)

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        protocols: list[SMTP] = []

        def connect() -> SMTP:
            protocols.append(SMTP(self, hostname="mail.example.org", enable_SMTPUTF8=False, loop=loop))
            return protocols[-1]

        server = await loop.create_server(connect, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()
            for protocol in protocols:
                if protocol.transport is not None:
                    protocol.transport.abort()
                handler = getattr(protocol, "_handler_coroutine", None)
                if handler is not None:
                    handler.cancel()
                    with suppress(asyncio.CancelledError):
                        await handler
            await server.wait_closed()


class Desk:
    """A tenant with users and a device, and the outbox running."""

    def __init__(self, services: Services, tenant: str) -> None:
        self.services = services
        self.scope = UserScope(tenant, None)
        self._minute = 0

    async def add_user(self, email: str, roles: tuple[str, ...] = (ADMIN,)) -> access.User:
        return await access.create_user(self.services, self.scope, email, "correct horse battery", roles)

    async def alert(self, level: str = "CRITICAL", count: int = 1) -> None:
        """Alerts of one subject, later ones later."""
        records = []
        for _ in range(count):
            self._minute += 1
            at = NOON + timedelta(minutes=self._minute)
            about = {"name": "s", "type": "log", "status": "LOGCONTAINS"}
            records.append({"name": "n", "level": level, "timestamp": at.isoformat(), "subject": about})
        wire = incoming.alerts(json.dumps(records).encode())
        await intake.accept(self.services, DeviceScope(self.scope.tenant, "d1"), wire)

    async def deliveries(self) -> list[tuple[str, str, str]]:
        """(address, state, reason) of all there are."""

        async def work(tx: Tx) -> list[tuple[str, str, str]]:
            rows = await tx.all("SELECT * FROM delivery ORDER BY address, id")
            return [(row["address"], row["state"], row["reason"]) for row in rows]

        return await self.services.db.read(SYSTEM, work)

    async def states(self) -> list[tuple[str, str]]:
        return [(address.partition("@")[0], state) for address, state, _ in await self.deliveries()]

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(20):
            while not await condition():  # noqa: ASYNC110  the database has no event to wait for
                await asyncio.sleep(0.01)

    async def until_states(self, *expected: tuple[str, str]) -> None:
        async def reached() -> bool:
            return await self.states() == list(expected)

        try:
            await self.until(reached)
        except TimeoutError:
            pytest.fail(f"deliveries are {await self.deliveries()}")

    @asynccontextmanager
    async def running(self, policy: Policy = QUICK) -> AsyncIterator[None]:
        task = asyncio.create_task(dispatcher.run(self.services, policy))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def opened(path: Path, smtp: str, **options: Any) -> AsyncIterator[Desk]:
    async with open_services(Settings(data=path, smtp=smtp, public_url="https://v.example.com"), **options) as services:
        tenant = await tenants.create_tenant(services, "ours")

        async def fill(tx: Tx) -> None:
            await tx.execute(
                "INSERT INTO device (tenant, id, identity, identity_hash, status, group_name, created_at, updated_at)"
                " VALUES (:t, 'd1', '{}', 'h', 'accepted', 'north', 0, 0)",
                t=tenant.id,
            )

        await services.db.write(SYSTEM, fill)
        yield Desk(services, tenant.id)


@pytest.fixture
async def desk(tmp_path: Path, port: int) -> AsyncIterator[Desk]:
    async with opened(tmp_path, f"smtp://127.0.0.1:{port}") as desk:
        await desk.add_user("ann@example.com")
        await desk.add_user("bob@example.com")
        yield desk


async def test_everybody_gets_a_mail_of_his_own(desk: Desk, port: int) -> None:
    box = Mailbox()
    async with box.listening(port), desk.running():
        await desk.alert()
        await desk.alert("OK")
        await desk.until_states(*[("ann", "sent")] * 2, *[("bob", "sent")] * 2)
    assert box.recipients == ["ann@example.com"] * 2 + ["bob@example.com"] * 2
    for sender, addresses, message in box.taken:
        assert sender == "vedette@localhost"
        assert [message["To"]] == list(addresses)
        other = {"ann@example.com", "bob@example.com"} - set(addresses)
        assert not any(address in message.as_string() for address in other)
    anns = [message for _, addresses, message in box.taken if addresses == ("ann@example.com",)]
    assert [message["Subject"].split(":")[0] for message in anns] == ["CRITICAL", "OK"]
    assert anns[1]["References"] == anns[0]["Message-ID"]
    assert "in group: north" in anns[0]["Subject"]


async def test_a_mail_server_that_comes_later_gets_everything_once(desk: Desk, port: int) -> None:
    box = Mailbox()
    async with desk.running():
        await desk.alert(count=30)

        async def tried() -> bool:
            return any("waits for the mail server" in reason for *_, reason in await desk.deliveries())

        await desk.until(tried)
        async with box.listening(port):
            await desk.until_states(*[("ann", "sent")] * 30, *[("bob", "sent")] * 30)
    assert Counter(box.recipients) == {"ann@example.com": 30, "bob@example.com": 30}
    assert len({message["Message-ID"] for *_, message in box.taken}) == 60


async def test_a_refusal_for_now_is_tried_again_and_one_for_good_is_not(desk: Desk, port: int) -> None:
    box = Mailbox()
    box.answers = {"ann@example.com": ["451 later", "450 later still"], "bob@example.com": ["550 no such user"]}
    async with box.listening(port), desk.running():
        await desk.alert()
        await desk.until_states(("ann", "sent"), ("bob", "failed"))
    assert box.recipients == ["ann@example.com"]
    assert box.asked == {"ann@example.com": 3, "bob@example.com": 1}
    assert "550 no such user" in (await desk.deliveries())[1][2]


@pytest.mark.parametrize("trouble", ["drop", "hang", "421 going down", "451 later"])
async def test_trouble_in_the_middle_of_a_mail_only_delays_it(desk: Desk, port: int, trouble: str) -> None:
    box = Mailbox()
    box.after_data = [trouble] * 3
    async with box.listening(port), desk.running():
        await desk.alert(count=5)
        await desk.until_states(*[("ann", "sent")] * 5, *[("bob", "sent")] * 5)
    assert len({message["Message-ID"] for *_, message in box.taken}) == len(box.taken) == 10


async def test_a_mail_the_server_dies_of_does_not_hold_up_the_others(desk: Desk, port: int) -> None:
    """Every try of the first mail ends the connection; the rest must get through."""

    class Allergic(Mailbox):
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            if b"OK: Monitor Alert" in envelope.content:
                server.transport.abort()
                return "250 never heard"
            return await super().handle_DATA(server, session, envelope)

    box = Allergic()
    async with box.listening(port), desk.running():
        await desk.alert("OK")
        await desk.alert(count=5)
        await desk.until_states(*[("ann", "due")], *[("ann", "sent")] * 5, *[("bob", "due")], *[("bob", "sent")] * 5)


async def test_an_idle_connection_that_broke_is_not_noticed(desk: Desk, port: int) -> None:
    """The mail server is restarted between two mails."""
    for expected in (1, 2):
        box = Mailbox()
        async with box.listening(port), desk.running():
            await desk.alert()
            await desk.until_states(*[("ann", "sent")] * expected, *[("bob", "sent")] * expected)


async def test_connections_are_used_again(desk: Desk, port: int) -> None:
    sessions = set()

    class Counting(Mailbox):
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            sessions.add(session.peer)
            return await super().handle_DATA(server, session, envelope)

    async with Counting().listening(port), desk.running():
        await desk.alert(count=20)
        await desk.until_states(*[("ann", "sent")] * 20, *[("bob", "sent")] * 20)
    assert len(sessions) <= dispatcher.CONNECTIONS


async def test_switched_off_means_no_mail_and_a_reason(desk: Desk, port: int) -> None:
    admin = Caller(scope=desk.scope, user_id="u", email="ann@example.com", session="s", rights=of_everybody(ADMIN))
    await alerts.set_email_enabled(desk.services, admin, False)
    box = Mailbox()
    async with box.listening(port), desk.running():
        await desk.alert()
        await desk.until_states(("ann", "withheld"), ("bob", "withheld"))
        assert {reason for *_, reason in await desk.deliveries()} == {decisions.SWITCHED_OFF}
        await alerts.set_email_enabled(desk.services, admin, True)
        await desk.alert()
        await desk.until_states(("ann", "withheld"), ("ann", "sent"), ("bob", "withheld"), ("bob", "sent"))
    assert len(box.taken) == 2


async def test_who_may_not_see_the_device_gets_nothing(desk: Desk, port: int) -> None:
    async def blind(tx: Tx) -> None:
        await tx.execute("UPDATE \"user\" SET roles = '[]' WHERE email = 'bob@example.com'")

    await desk.services.db.write(SYSTEM, blind)
    other = await tenants.create_tenant(desk.services, "theirs")
    await access.create_user(desk.services, UserScope(other.id, None), "eve@example.com", "correct horse battery")
    box = Mailbox()
    async with box.listening(port), desk.running():
        await desk.alert()
        await desk.until_states(("ann", "sent"), ("bob", "withheld"))
    assert box.recipients == ["ann@example.com"]
    assert (await desk.deliveries())[1][2] == decisions.NO_ACCESS


async def test_who_is_removed_while_a_mail_waits_gets_nothing(desk: Desk, port: int) -> None:
    box = Mailbox()
    async with desk.running():
        await desk.alert()
        await desk.until_states(("ann", "due"), ("bob", "due"))

        async def remove(tx: Tx) -> None:
            await tx.execute("DELETE FROM \"user\" WHERE email = 'bob@example.com'")

        await desk.services.db.write(SYSTEM, remove)
        async with box.listening(port):
            await desk.until_states(("ann", "sent"), ("bob", "withheld"))
    assert box.recipients == ["ann@example.com"]


async def test_it_is_given_up_visibly_after_days(tmp_path: Path, port: int) -> None:
    clock = FakeClock()
    async with opened(tmp_path, f"smtp://127.0.0.1:{port}", clock=clock) as desk:
        await desk.add_user("ann@example.com")
        async with desk.running():
            await desk.alert()

            async def tried() -> bool:
                return any("waits for the mail server" in reason for *_, reason in await desk.deliveries())

            await desk.until(tried)
            clock.advance(4 * 86400)
            await desk.until_states(("ann", "failed"))
        ((_, _, reason),) = await desk.deliveries()
    assert reason.startswith("given up after 3 days; last: waits for the mail server")


async def test_without_a_mail_server_there_is_a_reason(tmp_path: Path) -> None:
    async with opened(tmp_path, "") as desk:
        await desk.add_user("ann@example.com")
        async with desk.running():
            await desk.alert()
            await desk.until_states(("ann", "withheld"))
        assert (await desk.deliveries())[0][2] == decisions.NO_SERVER


async def test_a_mail_server_that_says_what_is_no_text(desk: Desk, port: int, caplog: pytest.LogCaptureFixture) -> None:
    """Its words are kept as a reason and logged: none may keep a delivery from being marked, or fool a log."""
    said = b"taken \xe4\xff\x1b[31m \xe2\x80\xae\x00"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        with suppress(ConnectionError):
            while line := await reader.readline():
                if line.upper().startswith(b"RCPT TO:<BOB"):
                    writer.write(b"550 " + said + b"\r\n")
                elif line.upper().startswith(b"DATA"):
                    writer.write(b"354 go on\r\n")
                    await reader.readuntil(b"\r\n.\r\n")
                    writer.write(b"250-" + said + b"\r\n250 " + said + b"\r\n")
                else:
                    writer.write(b"250 ok\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port)
    async with server, desk.running():
        await desk.alert()
        await desk.until_states(("ann", "sent"), ("bob", "failed"))
        for *_, reason in await desk.deliveries():
            assert "taken" in reason
            assert reason.isprintable()
    assert all(record.getMessage().isprintable() for record in caplog.records)


async def test_a_clock_that_is_set_back_holds_up_no_mail(tmp_path: Path, port: int) -> None:
    clock, box = FakeClock(), Mailbox()
    async with opened(tmp_path, f"smtp://127.0.0.1:{port}", clock=clock) as desk:
        await desk.add_user("ann@example.com")
        async with desk.running(QUICK):
            await desk.alert()

            async def tried() -> bool:
                return any("waits for the mail server" in reason for *_, reason in await desk.deliveries())

            await desk.until(tried)
            clock.wall -= timedelta(days=400)
            async with box.listening(port):
                await desk.until_states(("ann", "sent"))


async def test_what_was_never_tried_is_tried_once_however_old(tmp_path: Path, port: int) -> None:
    clock, box = FakeClock(), Mailbox()
    async with opened(tmp_path, f"smtp://127.0.0.1:{port}", clock=clock) as desk, box.listening(port):
        await desk.add_user("ann@example.com")
        await desk.alert()
        await service.decide(desk.services, 10)
        clock.advance(400 * 86400)
        async with desk.running(QUICK):
            await desk.until_states(("ann", "sent"))


async def test_two_dispatchers_send_nothing_twice(desk: Desk, port: int) -> None:
    box = Mailbox()
    async with box.listening(port), desk.running(), desk.running():
        for _ in range(10):
            await desk.alert(count=5)
        await desk.until_states(*[("ann", "sent")] * 50, *[("bob", "sent")] * 50)
    assert len(box.taken) == 100


async def test_it_works_until_the_very_end(desk: Desk, port: int) -> None:
    """A server that stops ends all that is live first; requests are still being served then."""
    box = Mailbox()
    async with box.listening(port), desk.running():
        desk.services.live.end()
        await desk.alert()
        await desk.until_states(("ann", "sent"), ("bob", "sent"))


async def test_a_slow_mail_keeps_its_lease(desk: Desk, port: int) -> None:
    """The mail server thinks longer than a lease lasts, and somebody else looks for work."""
    leave = asyncio.Event()

    class Slow(Mailbox):
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            await leave.wait()
            return await super().handle_DATA(server, session, envelope)

    seen = set()

    async def renewed() -> bool:
        async def work(tx: Tx) -> Any:
            return await tx.value("SELECT max(due_at) FROM delivery")

        seen.add(await desk.services.db.read(SYSTEM, work))
        return len(seen) > 5

    box = Slow()
    policy = Policy(lease_s=2, poll_s=0.05, answer_s=20)  # shorter, a busy machine renews too late
    async with box.listening(port), desk.running(policy), desk.running(policy):
        await desk.alert()
        await desk.until(renewed)
        leave.set()
        await desk.until_states(("ann", "sent"), ("bob", "sent"))
    assert box.asked == {"ann@example.com": 1, "bob@example.com": 1}


async def test_stopping_marks_what_is_on_its_way(desk: Desk, port: int) -> None:
    """A mail the server has taken must not be sent again after a restart."""
    entered, leave = asyncio.Event(), asyncio.Event()

    class Slow(Mailbox):
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            entered.set()
            await leave.wait()
            return await super().handle_DATA(server, session, envelope)

    box = Slow()
    async with box.listening(port):
        task = asyncio.create_task(dispatcher.run(desk.services, Policy(answer_s=10)))
        await desk.alert(count=4)
        async with asyncio.timeout(20):
            await entered.wait()
        task.cancel()
        leave.set()
        with suppress(asyncio.CancelledError):
            await task
        sent = [state for _, state in await desk.states()].count("sent")
        assert 0 < len(box.taken) == sent <= dispatcher.CONNECTIONS  # the rest was put back, not sent on
        async with desk.running():
            await desk.until_states(*[("ann", "sent")] * 4, *[("bob", "sent")] * 4)
    assert len(box.taken) == 8


CHILD = """
import asyncio, sys
from pathlib import Path
from vedette.server.notify import dispatcher
from vedette.server.notify.decisions import Policy
from vedette.server.services import open_services
from vedette.server.settings import Settings

async def main():
    async with open_services(Settings(data=Path(sys.argv[1]), smtp=sys.argv[2])) as services:
        await dispatcher.run(services, Policy(lease_s=1, channel_s=0.05, channel_max_s=0.2, poll_s=0.1))

asyncio.run(main())
"""


@ON_SQLITE
async def test_kill_9_between_sending_and_marking_loses_nothing(desk: Desk, port: int, tmp_path: Path) -> None:
    """A real process is killed while the mail server has the mail and the database does not know it yet."""
    killed_at = [3, 9, 20]
    child: asyncio.subprocess.Process

    class Deadly(Mailbox):
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            answer = await super().handle_DATA(server, session, envelope)
            if killed_at and len(self.taken) >= killed_at[0]:
                killed_at.pop(0)
                child.kill()
                await child.wait()
            return answer

    box = Deadly()
    expected = [("ann", "sent")] * 15 + [("bob", "sent")] * 15
    await desk.alert(count=15)

    async def ended_or_done() -> bool:
        return child.returncode is not None or await desk.states() == expected

    async with box.listening(port):
        while await desk.states() != expected:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", CHILD, str(tmp_path), f"smtp://127.0.0.1:{port}"
            )
            await desk.until(ended_or_done)
            if child.returncode is None:
                child.terminate()
            await child.wait()
    assert killed_at == []
    ids = Counter(message["Message-ID"] for *_, message in box.taken)
    assert len(ids) == 30
    assert len(box.taken) <= 30 + 3 * dispatcher.CONNECTIONS  # sent again, and known by its Message-ID


async def test_the_trace_is_for_who_may_see_the_device(desk: Desk, port: int) -> None:
    """All of it for administrators; others are shown their own part, for they may not know who else is a user."""
    carl = await desk.add_user("carl@example.com", (OBSERVER,))

    def caller(scope: UserScope, *roles: str) -> Caller:
        return Caller(scope=scope, user_id=carl.id, email=carl.email, session="", rights=of_everybody(*roles))

    async with Mailbox().listening(port), desk.running():
        await desk.alert()
        await desk.until_states(("ann", "sent"), ("bob", "sent"), ("carl", "sent"))
    (stored,) = (await alerts.open_problems(desk.services, desk.scope, "d1")).items
    told = await service.told(desk.services, caller(desk.scope, ADMIN), "d1", stored.id.upper())
    assert [(each.address, each.state, each.attempts) for each in told.deliveries] == [
        ("ann@example.com", "sent", 1),
        ("bob@example.com", "sent", 1),
        ("carl@example.com", "sent", 1),
    ]
    assert (told.complete, told.decided) == (True, True)
    told = await service.told(desk.services, caller(desk.scope, OBSERVER), "d1", stored.id)
    assert [each.address for each in told.deliveries] == ["carl@example.com"]
    assert not told.complete
    for scope in (UserScope("other", None), UserScope(desk.scope.tenant)):
        with pytest.raises(NotFound):
            await service.told(desk.services, caller(scope, ADMIN), "d1", stored.id)
