"""Back in without the password: real mails through a real mail server, real pages."""

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from aiosmtpd.smtp import SMTP
from serving import DEADLINE_S, EMAIL, LOGIN, PASSWORD, RealServer, real_server

from vedette.server.db import SYSTEM
from vedette.server.notify import letters
from vedette.server.settings import Settings

AUTH = "/api/management/v1/useradm/auth"
ME = "/api/management/v1/useradm/users/me"
LOGS = "/api/management/v1/auditlogs/logs"
TOKENS = "/api/management/v1/useradm/settings/tokens"
NEW = "an even better one"
FORM = {"Sec-Fetch-Site": "same-origin"}


class Mailbox:
    """Takes mails, in the event loop of the server."""

    def __init__(self) -> None:
        self.mails: asyncio.Queue[EmailMessage] = asyncio.Queue()
        self.answers: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        answer = self.answers.pop(0) if self.answers else "250 taken"
        if answer.startswith("2"):
            message = message_from_bytes(envelope.content, policy=POLICY)
            assert isinstance(message, EmailMessage)
            self.mails.put_nowait(message)
        return answer


async def until(condition: Callable[[], bool], deadline_s: float = 5) -> None:
    """Wait for it; what comes after says so if it never holds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while not condition() and loop.time() < end:  # noqa: ASYNC110 - of objects that tell nobody
        await asyncio.sleep(0.01)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def server(tmp_path: Path, mailbox: Mailbox) -> Iterator[RealServer]:
    """A server with a mail server, and what sends such mails running."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = Settings(
        listen="127.0.0.1:0", data=tmp_path, public_url="http://vedette.test", smtp=f"smtp://127.0.0.1:{port}",
        mail_from="vedette@example.org",
    )  # fmt: skip
    with real_server(settings) as made:
        protocols: list[SMTP] = []

        def connect() -> SMTP:
            protocols.append(
                SMTP(mailbox, hostname="mail.example.org", enable_SMTPUTF8=False, loop=asyncio.get_running_loop())
            )
            return protocols[-1]

        def idle() -> bool:
            return made.services.letters._queue.empty() and all(each.transport is None for each in protocols)

        async def begin() -> tuple[asyncio.Server, asyncio.Task[None]]:
            smtp = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", port)
            return smtp, asyncio.create_task(letters.run(made.services))

        async def end() -> None:
            await until(idle)  # what is on its way arrives
            task.cancel()
            await asyncio.wait([task])
            smtp.close()
            for protocol in protocols:
                if protocol.transport is not None:
                    protocol.transport.abort()
                handler = getattr(protocol, "_handler_coroutine", None)
                if handler is not None:
                    handler.cancel()
                    with suppress(asyncio.CancelledError):
                        await handler
            await smtp.wait_closed()
            await until(idle)  # and no connection is left to the end of the loop

        smtp, task = made.run(begin())
        yield made
        made.run(end())


def mail(server: RealServer, mailbox: Mailbox) -> EmailMessage:
    async def one() -> EmailMessage:
        async with asyncio.timeout(DEADLINE_S / 2):
            return await mailbox.mails.get()

    message: EmailMessage = server.run(one())
    return message


def secret_in(message: EmailMessage) -> str:
    (secret,) = re.findall(r"\?secret=([\w%-]+)", message.get_content())
    return unquote(secret)


def start(server: RealServer, email: str = EMAIL, kind: str = "password-reset") -> int:
    return server.client().post(f"{AUTH}/{kind}/start", json={"email": email}).status_code


def complete(server: RealServer, secret: str, password: str = NEW, key: str = "secret") -> httpx.Response:
    body = {key: secret, "password": password}
    return server.client().post(f"{AUTH}/password-reset/complete", json=body)


def can_log_in(server: RealServer, password: str) -> bool:
    return server.client().post(LOGIN, auth=(EMAIL, password)).status_code == 200


@pytest.mark.parametrize("key", ["secret", "secret_hash"])
def test_a_new_password_by_mail(server: RealServer, admin: httpx.Client, mailbox: Mailbox, key: str) -> None:
    program = server.client(admin.post(TOKENS, json={"name": "ci"}).text)
    assert admin.get(ME).json()["verified"] is False
    assert start(server, EMAIL.upper()) == 202
    message = mail(server, mailbox)
    assert (message["to"], message["from"]) == (EMAIL, "Vedette <vedette@example.org>")
    assert "http://vedette.test/password/new?secret=" in message.get_content()
    secret = secret_in(message)
    assert complete(server, secret, key=key).status_code == 202
    assert can_log_in(server, NEW)
    assert not can_log_in(server, PASSWORD)
    for old in (admin, program):
        assert old.get(ME).status_code == 401, "what was signed in with the old one is out"
    assert complete(server, secret).status_code == 400, "it counts once"
    again = server.client(server.login(password=NEW))
    assert again.get(ME).json()["verified"] is True
    entry = again.get(LOGS).json()[0]
    assert entry["actor"]["email"] == EMAIL
    assert "hidden" in entry["change"]


def test_nobody_learns_who_has_an_account(server: RealServer, admin: httpx.Client, mailbox: Mailbox) -> None:
    for email in ("nobody@example.com", "no address", "", "x" * 5000, "\ud7ff@example.com"):
        assert start(server, email) == 202
    assert start(server) == 202
    assert mail(server, mailbox)["to"] == EMAIL
    assert mailbox.mails.empty()


def test_asking_is_limited_for_each_account(server: RealServer, admin: httpx.Client) -> None:
    statuses = [start(server) for _ in range(5)]
    assert statuses == [202, 202, 202, 429, 429]
    assert start(server, "other@example.com") == 202
    answer = server.client().post(f"{AUTH}/password-reset/start", json={"email": EMAIL})
    assert int(answer.headers["retry-after"]) > 1


