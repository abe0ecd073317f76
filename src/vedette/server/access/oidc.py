"""Logging in by an identity provider: whom it means, and what his groups there allow him here.

One random secret stays in the browser; state, nonce and PKCE verifier are made from it, so nothing is kept here while
somebody logs in, and another browser can do nothing with what comes back.
"""

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from vedette.errors import Denied, Unauthenticated
from vedette.server.access import oidc_store, personal_tokens, recovery_store, service, store, tenants
from vedette.server.access.limits import neighbourhood
from vedette.server.access.oidc_provider import Wish
from vedette.server.access.service import User
from vedette.server.audit import service as audit
from vedette.server.audit.service import Actor
from vedette.server.db import SYSTEM, Row, Tx, UserScope
from vedette.server.services import Services
from vedette.server.times import micros

CALLBACK: Final = "/oidc/callback"
MAX_CODE: Final = 4096  # characters
LOST: Final = "this login was begun in another window or too long ago; begin again"
NO_ADDRESS: Final = "your identity provider does not say that it has verified your e-mail address"
NO_ROLE: Final = "you are known, but none of your groups gives you a role here; ask an administrator"


def begin() -> str:
    """The secret that stays in the browser until it comes back."""
    return secrets.token_urlsafe(32)


def provider_id(issuer: str) -> str:
    """What clients call the provider; they parse it as a UUID."""
    return str(uuid5(NAMESPACE_URL, issuer))


async def login_url(services: Services, secret: str) -> str:
    """Where the browser goes. Raises Unavailable."""
    return await services.identity.login_url(_wish(services, secret))


async def finish(services: Services, secret: str, state: str, code: str, address: str) -> str:
    """The browser is back with a code: a token for the user that the provider means.

    Raises:
        Unauthenticated: it is not the same browser, or the provider does not vouch for anybody.
        Denied: for somebody who has no account, and may not have one.
        TooMany: too many failures from this address.
        Unavailable: the provider does not answer.
    """
    address = neighbourhood(address)
    services.logins_from_address.take(address)
    wish = _wish(services, secret)
    if not secret or not hmac.compare_digest(state.encode("utf-8", "replace"), wish.state.encode()):
        raise Unauthenticated(LOST)
    if not 1 <= len(code) <= MAX_CODE:
        raise Unauthenticated(LOST)
    claims = await services.identity.claims(code, wish)
    token = await service.start_session(services, await _user(services, claims), no_expiry=False)
    services.logins_from_address.give_back(address)
    return token


async def _user(services: Services, claims: Mapping[str, Any]) -> Row:
    """Whom the claims mean; made when he is new and one of his groups gives him a role."""
    settings = services.settings
    issuer, subject = settings.oidc_issuer, str(claims["sub"])[:512]
    roles = roles_of(claims, settings.oidc_groups_claim, settings.oidc_role_map)
    if settings.oidc_role_map and not roles:
        raise Denied(NO_ROLE)
    row = await services.db.read(SYSTEM, oidc_store.by_subject, issuer, subject)
    if row is None:
        row = await _first_time(services, issuer, subject, claims, roles)
    if row["tenant_status"] != "active":
        raise Unauthenticated("unauthorized")
    await _follow_groups(services, row, roles)
    return row


async def _follow_groups(services: Services, row: Row, roles: list[str]) -> None:
    """Where groups mean roles, give a user those of now. Raises Unacceptable for the last administrator."""
    if services.settings.oidc_role_map and set(json.loads(row["roles"])) != set(roles):
        actor = Actor("user", row["id"], row["email"])
        await service.set_roles_by_provider(services, UserScope(row["tenant"]), row["id"], roles, actor)


async def _first_time(
    services: Services, issuer: str, subject: str, claims: Mapping[str, Any], roles: list[str]
) -> Row:
    """By a verified address, of an account that is there or is made now. From now on the provider alone lets him in."""
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified") is not True:
        raise Denied(NO_ADDRESS)
    email = service.check_email(email)
    tenant = await tenants.tenant_named(services, services.settings.oidc_tenant)
    scope = UserScope(tenant.id)
    row = await services.db.read(scope, oidc_store.by_email, email)
    if row is None:
        if not roles:
            raise Denied(NO_ROLE)
        made: User = await service.create_user(services, scope, email, secrets.token_urlsafe(48), roles)
        user_id = made.id
    else:
        user_id = row["id"]
        await _follow_groups(services, row, roles)  # before he has no other way in, for it may be refused
    unknown = await services.passwords.hash(secrets.token_urlsafe(48))

    async def link(tx: Tx) -> None:
        await oidc_store.link(tx, issuer, subject, user_id)
        # The account may have been made, or given this address, by somebody else who waits for its owner's roles.
        await recovery_store.set_password(tx, user_id, unknown, micros(services.clock.now()))
        for session in await store.sessions(tx, user_id):
            await store.remove_session(tx, user_id, session)
            services.user_tokens.withdraw(tx, session)
        await personal_tokens.forget_all(tx, services, user_id)
        change = audit.diff("login", None, {"identity provider": issuer, "subject": subject})
        await audit.record(tx, services, Actor("user", user_id, email), "update", audit.user(user_id, email), change)

    await services.db.write(scope, link)
    row = await services.db.read(SYSTEM, oidc_store.by_subject, issuer, subject)
    if row is None:
        raise Unauthenticated(LOST)  # removed at the same time
    return row


def roles_of(claims: Mapping[str, Any], claim: str, role_map: Mapping[str, str]) -> list[str]:
    """The roles that the groups in `claim` give, in a stable order."""
    groups = claims.get(claim)
    if isinstance(groups, str):
        groups = [groups]
    if not isinstance(groups, Iterable) or isinstance(groups, Mapping):
        return []
    held = {each for each in groups if isinstance(each, str)}
    return sorted({role for group, role in role_map.items() if group in held})


def _wish(services: Services, secret: str) -> Wish:
    verifier = _made(secret, "verifier")
    return Wish(
        redirect_uri=services.settings.base_url + CALLBACK,
        state=_made(secret, "state"),
        nonce=_made(secret, "nonce"),
        verifier=verifier,
        challenge=_text(hashlib.sha256(verifier.encode()).digest()),
    )


def _made(secret: str, purpose: str) -> str:
    return _text(hmac.digest(secret.encode("utf-8", "replace"), purpose.encode(), "sha256"))


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
