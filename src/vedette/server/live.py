"""Tells open pages that something about a device has changed. After the commit, never before.

Only *that* it changed: a page then asks again and is shown what its user may see. So nothing can leak through here but
the id of a device, and that only to who may see the device.
Whatever process made the change, the pages of all of them hear of it: `announce` in its transaction.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType
from typing import Final, Self
from weakref import ref

from vedette.server.db import SYSTEM, DeviceScope, Scope, Tx, UserScope

MAX_NAMED: Final = 200  # devices in one change; beyond it the change says "many"

Changed = frozenset[str] | None
"""The devices that changed, or None: too many to name, look at everything again."""


class Live:
    """Who listens, by tenant. Used by one thread."""

    topic: Final = "device"  # what changes are announced under, see db.core

    def __init__(self) -> None:
        # Never changed in place, so that they can be gone through while listeners come and go: changes are many.
        self._listeners: dict[str | None, tuple[ref[Subscription], ...]] = {}
        self._ended = False

    def announce(self, tx: Tx, tenant: str, group: str | None, device: str) -> None:
        """`publish`, in every process, once this transaction is durable."""
        tx.announce(self.topic, tenant, group, device)

    def publish(self, tenant: str, group: str | None, device: str) -> None:
        """Tell who may see `device`, which is in the static group `group`, that something about it has changed."""
        for key in (tenant, None):
            for each in self._listeners.get(key, ()):
                if (listener := each()) is not None:
                    listener.add(group, device)

    def doubt(self) -> None:
        """Changes may have been missed: everybody has to look at everything again."""
        for listener in self._all():
            listener.add_all()

    def subscribe(self, scope: Scope) -> "Subscription":
        """Listen to what `scope` may see, from now on, until it is closed or forgotten.

        What happens between two steps of the iteration comes as one change.
        """
        if isinstance(scope, DeviceScope):
            raise TypeError("devices do not listen here")
        listener = Subscription(self, scope)
        forgotten = ref(listener, partial(self._drop, listener.tenant))
        self._listeners[listener.tenant] = (*self._listeners.get(listener.tenant, ()), forgotten)
        if self._ended:
            listener.close()
        return listener

    def end(self) -> None:
        """Nobody listens any longer, nor will: the server stops, and open pages must not hold it up."""
        self._ended = True
        for listener in self._all():
            listener.close()

    def __len__(self) -> int:
        return sum(map(len, self._listeners.values()))

    def _all(self) -> "list[Subscription]":
        found = (each() for listeners in self._listeners.values() for each in listeners)
        return [listener for listener in found if listener is not None]

    def _leave(self, listener: "Subscription") -> None:
        for each in self._listeners.get(listener.tenant, ()):
            if each() is listener:
                self._drop(listener.tenant, each)

    def _drop(self, tenant: str | None, gone: "ref[Subscription]") -> None:
        rest = tuple(each for each in self._listeners.get(tenant, ()) if each is not gone)
        if rest:
            self._listeners[tenant] = rest
        else:
            self._listeners.pop(tenant, None)


class Subscription(AsyncIterator[Changed]):
    """One listener: iterate it with `async for`; close it, or use it with `with`."""

    def __init__(self, live: Live, scope: Scope) -> None:
        self._live = live
        self._groups = scope.groups if isinstance(scope, UserScope) else None
        self.tenant = scope.tenant if isinstance(scope, UserScope) else None
        if self.tenant is None and scope is not SYSTEM:
            raise TypeError(f"{scope!r} cannot listen")
        self._devices: set[str] = set()
        self._many = False
        self._closed = False
        self._wake = asyncio.Event()

    def add(self, group: str | None, device: str) -> None:
        """Something about `device` has changed; counts only where the scope sees it."""
        if self._groups is not None and group not in self._groups:
            return
        if not self._many:
            self._devices.add(device)
            if len(self._devices) > MAX_NAMED:
                self.add_all()
        self._wake.set()

    def add_all(self) -> None:
        """Anything may have changed."""
        self._many = True
        self._devices.clear()
        self._wake.set()

    async def __anext__(self) -> Changed:
        await self._wake.wait()
        if self._closed:
            raise StopAsyncIteration
        self._wake.clear()
        devices, many = frozenset(self._devices), self._many
        self._devices.clear()
        self._many = False
        return None if many else devices

    def close(self) -> None:
        """Listen no longer; an iteration that waits ends."""
        self._closed = True
        self._wake.set()
        self._live._leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
