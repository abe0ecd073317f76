"""The rules of roles: which there are in a tenant, what they allow, who may change them."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import pcre2

from vedette.errors import Conflict, NotFound, Unacceptable
from vedette.server.access import role_store, store
from vedette.server.access.permissions import (
    DEVICE_GROUPS,
    EVERYTHING,
    MAX_RULES,
    METHODS,
    RELEASE_TAGS,
    Grant,
    Groups,
    Permission,
    Rights,
    Role,
)
from vedette.server.access.permissions_table import BASIC, PERMISSION_SETS, ROLES
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import Row, Tx, UserScope
from vedette.server.services import Services
from vedette.server.times import micros

MAX_ROLES: Final = 500  # of a tenant's own
MAX_SETS: Final = 15  # permission sets of a role
MAX_NAMES: Final = 500  # groups or tags of one permission set
MAX_NAME: Final = 256  # characters
MAX_DESCRIPTION: Final = 4096
MAX_ROLES_OF_USER: Final = 64
_SCOPE: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")  # what a device group can be called


async def rights(tx: Tx, names: Sequence[str]) -> Rights:
    """What the roles of these names allow now, in the tenant of `tx`. A name that there is not allows nothing."""
    own = [each for each in names if each not in ROLES]
    found = [ROLES[each] for each in names if each in ROLES]
    found += map(_role, await role_store.named(tx, own))
    return Rights.of(found, PERMISSION_SETS)


async def powerful(tx: Tx, names: Sequence[str]) -> bool:
    """Whether one of these roles allows everything, or may: its holder is nobody's to take over."""
    own = [each for each in names if each not in ROLES]
    held = [ROLES[each] for each in names if each in ROLES] + [_role(row) for row in await role_store.named(tx, own)]
    return any(each.powerful for each in held)


async def check(tx: Tx, names: Sequence[str], allowed: Caller | None, before: Sequence[str] = ()) -> None:
    """Refuse names of roles that somebody should have.

    Args:
        allowed: who gives them; None: the one who runs the server.
        before: the roles that are replaced.
    Raises:
        Unacceptable: there is no such role.
        Denied: only who may do everything gives or takes a role that may allow everything.
    """
    if len(names) > MAX_ROLES_OF_USER:
        raise Unacceptable(f"a user has at most {MAX_ROLES_OF_USER} roles")
    rows = {row["name"]: _role(row) for row in await role_store.named(tx, {*names, *before} - ROLES.keys())}
    known = {**ROLES, **rows}
    for name in names:
        if name not in known:
            raise Unacceptable(f"there is no role {name[:MAX_NAME]!r}; `GET .../useradm/roles` lists those there are")
    if sum(len(known[each].rules) for each in {*names}) > MAX_RULES:
        raise Unacceptable(f"the roles of a user have at most {MAX_RULES} permissions of paths together")
    if allowed is not None and any(known[each].powerful for each in {*names} ^ {*before} if each in known):
        allowed.require(EVERYTHING)


async def roles(services: Services, scope: UserScope) -> Sequence[Role]:
    """Every role of the tenant: those that all tenants have, then its own by name."""
    return [*ROLES.values(), *map(_role, await services.db.read(scope, role_store.roles))]


async def role(services: Services, scope: UserScope, name: str) -> Role:
    """Raises NotFound."""
    if name in ROLES:
        return ROLES[name]
    row = await services.db.read(scope, role_store.role, name)
    if row is None:
        raise NotFound("role not found")
    return _role(row)


async def create(services: Services, caller: Caller, new: Role) -> None:
    """A new role of the caller's tenant.

    Raises:
        Unacceptable: against one of the rules of roles, or there are too many.
        Conflict: the name is taken.
        Denied: it may allow everything, and the caller may not.
    """
    check_role(new)
    if new.name in ROLES:
        raise Conflict(f"there is a role {new.name!r} already")
    _require(caller, new)
    now = micros(services.clock.now())

    async def work(tx: Tx) -> None:
        if await role_store.count(tx) >= MAX_ROLES:
            raise Unacceptable(f"there are {MAX_ROLES} roles already; remove one that nobody has")
        if not await role_store.add(tx, new.name, new.description, *_stored(new), now):
            raise Conflict(f"there is a role {new.name!r} already")
        await _record(tx, services, caller, "create", None, new)

    await services.db.write(caller.scope, work)


async def change(services: Services, caller: Caller, new: Role) -> None:
    """Give a role another meaning, for everybody who has it and at once.

    Raises:
        NotFound: there is no such role.
        Unacceptable: it is one that all tenants have, or against one of the rules of roles.
        Denied: it may allow everything, before or after, and the caller may not.
    """
    _require_own(new.name)
    check_role(new)
    now = micros(services.clock.now())

    async def work(tx: Tx) -> None:
        before = await role_store.role(tx, new.name)
        if before is None:
            raise NotFound("role not found")
        _require(caller, _role(before))
        _require(caller, new)
        await role_store.change(tx, new.name, new.description, *_stored(new), now)
        await _record(tx, services, caller, "update", _role(before), new)
        services.user_tokens.withdraw(tx, None)

    await services.db.write(caller.scope, work)


