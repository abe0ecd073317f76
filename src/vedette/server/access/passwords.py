"""Passwords: argon2id, in a few threads, so that neither the event loop nor the memory suffers from many logins."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from vedette.errors import Busy, Unacceptable

AT_ONCE: Final = 2  # each takes 64 MiB and some tens of milliseconds
MAX_WAITING: Final = 64
MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 256


class Passwords:
    """Hashes and checks."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobody: str | None = None  # the hash of no user; see `check`

    async def hash(self, password: str) -> str:
        return await self._run(password, None)

    async def check(self, password: str, stored: str | None) -> bool:
        """Whether `password` belongs to the hash `stored`. None, no such user, takes the same time and says no."""
        if stored is None:
            if self._nobody is None:
                self._nobody = await self.hash("nobody")
            await self._run(password, self._nobody)
            return False
        return await self._run(password, stored) == stored

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    async def _run(self, password: str, stored: str | None) -> str:
        """The hash of `password`, or `stored` if it is one, else an empty text."""
        if self._waiting >= MAX_WAITING:
            raise Busy("too many logins at once; try again in a few seconds")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, password, stored)
        finally:
            self._waiting -= 1

    def _work(self, password: str, stored: str | None) -> str:
        if stored is None:
            return self._hasher.hash(password)
        try:
            self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return ""
        return stored


def check_rules(password: str, email: str) -> None:
    """Refuse what is no good password; the texts are those that clients know.

    Raises:
        Unacceptable: too short, too long, not ASCII, or a part of the e-mail address.
    """
    if len(password) < MIN_LENGTH:
        raise Unacceptable(f"password: must be minimum {MIN_LENGTH} characters long")
    if len(password) > MAX_LENGTH:
        raise Unacceptable(f"password: must be maximum {MAX_LENGTH} characters long")
    if not password.isascii():
        raise Unacceptable("password: must be ASCII characters only")
    if password.lower() in email.lower():
        raise Unacceptable("password is too similar to the email")
