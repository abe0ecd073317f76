"""What the security checks cost on this machine, beside the tools that people would take: whole processes.

Ours are run as the daemon runs them, in a child that is told what to look at; once to learn, and once more when nothing
has changed. All have had the files in the page cache. Bytes are those that a process and its children asked for, from
whatever they came (`rchar` of proc_pid_io(5)). Each tool gets LIMIT_S seconds.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.markdown import table
from bench.places import fresh, some_place
from vedette.agent import bootstrap
from vedette.demo.stage import Stage
from vedette.model.security import SECURITY, interpret

LIMIT_S = 100
HEAVY = ("setuid", "integrity")
"""Kinds that learn; the others are measured by one look."""
PLACES = interpret("integrity", {})["paths"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One process, with all that it started."""

    seconds: float
    cpu_s: float
    megabytes: float
    rss_mb: float
    output: bytes
    ended: bool = True

    def row(self) -> tuple[str, ...]:
        figures = (f"{self.seconds:.1f}", f"{self.cpu_s:.1f}", f"{self.megabytes:,.0f}", f"{self.rss_mb:.0f}")
        return figures if self.ended else tuple(f"> {each}" for each in figures)


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A tool, and what it is asked."""

    name: str
    command: Sequence[str]
    beside: str  # which of ours it comes nearest to

    @property
    def installed(self) -> bool:
        return shutil.which(self.command[0]) is not None


def measure(stage: Stage) -> list[str]:
    """Markdown lines. Takes some minutes, most of them the others'."""
    with some_place(stage) as place:
        rows = [*_ours(stage, place), *_theirs(stage, place)]
    return [
        "## Looks of the security checks",
        "",
        f"{_files()} The defaults of each kind; places of `integrity` and aide: {', '.join(PLACES)}.",
        "",
        "`cve` has no feed here; `python -m bench cve` gives it one. > is where a tool was ended, as it took too long.",
        "",
        *table("what | seconds | CPU s | MB read | RSS MB, itself | beside", *rows),
        f"Load average {os.getloadavg()[0]:.1f}: where others want the processors, compare CPU seconds.",
        "",
    ]


def _files() -> str:
    done = subprocess.run(["find", "/", "-xdev", "-printf", "."], stdout=subprocess.PIPE, check=False)
    return f"{len(done.stdout):,} files."


def _ours(stage: Stage, place: Path) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for kind in SECURITY:
        state = fresh(place)
        before: dict[str, Any] = {"baseline": "", "memory": None}
        for time_ in ("to learn", "nothing changed") if kind in HEAVY else ("one look",):
            stage.say(f"{kind}, {time_} ...")
            run = _run(_child(), json.dumps(_question(kind, state, before)).encode() + b"\n")
            answer = json.loads(run.output or b"{}")
            if "baseline" not in answer:
                rows.append((f"`{kind}`: {answer.get('error', 'no answer')[:60]}", *["-"] * 5))
                break
            before = {"baseline": answer["baseline"], "memory": answer["memory"] or before["memory"]}
            rows.append((f"`{kind}`, {time_}", *run.row(), ""))
    return rows


def _child() -> list[str]:
    return [sys.executable, *bootstrap.arguments("vedette.agent.security")]


def _question(kind: str, state: Path, before: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": kind,
        "check": f"{kind}_bench",
        "settings": {"process": "python3"} if kind == "pid-change" else {},
        "root": "/",
        "state": str(state),
        "baseline": before["baseline"],
        "memory": before["memory"],
        "raised": {},
        "limit_s": LIMIT_S,
        "log_level": "ERROR",
    }


def _theirs(stage: Stage, place: Path) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for rival in _rivals(place):
        if not rival.installed:
            stage.say(f"{rival.name}: not installed")
            rows.append((f"{rival.name}: not installed", *["-"] * 4, rival.beside))
            continue
        stage.say(f"{rival.name} ...")
        rows.append((rival.name, *_run(rival.command).row(), rival.beside))
    return rows


def _rivals(place: Path) -> list[Rival]:
    config = place / "aide.conf"
    config.write_text(
        f"database_in=file:{place}/aide.old\ndatabase_out=file:{place}/aide.new\ngzip_dbout=no\nreport_url=file:/dev/null\n"
        "Rule = p+u+g+i+s+m+c+sha256\n" + "".join(f"{Path(each).resolve()} Rule\n" for each in PLACES)
    )
    find = ["find", "/", "-xdev", "-type", "f", "-perm", "/6000"]
    check = ["sh", "-c", f"mv {place}/aide.new {place}/aide.old; exec aide --config {config} --check"]
    return [
        Rival(name="`find -perm /6000`", command=find, beside="`setuid`, without capabilities, owners, contents"),
        Rival(name="`getcap -r /`", command=["getcap", "-r", "/"], beside="`setuid`, capabilities alone"),
        Rival(
            name="aide, to learn", command=["aide", "--config", str(config), "--init"], beside="`integrity`, to learn"
        ),
        Rival(name="aide, nothing changed", command=check, beside="`integrity`, nothing changed"),
        Rival(
            name="debsums",
            command=["debsums", "--silent", "--all"],
            beside="`integrity`, to learn; all of each package",
        ),
        Rival(name="chkrootkit", command=["chkrootkit", "-q"], beside="`processes`, `setuid`"),
        Rival(
            name="rkhunter",
            command=["rkhunter", "--check", "--skip-keypress", "--quiet", "--nolog"],
            beside="`integrity`, `processes`, `ports`",
        ),
        Rival(name="lynis", command=["lynis", "audit", "system", "--quick", "--quiet"], beside="all, once"),
        Rival(name="debsecan", command=["debsecan", "--suite", "bookworm"], beside="`cve`; wants the internet"),
    ]


def _run(command: Sequence[str], question: bytes = b"") -> Run:
    """Run it to its end, or for LIMIT_S."""
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(question)
    process.stdin.close()
    os.set_blocking(process.stdout.fileno(), False)
    output, ended, peak_kb = b"", True, 0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        output += process.stdout.read() or b""
        peak_kb = max(peak_kb, _peak_kb(process.pid))
        if time.monotonic() - started > LIMIT_S:
            ended = False
            os.killpg(process.pid, 9)
        time.sleep(0.01)
    seconds = time.monotonic() - started
    output += process.stdout.read() or b""
    process.stdout.close()
    counts = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Run(
        seconds=seconds,
        cpu_s=used.ru_utime + used.ru_stime,
        megabytes=int(counts["rchar"]) / 1e6,
        rss_mb=peak_kb / 1024,
        output=output,
        ended=ended,
    )


def _peak_kb(pid: int) -> int:
    """Of the process itself; what `wait4` tells begins with the size of whoever started it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
