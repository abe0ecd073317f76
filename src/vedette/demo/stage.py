"""Starts the real programs on this machine, keeps them up as systemd would, and ends them in reverse."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self

from vedette.errors import Unavailable

END_WITHIN_S = 10
RESTART_AFTER_S = 1.0

PROGRAMS = {
    "vedette": ("-m", "vedette"),
    "mender-monitord": ("-m", "vedette.agent"),
    "mender-monitorctl": ("-m", "vedette.agent.control"),
}


class Supervised:
    """A program that is started again when it dies, until `stop`. Its output goes to a file."""

    def __init__(self, name: str, args: list[str], log: Path, say: Callable[[str], None]) -> None:
        self.name = name
        self._args = args
        self._say = say
        self._stopping = threading.Event()
        self._log: IO[bytes] = log.open("ab")
        self._process = self._spawn()
        self._thread = threading.Thread(target=self._watch, name=f"watch-{name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _spawn(self) -> subprocess.Popen[bytes]:
        # Its own session: Ctrl-C reaches the demo alone, which then ends the programs in the right order.
        return subprocess.Popen(  # noqa: S603 - our own programs
            self._args, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def _watch(self) -> None:
        while True:
            code = self._process.wait()
            if self._stopping.is_set():
                return
            self._say(f"{self.name} ended ({_ended_how(code)}); starting it again, as systemd would")
            if self._stopping.wait(RESTART_AFTER_S):
                return
            self._process = self._spawn()

    def stop(self) -> None:
        self._stopping.set()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        self._thread.join(END_WITHIN_S)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log.close()


def _ended_how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"


class Stage(contextlib.ExitStack):
    """A directory of its own and the programs in it; leaving it ends and removes everything."""

    def __init__(self, say: Callable[[str], None], *, keep: bool = False) -> None:
        super().__init__()
        self.say = say
        self._keep = keep

    def __enter__(self) -> Self:
        super().__enter__()
        self.path = Path(tempfile.mkdtemp(prefix="vedette-demo-"))
        self.callback(self._clear)
        return self

    def _clear(self) -> None:
        if self._keep:
            self.say(f"kept: {self.path}")
        else:
            shutil.rmtree(self.path)

    def start(self, program: str, *args: str) -> Supervised:
        """Start a program for as long as the stage stands."""
        command = [sys.executable, *PROGRAMS[program], *args]
        started = Supervised(program, command, self.path / f"{program}.log", self.say)
        self.callback(started.stop)
        return started

    def run(self, program: str, *args: str, stdin: str = "") -> str:
        """Run a program to its end; its output.

        Raises:
            Unavailable: it failed; with what it said.
        """
        command = [sys.executable, *PROGRAMS[program], *args]
        done = subprocess.run(  # noqa: S603 - our own programs
            command, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise Unavailable(f"{program} {args[0]}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def free_port(preferred: int) -> int:
    """`preferred` when nobody listens there, else one that the kernel picks."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise Unavailable("no free port on 127.0.0.1")


def command_hint(program: str) -> str:
    """How a person types `program`: its name when it is on their PATH, else where it is."""
    installed = Path(sys.executable).parent / program
    if shutil.which(program) or not installed.exists():
        return program
    return os.path.relpath(installed)
