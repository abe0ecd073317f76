"""In the daemon: runs the child that applies a configuration. At most one, when it is told that there is something."""

from collections.abc import Callable
from typing import Final

from vedette.agent import bootstrap, log
from vedette.agent.host import Host
from vedette.agent.loop import Loop, Timer
from vedette.agent.paths import Paths
from vedette.agent.process import Process
from vedette.agent.store import boot_id

AGAIN_S: Final = 60.0
"""After a child that failed, as on a full disk."""


class Starter:
    """`on_done` is called when a child has ended: there may be something to tell the server."""

    def __init__(self, *, loop: Loop, host: Host, paths: Paths, on_done: Callable[[], None]) -> None:
        self._loop, self._host, self._paths, self._on_done = loop, host, paths, on_done
        self._child: Process | None = None
        self._wait: Timer | None = None
        self._again = self._stopping = False

    def start(self) -> None:
        """Begin: somebody may have been interrupted, or this is another boot."""
        begun = self._paths.deployment.exists() or self._paths.apply_journal.exists()
        if begun or (self._paths.apply_programs.exists() and self._is_new_boot()):
            self.ring()

    def _is_new_boot(self) -> bool:
        """Has a configuration been applied, in another boot than this?"""
        try:
            return boot_id() not in self._paths.applied_in.read_text()
        except OSError:
            return False

    def ring(self) -> None:
        """There is something to apply."""
        if self._stopping or (self._wait is not None and self._wait.pending):
            return
        if self._child is not None:
            self._again = True
            return
        self._again = False
        args = bootstrap.arguments("vedette.agent.configure")
        if self._paths.root is not None:
            args += ["--root", str(self._paths.root)]
        try:
            self._child = self._host.start_child("configure", args, lambda _: None, self._on_end)
        except OSError as exc:
            log.error(f"the configuration cannot be applied: {exc.strerror}")
            self._later()

    def stop(self) -> None:
        """A child that is at work has until `Host.kill_all`; the next daemon goes on where it was."""
        self._stopping = True
        if self._wait is not None:
            self._wait.cancel()

    def _on_end(self, code: int) -> None:
        self._child = None
        if code:
            self._later()
            return
        if self._again:
            self.ring()
        self._on_done()

    def _later(self) -> None:
        if not self._stopping:
            self._wait = self._loop.call_later(AGAIN_S, self.ring)
