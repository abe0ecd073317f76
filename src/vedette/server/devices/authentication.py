"""How a device gets in: it shows an identity and a key, somebody accepts it, it gets a token."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from vedette.errors import TooMany, Unacceptable, Unauthenticated
from vedette.server.access import service as access
from vedette.server.access import tenants
from vedette.server.access.signer import ISSUER, LIFETIME_S
from vedette.server.db import Row, Tx, UserScope
from vedette.server.devices import attribute_store, proof, search_store, sessions, store
from vedette.server.devices.sessions import UNAUTHORIZED
from vedette.server.devices.values import best
from vedette.server.services import Services
from vedette.server.times import micros

MAX_PENDING: Final = 10_000  # devices of a tenant that wait to be accepted: anybody can make one
MAX_PENDING_KEYS: Final = 16  # of one device; whoever knows an identity can show another key for it
FULL_FOR_S: Final = 300.0  # somebody has to make room by hand, so asking sooner is of no use


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthRequest:
    """What a device says when it wants to be let in."""

    identity: str  # a JSON object
    pubkey: str  # PEM
    tenant_token: str | None = None


async def request(services: Services, wish: AuthRequest, signature: str, body: bytes) -> str:
    """A token for a device that has been accepted; one that is new is remembered, to be accepted.

    Args:
        signature: Base64, over `body`, which is what `wish` was read from.
    Raises:
        Invalid: the request makes no sense.
        Unauthenticated: a wrong signature or tenant token, or the device is not accepted (yet).
        TooMany: new, and too many wait already; nothing is written. Those that are known notice nothing.
    """
    key, pubkey = proof.public_key(wish.pubkey)
    proof.check_signature(key, signature, body)
    identity = proof.canonical_identity(wish.identity)
    scope = UserScope(await tenants.tenant_of_device(services, wish.tenant_token), None)
    digest = proof.identity_hash(identity)
    found = await services.db.read(scope, _look_up, digest, pubkey)
    if found is None or found[1]["status"] == "preauthorized":
        found = await services.db.write(scope, _take_in, services, scope.tenant, identity, digest, pubkey)
    device, auth = found
    if auth["status"] != "accepted":
        raise Unauthenticated(UNAUTHORIZED)
    return await _new_token(services, scope, device["id"], auth["id"])


async def _look_up(tx: Tx, digest: str, pubkey: str) -> tuple[Row, Row] | None:
    """The device of an identity and its authentication set with this key; None: new, and there is room for it."""
    device = await store.by_identity(tx, digest)
    auth = None if device is None else await store.auth_set_by_key(tx, device["id"], pubkey)
    if device is not None and auth is not None:
        return device, auth
    await _require_room(tx, device)
    return None


async def _require_room(tx: Tx, device: Row | None) -> None:
    """For one more device, or for one more key of `device`."""
    if device is None:
        if await search_store.count(tx, "pending") >= MAX_PENDING:
            raise TooMany(
                f"{MAX_PENDING} devices wait to be accepted already; accept, reject or remove some of them first",
                retry_after_s=FULL_FOR_S,
            )
    elif sum(each["status"] == "pending" for each in await store.auth_sets(tx, device["id"])) >= MAX_PENDING_KEYS:
        raise TooMany(
            f"{MAX_PENDING_KEYS} keys of this device wait to be accepted already; accept, reject or dismiss some first",
            retry_after_s=FULL_FOR_S,
        )


async def _take_in(tx: Tx, services: Services, tenant: str, identity: str, digest: str, pubkey: str) -> tuple[Row, Row]:
    """Remember an identity and a key as pending, or let in one that was announced."""
    now = micros(services.clock.now())
    device = await store.by_identity(tx, digest)
    auth = None if device is None else await store.auth_set_by_key(tx, device["id"], pubkey)
    if auth is None:
        await _require_room(tx, device)  # again: others came in since it was looked up
    if device is None:
        device = {"id": str(uuid4()), "status": "pending", "group_name": None}
        await store.add_device(tx, device["id"], identity, digest, "pending", now)
        await attribute_store.keep_identity(tx, device["id"], identity, now)
    if auth is None:
        auth = {"id": str(uuid4()), "status": "pending"}
        await store.add_auth_set(tx, device["id"], auth["id"], pubkey, "pending", now)
    elif auth["status"] == "preauthorized":
        try:
            await accept(tx, services, device["id"], auth["id"])
        except Unacceptable as exc:
            raise Unauthenticated("unauthorized") from exc
        auth = {"id": auth["id"], "status": "accepted"}
    await refresh_status(tx, device["id"], now)
    services.live.announce(tx, tenant, device["group_name"], device["id"])
    return device, auth


async def accept(tx: Tx, services: Services, device_id: str, auth_id: str) -> None:
    """Let a device in with one of its keys, and with no other: the one that counted until now is rejected.

    Raises:
        Unacceptable: the tenant has as many devices as it may.
    """
    others = [each for each in await store.auth_sets(tx, device_id) if each["id"] != auth_id]
    accepted = [each["id"] for each in others if each["status"] == "accepted"]
    if not accepted:
        await require_place(tx)
    for other in accepted:
        await store.set_auth_status(tx, device_id, other, "rejected")
    await store.set_auth_status(tx, device_id, auth_id, "accepted")
    services.device_tokens.withdraw(tx, device_id)


async def require_place(tx: Tx) -> None:
    """For one more device, of those that `tx` sees. Raises Unacceptable."""
    limit = await store.limit(tx)
    if limit and await search_store.count(tx, "accepted") >= limit:
        raise Unacceptable("maximum number of accepted devices reached")


async def refresh_status(tx: Tx, device_id: str, now: int) -> None:
    """A device is what the best of its authentication sets is."""
    await store.set_status(tx, device_id, best([row["status"] for row in await store.auth_sets(tx, device_id)]), now)


async def _new_token(services: Services, scope: UserScope, device_id: str, auth_id: str) -> str:
    now = services.clock.now()
    claims: dict[str, Any] = {
        "jti": auth_id,
        "sub": device_id,
        "iss": ISSUER,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(seconds=LIFETIME_S)).timestamp()),
        "mender.device": True,
        "mender.tenant": scope.tenant,
        "mender.plan": "enterprise",
        "mender.trial": False,
        "mender.addons": access.ADDONS,
        # Two tokens of one second would be the same, and the first not replaced by the second.
        "nonce": str(uuid4()),
    }
    token = services.signer.sign(claims)

    async def keep(tx: Tx) -> bool:
        services.device_tokens.withdraw(tx, device_id)
        return await store.keep_token(tx, device_id, auth_id, sessions.digest(token), micros(now))

    if not await services.db.write(scope, keep):
        raise Unauthenticated(UNAUTHORIZED)
    return token
