"""Keeps a child running while something is owed to the server. The child knows how, the courier knows when."""

import json
import sqlite3
from collections.abc import Callable
from typing import Final

from vedette.agent import bootstrap, log, metakeys
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.pathwatch import PathWatch
from vedette.agent.host import Host
from vedette.agent.loop import Loop, Timer
from vedette.agent.paths import Paths
from vedette.agent.process import Process
from vedette.agent.settings import Settings
from vedette.agent.store import Store
from vedette.agent.storefile import DAMAGED
from vedette.agent.uplink import terms
from vedette.errors import Unavailable

CRASH_WAIT_S: Final = 5.0
"""After a child that failed, or that left at once with things still owed."""
MAX_OUTPUT: Final = 64 * 1024
LATER: Final = ("calendar", "random", "ssl")
"""What only comes along with `http.client`, and is seldom used."""


class Courier:
    """At most one child at a time; none while it asked to wait, or while mender.conf is missing."""

    def __init__(
        self,
        *,
        loop: Loop,
        host: Host,
        inotify: Inotify,
        store: Store,
        paths: Paths,
        settings: Settings,
        on_apply: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop, self._host, self._store, self._paths = loop, host, store, paths
        self._settings, self._on_apply = settings, on_apply
        self._child: Process | None = None
        self._started_at = 0.0
        self._output = b""
        self._wait: Timer | None = None
        self._push: Timer | None = None
        self._ask: Timer | None = None
        self._again = False
        self._stopping = False
        self._told_missing = False
        self._conf = PathWatch(inotify, str(paths.mender_conf), lambda modified: self._on_conf())

    def start(self) -> None:
        """Begin: there may be things owed from before, and a token to ask for."""
        self._hand_over()
        self._plan_push()
        self.ring()

    def apply(self, settings: Settings) -> None:
        """The settings have changed; a child that runs goes on with what it had."""
        self._settings = settings
        self._hand_over()
        if self._push is not None:
            self._push.cancel()
        self._plan_push()

    def ring(self) -> None:
        """There is something new."""
        if self._child is not None:
            self._child.send(b"\n")
            self._again = True
        elif self._wait is None or not self._wait.pending:
            self._start()

    def stop(self) -> None:
        """Let the child finish what it is at; it has until `Host.kill_all`."""
        self._stopping = True
        self._conf.close()
        for timer in (self._wait, self._push, self._ask):
            if timer is not None:
                timer.cancel()
        if self._child is not None:
            self._child.close_input()

    def _start(self) -> None:
        if self._stopping:
            return
        if not self._paths.mender_conf.exists():
            if not self._told_missing:
                log.warn(f"{self._paths.mender_conf} does not exist: nothing is sent, everything is kept")
                self._told_missing = True
            return
        self._told_missing = False
        args = bootstrap.arguments("vedette.agent.uplink", later=LATER)
        if self._paths.root is not None:
            args += ["--root", str(self._paths.root)]
        self._output, self._again = b"", False
        self._started_at = self._loop.clock.elapsed()
        try:
            self._child = self._host.start_child("uplink", args, self._on_output, self._on_end)
        except OSError as exc:
            log.error(f"the uplink cannot be started: {exc.strerror}")
            self._wait = self._loop.call_later(CRASH_WAIT_S, self._start)

    def _on_output(self, data: bytes) -> None:
        self._output = (self._output + data)[-MAX_OUTPUT:]
        if b'"apply"' in data:
            self._on_apply()

    def _on_end(self, code: int) -> None:
        self._child = None
        if self._stopping:
            return
        wait_s, ask_s = (_last(self._output, name) for name in ("retry_in_s", "ask_in_s"))
        if ask_s is not None:
            if self._ask is not None:
                self._ask.cancel()
            self._ask = self._loop.call_later(ask_s, self.ring)
        if code != 0:
            log.error(f"the uplink failed with exit code {code}")
            if code == DAMAGED:
                self._look_for_damage()
            wait_s = max(wait_s or 0.0, CRASH_WAIT_S)
        elif wait_s is None and (self._owes() or (self._again and self._unreported())):
            lived_s = self._loop.clock.elapsed() - self._started_at
            wait_s = 0.0 if lived_s > CRASH_WAIT_S else CRASH_WAIT_S
        if wait_s is not None:
            self._wait = self._loop.call_later(wait_s, self._start)

    def _look_for_damage(self) -> None:
        try:
            self._store.look_for_damage()
        except (sqlite3.Error, OSError, Unavailable) as exc:
            log.error(f"the store cannot be replaced: {exc}")

    def _owes(self) -> bool:
        try:
            return bool(self._store.owed(1, 1))
        except sqlite3.Error as exc:
            log.error(f"the store cannot be read: {exc}")
            return True

    def _unreported(self) -> bool:
        """Was the set of checks changed when the child was about to go, and did not hear of it?"""
        try:
            return self._store.meta(metakeys.CONFIG) != self._store.meta(metakeys.CONFIG_SENT)
        except sqlite3.Error as exc:
            log.error(f"the store cannot be read: {exc}")
            return False

    def _hand_over(self) -> None:
        """A store that cannot be written now, as on a full disk, costs the children the change, never the daemon."""
        try:
            terms.hand_over(self._store, self._settings)
        except (sqlite3.Error, OSError, Unavailable) as exc:
            log.error(f"the uplink goes by the settings it had, for the store cannot be written: {exc}")

    def _plan_push(self) -> None:
        """The set of checks is told again from time to time, for a server that has lost it."""
        if self._settings.confpush_interval > 0:
            self._push = self._loop.call_later(self._settings.confpush_interval, self._on_push)

    def _on_push(self) -> None:
        self._plan_push()
        self.ring()

    def _on_conf(self) -> None:
        """mender.conf came, changed or went: whatever was waited for, try now with what it says."""
        self._conf.refresh()
        if self._child is not None:
            self._child.close_input()  # it ends, and the next one reads the file anew
            self._wait = self._loop.call_later(1.0, self.ring)
            return
        if self._wait is not None:
            self._wait.cancel()
        self._start()


def _last(output: bytes, name: str) -> float | None:
    """The number of seconds that the child's last line has under `name`; None when it has none."""
    lines = output.split()
    try:
        value = json.loads(output.splitlines()[-1])[name] if lines else None
        return max(0.0, float(value)) if value is not None else None
    except (ValueError, KeyError, TypeError):
        return None
