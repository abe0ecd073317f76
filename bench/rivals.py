"""What a user would take instead of the monitor: each program set up to follow files and announce each match at once.

Lines to be found hold `hit from ADDRESS`, with addresses of one width that no other line holds; every program gets the
same lines and the same patterns, and runs with its defaults but for what makes it quicker (fail2ban with inotify, monit
with its shortest interval, grep with --line-buffered).
"""

import os
import re
import select
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.process import Cost, children
from vedette.agent import checkfiles
from vedette.agent.paths import Paths
from vedette.demo.stage import free_port

PATTERN = "hit from 10[0-9.]+"
START_WITHIN_S = 60


def address(number: int) -> str:
    """The address of sample `number` < 10,000; all of one width, so that one is never the beginning of another."""
    return f"10.{100 + number // 100}.{100 + number % 100}.100"


def hit(number: int) -> str:
    """A line to be found. fail2ban wants it to begin with the time."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S')} sshd: something has been hit from {address(number)} again\n"


def only(number: int) -> str:
    """The pattern of one sample."""
    return f"hit from {address(number)}".replace(".", r"\.")


@dataclass(kw_only=True)
class Running:
    """A program at work. `fd` gives what it announces."""

    processes: list[subprocess.Popen[bytes]]
    fd: int
    seen: bytearray = field(default_factory=bytearray)
    ask: Callable[[], bytes] | None = None  # how to look, where a program announces nothing by itself
    announced: Callable[[int], str] = address  # what it says about `hit(number)`

    def wait_for(self, text: str, within_s: float) -> bool:
        """True as soon as the program has announced `text`; False when it did not in time."""
        wanted, end = text.encode(), time.monotonic() + within_s
        start = 0
        while (left := end - time.monotonic()) > 0:
            if self.ask is not None:
                if wanted in self.ask():
                    return True
                time.sleep(0.001)
                continue
            if wanted in memoryview(self.seen)[start:].tobytes():
                del self.seen[: self.seen.index(wanted) + len(wanted)]
                return True
            start = max(0, len(self.seen) - len(wanted))
            if select.select([self.fd], [], [], min(left, 0.5))[0]:
                data = os.read(self.fd, 1 << 16)
                if not data:
                    return False
                self.seen += data
            elif self.processes[0].poll() is not None:
                return False
        return False

    def cost(self) -> Cost:
        """Of all its processes together."""
        costs = []
        for pid in self.pids():
            with suppress(OSError, KeyError):
                costs.append(Cost.of(pid))
        return Cost(
            cpu_s=sum(each.cpu_s for each in costs),
            rss_mb=sum(each.rss_mb for each in costs),
            pss_mb=sum(each.pss_mb for each in costs),
            wakeups=sum(each.wakeups for each in costs),
        )

    def pids(self) -> list[int]:
        found = [process.pid for process in self.processes]
        for pid in found:  # grows while it is gone through
            with suppress(OSError):
                found += children(pid)
        return found

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        os.close(self.fd)


@dataclass(frozen=True, kw_only=True)
class Rival:
    """How one program is started in a directory of its own, on files that exist, with patterns."""

    name: str
    program: str  # what must be on PATH
    start: Callable[[Path, Sequence[Path], Sequence[str]], Running]
    samples: int = 200  # that are worth their time
    rests_s: float = 0.01  # between samples

    @property
    def missing(self) -> bool:
        return shutil.which(self.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None


def _spawn(
    *words: str | Path, out: int | None = None, stdin: int | None = None, both: bool = False
) -> subprocess.Popen[bytes]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return subprocess.Popen(
        [shutil.which(str(words[0]), path=path) or str(words[0]), *map(str, words[1:])],
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.DEVNULL if out is None else out,
        stderr=out if both and out is not None else subprocess.DEVNULL,
        env={**os.environ, "PATH": path},
    )


def _piped(*words: str | Path) -> Running:
    """A program whose standard output and error announce."""
    read, write = os.pipe()
    process = _spawn(*words, out=write, both=True)
    os.close(write)
    return Running(processes=[process], fd=read)


def _fifo(directory: Path) -> tuple[Path, int]:
    path = directory / "announced"
    os.mkfifo(path)
    return path, os.open(path, os.O_RDWR | os.O_NONBLOCK)  # also for writing: no writer, no end of file


# -- one each ----------------------------------------------------------------------------------------------------------


def vedette(directory: Path, checks: Sequence[tuple[str, str, Path]], *, module: str = "vedette.agent") -> Running:
    """`checks`: name, pattern and file of each. Announces what it has raised, after it is on disk."""
    paths = Paths(directory)
    for name, pattern, path in checks:
        values: list[tuple[str, str | int]] = [
            ("SERVICE_NAME", name),
            ("LOG_PATTERN", pattern),
            ("LOG_FILE", str(path)),
        ]
        checkfiles.create(paths, "log", name, values)
        checkfiles.enable(paths, "log", name)
    return start_daemon(directory, module)


def start_daemon(directory: Path, module: str = "vedette.agent") -> Running:
    running = _piped(sys.executable, "-m", module, "--root", directory)
    running.announced = lambda number: f"(log_hit-{number})"
    return running


def tail_grep(directory: Path, files: Sequence[Path], patterns: Sequence[str]) -> Running:
    read, write = os.pipe()
    tail = subprocess.Popen(
        ["tail", "-q", "-n", "+1", "-F", *map(str, files)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert tail.stdout is not None
    grep = _spawn("grep", "--line-buffered", "-a", "-E", "|".join(patterns), stdin=tail.stdout.fileno(), out=write)
    tail.stdout.close()
    os.close(write)
    return Running(processes=[tail, grep], fd=read)


def rsyslog(directory: Path, files: Sequence[Path], patterns: Sequence[str]) -> Running:
    path, fd = _fifo(directory)
    rules = "\n".join(
        f'if re_match($msg, "{pattern}") then action(type="ompipe" pipe="{path}" template="bare")'
        for pattern in patterns
    )
    config = directory / "rsyslog.conf"
    config.write_text(
        f'global(workDirectory="{directory}")\nmodule(load="imfile" mode="inotify")\n'
        'template(name="bare" type="string" string="%msg%\\n")\n'
        f'input(type="imfile" File="{_glob(files)}" Tag="bench")\n{rules}\n'
    )
    process = _spawn("rsyslogd", "-n", "-f", config, "-i", directory / "pid")
    return Running(processes=[process], fd=fd)


def fail2ban(directory: Path, files: Sequence[Path], patterns: Sequence[str]) -> Running:
    config = directory / "fail2ban"
    shutil.copytree("/etc/fail2ban", config)
    for own in (*config.glob("jail.d/*"), *config.glob("*.local")):
        own.unlink()
    (config / "fail2ban.local").write_text(
        f"[Definition]\nlogtarget = STDOUT\nsocket = {directory}/socket\npidfile = {directory}/pid\ndbfile = None\n"
    )
    failregex = "\n    ".join(pattern.replace("10[0-9.]+", "<HOST>") for pattern in patterns)
    (config / "filter.d/bench.conf").write_text(f"[Definition]\nfailregex = {failregex}\n")
    (config / "jail.local").write_text(
        "[DEFAULT]\nbackend = auto\nusedns = no\nmaxretry = 100000\nignoreself = no\naction =\n"
        f"[bench]\nenabled = true\nfilter = bench\nlogpath = {_glob(files)}\n"
    )
    return _piped("fail2ban-server", "-f", "-c", config, "-s", directory / "socket", "-p", directory / "pid", "start")


def sec(directory: Path, files: Sequence[Path], patterns: Sequence[str]) -> Running:
    rules = "\n\n".join(
        f"type=Single\nptype=RegExp\npattern={pattern}\ndesc=found\naction=write - $0\n" for pattern in patterns
    )
    (directory / "sec.conf").write_text(rules)
    return _piped("sec", f"--conf={directory / 'sec.conf'}", f"--input={_glob(files)}", "--debug=3")


def mtail(directory: Path, files: Sequence[Path], patterns: Sequence[str]) -> Running:
    programs = directory / "programs"
    programs.mkdir()
    # Not [0-9.]+, of which mtail makes a number.
    grouped = [pattern.replace("10[0-9.]+", r"(?P<ip>10\S+)") for pattern in patterns]
    (programs / "bench.mtail").write_text(
        "counter hits by ip\n" + "".join(f"/{each}/ {{\n  hits[$ip]++\n}}\n" for each in grouped)
    )
    port = free_port(0)
    process = _spawn(
        "mtail", "--progs", programs, "--logs", _glob(files), "--address", "127.0.0.1", "--port", str(port)
    )

    def ask() -> bytes:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
            data: bytes = answer.read()
            return data
        return b""

    return Running(processes=[process], fd=os.open(os.devnull, os.O_RDONLY), ask=ask)


def monit(directory: Path, files: Sequence[Path], patterns: Sequence[str]) -> Running:
    path, fd = _fifo(directory)
    notify = directory / "notify"
    notify.write_text(f'#!/bin/sh\necho "$MONIT_DESCRIPTION" > {path}\n')
    notify.chmod(0o700)
    tests = "".join(f'  if content = "{pattern}" then exec "{notify}"\n' for pattern in patterns)
    config = directory / "monitrc"
    config.write_text(
        f"set daemon 1\nset pidfile {directory}/pid\nset statefile {directory}/state\nset idfile {directory}/id\n"
        + "".join(f'check file f{number} with path "{each}"\n{tests}' for number, each in enumerate(files))
    )
    config.chmod(0o600)
    return Running(processes=[_spawn("monit", "-I", "-c", config)], fd=fd)


def _glob(files: Sequence[Path]) -> str:
    """All files of a measurement lie in a directory of their own."""
    return str(files[0]) if len(files) == 1 else str(files[0].parent / "*.log")


RIVALS = (
    Rival(name="`tail -F` and `grep --line-buffered`", program="grep", start=tail_grep),
    Rival(name="rsyslog", program="rsyslogd", start=rsyslog),
    Rival(name="fail2ban", program="fail2ban-server", start=fail2ban, samples=100),
    Rival(name="sec", program="sec", start=sec, samples=40, rests_s=0.03),
    Rival(name="mtail", program="mtail", start=mtail, samples=20, rests_s=0.07),
    Rival(name="monit", program="monit", start=monit, samples=5, rests_s=0.3),
)


def version(rival: Rival) -> str:
    """The version of the Debian package, for the report."""
    package = {"grep": "grep", "rsyslogd": "rsyslog", "fail2ban-server": "fail2ban"}.get(rival.program, rival.program)
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
    )
    return re.sub(r"^\d+:", "", done.stdout.strip()) if done.returncode == 0 else "?"
