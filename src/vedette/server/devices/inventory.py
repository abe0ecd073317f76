"""The rules of what is known of devices: what they report, how people tag and group them."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vedette.errors import Changed, Denied, Invalid, NotFound
from vedette.server.access.permissions import FORBIDDEN
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import Row, Tx, UserScope
from vedette.server.devices import attribute_store, search_store, store
from vedette.server.devices.attribute_store import encoded
from vedette.server.services import Services
from vedette.server.times import micros

MAX_ATTRIBUTES: Final = 100
MAX_TAGS: Final = 20
MAX_NAME: Final = 1024  # characters
MAX_NAMES: Final = 500
MAX_VALUE: Final = 64 * 1024  # bytes of JSON
MAX_TOTAL: Final = 256 * 1024  # characters of all that one device reports: a list of devices holds that of each
_GROUP: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """An attribute as a device or a person gives it. Raises Invalid."""

    name: str
    value: Any
    description: str | None = None
    text: str = field(init=False)  # the value as it is stored

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_NAME:
            raise Invalid(f"attribute name {self.name[:50]!r}: give 1 to {MAX_NAME} characters")
        if not _allowed(self.value):
            raise Invalid(f"attribute {self.name[:50]!r}: a value is a string, a number, or a list of one of them")
        if "\0" in self.name or "\0" in (self.description or "") or _has_nul(self.value):
            raise Invalid(f"attribute {self.name[:50]!r} has a NUL character, which no database of ours can hold")
        text = encoded(self.value)
        if len(text) > MAX_VALUE or len(self.description or "") > MAX_NAME:
            raise Invalid(f"attribute {self.name[:50]!r} is too long")
        object.__setattr__(self, "text", text)


def _allowed(value: Any) -> bool:
    match value:
        case str():
            return True
        case bool() | None:
            return False
        case int() | float():
            return True
        case list():
            texts = [isinstance(each, str) for each in value]
            numbers = [isinstance(each, int | float) and not isinstance(each, bool) for each in value]
            return all(texts) or all(numbers)
        case _:
            return False


def _has_nul(value: Any) -> bool:
    return "\0" in value if isinstance(value, str) else isinstance(value, list) and any(map(_has_nul, value))


async def clear(services: Services, caller: Caller, device_id: str) -> None:
    """Forget what a device has reported; also when there is no such device."""

    async def work(tx: Tx) -> None:
        device = await store.device(tx, device_id)
        rows = await attribute_store.of_scope(tx, device_id, "inventory")
        if device is None or not rows:
            return
        await attribute_store.clear(tx, device_id, "inventory")
        change = audit.diff("inventory", {row["name"]: row["value"] for row in rows}, None)
        await audit.record(tx, services, caller, "update", audit.device(device_id, device["identity"]), change)

    await services.db.write(caller.scope, work)


# --- tags ------------------------------------------------------------------------------------------------------------


async def tags_etag(services: Services, scope: UserScope, device_id: str) -> str | None:
    """What changes whenever the tags of a device do; None without tags."""
    return _etag(await services.db.read(scope, attribute_store.of_scope, device_id, "tags"))


async def set_tags(
    services: Services, caller: Caller, device_id: str, given: Sequence[Reported], *, replace: bool, match: str | None
) -> None:
    """Tag a device; with `match`, only if its tags are still as they were then.

    Raises:
        NotFound: no such device.
        Changed: `match` is not what `tags_etag` says now.
        Invalid: too many tags.
    """
    now = micros(services.clock.now())
    wanted = {each.name: each for each in given}

    async def work(tx: Tx) -> None:
        device = await store.device(tx, device_id)
        if device is None:
            raise NotFound("device not found")
        rows = await attribute_store.of_scope(tx, device_id, "tags")
        if match is not None and match.strip('"') != (_etag(rows) or ""):
            raise Changed("the tags have changed; read them again")
        names = set() if replace else {row["name"] for row in rows}
        if len(names | wanted.keys()) > MAX_TAGS:
            raise Invalid(f"too many tags: at most {MAX_TAGS}")
        if replace:
            await attribute_store.clear(tx, device_id, "tags")
        values = [{"name": each.name, "value": each.text, "description": each.description} for each in wanted.values()]
        await attribute_store.set_scope(tx, device_id, "tags", values, now)
        before = {row["name"]: row["value"] for row in rows}
        after = ({} if replace else before) | {name: each.text for name, each in wanted.items()}
        thing = audit.device(device_id, device["identity"])
        await audit.record(tx, services, caller, "update", thing, audit.diff("tags", before, after))
        services.live.announce(tx, caller.scope.tenant, device["group_name"], device_id)

    await services.db.write(caller.scope, work)


def _etag(rows: Sequence[Row]) -> str | None:
    if not rows:
        return None
    text = "\n".join(f"{row['name']!r} {row['value']!r} {row['updated_at']}" for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# --- groups ----------------------------------------------------------------------------------------------------------


async def groups(services: Services, scope: UserScope, status: str | None = None) -> Sequence[str]:
    """The static groups that have a device, by name."""
    return await services.db.read(scope, search_store.groups, status)


async def set_group(services: Services, caller: Caller, device_ids: Sequence[str], group: str | None) -> int:
    """Put devices into a static group, or take them out of theirs (None). How many of them there are.

    Raises:
        Invalid: no name for a group.
        Denied: not a group that the caller may do this with.
    """
    if group is not None:
        check_group(group)
        if caller.scope.groups is not None and group not in caller.scope.groups:
            raise Denied(FORBIDDEN)  # others would see the device from then on, and the caller not

    async def work(tx: Tx) -> int:
        found = 0
        moved: list[tuple[audit.Thing, str]] = []
        for device_id in device_ids:
            device = await store.device(tx, device_id)
            if device is None:
                continue
            found += 1
            await attribute_store.set_group(tx, device_id, group)
            if device["group_name"] != group:
                moved.append(_moved(device, group))
            for each in {device["group_name"], group}:
                services.live.announce(tx, caller.scope.tenant, each, device_id)
        await audit.record_many(tx, services, caller, "update", moved)
        return found

    return await services.db.write(caller.scope, work)


def _moved(device: Row, group: str | None) -> tuple[audit.Thing, str]:
    """What the audit log says of a device that changes its group."""
    change = audit.diff("device", {"group": device["group_name"]}, {"group": group})
    return audit.device(device["id"], device["identity"]), change


async def leave_group(services: Services, caller: Caller, group: str, device_ids: Collection[str] | None) -> int:
    """Take these devices, or all (None), out of `group`. How many were in it."""

    async def work(tx: Tx) -> int:
        members = await attribute_store.members(tx, group)
        leaving = members if device_ids is None else [each for each in members if each in frozenset(device_ids)]
        moved: list[tuple[audit.Thing, str]] = []
        for device_id in leaving:
            device = await store.device(tx, device_id)
            if device is not None:
                moved.append(_moved(device, None))
            await attribute_store.set_group(tx, device_id, None)
            for name in (group, None):
                services.live.announce(tx, caller.scope.tenant, name, device_id)
        await audit.record_many(tx, services, caller, "update", moved)
        return len(leaving)

    return await services.db.write(caller.scope, work)


async def names(services: Services, caller: Caller) -> Sequence[Mapping[str, Any]]:
    """Which attributes there are (scope, name) and how many devices have each (count), the commonest first."""
    async with services.searches.turn(caller.user_id):  # it looks at every attribute there is
        return [dict(row) for row in await services.db.read(caller.scope, attribute_store.names, MAX_NAMES)]


def check_group(name: str) -> None:
    """Raises Invalid."""
    if not _GROUP.fullmatch(name):
        raise Invalid("group name: give 1 to 256 of the characters A-Z a-z 0-9 _ -")
