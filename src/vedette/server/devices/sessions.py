"""Is this token the live one of a device that may speak? The question of every call of a device."""

import hashlib
from typing import Final

from vedette.errors import Unauthenticated
from vedette.server.access.tokens import Verified, fresh_until
from vedette.server.db import DeviceScope
from vedette.server.devices import store
from vedette.server.devices.check_ins import EXACT_TO_S
from vedette.server.services import Services
from vedette.server.times import micros

UNAUTHORIZED: Final = "dev auth: unauthorized"


async def device(services: Services, token: str) -> DeviceScope:
    """The device that holds `token`, which is also noted to be here. Mostly one look into a dictionary.

    Raises:
        Unauthenticated: not a live token of a device that is accepted.
        TooMany: it calls too often.
    """
    known = services.device_tokens.get(token)
    if known is None or services.clock.elapsed() >= known.fresh_until:
        known = await _ask(services, token, known)
    admit(services, known)
    return known.who


def remembered(services: Services, token: str) -> Verified[DeviceScope] | None:
    """The device that holds `token`, where no question to the database is needed; else None. `admit` it afterwards."""
    known = services.device_tokens.get(token)
    return None if known is None or services.clock.elapsed() >= known.fresh_until else known


def admit(services: Services, known: Verified[DeviceScope]) -> None:
    """Count a call of a device, and note that it is here.

    Raises:
        TooMany: it calls too often; the call was not counted.
    """
    if services.device_calls is not None:
        services.device_calls.take(known.subject)
    now = services.clock.elapsed()
    if now >= known.check_in_due:
        known.check_in_due = now + EXACT_TO_S
        services.check_ins.add(known.who, micros(services.clock.now()))


async def _ask(services: Services, token: str, known: Verified[DeviceScope] | None) -> Verified[DeviceScope]:
    """Ask the database, after the signature unless that is known to be good."""
    claims = known.claims if known is not None else services.signer.verify(token)
    if not claims.device:
        raise Unauthenticated("the token is not one of a device")
    until = fresh_until(services.clock, claims.exp)
    scope = DeviceScope(claims.tenant, claims.sub)
    if not await services.db.read(scope, store.token_is_live, claims.jti, digest(token)):
        services.device_tokens.forget(scope.device)
        raise Unauthenticated(UNAUTHORIZED)
    verified = Verified(claims, scope.device, scope, until, 0.0 if known is None else known.check_in_due)
    services.device_tokens.put(token, verified)
    return verified


def digest(token: str) -> str:
    """What the database knows a token by: who reads the database cannot speak as a device."""
    return hashlib.sha256(token.encode()).hexdigest()
