"""A caught mailbox: a real SMTP server on loopback that keeps every mail as a file."""

import asyncio
import threading
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Mailbox:
    """Catches what is sent to it; `wait_for` wakes with each new mail.

    `directory` receives one `.eml` file a mail; `on_mail` is told of each, in the thread of the mailbox.
    """

    def __init__(self, directory: Path, on_mail: Callable[[EmailMessage], None]) -> None:
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self._on_mail = on_mail
        self._mails: list[EmailMessage] = []
        self._news = threading.Condition()
        self._controller = Controller(self, hostname="127.0.0.1", port=0)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd
        content = envelope.original_content or b""
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        await asyncio.to_thread(self._keep, content, mail)
        return "250 kept"

    def _keep(self, content: bytes, mail: EmailMessage) -> None:
        with self._news:
            (self._directory / f"{len(self._mails) + 1:04}.eml").write_bytes(content)
            self._mails.append(mail)
            self._news.notify_all()
        self._on_mail(mail)

    @property
    def mails(self) -> list[EmailMessage]:
        with self._news:
            return list(self._mails)

    def wait_for(self, met: Callable[[list[EmailMessage]], bool], timeout_s: float) -> bool:
        """Wait until `met` holds of the mails; False when it did not in time."""
        with self._news:
            return self._news.wait_for(lambda: met(self._mails), timeout_s)

    def start(self) -> str:
        """Listen on a free port; the `smtp://` address for the server."""
        self._controller.start()
        server = self._controller.server
        assert isinstance(server, asyncio.Server)
        port = server.sockets[0].getsockname()[1]
        return f"smtp://127.0.0.1:{port}"

    def stop(self) -> None:
        self._controller.stop()
