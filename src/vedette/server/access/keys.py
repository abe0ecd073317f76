"""The keys that sign tokens and links, made at the first start and kept in the database."""

import asyncio
import secrets

from vedette.server.access import store
from vedette.server.access.signer import Signer, new_key
from vedette.server.db import SYSTEM, Database


async def signer(db: Database) -> Signer:
    """The signer that every process on this database shares."""
    pem = await db.read(SYSTEM, store.secret, "token_key")
    if pem is None:
        made = await asyncio.to_thread(new_key)
        pem = await db.write(SYSTEM, store.keep_secret, "token_key", made)
    return Signer(pem)


async def link_key(db: Database) -> bytes:
    """The key of links that can be followed without a token; every process on this database shares it."""
    text = await db.read(SYSTEM, store.secret, "link_key")
    if text is None:
        text = await db.write(SYSTEM, store.keep_secret, "link_key", secrets.token_hex(32))
    return bytes.fromhex(text)
