"""The rules of tenants, users and sessions."""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import uuid4

from vedette.errors import Conflict, Denied, Invalid, NotFound, Unacceptable, Unauthenticated
from vedette.server.access import store
from vedette.server.access.limits import neighbourhood
from vedette.server.access.passwords import check_rules
from vedette.server.access.roles import ADMIN, check_roles
from vedette.server.access.signer import ISSUER, LIFETIME_S
from vedette.server.caller import Caller
from vedette.server.db import SYSTEM, Row, Tx, UserScope
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

MAX_SESSIONS: Final = 10
DEFAULT_TENANT: Final = "default"
TAKEN: Final = "user with a given email already exists"
ADDONS: Final = [{"name": name, "enabled": True} for name in ("configure", "troubleshoot", "monitor")]
_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_TENANT_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An organisation with its own devices and users."""

    id: str
    name: str
    token: str  # what its devices send to be taken as its own
    status: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person of a tenant."""

    id: str
    email: str
    roles: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    login_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user as the one who runs the server lists him."""

    email: str
    tenant: str  # its name
    roles: tuple[str, ...]
    login_at: datetime | None


# --- tenants ---------------------------------------------------------------------------------------------------------


async def create_tenant(services: Services, name: str) -> Tenant:
    """A new tenant with a new token.

    Raises:
        Invalid: not a name.
        Conflict: the name is taken.
    """
    if not _TENANT_NAME.fullmatch(name) or not name.strip():
        raise Invalid(f"tenant name {name[:200]!r}: give 1 to 128 printable characters")
    now = services.clock.now()
    made = Tenant(id=secrets.token_hex(12), name=name, token=secrets.token_urlsafe(32), status="active", created_at=now)
    if not await services.db.write(SYSTEM, store.add_tenant, made.id, name, made.token, micros(now)):
        raise Conflict(f"there is a tenant {name!r} already")
    return made


async def ensure_tenant(services: Services) -> Tenant | None:
    """The tenant of a first start; None when there are tenants already."""
    if await services.db.read(SYSTEM, store.tenants):
        return None
    return await create_tenant(services, DEFAULT_TENANT)


async def tenants(services: Services) -> Sequence[Tenant]:
    return [_tenant(row) for row in await services.db.read(SYSTEM, store.tenants)]


async def tenant_named(services: Services, name: str) -> Tenant:
    """Raises NotFound."""
    possible = _TENANT_NAME.fullmatch(name)
    row = await services.db.read(SYSTEM, store.tenant_named, name) if possible else None
    if row is None:
        raise NotFound(f"there is no tenant {name!r}; `vedette tenant list` shows those there are")
    return _tenant(row)


async def tenant_of_device(services: Services, token: str | None) -> str:
    """The id of the tenant that a device belongs to by the token it sends.

    Without a token, a device belongs to the one tenant there is: so does a device that was set up for a server
    without tenants.

    Raises:
        Unauthenticated: there is no such token, or none was sent and there are several tenants.
    """

    async def find(tx: Tx) -> Row | None:
        if token:
            return await store.tenant_by_token(tx, token)
        rows = await store.tenants(tx)
        return rows[0] if len(rows) == 1 else None

    row = await services.db.read(SYSTEM, find)
    if row is None or row["status"] != "active":
        raise Unauthenticated("dev auth: unauthorized")
    tenant: str = row["id"]
    return tenant


async def own_tenant(services: Services, scope: UserScope) -> Tenant:
    """The tenant of whoever asks."""
    row = await services.db.read(scope, store.own_tenant)
    if row is None:
        raise NotFound
    return _tenant(row)


# --- users -----------------------------------------------------------------------------------------------------------


async def create_user(
    services: Services, scope: UserScope, email: str, password: str, roles: Sequence[str] = (ADMIN,)
) -> User:
    """A new user of the tenant of `scope`.

    Raises:
        Unacceptable: the address is no address or taken, the password is no good one, a role does not exist.
    """
    email = check_email(email)
    check_roles(roles)
    check_rules(password, email)
    hashed = await services.passwords.hash(password)
    user_id, now = str(uuid4()), services.clock.now()
    if not await services.db.write(scope, store.add_user, user_id, email, hashed, json.dumps(list(roles)), micros(now)):
        raise Unacceptable(TAKEN)
    return User(id=user_id, email=email, roles=tuple(roles), created_at=now, updated_at=now, login_at=None)


async def users(services: Services, caller: Caller) -> Sequence[User]:
    """Everybody of the caller's tenant, by address."""
    require_admin(caller)
    return [_user(row) for row in await services.db.read(caller.scope, store.users)]


