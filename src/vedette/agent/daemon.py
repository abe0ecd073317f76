"""The daemon: opens what it needs, runs until it is told to stop, gives everything back.

One per root: the pid file is locked as long as the process lives, so a file that a crash left behind hinders nobody.
"""

import fcntl
import os
import resource
import signal
from pathlib import Path
from typing import Final
from uuid import UUID

from vedette.agent import lean, log
from vedette.agent import settings as settings_file
from vedette.agent.clockwatch import ClockWatch
from vedette.agent.configure.starter import Starter
from vedette.agent.courier import Courier
from vedette.agent.follow.inotify import CREATE, DELETE, ENTRIES, Inotify
from vedette.agent.follow.pathwatch import PathWatch
from vedette.agent.host import Host
from vedette.agent.loop import Loop, Timer
from vedette.agent.paths import Paths
from vedette.agent.process import KILL_AFTER_S
from vedette.agent.redactrules import UserRules
from vedette.agent.runner import Runner
from vedette.agent.sdnotify import Notifier
from vedette.agent.settings import Settings
from vedette.agent.store import Store, boot_id
from vedette.agent.storebounds import Limits
from vedette.errors import Conflict, Unavailable

RESCAN_S: Final = 0.1
"""Changes of check files within this time are looked at together."""
TRIM_S: Final = 3.0
"""After the start there is more memory in our hands than ever again: given back once the first reading is done."""
FILES: Final = 32_768
"""May be open at once."""
STOP_S: Final = 3.0
"""What the uplink may take to finish when the daemon stops."""


def run(root: Path | None) -> int:
    """Run in the foreground until SIGTERM or SIGINT; returns the exit code.

    Raises:
        Conflict: a daemon runs on this root already.
        Unavailable: the store or the pid file cannot be used.
    """
    lean.settle()
    _allow_files()
    notifier = Notifier()
    paths, settings = settings_file.load(root)
    lock = _lock(paths.pid_file)
    try:
        _Daemon(root, paths, settings, notifier).run()
    finally:
        paths.pid_file.unlink(missing_ok=True)
        os.close(lock)
    return 0


