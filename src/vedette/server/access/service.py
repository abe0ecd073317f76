"""The rules of users and sessions."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from vedette.errors import Conflict, Invalid, NotFound, Unacceptable, Unauthenticated
from vedette.server.access import personal_tokens, role_service, second_factor, store, user_tokens
from vedette.server.access.limits import neighbourhood
from vedette.server.access.passwords import check_rules
from vedette.server.access.permissions import EVERYTHING, MANAGE_USERS, SEE_ALERTS, SEE_USERS, Groups
from vedette.server.access.roles import ADMIN
from vedette.server.access.signer import LIFETIME_S
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import SYSTEM, Row, Tx, UserScope
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

MAX_SESSIONS: Final = 10
ADDONS: Final = user_tokens.ADDONS
TAKEN: Final = "user with a given email already exists"
_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person of a tenant."""

    id: str
    email: str
    roles: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    login_at: datetime | None
    home: str = ""  # the tenant he belongs to, where that is another
    verified: bool = True  # whether it is known that he reads the mails of his address
    second_factor: str = "disabled"  # disabled, unverified, enabled


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A user who might be told of an alert."""

    id: str
    email: str
    groups: Groups  # whose alerts he may see

    def sees(self, group: str | None) -> bool:
        """Whether he may see the alerts of a device in `group`; None: in none."""
        return self.groups is None or group in self.groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user as the one who runs the server lists him."""

    email: str
    tenant: str  # its name
    roles: tuple[str, ...]
    login_at: datetime | None


# --- users -----------------------------------------------------------------------------------------------------------


async def create_user(
    services: Services,
    scope: UserScope,
    email: str,
    password: str,
    roles: Sequence[str] = (ADMIN,),
    *,
    by: Caller | None = None,
) -> User:
    """A new user of the tenant of `scope`.

    Args:
        by: who makes him; None: the one who runs the server.
    Raises:
        Unacceptable: the address is no address or taken, the password is no good one, a role does not exist.
        Denied: `by` may not give these roles.
    """
    email = check_email(email)
    check_rules(password, email)
    await services.db.read(scope, role_service.check, roles, by)  # before the work of hashing
    hashed = await services.passwords.hash(password)
    user_id, now = str(uuid4()), services.clock.now()
    verified = not services.settings.smtp  # without mails nobody could ever prove it

    async def work(tx: Tx) -> None:
        await role_service.check(tx, roles, by)
        names = json.dumps(list(roles))
        if not await store.add_user(tx, user_id, email, hashed, names, micros(now), verified=verified):
            raise Unacceptable(TAKEN)
        change = audit.diff("user", None, {"email": email, "roles": list(roles)})
        await audit.record(tx, services, by or audit.COMMAND_LINE, "create", audit.user(user_id, email), change)

    await services.db.write(scope, work)
    return User(
        id=user_id, email=email, roles=tuple(roles), created_at=now, updated_at=now, login_at=None, verified=verified
    )


async def users(services: Services, caller: Caller) -> Sequence[User]:
    """Everybody of the caller's tenant, by address."""
    caller.require(SEE_USERS)
    return [_user(row) for row in await services.db.read(caller.scope, store.users)]


async def recipients(services: Services, tenant: str) -> Sequence[Recipient]:
    """Everybody of a tenant who may see some alert, for the server's own use: who might be told of one."""

    async def work(tx: Tx) -> list[Recipient]:
        found = []
        for row in await store.users(tx):
            rights = await role_service.rights(tx, json.loads(row["roles"]))
            groups = rights.groups(SEE_ALERTS) if rights.may(SEE_ALERTS) else frozenset()
            found.append(Recipient(id=row["id"], email=row["email"], groups=groups))
        return found

    return await services.db.read(UserScope(tenant), work)


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
        caller.require(SEE_USERS)
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
        caller.require(MANAGE_USERS)
    row = await services.db.read(caller.scope, store.user, user_id)
    if row is None:
        raise NotFound("user not found")
    if row["home"] != caller.scope.tenant and (change.email is not None or change.password is not None):
        raise Unacceptable("this user belongs to another tenant; only his roles can be changed here")
    if change.password is not None and not own:
        raise Unacceptable("password cannot be modified")
    email = row["email"] if change.email is None else check_email(change.email)
    if own and (change.password is not None or email != row["email"]):
        await _check_current(services, row, change.current_password or "")
    hashed = row["password_hash"]
    if change.password is not None:
        check_rules(change.password, email)
        hashed = await services.passwords.hash(change.password)
    roles = json.loads(row["roles"])
    if change.roles is not None:
        roles = list(change.roles)
    now = micros(services.clock.now())

    async def apply(tx: Tx) -> None:
        before = await store.user(tx, user_id)
        if before is None:
            raise NotFound("user not found")
        if before["password_hash"] != row["password_hash"] or before["roles"] != row["roles"]:
            raise Conflict("the user was changed at the same time; look at it and try again")
        await role_service.check(tx, roles, caller, json.loads(row["roles"]))
        was = {"email": row["email"], "roles": json.loads(row["roles"]), "password": row["password_hash"]}
        text = audit.diff("user", was, {"email": email, "roles": roles, "password": hashed})
        await audit.record(tx, services, caller, "update", audit.user(user_id, row["email"]), text)
        if not own:
            await _require_power_over(tx, caller, row, mighty_elsewhere=mighty)
        if ADMIN not in roles:
            await _require_other_admin(tx, row)
        if row["home"] != caller.scope.tenant:
            await store.set_roles(tx, user_id, json.dumps(roles), now)
            services.user_tokens.withdraw(tx, None)
            return
        verified = row["verified"] == 1 if email == row["email"] else not services.settings.smtp
        if not await store.change_user(tx, user_id, email, hashed, json.dumps(roles), now, verified=verified):
            raise Unacceptable(TAKEN)
        if change.password is not None:
            await personal_tokens.forget_all(tx, services, user_id)
        for session in await store.sessions(tx, user_id):
            if session != caller.session:
                await store.remove_session(tx, user_id, session)
            services.user_tokens.withdraw(tx, session)
        services.user_tokens.withdraw(tx, None)  # those he has made for programs: they are as mighty as he is now

    mighty = not own and await _mighty_elsewhere(services, caller, row)
    if email != row["email"] and await services.db.read(SYSTEM, store.email_taken, email, user_id):
        raise Unacceptable(TAKEN)
    await services.db.write(caller.scope, apply)


