"""The rules of saved filters, which are dynamic groups: conditions with a name. Whoever uses one sees his devices only.

They are the tenant's: only who may manage every device changes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import msgspec

from vedette.errors import Conflict, NotFound, Unacceptable
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import Row, Tx, UserScope
from vedette.server.devices import filters_store, search
from vedette.server.devices.search import Predicate
from vedette.server.listing import Listing
from vedette.server.services import Services
from vedette.server.times import micros

MAX_FILTERS: Final = 1000  # of a tenant
MAX_NAME: Final = 256  # characters
TAKEN: Final = "there is a filter with this name already"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFilter:
    """Conditions, and-ed, under a name."""

    id: str
    name: str
    terms: tuple[Predicate, ...]


async def filters(services: Services, scope: UserScope, limit: int, offset: int) -> Listing[SavedFilter]:
    """A part of the tenant's filters, by name."""

    async def work(tx: Tx) -> Listing[SavedFilter]:
        rows = await filters_store.all_of(tx, limit, offset)
        return Listing(tuple(map(_filter, rows)), await filters_store.count(tx))

    return await services.db.read(scope, work)


async def one(services: Services, scope: UserScope, filter_id: str) -> SavedFilter:
    """Raises NotFound."""
    row = await services.db.read(scope, filters_store.one, filter_id)
    if row is None:
        raise NotFound("filter not found")
    return _filter(row)


async def create(services: Services, caller: Caller, name: str, terms: Sequence[Predicate]) -> str:
    """Save a filter. Its id.

    Raises:
        Invalid: terms that nothing can be searched with.
        Conflict: the name is taken.
        Unacceptable: no name, or there are too many filters.
        Denied: the caller does not manage every device.
    """
    caller.require_whole_tenant()
    _check(name, terms)
    filter_id, now, text = str(uuid4()), micros(services.clock.now()), _encoded(terms)

    async def work(tx: Tx) -> None:
        if await filters_store.count(tx) >= MAX_FILTERS:
            raise Unacceptable(f"there are {MAX_FILTERS} filters already; remove one first")
        if not await filters_store.add(tx, filter_id, name, text, now):
            raise Conflict(TAKEN)
        await _record(tx, services, caller, "create", filter_id, name, None, text)

    await services.db.write(caller.scope, work)
    return filter_id


async def change(services: Services, caller: Caller, filter_id: str, name: str, terms: Sequence[Predicate]) -> None:
    """Give a filter another name and other terms.

    Raises:
        NotFound: there is no such filter.
        Invalid, Conflict, Unacceptable, Denied: as `create`.
    """
    caller.require_whole_tenant()
    _check(name, terms)
    now, text = micros(services.clock.now()), _encoded(terms)

    async def work(tx: Tx) -> None:
        before = await filters_store.one(tx, filter_id)
        if before is None:
            raise NotFound("filter not found")
        other = await filters_store.named(tx, name)
        if other is not None and other["id"] != filter_id:
            raise Conflict(TAKEN)
        await filters_store.change(tx, filter_id, name, text, now)
        await _record(tx, services, caller, "update", filter_id, name, before["terms"], text)

    await services.db.write(caller.scope, work)


async def remove(services: Services, caller: Caller, filter_id: str) -> None:
    """Forget a filter.

    Raises:
        NotFound: there is no such filter.
        Denied: the caller does not manage every device.
    """
    caller.require_whole_tenant()

    async def work(tx: Tx) -> None:
        before = await filters_store.one(tx, filter_id)
        if before is None or not await filters_store.remove(tx, filter_id):
            raise NotFound("filter not found")
        await _record(tx, services, caller, "delete", filter_id, before["name"], before["terms"], None)

    await services.db.write(caller.scope, work)


async def _record(
    tx: Tx, services: Services, caller: Caller, action: str, filter_id: str, name: str, was: str | None, now: str | None
) -> None:
    change = audit.diff("filter", _terms_of(filter_id, name, was), _terms_of(filter_id, name, now))
    await audit.record(tx, services, caller, action, audit.tenant(caller.scope.tenant), change)


def _terms_of(filter_id: str, name: str, terms: str | None) -> dict[str, object] | None:
    return None if terms is None else {"filter": filter_id, "name": name, "terms": terms}


def _check(name: str, terms: Sequence[Predicate]) -> None:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or not name.strip():
        raise Unacceptable(f"filter name: give 1 to {MAX_NAME} printable characters")
    if not terms:
        raise Unacceptable("filter terms: give at least one; without any it is every device")
    search.of_predicates(terms)


def _encoded(terms: Sequence[Predicate]) -> str:
    return msgspec.json.encode(list(terms)).decode()


_terms: Final = msgspec.json.Decoder(tuple[Predicate, ...])


def _filter(row: Row) -> SavedFilter:
    return SavedFilter(id=row["id"], name=row["name"], terms=_terms.decode(row["terms"]))