class _Daemon:
    def __init__(self, root: Path | None, paths: Paths, settings: Settings, notifier: Notifier) -> None:
        self._root, self._paths, self._settings, self._notifier = root, paths, settings, notifier
        self._loop = Loop()
        self._watches: list[PathWatch] = []
        self._deleted: set[str] = set()
        self._rescan: Timer | None = None
        self._stopping = False

    def run(self) -> None:
        self._apply_log()
        self._make_directories()
        limits = Limits(
            count=self._settings.alert_offline_store_max_count, age_s=self._settings.alert_store_max_record_age_s
        )
        self._store = Store.open(self._paths.store, limits=limits, owner=True)
        self._store.redact = UserRules(self._paths.redact_rules).alert
        self._host = Host(self._loop, self._paths.children)
        self._host.end_leftovers()
        self._inotify = Inotify(self._loop)
        self._starter = Starter(loop=self._loop, host=self._host, paths=self._paths, on_done=self._tell)
        self._courier = Courier(
            loop=self._loop,
            host=self._host,
            inotify=self._inotify,
            store=self._store,
            paths=self._paths,
            settings=self._settings,
            on_apply=self._starter.ring,
        )
        self._runner = Runner(
            loop=self._loop,
            host=self._host,
            inotify=self._inotify,
            store=self._store,
            boot=UUID(boot_id()),
            on_owed=self._tell,
        )
        ClockWatch(self._loop, self._runner.look_again)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.on_signal(number, self._stop)
        self._loop.on_signal(signal.SIGHUP, self._reload)
        self._watch()
        self._runner.configure(self._paths, self._settings)
        self._starter.start()
        self._courier.start()
        self._notifier.send("READY=1", f"STATUS={self._runner.summary}", f"MAINPID={os.getpid()}")
        self._keep_alive()
        self._loop.call_later(TRIM_S, self._give_back)
        try:
            self._loop.run()
        finally:
            self._host.kill_now()
            self._store.close()
            self._loop.close()
        log.info("stopped")

    def _tell(self) -> None:
        """There is something for the server."""
        self._courier.ring()

    def _give_back(self) -> None:
        self._store.shrink()
        lean.give_back()

    def _apply_log(self) -> None:
        try:
            log.configure(level=self._settings.config_log_level, file=self._settings.daemon_log_file)
        except OSError as exc:
            log.configure(level=self._settings.config_log_level)
            log.warn(f"DAEMON_LOG_FILE {self._settings.daemon_log_file} cannot be written: {exc.strerror}")
        for problem in self._settings.problems:
            log.warn(problem)

    def _make_directories(self) -> None:
        for directory in (self._paths.available, self._paths.enabled):
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as exc:  # perhaps read-only: then waited for
                log.warn(f"{directory} cannot be made: {exc.strerror}")

    # -- what is configured --------------------------------------------------------------------------------------

    def _watch(self) -> None:
        for watch in self._watches:
            watch.close()
        self._watches = [
            PathWatch(self._inotify, str(self._paths.config_sh), lambda modified: self._reload()),
            PathWatch(self._inotify, str(self._paths.enabled), lambda modified: self._plan_rescan(), ENTRIES),
            PathWatch(self._inotify, str(self._paths.available), lambda modified: self._plan_rescan(), ENTRIES),
        ]
        self._watch_deletions()

    def _watch_deletions(self) -> None:
        """A check that is deleted and made again at once is a new one; looking at what is there would not show it."""
        try:
            self._inotify.add(str(self._paths.available), DELETE | CREATE, "deletions", self._on_entry)
        except OSError:
            return  # missing: nothing in it to be deleted

    def _on_entry(self, mask: int, name: str) -> None:
        if mask & DELETE and name.endswith(".sh") and not name.startswith("."):
            self._deleted.add(name.removesuffix(".sh"))
        self._plan_rescan()

    def _plan_rescan(self) -> None:
        if self._rescan is None or not self._rescan.pending:
            self._rescan = self._loop.call_later(RESCAN_S, self._configure)

    def _configure(self) -> None:
        if self._stopping:
            return
        for watch in self._watches:
            watch.refresh()
        self._watch_deletions()
        deleted, self._deleted = self._deleted, set()
        self._runner.configure(self._paths, self._settings, deleted)
        self._notifier.send(f"STATUS={self._runner.summary}")

    def _reload(self) -> None:
        paths, settings = settings_file.load(self._root)
        if settings != self._settings:
            moved = paths.monitor_d != self._paths.monitor_d
            self._paths, self._settings = paths, settings
            self._apply_log()
            self._courier.apply(settings)
            log.info("the settings have changed")
            if moved:
                self._make_directories()
                self._watch()
        self._plan_rescan()

    # -- life ----------------------------------------------------------------------------------------------------

    def _keep_alive(self) -> None:
        if self._notifier.watchdog_s and not self._stopping:
            self._notifier.send("WATCHDOG=1")
            self._loop.call_later(self._notifier.watchdog_s, self._keep_alive)

    def _stop(self) -> None:
        """Save the places, end the commands, let the uplink finish; a second signal changes nothing."""
        if self._stopping:
            return
        self._stopping = True
        self._notifier.send("STOPPING=1", "STATUS=stopping")
        self._loop.call_soon(self._end)  # what was to be read when we were told is read, and new files are noted

    def _end(self) -> None:
        self._runner.close()
        self._starter.stop()
        self._courier.stop()
        self._loop.call_later(STOP_S, self._host.kill_all)
        self._loop.call_later(STOP_S + KILL_AFTER_S, self._loop.stop)
        self._host.when_idle(self._loop.stop)


def _allow_files() -> None:
    """Each followed file is open; a login shell allows 1024, but more to whom asks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _lock(path: Path) -> int:
    """Write our pid into the pid file and hold its lock; returns the descriptor."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                other = os.read(fd, 20).decode(errors="replace").strip()
                os.close(fd)
                raise Conflict(f"a mender-monitord runs here already (pid {other or 'unknown'}, {path})") from None
            if _names(path, fd):
                break
            os.close(fd)  # the one before us removed it just then
        os.truncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
    except OSError as exc:
        raise Unavailable(f"the pid file {path} cannot be written: {exc.strerror}") from exc
    return fd


def _names(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
