"""The rules of several tenants: those a service provider makes for others, and users who act in more than their own."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid4

from vedette.errors import Conflict, Denied, Invalid, NotFound, Unacceptable, Unauthenticated, VedetteError
from vedette.server.access import password_reset, role_service, service, store, tenant_store, tenants, user_tokens
from vedette.server.access.passwords import check_rules
from vedette.server.access.permissions import FORBIDDEN, SEE_DEVICES
from vedette.server.access.permissions_table import ROLES
from vedette.server.access.roles import ADMIN
from vedette.server.access.signer import LIFETIME_S
from vedette.server.access.tenants import Tenant
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import SYSTEM, Row, Tx, UserScope
from vedette.server.listing import Listing
from vedette.server.services import Services
from vedette.server.times import micros

MAX_AT_ONCE: Final = 100  # tenants or users named in one call
MAX_LIMIT: Final = 1_000_000_000
REMOVED_AT_ONCE: Final = 200  # devices in one transaction; others want the database too
LOOK_EVERY_S: Final = 30.0
STATUSES: Final = ("active", "suspended")
NO_TENANT: Final = "tenant not found"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTenant:
    """A tenant to be made for somebody."""

    name: str
    device_limit: int = 0
    admin_email: str
    admin_password: str | None = None  # None: one of the provider's own users, or somebody who chooses it by mail
    users: Sequence[tuple[str, str]] = ()  # e-mail addresses of the provider's own users, and their roles there


async def device_count(services: Services, caller: Caller) -> int | None:
    """How many devices of the whole tenant are accepted; None: the caller does not see them all."""
    if not caller.may(SEE_DEVICES):
        return None
    seen = caller.within(SEE_DEVICES).scope
    return None if seen.groups is not None else await services.db.read(seen, tenant_store.accepted_devices)


async def of_token(services: Services, token: str) -> Tenant:
    """The active tenant whose devices send `token`. Raises Unauthenticated."""
    row = await services.db.read(SYSTEM, store.tenant_by_token, token)
    if row is None or row["status"] != "active":
        raise Unauthenticated("unauthorized")
    return tenants.tenant_of(row)


async def limit_of(services: Services, tenant_id: str) -> int:
    """How many devices a tenant may have accepted; 0: any number. Raises NotFound."""
    return (await tenants.own_tenant(services, UserScope(tenant_id))).device_limit


async def limit_to(services: Services, tenant_id: str, limit: int) -> None:
    """Let a tenant have so many accepted devices; those beyond that it has already stay.

    Raises:
        NotFound, Unacceptable.
    """
    _check_limit(limit)
    before = await limit_of(services, tenant_id)

    async def work(tx: Tx) -> None:
        await tenant_store.set_device_limit(tx, limit)
        change = audit.diff("tenant", {"device_limit": before}, {"device_limit": limit})
        await audit.record(tx, services, audit.COMMAND_LINE, "update", audit.tenant(tenant_id), change)

    await services.db.write(UserScope(tenant_id), work)


# --- tenants of a service provider -----------------------------------------------------------------------------------


async def children(services: Services, caller: Caller, limit: int, offset: int) -> Listing[Tenant]:
    """The tenants that the caller's tenant has made."""
    await _require_provider(services, caller)

    async def work(tx: Tx) -> Listing[Tenant]:
        rows = await tenant_store.children(tx, limit, offset)
        return Listing(tuple(map(tenants.tenant_of, rows)), await tenant_store.count_children(tx))

    return await services.db.read(caller.scope, work)


async def child(services: Services, caller: Caller, tenant_id: str) -> Tenant:
    """Raises NotFound."""
    await _require_provider(services, caller)
    row = await services.db.read(caller.scope, tenant_store.child, tenant_id)
    if row is None:
        raise NotFound(NO_TENANT)
    return tenants.tenant_of(row)