async def recipients(services: Services, tenant: str) -> Sequence[User]:
    """Everybody of a tenant, for the server's own use: who might be told of an alert."""
    return [_user(row) for row in await services.db.read(UserScope(tenant), store.users)]


async def accounts(services: Services) -> Sequence[Account]:
    """Everybody of every tenant, for the one who runs the server."""
    return [
        Account(
            email=row["email"],
            tenant=row["tenant_name"],
            roles=tuple(json.loads(row["roles"])),
            login_at=datetime_of(row["login_at"]),
        )
        for row in await services.db.read(SYSTEM, store.all_users)
    ]


async def user(services: Services, caller: Caller, user_id: str) -> User:
    """One user; everybody may see himself.

    Raises:
        NotFound: no such user in the caller's tenant.
    """
    if user_id != caller.user_id:
        require_admin(caller)
    row = await services.db.read(caller.scope, store.user, user_id)
    if row is None:
        raise NotFound("user not found")
    return _user(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """What should become different; None stays."""

    email: str | None = None
    password: str | None = None
    current_password: str | None = None
    roles: tuple[str, ...] | None = None


async def change_user(services: Services, caller: Caller, user_id: str, change: UserChange) -> None:
    """Change a user. Only he himself changes his password, and shows the current one for it or for a new address.

    His other sessions end.

    Raises:
        Invalid: nothing to change.
        NotFound: no such user.
        Unacceptable: against one of the rules.
    """
    if change.email is None and change.password is None and change.roles is None:
        raise Invalid("no update information provided")
    own = user_id == caller.user_id
    if not own or change.roles is not None:
        require_admin(caller)
    row = await services.db.read(caller.scope, store.user, user_id)
    if row is None:
        raise NotFound("user not found")
    if change.password is not None and not own:
        raise Unacceptable("password cannot be modified")
    email = row["email"] if change.email is None else check_email(change.email)
    sensitive = own and (change.password is not None or email != row["email"])
    if sensitive and not await services.passwords.check(change.current_password or "", row["password_hash"]):
        raise Unacceptable("current password mismatch")
    hashed = row["password_hash"]
    if change.password is not None:
        check_rules(change.password, email)
        hashed = await services.passwords.hash(change.password)
    roles = json.loads(row["roles"])
    if change.roles is not None:
        check_roles(change.roles)
        roles = list(change.roles)
    now = micros(services.clock.now())

    async def apply(tx: Tx) -> None:
        before = await store.user(tx, user_id)
        if before is None:
            raise NotFound("user not found")
        if before["password_hash"] != row["password_hash"] or before["roles"] != row["roles"]:
            raise Conflict("the user was changed at the same time; look at it and try again")
        if not await store.change_user(tx, user_id, email, hashed, json.dumps(roles), now):
            raise Unacceptable(TAKEN)
        for session in await store.sessions(tx, user_id):
            if session != caller.session:
                await store.remove_session(tx, user_id, session)
            tx.after_commit(partial(services.user_tokens.forget, session))

    if email != row["email"] and await services.db.read(SYSTEM, store.email_taken, email, user_id):
        raise Unacceptable(TAKEN)
    await services.db.write(caller.scope, apply)


async def remove_user(services: Services, caller: Caller, user_id: str) -> None:
    """Remove a user and end his sessions; also when there is no such user."""
    require_admin(caller)

    async def apply(tx: Tx) -> None:
        for session in await store.sessions(tx, user_id):
            tx.after_commit(partial(services.user_tokens.forget, session))
        await store.remove_user(tx, user_id)

    await services.db.write(caller.scope, apply)


def require_admin(caller: Caller) -> None:
    """Raises Denied with the text that clients know."""
    if ADMIN not in caller.roles:
        raise Denied("forbidden by role-based access control")


def check_email(email: str) -> str:
    """`email` as it is stored and compared: lower case.

    Raises:
        Unacceptable: not an address, or too long.
    """
    if len(email) > 256 or not _EMAIL.fullmatch(email):
        raise Unacceptable("email: must be a valid email address")
    return email.lower()


# --- sessions --------------------------------------------------------------------------------------------------------


async def login(services: Services, email: str, password: str, address: str, *, no_expiry: bool = False) -> str:
    """A token for the user with this e-mail and password.

    Args:
        address: where it is tried from; tries are limited for each address and each account.
    Raises:
        Unauthenticated: they do not belong together. Takes the same time whether or not the account exists.
        TooMany: too many failures lately.
    """
    if not password:  # some clients ask with an empty password first, to learn how to log in: never an attempt
        raise Unauthenticated("unauthorized")
    account = email.lower()[:256]
    address = neighbourhood(address)
    services.logins_from_address.take(address)
    services.logins_of_account.take(account)
    row = await services.db.read(SYSTEM, store.user_by_email, account)
    good = await services.passwords.check(password[:1024], None if row is None else row["password_hash"])
    if row is None or not good or row["tenant_status"] != "active":
        raise Unauthenticated("unauthorized")
    services.logins_from_address.give_back(address)
    services.logins_of_account.give_back(account)
    return await _start_session(services, row, no_expiry=no_expiry)


async def _start_session(services: Services, found: Row, *, no_expiry: bool) -> str:
    tenant, user_id = found["tenant"], found["id"]
    now = services.clock.now()
    expires = None if no_expiry else now + timedelta(seconds=LIFETIME_S)
    session = str(uuid4())
    claims: dict[str, Any] = {
        "jti": session,
        "sub": user_id,
        "iss": ISSUER,
        "iat": int(now.timestamp()),
        "nbf": int(now.timestamp()),
        "scp": "mender.*",
        "mender.user": True,
        "mender.tenant": tenant,
        "mender.plan": "enterprise",
        "mender.trial": False,
        "mender.addons": ADDONS,
    }
    if expires is not None:
        claims["exp"] = int(expires.timestamp())
    token = services.signer.sign(claims)

    async def apply(tx: Tx) -> None:
        now_there = await store.user(tx, user_id)
        if now_there is None or now_there["password_hash"] != found["password_hash"]:  # while the password was checked
            raise Unauthenticated("unauthorized")
        for old in (await store.sessions(tx, user_id))[MAX_SESSIONS - 1 :]:
            await store.remove_session(tx, user_id, old)
            tx.after_commit(partial(services.user_tokens.forget, old))
        await store.add_session(tx, user_id, session, micros(now), None if expires is None else micros(expires))

    await services.db.write(UserScope(tenant), apply)
    return token


async def logout(services: Services, caller: Caller) -> None:
    """End the session the caller speaks through; its token is dead from now on."""

    async def apply(tx: Tx) -> None:
        await store.remove_session(tx, caller.user_id, caller.session)
        tx.after_commit(partial(services.user_tokens.forget, caller.session))

    await services.db.write(caller.scope, apply)


def _tenant(row: Row) -> Tenant:
    return Tenant(
        id=row["id"],
        name=row["name"],
        token=row["token"],
        status=row["status"],
        created_at=datetime_of(row["created_at"]),
    )


def _user(row: Row) -> User:
    return User(
        id=row["id"],
        email=row["email"],
        roles=tuple(json.loads(row["roles"])),
        created_at=datetime_of(row["created_at"]),
        updated_at=datetime_of(row["updated_at"]),
        login_at=datetime_of(row["login_at"]),
    )
