"""Mails that people have asked for themselves, sent as soon as they are written; see `server.letters`."""

import asyncio
from typing import Final

from vedette.server.access import password_reset
from vedette.server.notify.channels.smtp import SmtpConnection, SmtpServer
from vedette.server.services import Services

WRITERS: Final = 4  # at once: one mail server that says "later" holds up no other mail


async def run(services: Services) -> None:
    """Send until cancelled; without a mail server there is nothing to do."""
    if services.settings.smtp:
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(_write(services))


async def _write(services: Services) -> None:
    connection = SmtpConnection(SmtpServer.of(services.settings.smtp))

    async def send(to: str, message: bytes) -> str:
        try:
            return await connection.send(services.settings.mail_from, to, message)
        finally:
            await connection.close()  # such mails are rare

    await password_reset.write_forever(services, send)