def test_and_for_each_address(server: RealServer) -> None:
    statuses = [start(server, f"u{number}@example.com") for number in range(25)]
    assert statuses[:20] == [202] * 20
    assert set(statuses[20:]) == {429}
    assert complete(server, "x").status_code == 429


def test_a_bad_password_leaves_the_link_as_it_is(server: RealServer, admin: httpx.Client, mailbox: Mailbox) -> None:
    start(server)
    secret = secret_in(mail(server, mailbox))
    for bad in ("short", "x" * 257, "ann@example.com"[:9]):
        answer = complete(server, secret, bad)
        assert (answer.status_code, "password" in answer.json()["error"]) == (400, True)
    assert complete(server, secret).status_code == 202


def later(server: RealServer, sql: str) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(sql)

    server.run(server.services.db.write(SYSTEM, work))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE mailed_secret SET expires_at = 1",
        "UPDATE \"user\" SET email = 'new@example.com'",
        "UPDATE tenant SET status = 'suspended'",
        "UPDATE mailed_secret SET purpose = 'address'",
        'DELETE FROM "user"',
    ],
)
def test_a_link_that_does_not_count_any_more(
    server: RealServer, admin: httpx.Client, mailbox: Mailbox, sql: str
) -> None:
    start(server)
    secret = secret_in(mail(server, mailbox))
    later(server, sql)
    assert complete(server, secret).status_code == 400


@pytest.mark.parametrize("secret", ["", "x", "x" * 5000, "\0", "ü"])
def test_what_is_no_secret(server: RealServer, secret: str) -> None:
    assert complete(server, secret).status_code == 400


def test_the_database_does_not_know_the_secret(server: RealServer, admin: httpx.Client, mailbox: Mailbox) -> None:
    async def work(tx: Any) -> Any:
        return [dict(row) for row in await tx.all("SELECT * FROM mailed_secret")]

    start(server)
    secret = secret_in(mail(server, mailbox))
    rows = server.run(server.services.db.read(SYSTEM, work))
    assert len(rows) == 1
    assert secret not in str(rows)


def test_an_address_is_confirmed(server: RealServer, admin: httpx.Client, mailbox: Mailbox) -> None:
    assert start(server, kind="verify-email") == 202
    message = mail(server, mailbox)
    secret = secret_in(message)
    assert "/verify-email?secret=" in message.get_content()
    assert complete(server, secret).status_code == 400, "it is not for a password"
    url = f"{AUTH}/verify-email/complete"
    assert server.client().post(url, json={"secret_hash": secret}).status_code == 204
    assert server.client().post(url, json={"secret": secret}).status_code == 400
    assert admin.get(ME).json()["verified"] is True
    assert admin.post(f"{ME}/2fa/enable").status_code == 200
    change = {"email": "ann@example.org", "current_password": PASSWORD}
    assert admin.put(ME, json=change).status_code == 204
    assert admin.get(ME).json()["verified"] is False, "the new one is not"


def test_a_refused_mail_holds_up_no_other(server: RealServer, admin: httpx.Client, mailbox: Mailbox) -> None:
    server.add_user("bob@example.com")
    mailbox.answers = ["550 no", "451 later"]
    assert start(server) == 202
    assert start(server) == 202
    assert start(server, "bob@example.com") == 202
    assert mail(server, mailbox)["to"] in {EMAIL, "bob@example.com"}


def test_the_same_by_pages(server: RealServer, admin: httpx.Client, mailbox: Mailbox) -> None:
    client = server.client()
    assert 'href="/password"' in client.get("/login").text
    assert client.get("/password").status_code == 200
    assert "mailbox" in client.post("/password", data={"email": EMAIL}, headers=FORM).text
    secret = secret_in(mail(server, mailbox))
    page = client.get("/password/new", params={"secret": secret})
    assert f'value="{secret}"' in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    wrong = client.post("/password/new", data={"secret": secret, "password": "short"}, headers=FORM)
    assert (wrong.status_code, "minimum 8" in wrong.text) == (400, True)
    assert client.post("/password/new", data={"secret": secret, "password": NEW}).status_code == 403, "not from here"
    assert client.post("/password/new", data={"secret": secret, "password": NEW}, headers=FORM).status_code == 200
    assert can_log_in(server, NEW)
    start(server, kind="verify-email")
    assert "><script>" not in client.get("/verify-email", params={"secret": '"><script>'}).text


def test_pages_confirm_an_address(server: RealServer, admin: httpx.Client, mailbox: Mailbox) -> None:
    start(server, kind="verify-email")
    secret = secret_in(mail(server, mailbox))
    client = server.client()
    assert client.get("/verify-email", params={"secret": secret}).status_code == 200
    assert admin.get(ME).json()["verified"] is False, "a link alone does nothing"
    assert client.post("/verify-email", data={"secret": secret}, headers=FORM).status_code == 200
    assert admin.get(ME).json()["verified"] is True
    assert client.post("/verify-email", data={"secret": secret}, headers=FORM).status_code == 400


def test_who_is_invited_chooses_a_password_himself(server: RealServer, admin: httpx.Client, mailbox: Mailbox) -> None:
    new = {"email": "new@example.com", "roles": [], "send_reset_password": True}
    assert admin.post("/api/management/v1/useradm/users", json=new).status_code == 201
    message = mail(server, mailbox)
    assert message["to"] == "new@example.com"
    assert complete(server, secret_in(message)).status_code == 202
    assert server.client(server.login("new@example.com", NEW)).get(ME).json()["roles"] == []
