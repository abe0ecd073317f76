"""A process group that runs: its output, its errors for the log, its end. `host.py` starts it and reaps it."""

import fcntl
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vedette.agent import log
from vedette.agent.loop import Timer

if TYPE_CHECKING:
    from vedette.agent.host import Host

READ_BYTES: Final = 64 * 1024  # what a pipe holds
STDERR_BYTES: Final = 8 * 1024
KILL_AFTER_S: Final = 2.0
"""From SIGTERM to SIGKILL."""
MUTE_S: Final = 5.0
"""A process that closed its output but lives is given this long, then ended: it can never say anything again."""

OnOutput = Callable[[bytes], None]
OnEnd = Callable[[int], None]


class Process:
    """A running process group. `on_end` comes once, after the last output, with the leader's exit code (-n: signal n).

    Paused output stays in the pipe, so a flood slows its writer down instead of filling memory.
    """

    def __init__(
        self, host: "Host", name: str, pid: int, fds: tuple[int, int, int | None], on_output: OnOutput, on_end: OnEnd
    ) -> None:
        self.name = name
        self.pid = pid
        self._host = host
        self._out: int | None = fds[0]
        self._err: int | None = fds[1]
        self._in = fds[2]
        self._on_output = on_output
        self._on_end: OnEnd | None = on_end
        self.has_exited = False
        self._killing: Timer | None = None
        self._mute: Timer | None = None
        self._log = log.Limited(clock=host.loop.clock)
        self._err_rest = b""
        self._paused = False
        host.loop.add_reader(fds[0], self._read_output)
        host.loop.add_reader(fds[1], self._read_errors)

    def send(self, data: bytes) -> None:
        """Write to its standard input; nothing when that is closed or full. More than a pipe holds makes it larger."""
        if self._in is not None:
            with suppress(BlockingIOError, BrokenPipeError):
                if len(data) > READ_BYTES:
                    with suppress(OSError):  # the system allows no more: it gets a part, and says so
                        fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, len(data))
                os.write(self._in, data)

    def close_input(self) -> None:
        if self._in is not None:
            os.close(self._in)
            self._in = None

    def pause(self) -> None:
        """No more output for now."""
        if not self._paused and self._out is not None:
            self._host.loop.remove(self._out)
            self._paused = True

    def resume(self) -> None:
        if self._paused and self._out is not None:
            self._host.loop.add_reader(self._out, self._read_output)
        self._paused = False

    def kill(self) -> None:
        """End the whole group; returns at once. Nothing more is heard of it: no output, no end."""
        self._on_end = None
        self._on_output = _nobody
        self.close_input()
        self._close_output()
        self._terminate()

    def end(self) -> None:
        """End the whole group; returns at once, its end is told."""
        self.close_input()
        self._terminate()

    def _terminate(self) -> None:
        if self._killing is None and self._host.knows(self):
            self._signal(signal.SIGTERM)
            self._killing = self._host.loop.call_later(KILL_AFTER_S, self._kill_hard)
        self._maybe_done()

    def _kill_hard(self) -> None:
        self._signal(signal.SIGKILL)
        self._maybe_done()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _read_output(self) -> None:
        assert self._out is not None
        try:
            data = os.read(self._out, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._on_output(data)
            return
        self._close_output()
        if not self.has_exited:
            self._mute = self._host.loop.call_later(MUTE_S, self._terminate)
        self._maybe_done()

    def _read_errors(self) -> None:
        assert self._err is not None
        try:
            data = os.read(self._err, STDERR_BYTES)
        except BlockingIOError:
            return
        lines = (self._err_rest + data).split(b"\n")
        self._err_rest = lines.pop()[:STDERR_BYTES]
        if not data:
            lines.append(self._err_rest)
            self._close_errors()
        for line in lines:
            if line:
                level, sentence = log.relayed(line.decode(errors="replace"))
                self._log.write(level, f"{self.name}: {sentence}")

    def _close_output(self) -> None:
        if self._out is not None:
            if not self._paused:
                self._host.loop.remove(self._out)
            os.close(self._out)
            self._out = None

    def _close_errors(self) -> None:
        if self._err is not None:
            self._host.loop.remove(self._err)
            os.close(self._err)
            self._err = None

    def exited(self) -> None:
        """The leader is a zombie now. Its children may go on and still hold the output."""
        self.has_exited = True
        self._maybe_done()

    def _maybe_done(self) -> None:
        """Done when the leader has exited and nobody can write any more."""
        if not self.has_exited or self._out is not None or not self._host.knows(self):
            return
        if self._killing is not None and self._killing.pending and _group_lives(self.pid):
            return  # the leader died of the SIGTERM, its children have their moment too
        for timer in (self._killing, self._mute):
            if timer is not None:
                timer.cancel()
        self._signal(signal.SIGKILL)  # whoever is left of the group, while its number is still ours
        if self._err is not None:
            self._read_errors()
        self._close_errors()
        self.close_input()
        code = self._host.reap(self)
        if self._on_end is not None:
            self._on_end(code)


def _nobody(data: bytes) -> None:
    """Output that came after its reader lost interest."""


def _group_lives(group: int) -> bool:
    """Is anybody of this process group alive, zombies aside?"""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if len(fields) > 2 and fields[2] == str(group) and fields[0] not in "ZX":
                return True
    return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, so from field 3 on; none when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def start_time(pid: int) -> str:
    """Clock ticks from boot to the start of a process: with its pid it names it for good. Source: proc(5), field 22."""
    fields = _stat(pid)
    return fields[19] if fields else ""
