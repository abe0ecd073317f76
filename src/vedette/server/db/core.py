"""The interface of storage, and the one place that decides which rows a statement can reach.

A statement runs for somebody: a user (`UserScope`), a device (`DeviceScope`) or the server itself (`SYSTEM`).
`confine` refuses SQL that does not say `:tenant`, and SQL on a device's tables that does not say `{visible}` (users)
or `:device` (devices): a query that forgets them cannot be run at all, so it is found the first time it is tried.
"""

import json
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Concatenate, Final, Literal, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Row = Mapping[str, Any]
"""One row: values by column name."""

DEVICE_TABLES: Final = frozenset(
    {
        "device",
        "auth_set",
        "attribute",
        "alert",
        "acknowledgement",
        "subject",
        "monitor_config",
        "notification",
        "delivery",
        "gap",
        "forgotten",
        "device_deployment",
        "deployment_log",
        "device_configuration",
        "device_configuration_version",
        "configuration_due",
    }
)
"""Tables whose rows belong to one device: whoever may not see the device may not reach them."""

GROUP_TABLES: Final = frozenset({"device_count"})
"""Tables whose rows tell of the devices of a group; read as `FROM device_count AS device`, for `{visible}`."""


@dataclass(frozen=True, slots=True)
class UserScope:
    """A user of a tenant, or the server acting for one. Default deny: without groups, no device is visible."""

    tenant: str
    groups: frozenset[str] | None = frozenset()  # static groups; None: every device of the tenant


@dataclass(frozen=True, slots=True)
class DeviceScope:
    """A device acting for itself."""

    tenant: str
    device: str


class _System:
    """The server itself, across tenants. Only for what comes before a tenant is known, and for its own queues."""


SYSTEM: Final = _System()
Scope = UserScope | DeviceScope | _System
Kind = Literal["system", "device", "tenant", "groups"]


