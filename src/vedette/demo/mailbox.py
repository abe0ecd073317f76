"""A caught mailbox: a real SMTP server on loopback that keeps every mail as a file."""

import asyncio
import threading
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

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
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mailbox", daemon=True)

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
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return f"smtp://127.0.0.1:{port}"

    async def _listen(self) -> int:
        self._server = await self._loop.create_server(lambda: SMTP(self, loop=self._loop), "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:  # sessions that are still open
            task.cancel()
        await self._loop.shutdown_default_executor()
