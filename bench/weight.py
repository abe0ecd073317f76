"""What the monitor weighs while nothing happens, what a further followed file costs, and how soon it is at work.

Compiled bytecode is cached, as it is where the package is installed: without it the daemon compiles its own source at
each start, which takes time, and memory that stays.
"""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from bench import rivals
from bench.markdown import table
from bench.places import fresh, some_place
from bench.process import Cost
from bench.rivals import PATTERN, Running
from vedette.demo.stage import Stage

SEPARATE = (1, 100, 1000)
"""Files with a check each."""
TOGETHER = (100, 1000, 10_000)
"""Files of one check, by a pattern of names."""
SETTLE_S, IDLE_S = 15, 30
PATTERNS = 1000
STARTS = 7
WITHIN_S = 90.0
HEAD = ("## What the monitor weighs", "", "In memory, with cached bytecode as where the package is installed.", "")
LINE = "an ordinary line of a log, of which there is nothing to be said\n"


def measure(stage: Stage) -> list[str]:
    """Markdown lines. Takes some two minutes."""
    with some_place(stage, memory=True) as place, _cached_bytecode(place / "bytecode"):
        return [*HEAD, *_idle(stage, place), *_start(stage, place)]


@contextmanager
def _cached_bytecode(directory: Path) -> Iterator[None]:
    names = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ["PYTHONPYCACHEPREFIX"] = str(directory)
    try:
        yield
    finally:
        del os.environ["PYTHONPYCACHEPREFIX"]
        os.environ.update(before)


def _idle(stage: Stage, place: Path) -> list[str]:
    _warm(place)
    runs: list[tuple[str, int, Running]] = []
    try:
        for count in SEPARATE:
            files = _files(place, count)
            checks = [(f"check-{number}", PATTERN, path) for number, path in enumerate(files)]
            runs.append(("a check each", count, rivals.vedette(fresh(place), checks)))
        for count in TOGETHER:
            pattern = _files(place, count)[0].parent / "*.log"
            runs.append(("one check, `*.log`", count, rivals.vedette(fresh(place), [("all", PATTERN, pattern)])))
        stage.say(f"{len(runs)} daemons, {SETTLE_S} s until all is read, {IDLE_S} s of nothing ...")
        for _, _, running in runs:
            running.wait_for("watching", WITHIN_S)
        time.sleep(SETTLE_S)
        before = [running.cost() for *_, running in runs]
        time.sleep(IDLE_S)
        after = [running.cost() for *_, running in runs]
    finally:
        for *_, running in runs:
            running.stop()
    figures = list(zip(runs, before, after, strict=True))
    rows = [
        (
            how,
            count,
            f"{new.rss_mb:.1f}",
            f"{new.pss_mb:.1f}",
            f"{new.cpu_s - old.cpu_s:.2f}",
            new.wakeups - old.wakeups,
        )
        for (how, count, _), old, new in figures
    ]
    costs = [(how, count, cost) for (how, count, _), _, cost in figures]
    steps = [
        (how, f"{few:,} to {many:,}", f"{(more.rss_mb - less.rss_mb) * 1024 / (many - few):.2f}")
        for (how, few, less), (other, many, more) in pairwise(costs)
        if how == other
    ]
    return [
        "### Idle",
        "",
        f"After all was read, {IDLE_S} s in which nothing happens. Each daemon with all its threads; it has no child.",
        "Expected: RSS < 18 MB with 100 checks on 100 files, no wake-up, no CPU.",
        "",
        *table("followed files | files | RSS MB | PSS MB | CPU s | wake-ups", *rows),
        "The differences in RSS. Expected: < 1 kB for a further file. A further check has a pattern besides.",
        "",
        *table("followed files | from | kB for a further one", *steps),
    ]


def _start(stage: Stage, place: Path) -> list[str]:
    stage.say(f"{STARTS} starts with {PATTERNS} patterns in the cache ...")
    log = _files(place, 1)[0]
    root = fresh(place)
    checks = [
        (f"component-{number}", f"component {number} has been hit from 10[0-9.]+", log) for number in range(PATTERNS)
    ]
    running = rivals.vedette(root, checks)
    running.wait_for(f"watching {PATTERNS} checks", WITHIN_S)
    _wait_for_cache(root)
    running.stop()
    taken, cpu = [], []
    cost: Cost | None = None
    for number in range(STARTS):
        with log.open("a") as file:
            file.write(f"component {number} has been hit from 10.1.1.1\n")
        begun = time.monotonic()
        running = rivals.start_daemon(root)
        if running.wait_for(f"(log_component-{number})", WITHIN_S):
            taken.append(time.monotonic() - begun)
            cost = running.cost()
            cpu.append(cost.cpu_s)
        running.stop()
    row = (
        (f"{statistics.median(taken):.2f}", f"{min(taken):.2f}", f"{statistics.median(cpu):.2f}")
        if taken
        else ("never", "", "")
    )
    return [
        f"### From the start of the process to the first detection, {PATTERNS} checks with their patterns in the cache",
        "",
        f"{len(taken)} starts; the alert is on the disk. CPU seconds do not depend on who else uses the machine.",
        "",
        *table(
            "median s | least s | CPU s, median | RSS MB | expected",
            (*row, f"{cost.rss_mb:.1f}" if cost else "", "< 0.3 s"),
        ),
    ]


def _warm(place: Path) -> None:
    """All bytecode is there once a daemon has looked at a line."""
    log = _files(place, 1)[0]
    running = rivals.vedette(fresh(place), [("warm", "nothing to be said", log)])
    running.wait_for("(log_warm)", WITHIN_S)
    running.stop()


def _wait_for_cache(root: Path) -> None:
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end and not list(root.glob("var/lib/mender-monitor/patterns/*.patterns")):
        time.sleep(0.1)


def _files(place: Path, count: int) -> list[Path]:
    """Logs with some lines, in a directory of their own."""
    directory = fresh(place)
    files = [directory / f"{number:05}.log" for number in range(count)]
    for path in files:
        path.write_text(LINE * 10)
    return files