async def set_roles_by_provider(
    services: Services, scope: UserScope, user_id: str, roles: Sequence[str], actor: audit.Actor
) -> None:
    """Give a user the roles that his groups at the identity provider mean; counts at once.

    Raises:
        NotFound: no such user.
        Unacceptable: there is no such role, or it would leave the tenant without administrator.
    """

    async def apply(tx: Tx) -> None:
        row = await store.user(tx, user_id)
        if row is None:
            raise NotFound("user not found")
        await role_service.check(tx, roles, None)
        if ADMIN not in roles:
            await _require_other_admin(tx, row)
        await store.set_roles(tx, user_id, json.dumps(list(roles)), micros(services.clock.now()))
        change = audit.diff("user", {"roles": json.loads(row["roles"])}, {"roles": list(roles)})
        await audit.record(tx, services, actor, "update", audit.user(user_id, row["email"]), change)
        services.user_tokens.withdraw(tx, None)

    await services.db.write(scope, apply)


async def remove_user(services: Services, caller: Caller, user_id: str) -> None:
    """Remove a user and end his sessions; also when there is no such user.

    One of another tenant is no longer a member of this one.

    Raises:
        Unacceptable: he is the last administrator.
        Denied: he may do everything, and the caller may not.
    """
    caller.require(MANAGE_USERS)
    found = await services.db.read(caller.scope, store.user, user_id)
    mighty = found is not None and await _mighty_elsewhere(services, caller, found)

    async def apply(tx: Tx) -> None:
        row = await store.user(tx, user_id)
        if row is None:
            return
        await _require_power_over(tx, caller, row, mighty_elsewhere=mighty)
        await _require_other_admin(tx, row)
        gone = audit.diff("user", {"email": row["email"], "roles": json.loads(row["roles"])}, None)
        await audit.record(tx, services, caller, "delete", audit.user(user_id, row["email"]), gone)
        if row["home"] != caller.scope.tenant:
            await store.remove_member(tx, user_id)
            services.user_tokens.withdraw(tx, None)
            return
        for session in await store.sessions(tx, user_id):
            services.user_tokens.withdraw(tx, session)
        await personal_tokens.forget_all(tx, services, user_id)
        await store.remove_user(tx, user_id)

    await services.db.write(caller.scope, apply)


async def _check_current(services: Services, row: Row, password: str) -> None:
    """Whoever changes what a login needs shows the password of now: a session alone may be stolen.

    Raises:
        Unacceptable: it is another.
        TooMany: too many were. Logging in is not kept from anybody by that.
    """
    services.confirmations.take(row["id"])
    if not await services.passwords.check(password[:1024], row["password_hash"]):
        raise Unacceptable("current password mismatch")
    services.confirmations.give_back(row["id"])


async def _require_power_over(tx: Tx, caller: Caller, row: Row, *, mighty_elsewhere: bool) -> None:
    """Only who may do everything changes or removes somebody who may: his address is the way to his password."""
    if mighty_elsewhere or await role_service.powerful(tx, json.loads(row["roles"])):
        caller.require(EVERYTHING)


async def _mighty_elsewhere(services: Services, caller: Caller, row: Row) -> bool:
    """Whether a user who is at home here may do everything in another tenant that he acts in."""
    if row["home"] != caller.scope.tenant:
        return False
    for member in await services.db.read(SYSTEM, store.memberships, row["id"]):
        there = UserScope(member["tenant"])
        if await services.db.read(there, role_service.powerful, json.loads(member["roles"])):
            return True
    return False


