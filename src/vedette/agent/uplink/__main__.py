"""`python -m vedette.agent.uplink [--root DIR]`: see the package's description. Only the daemon starts it."""

import vedette.agent.lean  # noqa: F401  # isort: skip  # before all that it makes quicker to import

import fcntl
import json
import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from vedette.agent import log
from vedette.agent.paths import Paths
from vedette.agent.store import Store
from vedette.agent.storefile import DAMAGED, Damaged, is_damage
from vedette.agent.uplink import terms
from vedette.agent.uplink.backoff import draw
from vedette.agent.uplink.child import BROKEN_S, Bell, Child
from vedette.clock import SystemClock
from vedette.errors import VedetteError

APPLY = {"apply": 1.0}
USAGE = "usage: python -m vedette.agent.uplink [--root DIR]"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and (len(arguments) != 2 or arguments[0] != "--root"):
        print(USAGE, file=sys.stderr)
        return 2
    os.environ.pop("JOURNAL_STREAM", None)  # our standard error is the daemon's pipe, not the journal
    try:
        waits = _live(Paths(Path(arguments[1]) if arguments else None))
    except Damaged as trouble:
        log.error(str(trouble))
        return DAMAGED
    if any(each is not None for each in waits):
        names = ("retry_in_s", "ask_in_s")
        _say({name: round(each, 3) for name, each in zip(names, waits, strict=True) if each is not None})
    return 0


def _say(what: dict[str, float]) -> None:
    with suppress(OSError):  # the daemon is gone
        os.write(1, json.dumps(what).encode() + b"\n")


def _live(paths: Paths) -> tuple[float | None, float | None]:
    """One child's work; seconds to wait before the next may come, and until one must; None: all is done."""
    try:
        paths.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(paths.state_dir / "uplink.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)  # the child of a killed daemon may still be sending: each alert once
        with closing(Store.open(paths.store)) as store:
            agreed = terms.taken(store, paths)
            log.configure(level=agreed.config_log_level)  # the daemon takes care of the file
            child = Child(store, paths, agreed, SystemClock(), Bell(0), draw, lambda: _say(APPLY))
            return child.run(), child.ask_in_s
    except (VedetteError, sqlite3.Error, OSError) as trouble:
        if isinstance(trouble, Damaged) or (isinstance(trouble, sqlite3.Error) and is_damage(trouble)):
            raise Damaged(f"the store {paths.store} is damaged: {trouble}") from trouble
        log.error(f"nothing can be delivered now: {trouble}")
        return draw(*BROKEN_S), None


if __name__ == "__main__":
    sys.exit(main())