async def create_child(services: Services, caller: Caller, new: NewTenant) -> Tenant:
    """Make a tenant with its first administrator.

    Raises:
        Denied: the caller's tenant is no service provider.
        Conflict: the name is taken.
        Unacceptable: against one of the rules of users, or the administrator's address is taken.
    """
    await _require_provider(services, caller)
    _check_limit(new.device_limit)
    if len(new.users) > MAX_AT_ONCE:
        raise Unacceptable(f"name at most {MAX_AT_ONCE} users at once")
    email, password = service.check_email(new.admin_email), ""
    own = {each.lower(): await _own_user(services, caller.scope, each) for each in (email, *dict(new.users))}
    for address, role in new.users:
        if own[address.lower()] is None:
            raise Unacceptable(f"{address[:256]!r} is no user of this tenant")
        if role not in ROLES:
            raise Unacceptable(f"there is no role {role[:80]!r} in a new tenant")
    if own[email] is None:
        password = password_reset.nobodys(services) if new.admin_password is None else new.admin_password
        check_rules(password, email)
        if await services.db.read(SYSTEM, tenant_store.email_known, email):
            raise Unacceptable(service.TAKEN)
    made = await tenants.create_tenant(
        services, new.name, parent=caller.scope.tenant, device_limit=new.device_limit, by=caller
    )
    there = UserScope(made.id)
    try:
        if own[email] is None:
            await service.create_user(services, there, email, password, [ADMIN], by=caller)
            if new.admin_password is None:
                password_reset.invite(services, email)
        members = [(row["id"], ADMIN) for row in (own[email],) if row is not None]
        members += [(row["id"], role) for address, role in new.users if (row := own[address.lower()]) is not None]
        for user_id, role in members:
            now = micros(services.clock.now())
            await services.db.write(there, _join, services, caller, user_id, caller.scope.tenant, role, now)
    except BaseException:
        await services.db.write(SYSTEM, tenant_store.set_status, made.id, "removing")  # no half of a tenant
        raise
    return made


async def change_child(
    services: Services, caller: Caller, tenant_id: str, name: str | None, device_limit: int | None
) -> None:
    """Give a tenant of the caller's another name or limit; None stays.

    Raises:
        Denied, NotFound, Invalid, Conflict.
    """
    before = await child(services, caller, tenant_id)
    if name is not None:
        tenants.check_tenant_name(name)
    new_name, limit = name or before.name, before.device_limit if device_limit is None else device_limit
    _check_limit(limit)

    async def work(tx: Tx) -> None:
        if not await tenant_store.change(tx, tenant_id, new_name, limit):
            raise Conflict(f"there is a tenant {new_name!r} already")
        was = {"name": before.name, "device_limit": before.device_limit}
        change = audit.diff("tenant", was, {"name": new_name, "device_limit": limit})
        await audit.record(tx, services, caller, "update", audit.tenant(tenant_id, new_name), change)

    await services.db.write(caller.scope, work)


async def start_removal(services: Services, caller: Caller, tenant_id: str) -> None:
    """Nobody gets in from now on, and all that belongs to the tenant goes, in time.

    Raises:
        Denied, NotFound.
    """
    found = await child(services, caller, tenant_id)

    async def work(tx: Tx) -> None:
        change = audit.diff("tenant", {"name": found.name, "status": found.status}, None)
        await audit.record(tx, services, caller, "delete", audit.tenant(tenant_id, found.name), change)

    await services.db.write(caller.scope, work)
    await services.db.write(SYSTEM, _set_status, services, tenant_id, "removing")


async def set_status(services: Services, tenant_id: str, status: str) -> None:
    """Suspend a tenant: its users and devices are refused from now on. Or let them in again.

    Raises:
        Invalid: no such status.
        NotFound: no such tenant.
    """
    if status not in STATUSES:
        raise Invalid(f"tenant status must be one of: {', '.join(STATUSES)}")
    if not await services.db.write(SYSTEM, _set_status, services, tenant_id, status):
        raise NotFound(NO_TENANT)


async def _set_status(tx: Tx, services: Services, tenant_id: str, status: str) -> bool:
    row = await tenant_store.by_id(tx, tenant_id)
    if row is None or not await tenant_store.set_status(tx, tenant_id, status):
        return False
    if row["status"] != status:
        change = audit.diff("tenant", {"status": row["status"]}, {"status": status})
        thing = audit.tenant(tenant_id, row["name"])
        await audit.record(tx, services, audit.COMMAND_LINE, "update", thing, change, tenant_id=tenant_id)
    services.user_tokens.withdraw(tx, None)
    services.device_tokens.withdraw(tx, None)
    return True


async def remove_marked(services: Services) -> int:
    """Remove the tenants whose removal has started, a little at a time. How many there were."""
    found = await services.db.read(SYSTEM, tenant_store.with_status, "removing")
    for tenant_id in found:
        left = True
        while left:
            left = await services.db.write(UserScope(tenant_id, None), tenant_store.remove_some, REMOVED_AT_ONCE)
    return len(found)


