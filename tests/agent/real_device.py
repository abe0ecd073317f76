"""A device to test on: the real daemon below a temporary root, and its store read from outside."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from vedette.agent import checkfiles
from vedette.agent.paths import Paths

DEADLINE_S = 20.0


def wait_until(true: Callable[[], Any], what: str = "", within_s: float = DEADLINE_S) -> Any:
    """Ask until the answer is true, and return it; fails after a deadline that only a broken program reaches."""
    end = time.monotonic() + within_s
    while not (answer := true()):
        assert time.monotonic() < end, f"waited {within_s} s in vain: {what or true}"
        time.sleep(0.01)
    return answer


class Device:
    """One root and the daemon on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.paths = Paths(directory / "root")
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}
        self.command: tuple[str, ...] = (sys.executable, "-m", "vedette.agent", "--root", str(self.paths.root))

    def start(self) -> None:
        self.paths.pid_file.unlink(missing_ok=True)
        with (self.directory / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stderr=log,
                stdout=log,
                env={**os.environ, **self.environment},
            )
        wait_until(lambda: self.paths.pid_file.exists() and "watching" in self.log(), "the daemon to start")

    def stop(self) -> int:
        """As systemd does it."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(DEADLINE_S)
        self.process = None
        return code

    def kill(self) -> None:
        """As a power cut does it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE_S)
        self.process = None

    def log(self) -> str:
        path = self.directory / "daemon.log"
        return path.read_text() if path.exists() else ""

    def check(self, name: str, pattern: str, source: Path | str, expires: int | None = None, **more: str) -> None:
        """Create and enable a log check, the way the control tool does."""
        values: list[tuple[str, str | int]] = [
            ("SERVICE_NAME", name),
            ("LOG_PATTERN", pattern),
            ("LOG_FILE", str(source)),
            *more.items(),
        ]
        if expires is not None:
            values.append(("LOG_PATTERN_EXPIRATION", expires))
        checkfiles.create(self.paths, "log", name, values)
        checkfiles.enable(self.paths, "log", name)

    def disable(self, name: str) -> None:
        checkfiles.disable(self.paths, "log", name)

    def delete(self, name: str) -> None:
        checkfiles.delete(self.paths, "log", name)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        if not self.paths.store.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.paths.store}?mode=ro", uri=True, timeout=10)) as db:
            try:
                return db.execute(sql).fetchall()
            except sqlite3.OperationalError as exc:
                if "no such table" in str(exc):
                    return []
                raise

    def alerts(self, check: str = "") -> list[dict[str, Any]]:
        """All alerts owed, oldest first; of one check when named."""
        bodies = [json.loads(body) for (body,) in self.query("SELECT body FROM alert ORDER BY sequence")]
        return [each for each in bodies if not check or each["subject"]["name"] == f"log_{check}"]

    def levels(self, check: str = "") -> list[str]:
        return [each["level"] for each in self.alerts(check)]

    def wait_for(self, count: int, check: str = "") -> list[dict[str, Any]]:
        """The first `count` alerts, when they are there."""
        wait_until(lambda: len(self.alerts(check)) >= count, f"{count} alerts of {check or 'any check'}\n{self.log()}")
        return self.alerts(check)

    def caught_up(self, path: Path, check: str) -> None:
        """Wait until the daemon has saved a place at the end of `path`."""
        wait_until(
            lambda: (
                self.query(f"SELECT offset, inode FROM position WHERE \"check\" = 'log_{check}'")
                == [(path.stat().st_size, path.stat().st_ino)]
            ),
            f"the end of {path}",
        )
