"""How alerts come in: POSTs of many devices in one transaction, each alert once however often it is sent.

Together in that transaction: the alerts, the state of their subjects, the number of open ones, what notify/ has to do.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from vedette.errors import Invalid, Unauthenticated
from vedette.server.alerts import ids
from vedette.server.alerts import intake_store as store
from vedette.server.alerts.intake_store import DeviceKey, SubjectKey
from vedette.server.alerts.order import NO_ACCOUNT, UNNAMED, Head, SubjectState, advance
from vedette.server.db import DeviceScope, Promise, Tx, UserScope
from vedette.server.live import Live
from vedette.server.services import Services
from vedette.wire import incoming
from vedette.wire.incoming import WireAlert


class _New(NamedTuple):
    """An alert on its way into the store."""

    head: Head
    subject: SubjectKey
    row: tuple[Any, ...]  # as intake_store.COLUMNS


class Post(NamedTuple):
    """What one device sent at once."""

    scope: DeviceScope
    alerts: tuple[_New, ...]
    received_at: int
    live: Live

    @property
    def device(self) -> str:
        return self.scope.device


async def accept(services: Services, scope: DeviceScope, records: Sequence[WireAlert]) -> None:
    """Keep what a device reports; returns when all of it is durable.

    Raises:
        Unauthenticated: the device is no longer there.
        Invalid: a text that no database of ours can hold.
        Busy, Unavailable: nothing was kept; the device comes again.
    """
    if records:
        await services.db.write_together(_tenant(scope), _accept, post(services, scope, records))


def submit(services: Services, new: Post, done: Promise) -> None:
    """`accept` without a task that waits: `done` hears when all of it is durable, or why it is not.

    Raises:
        Busy, Unavailable: it was not taken; `done` hears nothing.
    """
    services.db.submit_together(_tenant(new.scope), _accept, new, done)


def _tenant(scope: DeviceScope) -> UserScope:
    """Posts of all devices of a tenant go together; every row carries the id of its own, whatever the body said."""
    return UserScope(scope.tenant, groups=None)


def post(services: Services, scope: DeviceScope, records: Sequence[WireAlert]) -> Post:
    """What a device sent, ready to be submitted.

    Raises:
        Invalid: a text that no database of ours can hold.
    """
    received_at = incoming.microseconds(services.clock.now())
    alerts = tuple([_prepared(scope.device, record, received_at) for record in records])
    return Post(scope, alerts, received_at, services.live)


async def _accept(tx: Tx, posts: Sequence[Post]) -> list[Exception | None]:
    groups = await store.groups(tx, {post.device for post in posts})
    fresh = await _fresh(tx, [post for post in posts if post.device in groups])
    if fresh:
        before = await store.states(tx, {each.subject for each in fresh})
        after, threads = follow(before, fresh)
        await store.add(tx, [each.row for each in fresh])
        await store.set_states(tx, {key: state for key, state in after.items() if before.get(key) is not state})
        if more := _opened(before, after):
            await store.count_open(tx, more)
        await store.owe(tx, threads, posts[0].received_at)
        for device in {each.subject[0] for each in fresh}:
            posts[0].live.announce(tx, posts[0].scope.tenant, groups[device], device)
    return [None if post.device in groups else Unauthenticated("dev auth: unauthorized") for post in posts]


async def _fresh(tx: Tx, posts: Sequence[Post]) -> list[_New]:
    """The alerts that are not stored yet, each once, in their order."""
    sent: dict[DeviceKey, _New] = {}
    for post in posts:
        for each in post.alerts:
            sent.setdefault((post.device, each.head.id), each)
    known = await store.known(tx, sent)
    return [each for key, each in sent.items() if key not in known]


def follow(
    before: Mapping[SubjectKey, SubjectState], fresh: Collection[_New]
) -> tuple[dict[SubjectKey, SubjectState], list[tuple[str, str, str]]]:
    """What new alerts make of their subjects; and of each: (device, its id, id of the one that opened the problem)."""
    after = dict(before)
    threads = []
    for each in fresh:
        state = after[each.subject] = advance(after.get(each.subject, SubjectState()), each.head)
        counts = state.newest is each.head and state.opened_by is not None
        opened_by = state.opened_by if counts and state.opened_by else each.head.id
        threads.append((each.subject[0], each.head.id, opened_by))
    return after, threads


def _opened(before: Mapping[SubjectKey, SubjectState], after: Mapping[SubjectKey, SubjectState]) -> dict[str, int]:
    """By device, how many more subjects are open; devices without a change are left out."""
    more: dict[str, int] = {}
    for subject, state in after.items():
        was_open = subject in before and before[subject].open
        if state.open != was_open:
            more[subject[0]] = more.get(subject[0], 0) + (1 if state.open else -1)
    return {device: number for device, number in more.items() if number}


def _prepared(device: str, record: WireAlert, received_at: int) -> _New:
    details, origin, subject = record.details_text(), record.origin, record.subject
    if "\0" in record.name or "\0" in subject.name or "\0" in subject.type or "\0" in subject.status:
        raise Invalid("the alerts are not valid: a name, type or status with a NUL character")
    account = NO_ACCOUNT if origin is None else UNNAMED if origin.account is None else str(origin.account)
    sequence = None if origin is None else origin.sequence
    head = Head(account, sequence, record.at_us, ids.alert_id(record, details), record.level)
    row = (
        device,
        head.id,
        record.name,
        record.level.value,
        head.at,
        received_at,
        subject.type,
        subject.name,
        subject.status,
        details,
        sequence,
        None if origin is None else str(origin.boot),
        None if origin is None else round(origin.elapsed_s * 1_000_000),
        None if origin is None or origin.account is None else account,
        None if origin is None else str(origin.id),
    )
    return _New(head, (device, (subject.type, subject.name)), row)
