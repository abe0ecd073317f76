"""A device in this process: the daemon's own parts on real files, and its uplink, stepped until something is true."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from vedette.agent import checkfiles
from vedette.agent.follow.inotify import Inotify
from vedette.agent.host import Host
from vedette.agent.loop import Loop
from vedette.agent.menderconf import MenderConf
from vedette.agent.paths import Paths
from vedette.agent.runner import Runner
from vedette.agent.settings import Settings
from vedette.agent.store import Store, boot_id
from vedette.agent.storebounds import Limits
from vedette.agent.uplink import child
from vedette.agent.uplink.auth import Token, TokenFile
from vedette.clock import SystemClock

DEADLINE_S = 20.0
LOOK_S = 0.002


class Board:
    """One root. `start` and `stop` are the daemon's life; without `stop` it was killed."""

    def __init__(self, root: Path, url: str) -> None:
        self.paths = Paths(root)
        self.settings = Settings()
        self.url = url
        self.paths.mender_conf.parent.mkdir(parents=True)
        self.paths.mender_conf.write_text(f'{{"ServerURL": "{url}"}}')

    def check(self, name: str, pattern: str, source: Path) -> None:
        values = [("SERVICE_NAME", name), ("LOG_PATTERN", pattern), ("LOG_FILE", str(source))]
        checkfiles.create(self.paths, "log", name, values)
        checkfiles.enable(self.paths, "log", name)

    def admit(self, token: str) -> None:
        """The server has accepted this device before."""
        conf = MenderConf(server_url=self.url)
        TokenFile(self.paths.state_dir / "token", conf, self.paths.key).save(Token(value=token, ours=True))

    def start(self, limits: Limits | None = None) -> None:
        self.loop = Loop()
        self.store = Store.open(self.paths.store, limits=limits, owner=True)
        self.host = Host(self.loop)
        self.inotify = Inotify(self.loop)
        self.runner = Runner(
            loop=self.loop,
            host=self.host,
            inotify=self.inotify,
            store=self.store,
            boot=UUID(boot_id()),
            on_owed=lambda: None,
        )
        self.runner.configure(self.paths, self.settings)

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Let the daemon work until `true` says so."""
        end = time.monotonic() + DEADLINE_S

        def look() -> None:
            if true():
                self.loop.stop()
                return
            assert time.monotonic() < end, f"waited {DEADLINE_S} s in vain for {what}"
            self.loop.call_later(LOOK_S, look)

        self.loop.call_soon(look)
        self.loop.run()

    def numbered(self) -> int:
        """How many alerts this store has ever taken in."""
        row = self.store._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'alert'").fetchone()
        return int(row[0]) if row else 0

    def deliver(self) -> float | None:
        """One life of the uplink."""
        reader, writer = os.pipe()
        try:
            store = Store.open(self.paths.store)
            try:
                bell = child.Bell(reader)
                return child.Child(store, self.paths, self.settings, SystemClock(), bell, max).run()
            finally:
                store.close()
        finally:
            os.close(reader)
            os.close(writer)

    def stop(self) -> None:
        self.runner.close()
        self.lose()

    def lose(self) -> None:
        """Give back what the kernel would take from a process that was killed; the store is closed, not tidied."""
        for give_back in (self.host.kill_now, self.inotify.close, self.loop.close, self.store.close):
            with suppress(OSError, KeyError, ValueError):
                give_back()
        logs = self.paths.below("/").parent / "log"
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if entry.readlink().is_relative_to(logs):
                    os.close(int(entry.name))
