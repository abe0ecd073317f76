"""The rules of layers: reading them, changing them, taking a version back. No SQL, no HTTP.

A layer is that of the tenant, of a group or of a device. Each change of it makes a version; one of the first two also
makes a rollout, which brings it to its devices (`rollouts`), one of a device a deployment.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from vedette.errors import Changed, Conflict, Denied, Invalid, NotFound
from vedette.server.access.permissions import FORBIDDEN, Call
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.configuration import layer_store, rollouts, rules, service
from vedette.server.configuration.effective import MAX_CHAIN, own_said, said
from vedette.server.configuration.layers import (
    DEVICE,
    GROUP,
    TENANT,
    Change,
    Layer,
    Level,
    Said,
    Values,
    changes,
    merge,
)
from vedette.server.configuration.waves import AT_ONCE, EVERYBODY, Parameters
from vedette.server.db import Row, Tx, UserScope
from vedette.server.devices.inventory import check_group
from vedette.server.listing import Listing
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

SEE_LAYERS: Final[Call] = ("GET", "/api/management/v1/vedette/configuration/layers")
MAX_LAYERS: Final = 10_000  # of a tenant
MAX_WITH_CHECKS: Final = 500  # layers of groups that a change of the tenant's is tried with; devices judge too
KEPT: Final = 200  # versions of a layer
KEPT_OF_DEVICE: Final = 50


@dataclass(frozen=True, slots=True)
class Which:
    """Which layer is meant. Raises Invalid for a name that no group can have."""

    level: Level
    name: str = ""  # of the group, or id of the device

    def __post_init__(self) -> None:
        if self.level == GROUP:
            check_group(self.name)

    @property
    def group(self) -> str:
        """As it is stored: '' is the tenant's."""
        return self.name if self.level == GROUP else ""

    def __str__(self) -> str:
        return (
            "the tenant's configuration" if self.level == TENANT else f"the configuration of {self.level} {self.name}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a layer; version 0 is before anybody has written it."""

    which: Which
    number: int
    said: Said
    author: str = ""
    comment: str = ""
    reverted_to: int | None = None
    created_at: datetime | None = None
    changes: Sequence[Change] = ()  # since the version before
    rollout: tuple[str, str] | None = None  # id and state


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A layer in a list."""

    newest: Version
    devices: int  # accepted ones that it is for


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What becomes of a layer."""

    make: Callable[[Said], Said]  # out of what it says now
    comment: str = ""
    expected: int | None = None  # the version that whoever asks has seen; None: whatever there is
    parameters: Parameters = field(default_factory=Parameters)
    deploy: bool = True  # of a device: at once
    reverted_to: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What came of it."""

    version: int
    changed: bool
    rollout: str | None = None
    deployment: str | None = None


def replaced(values: Said) -> Callable[[Said], Said]:
    """All of the layer."""
    return lambda _: values


def merged(values: Said, remove: Iterable[str] = ()) -> Callable[[Said], Said]:
    """These keys, the rest as it is."""
    gone = set(remove) - values.keys()
    return lambda before: {key: value for key, value in {**before, **values}.items() if key not in gone}


# --- who may -------------------------------------------------------------------------------------------------------


def require_seen(caller: Caller, which: Which) -> None:
    """Raises NotFound for a layer of a group that the caller does not reach in this call."""
    groups = caller.scope.groups
    if which.level == GROUP and groups is not None and which.name not in groups:
        raise NotFound(f"there is no layer of a group {which.name}")


def require_changeable(caller: Caller, which: Which) -> None:
    """Raises Denied for a layer that the caller sees and may not change, NotFound for one that he does not see."""
    if which.level == TENANT:
        caller.require_whole_tenant()
    elif which.level == GROUP and caller.scope.groups is not None and which.name not in caller.scope.groups:
        if caller.rights.reach(SEE_LAYERS, which.name):
            raise Denied(FORBIDDEN)
        require_seen(caller, which)


# --- reading -------------------------------------------------------------------------------------------------------


async def layers(services: Services, caller: Caller, limit: int, offset: int) -> Listing[Summary]:
    """The layers of the tenant and of groups that have been written and that the caller sees."""
    groups = caller.scope.groups

    async def work(tx: Tx) -> Listing[Summary]:
        mine = None if groups is None else ["", *groups]
        rows, total = await layer_store.layers(tx, mine, limit, offset)
        counts = await layer_store.counts(tx)
        found = []
        for row in rows:
            which = Which(GROUP, row["group_name"]) if row["group_name"] else Which(TENANT)
            rollout = None if row["rollout"] is None else (row["rollout"], row["state"])
            newest = _version(which, row, rollout=rollout)
            if which.level == TENANT:
                newest = await _as_seen(tx, caller.scope, newest)
            devices = sum(counts.values()) if which.level == TENANT else counts.get(which.name, 0)
            found.append(Summary(newest=newest, devices=devices))
        return Listing(tuple(found), total)

    return await services.db.read(caller.scope, work)


async def layer(services: Services, caller: Caller, which: Which) -> Version:
    """What a layer says now.

    Raises:
        NotFound: no such group or device for this caller.
    """
    require_seen(caller, which)

    async def work(tx: Tx) -> Version:
        if which.level == DEVICE:
            return await _of_device(tx, which)
        return await _as_seen(tx, caller.scope, await _of_many(tx, which))

    return await services.db.read(caller.scope, work)


async def current_in(tx: Tx, which: Which) -> Version:
    """What a layer says now, in a transaction. Raises NotFound: no such device."""
    return await (_of_device if which.level == DEVICE else _of_many)(tx, which)


async def _of_many(tx: Tx, which: Which) -> Version:
    row = await layer_store.newest(tx, which.group)
    if row is None:
        return Version(which=which, number=0, said={})
    rollout = await rollouts.of_version(tx, which.group, row["number"])
    return _version(which, row, rollout=rollout)


async def _of_device(tx: Tx, which: Which) -> Version:
    row = await _device(tx, which.name)
    newest = await layer_store.device_version(tx, which.name, row["version"] or 0)
    if newest is None:
        return Version(which=which, number=row["version"] or 0, said=own_said(row))
    return _version(which, newest)


async def _device(tx: Tx, device_id: str) -> Row:
    rows = await layer_store.devices(tx, [device_id])
    if not rows:
        raise NotFound(service.NO_RECORD)
    return rows[0]


async def _as_seen(tx: Tx, scope: UserScope, version: Version) -> Version:
    """The tenant's layer, for whoever sees some groups: only what counts in one of them, and not who has written it."""
    if scope.groups is None or version.which.level != TENANT:
        return version
    inner = await layer_store.newest_of(tx, sorted(scope.groups))
    hidden = [said(inner[group]).keys() if group in inner else set() for group in scope.groups]
    values = {key: value for key, value in version.said.items() if not all(key in each for each in hidden)}
    return Version(which=version.which, number=version.number, said=values, created_at=version.created_at)


async def versions(services: Services, caller: Caller, which: Which, limit: int, offset: int) -> Listing[Version]:
    """The history of a layer, newest first.

    Raises:
        NotFound: no such group or device for this caller.
        Denied: the tenant's is not for those who see some groups only.
    """
    _require_history(caller, which)

    async def work(tx: Tx) -> Listing[Version]:
        if which.level == DEVICE:
            await _device(tx, which.name)
            rows, total = await layer_store.device_versions(tx, which.name, limit + 1, offset)
        else:
            rows, total = await layer_store.versions(tx, which.group, limit + 1, offset)
        found = []
        for number, row in enumerate(rows[:limit]):
            before = rows[number + 1] if number + 1 < len(rows) else None
            found.append(_version(which, row, before))
        return Listing(tuple(found), total)

    return await services.db.read(caller.scope, work)


async def version(services: Services, caller: Caller, which: Which, number: int) -> Version:
    """One version of a layer.

    Raises:
        NotFound: no such group or device for this caller, or no such version of it.
        Denied: as `versions`.
    """
    _require_history(caller, which)

    async def work(tx: Tx) -> Version:
        if which.level == DEVICE:
            await _device(tx, which.name)
        row = await _stored(tx, which, number)
        before = await _find(tx, which, number - 1)
        rollout = None if which.level == DEVICE else await rollouts.of_version(tx, which.group, number)
        return _version(which, row, before, rollout=rollout)

    return await services.db.read(caller.scope, work)


def _require_history(caller: Caller, which: Which) -> None:
    require_seen(caller, which)
    if which.level == TENANT:
        caller.require_whole_tenant()


async def _find(tx: Tx, which: Which, number: int) -> Row | None:
    if which.level == DEVICE:
        return await layer_store.device_version(tx, which.name, number)
    return await layer_store.version(tx, which.group, number)


async def _stored(tx: Tx, which: Which, number: int) -> Row:
    row = await _find(tx, which, number)
    if row is None:
        raise NotFound(f"there is no version {number} of {which}; the newest {KEPT} are kept")
    return row


def _version(which: Which, row: Row, before: Row | None = None, *, rollout: tuple[str, str] | None = None) -> Version:
    values = said(row["content"])
    return Version(
        which=which,
        number=row["number"],
        said=values,
        author=row["author"],
        comment=row["comment"],
        reverted_to=row["reverted_to"],
        created_at=datetime_of(row["created_at"]),
        changes=changes({} if before is None else said(before["content"]), values),
        rollout=rollout,
    )


# --- changing ------------------------------------------------------------------------------------------------------


async def save(services: Services, caller: Caller, which: Which, edit: Edit) -> Saved:
    """Change a layer, and let its devices have it. Nothing happens when nothing changes.

    Raises:
        Invalid: what comes out may not be a layer; with all reasons.
        Changed: it has another version than `edit.expected` by now.
        NotFound: no such group or device for this caller.
        Denied: not a layer that he may change.
        Conflict: too many changes are on their way at the same time, or there are too many layers.
    """
    require_changeable(caller, which)
    rules.check_comment(edit.comment)
    return await services.db.write(caller.scope, save_in, services, caller, which, edit)


async def save_in(tx: Tx, services: Services, caller: Caller, which: Which, edit: Edit) -> Saved:
    """As `save`, in a transaction; the caller may change this layer."""
    current = await current_in(tx, which)
    if edit.expected is not None and edit.expected != current.number:
        raise Changed(f"{which} has version {current.number} by now, not {edit.expected}; read it again")
    values = edit.make(current.said)
    await check(tx, which, values)
    if dict(values) == dict(current.said):
        return Saved(version=current.number, changed=False)
    if which.level == DEVICE:
        return await _save_of_device(tx, services, caller, which, edit, values)
    if current.number == 0 and await layer_store.count(tx) >= MAX_LAYERS:
        raise Conflict(f"a tenant has at most {MAX_LAYERS} layers of configuration")
    steps = await layer_store.reached(tx, which.group, MAX_CHAIN)
    if len(steps) == MAX_CHAIN and all(row["reached"] < EVERYBODY or row["stopped"] for row in steps):
        raise Conflict(f"{MAX_CHAIN} changes of {which} have not reached everybody; let one do so before the next")
    number, now = current.number + 1, micros(services.clock.now())
    row = {
        "number": number,
        "content": msgspec.json.encode(values).decode(),
        "author": caller.email,
        "comment": edit.comment,
        "reverted_to": edit.reverted_to,
        "now": now,
    }
    await layer_store.add_version(tx, which.group, row)
    await layer_store.forget_versions(tx, which.group, number - KEPT)
    change = audit.diff(str(which), current.said if current.number else None, values)
    thing = audit.tenant(caller.scope.tenant)
    await audit.record(tx, services, caller, "set_configuration", thing, change)
    rollout = await rollouts.start(tx, services, caller, which.group, number, edit.parameters, edit.comment)
    return Saved(version=number, changed=True, rollout=rollout)


async def check(tx: Tx, which: Which, values: Said) -> None:
    """Refuse what a layer may not say, by itself or with the tenant's around it. Raises Invalid, with all reasons."""
    rules.check(values)
    if which.level != DEVICE:
        outer = [] if which.level == TENANT else [(await _of_many(tx, Which(TENANT))).said]
        rules.check_whole(_together(*outer, values))
    if which.level == TENANT:
        for group, content in await layer_store.with_checks(tx, MAX_WITH_CHECKS):
            try:
                rules.check_whole(_together(values, said(content)))
            except Invalid as exc:
                raise Invalid(f"with the layer of the group {group}, {exc}") from exc


def _together(*layers: Said) -> Values:
    return merge(*(Layer(TENANT, 0, each) for each in layers)).values


async def _save_of_device(tx: Tx, services: Services, caller: Caller, which: Which, edit: Edit, values: Said) -> Saved:
    row = await service.record_of(tx, which.name)
    number = await service.keep_own(tx, services, caller, which.name, row, values, edit.comment, edit.reverted_to)
    if not edit.deploy:
        return Saved(version=number, changed=True)
    deployment = await service.deploy_in(tx, services, caller, which.name, retries=edit.parameters.retries)
    return Saved(version=number, changed=True, deployment=deployment)


async def revert(services: Services, caller: Caller, which: Which, number: int, edit: Edit) -> Saved:
    """As `save`, to what the layer said in an older version; `edit.make` does not count.

    Raises:
        NotFound: no such version, besides what `save` raises.
    """
    require_changeable(caller, which)
    rules.check_comment(edit.comment)

    async def work(tx: Tx) -> Saved:
        if which.level == DEVICE:
            await _device(tx, which.name)
        old = said((await _stored(tx, which, number))["content"])
        new = Edit(
            make=replaced(old),
            comment=edit.comment,
            expected=edit.expected,
            parameters=edit.parameters,
            deploy=edit.deploy,
            reverted_to=number,
        )
        return await save_in(tx, services, caller, which, new)

    return await services.db.write(caller.scope, work)


async def roll_back(services: Services, caller: Caller, rollout_id: str, comment: str) -> Saved:
    """End a rollout, and make a version with what its layer said before: those who have got something get that at once.

    Raises:
        NotFound, Denied: as `rollouts.pause`.
        Conflict: its layer has been changed since.
    """
    rules.check_comment(comment)

    async def work(tx: Tx) -> Saved:
        row = await rollouts.changeable(tx, caller, rollout_id, rollouts.CAN_BE_ROLLED_BACK)
        which = Which(GROUP, row["group_name"]) if row["group_name"] else Which(TENANT)
        current = await _of_many(tx, which)
        if current.number != row["version"]:
            raise Conflict(f"{which} has been changed since; take the version back that you want")
        before = await layer_store.version(tx, which.group, current.number - 1)
        await rollouts.end(tx, services, caller, row, rollouts.ROLLED_BACK, comment)
        edit = Edit(
            make=replaced({} if before is None else said(before["content"])),
            comment=comment or f"rollout of version {current.number} rolled back",
            parameters=AT_ONCE,
            reverted_to=current.number - 1,
        )
        return await save_in(tx, services, caller, which, edit)

    return await services.db.write(caller.scope, work)
