"""What the programs of custom subsystems want to know again: `subsystem_get` and `subsystem_set` of the shell library.

It lies in the store, so it survives a reboot. Each value is noted with the check for which it was set: when that check
is switched off, and what it had raised is called off with it, it must not remember that it was raised.
"""

import json
from typing import Final

from vedette.agent.store import Store
from vedette.errors import TooLarge

MAX_BYTES: Final = 64 * 1024  # of a name, and of a value
MAX_VALUES: Final = 10_000
_PREFIX: Final = "subsystem "


def get(store: Store, subsystem: str, key: str) -> str | None:
    found = store.meta(_name(subsystem, key))
    return None if found is None else _unpack(json.loads(found)[1])


def put(store: Store, subsystem: str, key: str, value: str, check: str) -> None:
    """Keep `value`; `check` is for which it is, "" for none.

    Raises:
        TooLarge: it is longer than MAX_BYTES, or there are MAX_VALUES already.
    """
    if max(len(_pack(each)) for each in (subsystem, key, value)) > MAX_BYTES:
        raise TooLarge(f"a subsystem keeps at most {MAX_BYTES} bytes under a name")
    name, packed = _name(subsystem, key), json.dumps([check, _pack(value)])
    before = store.meta(name)
    if before is None and len(store.metas(_PREFIX)) >= MAX_VALUES:
        raise TooLarge(f"subsystems keep at most {MAX_VALUES} values")
    if before != packed:  # a flash need not be written to for what it holds
        store.set_meta(name, packed)


def forget(store: Store, check: str) -> None:
    """Drop what was kept for this check."""
    gone = [name for name, value in store.metas(_PREFIX).items() if json.loads(value)[0] == check]
    if gone:
        store.drop_metas(gone)


def _name(subsystem: str, key: str) -> str:
    return _PREFIX + json.dumps([_pack(subsystem), _pack(key)])


def _pack(value: str) -> str:
    """Any bytes as text that SQLite can hold."""
    return value.encode("utf-8", "surrogateescape").decode("latin-1")


def _unpack(value: str) -> str:
    return value.encode("latin-1").decode("utf-8", "surrogateescape")
