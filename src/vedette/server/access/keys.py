"""The key that signs all tokens, made at the first start and kept in the database."""

import asyncio

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