async def remove_forever(services: Services) -> None:
    """Look for tenants to remove, as long as the server runs."""
    while True:
        with suppress(VedetteError):  # the database is gone for now; what is marked stays marked
            await remove_marked(services)
        await asyncio.sleep(LOOK_EVERY_S)


async def _require_provider(services: Services, caller: Caller) -> None:
    if not (await tenants.own_tenant(services, caller.scope)).service_provider:
        raise Denied("this tenant is no service provider")


def _check_limit(limit: int) -> None:
    if not 0 <= limit <= MAX_LIMIT:
        raise Unacceptable(f"device_limit: give 0 (any number) to {MAX_LIMIT}")


# --- users in several tenants ----------------------------------------------------------------------------------------


async def token_for(services: Services, caller: Caller, tenant_id: str) -> str:
    """A token with which the caller acts in another tenant, or at home again. It ends with his session of now or later.

    Raises:
        NotFound: he is no member of such a tenant.
        Denied: he speaks through a token that he has made for a program.
    """
    home = caller.home or caller.scope.tenant
    if tenant_id != home:
        member = await services.db.read(UserScope(tenant_id), store.member, caller.user_id)
        if member is None or member["home"] != home or member["tenant_status"] != "active":
            raise NotFound(NO_TENANT)
    session, now = str(uuid4()), services.clock.now()
    expires = now + timedelta(seconds=LIFETIME_S)

    async def work(tx: Tx) -> None:
        if not await tenant_store.session_is_live(tx, caller.user_id, caller.session):
            raise Denied(FORBIDDEN)
        for old in (await store.sessions(tx, caller.user_id))[service.MAX_SESSIONS - 1 :]:
            await store.remove_session(tx, caller.user_id, old)
            services.user_tokens.withdraw(tx, old)
        acts_in = None if tenant_id == home else tenant_id
        await store.add_session(tx, caller.user_id, session, micros(now), micros(expires), acts_in)

    await services.db.write(UserScope(home), work)
    return user_tokens.sign(
        services, tenant=tenant_id, user_id=caller.user_id, token_id=session, now=now, expires=expires, home=home
    )


async def assign(services: Services, caller: Caller, whom: str, tenant_ids: Sequence[str], role: str) -> None:
    """Let a user of the caller's tenant act in tenants that it has made.

    Args:
        whom: id or e-mail address.
    Raises:
        NotFound: no such user of this tenant, or no such tenant made by it; then he is in none of them.
        Unacceptable: no such role there.
        Denied: the role allows what the caller may not do in the whole of his own tenant.
    """
    if not 1 <= len(tenant_ids) <= MAX_AT_ONCE:
        raise Unacceptable(f"name 1 to {MAX_AT_ONCE} tenants")
    found = await _own_user(services, caller.scope, whom)
    if found is None:
        raise NotFound("user not found")
    await _require_provider(services, caller)
    for tenant_id in tenant_ids:
        if await services.db.read(caller.scope, tenant_store.child, tenant_id) is None:
            raise NotFound(NO_TENANT)
        await services.db.read(UserScope(tenant_id), role_service.check, [role], caller)
        if not caller.rights.cover(await role_service.role(services, UserScope(tenant_id), role)):
            raise Denied(FORBIDDEN)  # else he would do there, himself or by another, what he may not do at home
    now = micros(services.clock.now())
    for tenant_id in tenant_ids:
        there = UserScope(tenant_id)
        await services.db.write(there, _join, services, caller, found["id"], caller.scope.tenant, role, now)


async def _join(tx: Tx, services: Services, caller: Caller, user_id: str, home: str, role: str, now: int) -> None:
    before = await store.member(tx, user_id)
    was = None if before is None else {"roles": json.loads(before["roles"])}
    await tenant_store.add_member(tx, user_id, home, json.dumps([role]), now)
    row = await store.user(tx, user_id)
    email = "" if row is None else row["email"]
    change = audit.diff("user", was, {"roles": [role]})
    await audit.record(tx, services, caller, "update", audit.user(user_id, email), change)
    services.user_tokens.withdraw(tx, None)


async def _own_user(services: Services, scope: UserScope, whom: str) -> Row | None:
    return await services.db.read(UserScope(scope.tenant), tenant_store.user_known_by, whom.lower()[:256])


async def email_known(services: Services, email: str) -> bool:
    """Whether somebody has this address, in whatever tenant."""
    return await services.db.read(SYSTEM, tenant_store.email_known, email.lower()[:256])