async def _require_other_admin(tx: Tx, row: Row) -> None:
    """A tenant keeps somebody who may do everything. Raises Unacceptable."""
    if ADMIN not in json.loads(row["roles"]):
        return
    others = [each for each in await store.users(tx) if each["id"] != row["id"] and each["home"] == row["tenant"]]
    if not any(ADMIN in json.loads(each["roles"]) for each in others):
        raise Unacceptable(f"this is the last user with the role {ADMIN}; give it to somebody else first")


def require_admin(caller: Caller) -> None:
    """For what only somebody may do who may do everything. Raises Denied with the text that clients know."""
    caller.require(EVERYTHING)


def check_email(email: str) -> str:
    """`email` as it is stored and compared: lower case.

    Raises:
        Unacceptable: not an address, or too long.
    """
    if len(email) > 256 or not _EMAIL.fullmatch(email):
        raise Unacceptable("email: must be a valid email address")
    return email.lower()


# --- sessions --------------------------------------------------------------------------------------------------------


async def login(
    services: Services, email: str, password: str, address: str, *, code: str = "", no_expiry: bool = False
) -> str:
    """A token for the user with this e-mail and password.

    Args:
        code: of the second factor, if he has one.
        address: where it is tried from; tries are limited for each address, each account, and each account from one
            address.
    Raises:
        Unauthenticated: they do not belong together. Takes the same time whether or not the account exists.
        ByProvider: he logs in by the identity provider, and not with a password.
        CodeNeeded: they do, but a code is missing or wrong.
        TooMany: too many failures lately.
    """
    account = email.lower()[:256]
    address = neighbourhood(address)
    issuer = services.settings.oidc_issuer
    if not password:  # some clients ask with an empty password first, to learn how to log in: never an attempt
        if issuer:
            services.logins_from_address.take(address)
            _require_password(await services.db.read(SYSTEM, store.user_by_email, account, issuer))
        raise Unauthenticated("unauthorized")
    tries = (
        (services.logins_from_address, address),
        (services.logins_from_one_place, f"{address} {account}"),
        (services.logins_of_account, account),  # last: who is refused before has not tried it
    )
    for limit, name in tries:
        limit.take(name)
    row = await services.db.read(SYSTEM, store.user_by_email, account, issuer)
    _require_password(row)
    good = await services.passwords.check(password[:1024], None if row is None else row["password_hash"])
    if row is None or not good or row["tenant_status"] != "active":
        raise Unauthenticated("unauthorized")
    for limit, name in tries:
        limit.give_back(name)
    await second_factor.at_login(services, row["tenant"], row["id"], code[:32])
    return await start_session(services, row, no_expiry=no_expiry)


class ByProvider(Unauthenticated):
    """This account logs in by the identity provider."""


def _require_password(row: Row | None) -> None:
    """Raises ByProvider for who has none."""
    if row is not None and row["by_provider"] and row["tenant_status"] == "active":
        raise ByProvider("unauthorized")


async def start_session(services: Services, found: Row, *, no_expiry: bool) -> str:
    """A session and its token for somebody who has shown who he is."""
    tenant, user_id = found["tenant"], found["id"]
    now = services.clock.now()
    expires = None if no_expiry else now + timedelta(seconds=LIFETIME_S)
    session = str(uuid4())
    token = user_tokens.sign(services, tenant=tenant, user_id=user_id, token_id=session, now=now, expires=expires)

    async def apply(tx: Tx) -> None:
        now_there = await store.user(tx, user_id)
        if now_there is None or now_there["password_hash"] != found["password_hash"]:  # while the password was checked
            raise Unauthenticated("unauthorized")
        for old in (await store.sessions(tx, user_id))[MAX_SESSIONS - 1 :]:
            await store.remove_session(tx, user_id, old)
            services.user_tokens.withdraw(tx, old)
        await store.add_session(tx, user_id, session, micros(now), None if expires is None else micros(expires))

    await services.db.write(UserScope(tenant), apply)
    return token


async def logout(services: Services, caller: Caller) -> None:
    """End the session the caller speaks through; its token is dead from now on."""

    async def apply(tx: Tx) -> None:
        if not await store.remove_session(tx, caller.user_id, caller.session):
            await personal_tokens.end(tx, services, caller)
        services.user_tokens.withdraw(tx, caller.session)

    await services.db.write(UserScope(caller.home) if caller.home else caller.scope, apply)


def _user(row: Row) -> User:
    return User(
        id=row["id"],
        email=row["email"],
        roles=tuple(json.loads(row["roles"])),
        created_at=datetime_of(row["created_at"]),
        updated_at=datetime_of(row["updated_at"]),
        login_at=datetime_of(row["login_at"]),
        home=row["home"],
        verified=row["verified"] == 1,
        second_factor={None: "disabled", 0: "unverified"}.get(row["second_factor"], "enabled"),
    )
