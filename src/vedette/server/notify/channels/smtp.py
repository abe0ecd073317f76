"""One connection to the mail server, used again and again. 4yz may pass later, 5yz never will (RFC 5321, 4.2.1).

A refusal of the recipient or the message is that delivery's own trouble; everything else (no connection, no answer,
a login or a sender refused) hits every delivery alike: `ChannelDown`.
"""

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
from aiosmtplib import errors

from vedette.errors import DeliveryFailed, Invalid
from vedette.server.notify.decisions import ChannelDown

LIMIT_S: Final = 60.0  # for one answer; servers that look for spam take their time
CHECK_AFTER_S: Final = 2.0  # a connection that was idle for longer is asked whether it is still there
UNAVAILABLE: Final = 421  # the server closes the connection, whatever was asked


@dataclass(frozen=True, kw_only=True)
class SmtpServer:
    """Where mails go, from smtp://[user:password@]host:port (STARTTLS where offered) or smtps://."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    limit_s: float = LIMIT_S

    @classmethod
    def of(cls, url: str, *, limit_s: float = LIMIT_S) -> "SmtpServer":
        """Raises Invalid, without repeating a password."""
        try:
            parts = urlsplit(url)
            tls = {"smtp": False, "smtps": True}[parts.scheme]
            return cls(
                host=parts.hostname or "",
                port=parts.port or (465 if tls else 25),
                tls=tls,
                user=unquote(parts.username) if parts.username else None,
                password=unquote(parts.password or "") if parts.username else None,
                limit_s=limit_s,
            )
        except (KeyError, ValueError):
            raise Invalid("setting smtp: expected smtp://[user:password@]host:port") from None

    @property
    def local(self) -> bool:
        """Nothing leaves the machine: a password may travel without TLS."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Certificates are checked where a password or smtps:// asks for it; else TLS is taken as it comes, for the
        alternative is none at all (RFC 7435)."""
        context = ssl.create_default_context()
        if not self.tls and self.user is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def client(self) -> aiosmtplib.SMTP:
        """A client that is not connected yet."""
        start_tls: bool | None = None  # where offered
        if self.local or self.tls:
            start_tls = False
        elif self.user is not None:
            start_tls = True
        return aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.user,
            password=self.password,
            local_hostname="localhost" if self.local else None,
            timeout=self.limit_s,
            use_tls=self.tls,
            start_tls=start_tls,
            tls_context=self.context if self.tls or start_tls is not False else None,
        )


class SmtpConnection:
    """Sends one message after the other. Not for two tasks at once."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._client: aiosmtplib.SMTP | None = None
        self._used_at = 0.0

    async def send(self, sender: str, to: str, message: bytes) -> str:
        """Hand over one message; returns what the server said.

        Raises:
            ChannelDown: the server cannot be used now.
            DeliveryFailed: this message was refused, for now or for good.
        """
        try:
            client = await self._connected()
            refused, answer = await client.sendmail(sender, [to], message)
            self._used_at = asyncio.get_running_loop().time()
        except errors.SMTPRecipientsRefused as exc:
            raise self._refusal(exc.recipients[0]) from exc
        except errors.SMTPDataError as exc:
            raise self._refusal(exc) from exc
        except errors.SMTPResponseException as exc:
            await self.close()
            raise ChannelDown(f"{exc.code} {exc.message}") from exc
        except (errors.SMTPException, OSError) as exc:
            await self.close()
            raise ChannelDown(str(exc) or type(exc).__name__) from exc
        except ValueError as exc:  # an address that cannot be said in SMTP
            raise DeliveryFailed(str(exc), permanent=True) from exc
        except asyncio.CancelledError:
            self._drop()
            raise
        assert not refused
        return answer

    async def close(self) -> None:
        """Take leave, shortly."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if client.is_connected:
                await client.quit(timeout=min(5.0, self._server.limit_s))
        except (errors.SMTPException, OSError):
            pass  # it is over either way
        finally:
            client.close()

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._client is not None and self._client.is_connected:
            if asyncio.get_running_loop().time() - self._used_at < CHECK_AFTER_S:
                return self._client
            try:
                await self._client.noop()
            except (errors.SMTPException, OSError):
                self._drop()
            else:
                return self._client
        self._drop()
        client = self._client = self._server.client()  # at once: who is cancelled while it connects has to drop it
        await client.connect()
        return client

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _refusal(self, exc: errors.SMTPResponseException) -> DeliveryFailed:
        if exc.code == UNAVAILABLE:
            self._drop()
            return ChannelDown(f"{exc.code} {exc.message}")
        return DeliveryFailed(f"{exc.code} {exc.message}", permanent=exc.code >= 500)
