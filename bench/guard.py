"""What the nine kinds of security checks cost while nothing happens: the daemon, its children, and how often they wake.

At their default intervals; what reads much (`cve`, `integrity`, `setuid`) looks once an hour or a day, which is
measured by the part `security`.
"""

import time
from pathlib import Path
from typing import Final

from bench import rivals
from bench.markdown import table
from bench.places import fresh, some_place
from bench.process import TICKS_PER_S, Cost
from bench.rivals import Running
from vedette.agent import checkfiles, control_security, security
from vedette.agent.paths import Paths
from vedette.demo.stage import Stage

SETTLE_S: Final = 60
IDLE_S: Final = 120
NEEDED: Final = {"pid-change": "process=sshd", "setuid": "paths=/usr/local", "integrity": "paths=/usr/local/bin"}


def measure(stage: Stage) -> list[str]:
    """Markdown lines. Takes three minutes."""
    with some_place(stage) as place:
        runs = [("none", _daemon(place, ())), ("all nine kinds", _daemon(place, security.KINDS))]
        try:
            stage.say(f"{SETTLE_S} s for the first looks, {IDLE_S} s of nothing ...")
            for _, running in runs:
                running.wait_for("watching", SETTLE_S)
            time.sleep(SETTLE_S)
            before = [(running.cost(), _of_children(running)) for _, running in runs]
            time.sleep(IDLE_S)
            after = [(running.cost(), _of_children(running)) for _, running in runs]
        finally:
            for _, running in runs:
                running.stop()
    rows = [_row(name, *old, *new) for (name, _), old, new in zip(runs, before, after, strict=True)]
    return [
        "## The nine kinds of security checks while nothing happens",
        "",
        f"{IDLE_S} s, default intervals (15 s to a minute; the looks of an hour and more are not in it).",
        "Expected: together less than 5 MB in the daemon.",
        "",
        *table("security checks | RSS MB | PSS MB | CPU s of the daemon | of its children | wake-ups", *rows),
    ]


def _daemon(place: Path, kinds: tuple[str, ...]) -> Running:
    directory = fresh(place)
    paths = Paths(directory)
    for kind in kinds:
        values = control_security.assignments(kind, [NEEDED[kind]] if kind in NEEDED else [])
        checkfiles.create(paths, kind, "bench", values)
        checkfiles.enable(paths, kind, "bench")
    return rivals.start_daemon(directory)


def _row(name: str, old: Cost, old_children_s: float, new: Cost, new_children_s: float) -> tuple[object, ...]:
    return (
        name,
        f"{new.rss_mb:.1f}",
        f"{new.pss_mb:.1f}",
        f"{new.cpu_s - old.cpu_s:.2f}",
        f"{new_children_s - old_children_s:.2f}",
        new.wakeups - old.wakeups,
    )


def _of_children(running: Running) -> float:
    """Processor time of all children that have ended. Source: proc(5), /proc/PID/stat, cutime and cstime."""
    fields = Path(f"/proc/{running.processes[0].pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS_PER_S
