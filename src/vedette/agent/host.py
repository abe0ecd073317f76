"""The only module that starts processes.

Each in a process group of its own, so that it ends as a group: a shell with all its children. The leader is not
reaped before its group is done with: while it is a zombie its number names nobody else, so no kill goes astray.
But for `output` nothing here blocks: exits come by SIGCHLD, the second, harder kill by a timer.
"""

import os
import select
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from vedette.agent import log
from vedette.agent.loop import Loop
from vedette.agent.process import READ_BYTES, OnEnd, OnOutput, Process, start_time
from vedette.clock import Clock, SystemClock
from vedette.errors import Unavailable

USUAL_SIGNALS: Final = frozenset(range(1, signal.SIGSYS + 1)) - {signal.SIGKILL, signal.SIGSTOP}
"""In what we start they mean the usual, whatever Python or who started the daemon (as `nohup`) has made of them."""


class Host:
    """Starts processes and knows all that run. `children_file` lets the next daemon end what a killed one left."""

    def __init__(self, loop: Loop, children_file: Path | None = None) -> None:
        self.loop = loop
        self._children_file = children_file
        self._processes: dict[int, Process] = {}
        self._on_idle: Callable[[], None] | None = None
        loop.on_signal(signal.SIGCHLD, self._on_sigchld)

    def start_shell(self, name: str, command: str, on_output: OnOutput, on_end: OnEnd) -> Process:
        """Run a line of shell. Raises OSError when nothing more can be started."""
        return self._start(name, ("/bin/sh", "-c", command), on_output, on_end, with_input=False)

    def start_child(self, name: str, args: Sequence[str], on_output: OnOutput, on_end: OnEnd) -> Process:
        """Run this interpreter with `args`, its standard input open for `send`."""
        return self._start(name, (sys.executable, *args), on_output, on_end, with_input=True)

    def run(
        self,
        name: str,
        argv: Sequence[str],
        on_output: OnOutput,
        on_end: OnEnd,
        *,
        errors_are_output: bool = False,
        environment: Mapping[bytes, bytes] | None = None,
    ) -> Process:
        """Run a program by its absolute path. Its errors go to the log, or are part of its output.

        `environment` is what it gets in place of ours. Raises OSError when it cannot be started.
        """
        return self._start(
            name,
            argv,
            on_output,
            on_end,
            with_input=False,
            errors_are_output=errors_are_output,
            environment=environment,
        )

    def knows(self, process: Process) -> bool:
        return self._processes.get(process.pid) is process

    def runs(self, name: str) -> bool:
        """Is a process of this name there, be it that it was told to end and has not yet?"""
        return any(process.name == name for process in self._processes.values())

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call once when no process is left; at once when there is none now."""
        if self._processes:
            self._on_idle = callback
        else:
            callback()

    def kill_all(self) -> None:
        """End every group with SIGTERM, and with SIGKILL when the loop runs on for KILL_AFTER_S."""
        for process in list(self._processes.values()):
            process.kill()

    def kill_now(self) -> None:
        """SIGKILL to whatever is left, without waiting; for the moment before the daemon goes."""
        for process in self._processes.values():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        if self._children_file is not None:
            self._children_file.unlink(missing_ok=True)

    def end_leftovers(self) -> None:
        """End the groups that a killed daemon left behind."""
        if self._children_file is not None:
            end_leftovers(self._children_file)

    def reap(self, process: Process) -> int:
        del self._processes[process.pid]
        _, status = os.waitpid(process.pid, 0)  # a zombie: returns at once
        self._note_children()
        if not self._processes and self._on_idle is not None:
            self.loop.call_soon(self._on_idle)
            self._on_idle = None
        return os.waitstatus_to_exitcode(status)

    def _start(
        self,
        name: str,
        argv: Sequence[str],
        on_output: OnOutput,
        on_end: OnEnd,
        *,
        with_input: bool,
        errors_are_output: bool = False,
        environment: Mapping[bytes, bytes] | None = None,
    ) -> Process:
        pipes: list[int] = []
        try:
            out_read, out_write = _pipe(pipes)
            err_read, err_write = _pipe(pipes)
            in_read: int | None = None
            in_write: int | None = None
            if with_input:
                in_read, in_write = _pipe(pipes)
            actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
                if in_read is None
                else (os.POSIX_SPAWN_DUP2, in_read, 0),
                (os.POSIX_SPAWN_DUP2, out_write, 1),
                (os.POSIX_SPAWN_DUP2, out_write if errors_are_output else err_write, 2),
            ]
            pid = os.posix_spawn(
                argv[0],
                list(argv),
                os.environ if environment is None else environment,
                file_actions=actions,
                setpgroup=0,
                setsigmask=(),
                setsigdef=USUAL_SIGNALS,
            )
        except BaseException:
            for fd in pipes:
                os.close(fd)
            raise
        ours = {out_read, err_read, in_write}
        for fd in pipes:
            if fd in ours:
                os.set_blocking(fd, False)
            else:
                os.close(fd)
        process = Process(self, name, pid, (out_read, err_read, in_write), on_output, on_end)
        self._processes[pid] = process
        self._note_children()
        return process

    def _on_sigchld(self) -> None:
        for process in list(self._processes.values()):
            if not process.has_exited and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                process.exited()

    def _note_children(self) -> None:
        if self._children_file is None:
            return
        text = "".join(f"{pid} {start_time(pid)}\n" for pid in self._processes)
        temporary = self._children_file.with_name(self._children_file.name + ".new")
        try:
            temporary.write_text(text)
            temporary.replace(self._children_file)
        except OSError as exc:  # only a comfort for the next start
            log.debug(f"{self._children_file} cannot be written: {exc}")


def end_leftovers(children_file: Path) -> None:
    """End the groups in the file, left by somebody who was killed. A number that means another by now is spared."""
    if not children_file.exists():
        return
    for line in children_file.read_text().splitlines():
        pid, _, started = line.partition(" ")
        if pid.isdigit() and started and start_time(int(pid)) == started:
            log.info(f"ending the process group {pid}, left by one that was killed")
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(int(pid), signal.SIGKILL)
    children_file.unlink(missing_ok=True)


def finish(
    argv: Sequence[str], *, limit_s: float, keep_bytes: int, environment: Mapping[str, str], children_file: Path
) -> tuple[int | None, bytes]:
    """Run a program to its end; its exit code, and the last of what it wrote. Blocks.

    None instead of a code: it took longer than `limit_s` and was ended, with all of its group. What a program that
    ends in time has started stays. `children_file` names the group while it runs, for `end_leftovers`.

    Raises:
        OSError: it cannot be started.
    """
    clock = SystemClock()
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            environment,
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, write, 1),
                (os.POSIX_SPAWN_DUP2, write, 2),
            ),
            setpgroup=0,
            setsigmask=(),
            setsigdef=USUAL_SIGNALS,
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    children_file.parent.mkdir(parents=True, exist_ok=True)
    children_file.write_text(f"{pid} {start_time(pid)}\n")
    data, end, code = b"", clock.elapsed() + limit_s, None
    exited = os.pidfd_open(pid)
    try:
        os.set_blocking(read, False)
        poll = select.poll()
        poll.register(exited, select.POLLIN)
        poll.register(read, select.POLLIN)
        while (left_s := end - clock.elapsed()) > 0:
            ready = {fd for fd, _ in poll.poll(left_s * 1000)}
            if read in ready:
                part = os.read(read, READ_BYTES)
                data = (data + part)[-keep_bytes:]
                if not part:
                    poll.unregister(read)  # it has closed its output, and may work on
            if exited in ready:
                break
        with suppress(BlockingIOError):  # the rest, but nobody is waited for who has been started and stays
            data = (data + os.read(read, READ_BYTES))[-keep_bytes:]
    finally:
        if _exits(pid, clock.elapsed(), clock):
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        else:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(read)
        os.close(exited)
        children_file.unlink(missing_ok=True)
    return code, data


def output(
    argv: Sequence[str], *, timeout_s: float, max_bytes: int, clock: Clock | None = None, cut: bool = False
) -> str:
    """Run a program to its end and return what it printed. Blocks, so it is not for the daemon's own process.

    With `cut` a program that prints more than `max_bytes` is ended there, and that is what it printed.

    Raises:
        Unavailable: it cannot be started, takes longer than `timeout_s`, prints more than `max_bytes`, or fails.
    """
    clock = clock or SystemClock()
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            os.environ,
            file_actions=((os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, write, 1)),
            setpgroup=0,
            setsigdef=USUAL_SIGNALS,
        )
    except OSError as exc:
        os.close(read)
        raise Unavailable(f"{argv[0]} cannot be started: {exc.strerror}") from exc
    finally:
        os.close(write)
    data, end, enough = b"", clock.elapsed() + timeout_s, False
    trouble = f"{argv[0]} took longer than {timeout_s:g} s"
    try:
        poll = select.poll()
        poll.register(read, select.POLLIN)
        while poll.poll(max(0.0, end - clock.elapsed()) * 1000):
            part = os.read(read, READ_BYTES)
            data += part
            if len(data) > max_bytes:
                trouble = f"{argv[0]} printed more than {max_bytes} bytes"
                enough = cut
                break
            if not part:
                trouble = ""
                break
    finally:
        os.close(read)
        if trouble or not _exits(pid, end, clock):
            trouble = trouble or f"{argv[0]} took longer than {timeout_s:g} s"
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if enough:
        return data[:max_bytes].decode(errors="replace")
    if trouble:
        raise Unavailable(trouble)
    if code != 0:
        raise Unavailable(f"{argv[0]} failed with exit code {code}")
    return data.decode(errors="replace")


def _exits(pid: int, end: float, clock: Clock) -> bool:
    """Wait until the process has exited (it stays to be reaped) or until `end`."""
    fd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(max(0.0, end - clock.elapsed()) * 1000))
    finally:
        os.close(fd)


def _pipe(made: list[int]) -> tuple[int, int]:
    read, write = os.pipe2(os.O_CLOEXEC)
    made += (read, write)
    return read, write