class Tx(Protocol):
    """One transaction on behalf of one scope.

    Parameters are named (`:name`). `:tenant`, `:device` and what stands for `{visible}` are bound by the scope.
    `{visible}` needs the table `device` in the statement under that name; `{visible:attribute}` does without it and
    speaks of the device that a row of that table belongs to. SQL is the common subset of the dialects,
    with macros where they differ: docs/decisions/0011-postgresql.md.
    """

    async def all(self, sql: str, **params: object) -> list[Row]:
        """Every row."""
        ...

    async def one(self, sql: str, **params: object) -> Row | None:
        """The first row, or None."""
        ...

    async def value(self, sql: str, **params: object) -> Any:
        """The first column of the first row, or None."""
        ...

    async def execute(self, sql: str, **params: object) -> int:
        """Run a change; the number of rows it touched."""
        ...

    async def many(self, sql: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Run one change for many rows of parameters."""
        ...

    def announce(self, topic: str, *words: str | None) -> None:
        """Once this is durable, and never if it is not, tell every server process that has the database, this one too:
        `hear` is called in the event loop.

        Args:
            topic: a lower-case word of the program.
            words: short texts, 1,000 bytes in all; not secrets: the database may log them.
        """
        ...


Work = Callable[Concatenate[Tx, P], Coroutine[Any, Any, T]]
"""What runs in a transaction: awaits its `Tx` and nothing else, so that it can run in a database thread."""


Item = TypeVar("Item")
Together = Callable[[Tx, Sequence[Item]], Coroutine[Any, Any, Sequence[T | Exception]]]
"""Work for several callers at once: what each gave goes in, in order; what each gets, or an error for it, comes out."""


class Promise(Protocol):
    """Who waits for a unit of work; an `asyncio.Future` is one. Called in the event loop."""

    def cancelled(self) -> bool:
        """Nobody waits any longer."""
        ...

    def set_result(self, result: Any, /) -> None:
        """It is durable."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Nothing of it was kept."""
        ...


class Database(Protocol):
    """Runs units of work, each in one transaction."""

    async def read(self, scope: Scope, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on one consistent snapshot; it cannot write."""
        ...

    async def write(self, scope: Scope, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work`, all or nothing; returns when it is durable. Several share one commit.

        Raises:
            Busy: too many are waiting already.
            Unavailable: the database cannot be written now (disk full, locked, gone).
        """
        ...

    async def write_together(self, scope: Scope, work: Together[Item, T], item: Item) -> T:
        """Like `write`, for work that does many at the price of few: whoever waits with the same `scope` and `work`
        is served by one call of it. If that call fails, each is tried alone, so nobody fails for another's reason.
        """
        ...

    def submit_together(self, scope: Scope, work: Together[Item, Any], item: Item, done: Promise) -> None:
        """`write_together` for who has no task to wait in: returns at once, and `done` hears of the end. For the paths
        on which a task for each call would be a good part of its cost.

        Raises:
            Busy, Unavailable: it was not taken; `done` hears nothing.
        """
        ...

    def hear(self, topic: str, call: Callable[..., None], missed: Callable[[], None]) -> None:
        """Have `call(*words)` called in the event loop for whatever is announced under `topic`.

        Args:
            missed: called when announcements of other processes may have been lost; forget what depends on them.
        """
        ...

    async def close(self) -> None:
        """Finish what is waiting, then let go of everything."""
        ...


_TABLES = re.compile(r"\b(?:FROM|JOIN|UPDATE|INTO)\s+\"?(\w+)", re.IGNORECASE)
_COMMA_JOIN = re.compile(
    r"\bFROM\s+(?:\"?\w+\"?|\{[^{}]*\})(?:\s+(?:AS\s+)?\w+)?\s*,(?!\s*\w+\s*\()",
    re.IGNORECASE,  # f() is no table
)
_INSERT_VALUES = re.compile(r"\s*INSERT\b(?!.*\bSELECT\b)", re.IGNORECASE | re.DOTALL)
_VISIBLE = re.compile(r"\{visible(?::(\w+))?\}")
_LITERAL_TENANT = re.compile(r":tenant\b")
_LITERAL_DEVICE = re.compile(r":device\b")


@lru_cache(maxsize=4096)
def confine(sql: str, kind: Kind) -> str:
    """`sql` ready to run for a scope, or an error in the program that wrote it.

    Args:
        sql: one statement, with `:tenant`, and `{visible}` or `:device` where it touches a device's tables.
        kind: of the scope; see `kind_of`.
    Raises:
        RuntimeError: the statement could reach rows beyond its scope.
    """
    if kind == "system":
        return sql
    if _COMMA_JOIN.search(sql):
        raise RuntimeError(f"statement with a comma between tables; write JOIN, so that each can be seen: {sql}")
    has_visible = _VISIBLE.search(sql) is not None
    if not has_visible and not _LITERAL_TENANT.search(sql):
        raise RuntimeError(f"statement without tenant: {sql}")
    touches_device = not (DEVICE_TABLES | GROUP_TABLES).isdisjoint(name.lower() for name in _TABLES.findall(sql))
    if kind == "device":
        if touches_device and not _LITERAL_DEVICE.search(sql):
            raise RuntimeError(f"statement of a device without :device: {sql}")
        return sql
    if touches_device and not has_visible and not _INSERT_VALUES.match(sql):
        raise RuntimeError(f"statement on a device's table without {{visible}}: {sql}")
    return _VISIBLE.sub(lambda use: f"({_visible(kind, use[1])})", sql)


def _visible(kind: Kind, table: str | None) -> str:
    """That a device is visible, or the one that a row of `table` belongs to: without it there is no such row."""
    if kind == "tenant":
        return f"{table or 'device'}.tenant = :tenant"
    visible = "device.tenant = :tenant AND device.group_name IN {each:groups}"
    if table is None:
        return visible
    of_row = f"device.tenant = {table}.tenant AND device.id = {table}.device"
    return f"{table}.tenant = :tenant AND EXISTS (SELECT 1 FROM device WHERE {of_row} AND {visible})"  # noqa: S608


def bound(scope: Scope) -> dict[str, object]:
    """The parameters that a scope binds by itself."""
    match scope:
        case UserScope(tenant, None):
            return {"tenant": tenant}
        case UserScope(tenant, groups):
            return {"tenant": tenant, "groups": json.dumps(sorted(groups or ()))}
        case DeviceScope(tenant, device):
            return {"tenant": tenant, "device": device}
        case _:
            return {}


def kind_of(scope: Scope) -> Kind:
    """What `confine` has to know of a scope: two scopes of a kind run the same SQL."""
    match scope:
        case UserScope(_, None):
            return "tenant"
        case UserScope():
            return "groups"
        case DeviceScope():
            return "device"
        case _:
            return "system"