async def remove(services: Services, caller: Caller, name: str) -> None:
    """Remove a role, also from everybody who has it: another of the same name made later is not theirs.

    Raises:
        NotFound, Unacceptable, Denied: as `change`.
    """
    _require_own(name)
    now = micros(services.clock.now())

    async def work(tx: Tx) -> None:
        before = await role_store.role(tx, name)
        if before is None:
            raise NotFound("role not found")
        _require(caller, _role(before))
        await role_store.remove(tx, name)
        await _record(tx, services, caller, "delete", _role(before), None)
        for row in await store.users(tx):
            names = json.loads(row["roles"])
            if name in names:
                left = json.dumps([each for each in names if each != name])
                await store.set_roles(tx, row["id"], left, now)
        services.user_tokens.withdraw(tx, None)

    await services.db.write(caller.scope, work)


async def _record(
    tx: Tx, services: Services, caller: Caller, action: str, before: Role | None, after: Role | None
) -> None:
    """In the audit log roles belong to the tenant: clients know no type for them."""
    states = [
        None
        if each is None
        else {
            "description": each.description,
            **dict(zip(("sets", "paths"), map(json.loads, _stored(each)), strict=True)),
        }
        for each in (before, after)
    ]
    name = (before or after or Role(name="")).name
    change = audit.diff(f"role {name}", *states)
    await audit.record(tx, services, caller, action, audit.tenant(caller.scope.tenant), change)


def _require(caller: Caller, role: Role) -> None:
    if role.powerful:
        caller.require(EVERYTHING)


def _require_own(name: str) -> None:
    if name in ROLES:
        raise Unacceptable(f"role {name!r} is part of every tenant and stays as it is; make one of your own")


def check_role(role: Role) -> None:
    """Raises Unacceptable, naming what is wrong."""
    if not 1 <= len(role.name) <= MAX_NAME or not role.name.isprintable() or "/" in role.name or not role.name.strip():
        raise Unacceptable(f"role name: give 1 to {MAX_NAME} printable characters, without /")
    if len(role.description) > MAX_DESCRIPTION:
        raise Unacceptable(f"role description: at most {MAX_DESCRIPTION} characters")
    if len(role.grants) > MAX_SETS or len(role.rules) > MAX_RULES:
        raise Unacceptable(f"a role has at most {MAX_SETS} permission sets and {MAX_RULES} permissions of paths")
    for grant in role.grants:
        _check_grant(grant)
    for rule in role.rules:
        if rule.method not in METHODS:
            raise Unacceptable(f"permission: no method {rule.method[:40]!r}, only {', '.join(METHODS)}")
        if not _is_pattern(rule):
            raise Unacceptable(f"permission: {rule.path[:80]!r} is no regular expression of 1 to 1000 characters")


def _check_grant(grant: Grant) -> None:
    known = PERMISSION_SETS.get(grant.set)
    if known is None or grant.set == BASIC:
        others = ", ".join(each for each in PERMISSION_SETS if each != BASIC)
        raise Unacceptable(f"there is no permission set {grant.set[:80]!r}, only {others}")
    for kind, names in ((DEVICE_GROUPS, grant.groups), (RELEASE_TAGS, grant.tags)):
        if names is None:
            continue
        if kind not in known.scopes:
            raise Unacceptable(f"permission set {grant.set} cannot be narrowed to {kind}")
        if not 1 <= len(names) <= MAX_NAMES or not all(_SCOPE.fullmatch(each) for each in names):
            raise Unacceptable(f"permission set {grant.set}: name 1 to {MAX_NAMES} {kind}; without a scope it is all")


def _is_pattern(rule: Permission) -> bool:
    if not 1 <= len(rule.path) <= 1000:
        return False
    try:
        pcre2.compile(rule.whole())
    except (pcre2.PatternError, pcre2.LibraryError):
        return False
    return True


def _stored(role: Role) -> tuple[str, str]:
    grants: list[dict[str, Any]] = []
    for each in role.grants:
        out: dict[str, Any] = {"set": each.set}
        if each.groups is not None:
            out["groups"] = sorted(each.groups)
        if each.tags is not None:
            out["tags"] = sorted(each.tags)
        grants.append(out)
    return json.dumps(grants), json.dumps([{"method": each.method, "path": each.path} for each in role.rules])


def _role(row: Row) -> Role:
    return Role(
        name=row["name"],
        description=row["description"],
        grants=tuple(
            Grant(each["set"], _names(each.get("groups")), _names(each.get("tags")))
            for each in json.loads(row["grants"])
        ),
        rules=tuple(Permission(each["method"], each["path"]) for each in json.loads(row["rules"])),
    )


def _names(values: Iterable[str] | None) -> Groups:
    return None if values is None else frozenset(values)
