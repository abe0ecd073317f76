"""The rules of devices towards users: which there are, who of them is let in, and letting go of one."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import uuid4

import msgspec

from vedette.errors import Conflict, Invalid, NotFound
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import Row, Tx, UserScope
from vedette.server.devices import attribute_store, authentication, leaving, proof, search, search_store, store
from vedette.server.devices.values import (
    OFFLINE_AFTER,
    STATUSES,
    Attribute,
    AuthSet,
    Device,
    DeviceQuery,
    DeviceSummary,
    best,
)
from vedette.server.listing import Listing
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros

__all__ = ["OFFLINE_AFTER", "STATUSES", "Attribute", "AuthSet", "Device", "DeviceQuery", "DeviceSummary"]

_TO: Final[Mapping[str, frozenset[str]]] = {
    "accepted": frozenset({"pending", "rejected", "preauthorized"}),
    "rejected": frozenset({"pending", "accepted"}),
    "pending": frozenset({"accepted", "rejected"}),
}
"""Which statuses an authentication set may come from."""


async def list_devices(services: Services, caller: Caller, query: DeviceQuery) -> Listing[DeviceSummary]:
    """The devices that meet `query`, newest first."""
    offline_before = micros(services.clock.now() - OFFLINE_AFTER)
    cut = search.Cut(
        limit=query.per_page, offset=(query.page - 1) * query.per_page, order="device.created_at DESC, device.id"
    )
    where, everything = search.of_query(query, offline_before), caller.scope.groups is None
    async with services.searches.turn(caller.user_id):
        rows, total = await services.db.read(caller.scope, search_store.find, where, cut, everything=everything)
    return Listing(tuple(DeviceSummary(**_summary(row)) for row in rows), total)


async def device(services: Services, scope: UserScope, device_id: str) -> Device:
    """Everything about one device.

    Raises:
        NotFound: there is none, or not for this scope.
    """

    async def work(tx: Tx) -> tuple[Row | None, list[Row], list[Row]]:
        row = await store.device(tx, device_id)
        return row, await store.auth_sets(tx, device_id), await attribute_store.of_devices(tx, [device_id])

    row, auth_rows, attribute_rows = await services.db.read(scope, work)
    if row is None:
        raise NotFound(NO_DEVICE)
    return whole(row, auth_rows, attribute_rows)


async def devices(services: Services, caller: Caller, where: search.Where, page: search.Cut) -> Listing[Device]:
    """Devices with everything about them: those that meet a condition made by `search`."""
    scope = caller.scope

    async def work(tx: Tx) -> tuple[list[Row], int, list[Row], list[Row]]:
        rows, total = await search_store.find(tx, where, page, everything=scope.groups is None)
        ids = [row["id"] for row in rows]
        auth_rows = await store.auth_sets_of(tx, ids) if page.with_auth else []
        return rows, total, auth_rows, await attribute_store.of_devices(tx, ids)

    async with services.searches.turn(caller.user_id):
        rows, total, auth_rows, attribute_rows = await services.db.read(scope, work)
    auth_sets, attributes = _by_device(auth_rows), _by_device(attribute_rows)
    items = (whole(row, auth_sets.get(row["id"], []), attributes.get(row["id"], [])) for row in rows)
    return Listing(tuple(items), total)


def _by_device(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["device"], []).append(row)
    return found


async def summaries(tx: Tx, ids: Iterable[str]) -> Mapping[str, DeviceSummary]:
    """Devices by id, in the transaction of somebody who has found something of them; those not visible are left out."""
    rows = await search_store.whole(tx, sorted(ids))
    return {row["id"]: DeviceSummary(**_summary(row)) for row in rows}


async def count(services: Services, scope: UserScope, status: str | None) -> int:
    return await services.db.read(scope, search_store.count, status)


async def device_limit(services: Services, scope: UserScope) -> int:
    """How many devices the tenant may have accepted; 0: any number."""
    return await services.db.read(scope, store.limit)


async def set_auth_status(services: Services, caller: Caller, device_id: str, auth_id: str, status: str) -> None:
    """Let a device in with one of its keys, refuse it, or think again.

    Raises:
        NotFound: no such device or authentication set.
        Invalid: no such status, or not from the one it has.
        Unacceptable: the tenant has as many devices as it may.
    """
    if status not in _TO:
        raise Invalid("incorrect device status")
    groups = caller.scope.groups

    async def work(tx: Tx) -> None:
        row = await store.device(tx, device_id)
        if row is not None and groups is not None and row["group_name"] not in groups:
            row = None
        auth = next((each for each in await store.auth_sets(tx, device_id) if each["id"] == auth_id), None)
        if row is None or auth is None:
            raise NotFound("authentication set not found")
        if auth["status"] == status:
            return
        action = "reject" if status == "rejected" else "update"
        change = audit.diff(f"authentication set {auth_id}", {"status": auth["status"]}, {"status": status})
        await audit.record(tx, services, caller, action, audit.device(device_id, row["identity"]), change)
        if auth["status"] not in _TO[status]:
            raise Invalid(f"dev auth: bad transition from {auth['status']} to {status}")
        if status == "accepted":
            await authentication.accept(tx, services, device_id, auth_id)
        else:
            await store.set_auth_status(tx, device_id, auth_id, status)
        await _changed(tx, services, caller.scope, row)

    # Whether there is a place is counted over all devices, where it is taken: also for who sees only some of them.
    await services.db.write(UserScope(caller.scope.tenant, None) if status == "accepted" else caller.scope, work)


async def dismiss(services: Services, caller: Caller, device_id: str, auth_id: str) -> None:
    """Forget one key of a device; a device that was only announced is forgotten with its last one.

    Raises:
        NotFound: no such device or authentication set.
    """

    async def work(tx: Tx) -> None:
        row = await store.device(tx, device_id)
        sets = await store.auth_sets(tx, device_id)
        if row is None or not await store.remove_auth_set(tx, device_id, auth_id):
            raise NotFound("authentication set not found")
        (gone,) = (each for each in sets if each["id"] == auth_id)
        change = audit.diff(f"authentication set {auth_id}", {"status": gone["status"], "pubkey": gone["pubkey"]}, None)
        await audit.record(tx, services, caller, "delete", audit.device(device_id, row["identity"]), change)
        if row["status"] == "preauthorized" and len(sets) == 1:
            await leaving.begin(tx, services, device_id)
        await _changed(tx, services, caller.scope, row)

    await services.db.write(caller.scope, work)


async def decommission(services: Services, caller: Caller, device_id: str) -> None:
    """Forget a device and everything about it; its token is dead.

    Raises:
        NotFound: no such device.
    """

    async def work(tx: Tx) -> None:
        row = await store.device(tx, device_id)
        if row is None:
            raise NotFound(NO_DEVICE)
        await audit.record(tx, services, caller, "decommission", audit.device(device_id, row["identity"]))
        await leaving.begin(tx, services, device_id)
        services.device_tokens.withdraw(tx, device_id)
        services.live.announce(tx, caller.scope.tenant, row["group_name"], device_id)

    await services.db.write(caller.scope, work)
    await leaving.wait(services, caller.scope, device_id)


async def preauthorize(
    services: Services, caller: Caller, identity: Mapping[str, Any], pubkey: str, *, force: bool = False
) -> str:
    """Announce a device: it is let in as soon as it shows this identity and key. Its id.

    Raises:
        Invalid: no such identity or key can be.
        AlreadyThere: the identity is known, and `force` was not given.
    """
    caller.require_whole_tenant()  # it is in no group yet
    _, pem = proof.public_key(pubkey)
    canonical = proof.canonical_identity(msgspec.json.encode(dict(identity)).decode())
    digest, now = proof.identity_hash(canonical), micros(services.clock.now())

    async def work(tx: Tx) -> str:
        found = await store.by_identity(tx, digest)
        if found is not None and not force:
            raise AlreadyThere(found["id"])
        device_id: str = str(uuid4()) if found is None else found["id"]
        if found is None:
            await store.add_device(tx, device_id, canonical, digest, "preauthorized", now)
            await attribute_store.keep_identity(tx, device_id, canonical, now)
        auth = await store.auth_set_by_key(tx, device_id, pem)
        if auth is None:
            await store.add_auth_set(tx, device_id, str(uuid4()), pem, "preauthorized", now)
        else:
            await store.set_auth_status(tx, device_id, auth["id"], "preauthorized")
        row = await store.device(tx, device_id)
        assert row is not None
        change = audit.diff("device", None, {"status": "preauthorized", "pubkey": pem})
        await audit.record(tx, services, caller, "create", audit.device(device_id, canonical), change)
        await _changed(tx, services, caller.scope, row)
        return device_id

    return await services.db.write(caller.scope, work)


async def drop_tokens(services: Services, caller: Caller, device_id: str | None) -> None:
    """Kill the tokens of all devices that the caller reaches, or of one; they have to authenticate again."""

    async def work(tx: Tx) -> None:
        await store.drop_tokens(tx, device_id)
        thing = audit.tenant(caller.scope.tenant) if device_id is None else audit.device(device_id)
        await audit.record(tx, services, caller, "update", thing, audit.diff("token", {"live": True}, {"live": False}))
        services.device_tokens.withdraw(tx, None)

    await services.db.write(caller.scope, work)


async def drop_token(services: Services, caller: Caller, token_id: str) -> None:
    """Kill a device's token; it has to authenticate again.

    Raises:
        NotFound: no such live token.
    """

    async def work(tx: Tx) -> None:
        device_id = await store.drop_token(tx, token_id)
        if device_id is None:
            raise NotFound("token not found")
        row = await store.device(tx, device_id)
        thing = audit.device(device_id, "" if row is None else row["identity"])
        await audit.record(tx, services, caller, "update", thing, audit.diff("login", {"live": True}, {"live": False}))
        services.device_tokens.withdraw(tx, device_id)

    await services.db.write(caller.scope, work)


async def _changed(tx: Tx, services: Services, scope: UserScope, row: Row) -> None:
    """After a change of authentication sets: the status follows, tokens are asked again, pages hear of it."""
    sets = await store.auth_sets(tx, row["id"])
    await store.set_status(tx, row["id"], best([each["status"] for each in sets]), micros(services.clock.now()))
    services.device_tokens.withdraw(tx, row["id"])
    services.live.announce(tx, scope.tenant, row["group_name"], row["id"])


NO_DEVICE: Final = "device not found"


class AlreadyThere(Conflict):
    """A device with this identity is known already."""

    def __init__(self, device_id: str) -> None:
        super().__init__("device already exists")
        self.device_id = device_id


def whole(row: Row, auth_rows: list[Row], attribute_rows: list[Row]) -> Device:
    """A device out of its rows, with the attributes that are columns."""
    summary = _summary(row)
    columns: list[tuple[str, str, Any]] = [
        ("identity", "status", row["status"]),
        ("monitor", "alert_count", row["open_count"]),
        ("monitor", "alerts", row["open_count"] > 0),
        ("system", "created_ts", summary["created_at"]),
        ("system", "updated_ts", summary["updated_at"]),
        ("system", "tier", "standard"),
    ]
    if row["group_name"] is not None:
        columns.append(("system", "group", row["group_name"]))
    if summary["check_in_at"] is not None:
        columns.append(("system", "check_in_time", summary["check_in_at"]))
    attributes = [
        Attribute(scope=scope, name=name, value=value, updated_at=summary["updated_at"])
        for scope, name, value in columns
    ]
    attributes += [
        Attribute(
            scope=each["scope"],
            name=each["name"],
            value=msgspec.json.decode(each["value"]),
            description=each["description"],
            updated_at=datetime_of(each["updated_at"]),
        )
        for each in attribute_rows
        if (each["scope"], each["name"]) != ("identity", "status")
    ]
    return Device(
        **summary,
        auth_sets=tuple(
            AuthSet(
                id=each["id"],
                pubkey=each["pubkey"],
                status=each["status"],
                created_at=datetime_of(each["created_at"]),
            )
            for each in auth_rows
        ),
        attributes=tuple(sorted(attributes, key=lambda each: (each.scope, each.name))),
    )


def _summary(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": str(row["name"] or row["id"]),
        "identity": msgspec.json.decode(row["identity"]),
        "status": row["status"],
        "group": row["group_name"],
        "check_in_at": datetime_of(row["check_in_at"]),
        "open_count": row["open_count"],
        "decommissioning": row["decommissioning"] == 1,
        "created_at": datetime_of(row["created_at"]),
        "updated_at": datetime_of(row["updated_at"]),
    }
