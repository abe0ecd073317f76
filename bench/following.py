"""From the write of a line to its detection: how soon, how much a second, how evenly, and at which cost of storage.

Beside `tail -F | grep --line-buffered`, which is what one would take instead to be told at once. Detection is measured
as theirs is: the moment the program has announced that it knows the line. The monitor then makes an alert of it, with
its context and on the disk; that moment is given too.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import rivals, writes
from bench.markdown import table
from bench.places import fresh, log_files, some_place
from bench.process import Cost
from bench.rivals import Running, address, hit, only
from vedette.demo.stage import Stage

MANY = 1000
"""Files, where many are measured."""
SAMPLES, ROUND = 200, 25
RATE_MB = 1000
RATE_WRITERS = (1, 16)
RATE_RUNS = 3
WITHIN_S = 30.0

Taken = list[tuple[float, float]]


def measure(stage: Stage) -> list[str]:
    """Markdown lines. Takes some three minutes."""
    return ["## Following", "", *_latency(stage), *rate(stage), *_stalls(stage), *writes.measure(stage)]


# -- how soon ----------------------------------------------------------------------------------------------------------


def _latency(stage: Stage) -> list[str]:
    rows = []
    for count in (1, MANY):
        for where, memory in (("disk", False), ("memory", True)):
            stage.say(f"latency with {count} files, store and logs in {where} ...")
            taken: Taken = []
            # A check that is raised announces nothing more: each sample has a check of its own.
            for first in range(0, SAMPLES, ROUND) if count == 1 else (0,):
                numbers = range(first, first + ROUND) if count == 1 else range(MANY)
                with some_place(stage, memory=memory) as place:
                    files = log_files(place, count)
                    checks = [(f"hit-{number}", only(number), files[number % count]) for number in numbers]
                    running = rivals.vedette(fresh(place), checks, module="bench.recognised")
                    try:
                        if running.wait_for(f"watching {len(checks)} checks", WITHIN_S):
                            taken += _both(running, files, numbers[:SAMPLES])
                    finally:
                        running.stop()
            rows.append((f"**vedette**, {where}: recognised", count, *spread([known for known, _ in taken])))
            rows.append((f"**vedette**, {where}: stored, synced", count, *spread([stored for _, stored in taken])))
        with some_place(stage, memory=True) as place:
            files = log_files(place, count)
            running = rivals.tail_grep(fresh(place), files, [rivals.PATTERN])
            try:
                ready = all(prime(running, path, 9000 + 100 * n) for n, path in enumerate({files[0], files[-1]}))
                alone = samples(running, files, range(SAMPLES), 0.01) if ready else []
            finally:
                running.stop()
        rows.append(("`tail -F`, `grep --line-buffered`, memory", count, *spread(alone)))
    return [
        "### From the write of a line to its detection",
        "",
        f"One line at a time, 10 ms apart, into each file in turn. The monitor has {ROUND} checks on one file, or one",
        f"on each of {MANY}. Expected: median < 0.5 ms, p99 < 5 ms.",
        "",
        *table("program | files | samples | median ms | p99 ms | most ms", *rows),
    ]


def _both(running: Running, files: Sequence[Path], numbers: Iterable[int]) -> Taken:
    """Seconds from the write until the line is known, and until its alert is stored."""
    taken: Taken = []
    for number in numbers:
        time.sleep(0.01)
        with files[number % len(files)].open("ab", buffering=0) as file:
            begun = time.monotonic()
            file.write(hit(number).encode())
            if running.wait_for(f"recognised (log_hit-{number})", WITHIN_S):
                known = time.monotonic() - begun
                if running.wait_for(running.announced(number), WITHIN_S):
                    taken.append((known, time.monotonic() - begun))
    return taken


def samples(running: Running, files: Sequence[Path], numbers: Iterable[int], rest_s: float) -> list[float]:
    """Seconds, each from the write to the announcement; those that never came are left out, and missed in the count."""
    taken = []
    for number in numbers:
        path = files[number % len(files)]
        time.sleep(rest_s)
        with path.open("ab", buffering=0) as file:
            begun = time.monotonic()
            file.write(hit(number).encode())
            if running.wait_for(running.announced(number), WITHIN_S):
                taken.append(time.monotonic() - begun)
    return taken


def prime(running: Running, path: Path, number: int) -> bool:
    """Write lines into a file until the program has announced one of them: now it is at work."""
    for attempt in range(int(rivals.START_WITHIN_S / 2)):
        with path.open("ab", buffering=0) as file:
            file.write(hit(number + attempt).encode())
        if running.wait_for(address(number + attempt), 2):
            return True
        if running.processes[0].poll() is not None:
            return False
    return False


def spread(taken: Sequence[float]) -> tuple[object, ...]:
    """How many, their median, 99th percentile and maximum in milliseconds, for a table."""
    if not taken:
        return (0, "did not start", "", "")
    ordered = sorted(taken)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return (len(taken), f"{statistics.median(ordered) * 1000:.2f}", f"{p99 * 1000:.1f}", f"{ordered[-1] * 1000:.1f}")


# -- how much a second -------------------------------------------------------------------------------------------------

WRITER = """
import os, sys
path, megabytes, last = sys.argv[1], float(sys.argv[2]), sys.argv[3]
line = b"Nov 23 09:31:15 host app[4242]: request 7f3a served in 12 ms, nothing to be seen here, going on with it\\n"
block = line * (65536 // len(line))
fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for _ in range(int(megabytes * 1e6 / len(block))):
    os.write(fd, block)
os.write(fd, last.encode() + b"\\n")
"""


def rate(stage: Stage) -> list[str]:
    """Sustained rate with writers at full speed, in turns with the other."""
    rows = []
    for writers in RATE_WRITERS:
        runs: dict[str, list[tuple[float, float, float, float]]] = {"vedette": [], "tail": []}
        for _ in range(RATE_RUNS):
            for name, kept in runs.items():
                stage.say(f"sustained rate, {writers} writers, {name} ...")
                with some_place(stage, memory=True) as place:
                    files = log_files(place, writers)
                    if name == "vedette":
                        checks = [(f"hit-{number}", rivals.PATTERN, path) for number, path in enumerate(files)]
                        running = rivals.vedette(fresh(place), checks)
                        running.wait_for(f"watching {len(checks)} checks", WITHIN_S)
                        time.sleep(4)  # what the start took is given back
                    else:
                        running = rivals.tail_grep(fresh(place), files, [rivals.PATTERN])
                        prime(running, files[-1], 9000)
                    try:
                        kept.append(_flood(running, files))
                    finally:
                        running.stop()
        ours, others = (sorted(kept)[RATE_RUNS // 2] for kept in runs.values())
        rows.append(
            (
                writers,
                f"{ours[0]:.0f}",
                f"{others[0]:.0f}",
                f"{ours[0] / others[0]:.2f}" if others[0] else "",
                f"{ours[1]:.2f}",
                f"{others[1]:.2f}",
                f"{ours[2]:.1f}",
                f"{ours[3]:.1f}",
            )
        )
    return [
        "### Sustained: writers at full speed until everything is read",
        "",
        f"{RATE_MB} MB in all, in memory; writers and readers share the cores; the last line of each file matches. Of",
        f"{RATE_RUNS} runs in turns the median; CPU of the readers alone. Expected: ratio 2, RSS flat.",
        "",
        *table(
            "writers | **vedette** MB/s | `tail -F`, `grep --line-buffered` MB/s | ratio | CPU s of vedette"
            " | of the other | RSS of vedette before MB | most RSS MB",
            *rows,
        ),
    ]


def _flood(running: Running, files: Sequence[Path]) -> tuple[float, float, float, float]:
    """MB/s until the last line of every file is announced, CPU seconds, RSS before and the most on the way in MB."""
    before = running.cost()
    begun = time.monotonic()
    share = RATE_MB / len(files)
    writers = [
        subprocess.Popen([sys.executable, "-S", "-c", WRITER, path, str(share), hit(number).strip()])
        for number, path in enumerate(files)
    ]
    rss, left = before.rss_mb, {running.announced(number) for number in range(len(files))}
    while left and time.monotonic() < begun + 120:
        rss = max(rss, running.cost().rss_mb)
        running.wait_for("\0", 0.05)  # never comes: collects what is announced
        left = {each for each in left if each.encode() not in running.seen}
    seconds = time.monotonic() - begun
    for writer in writers:
        writer.wait()
    cpu_s = running.cost().cpu_s - before.cpu_s
    return (RATE_MB / seconds if not left else 0.0), cpu_s, before.rss_mb, rss


# -- how evenly --------------------------------------------------------------------------------------------------------

NASTY_S = 3.0
QUIET = 120
"""Lines in another file meanwhile."""
NASTY: Sequence[tuple[str, str, str]] = (
    ("nothing", rivals.PATTERN, ""),
    ("random bytes", rivals.PATTERN, "piece = os.urandom(1 << 20)"),
    ("NUL bytes, a newline each MB", rivals.PATTERN, "piece = bytes((1 << 20) - 1) + b'\\n'"),
    ("1 GB without a newline", rivals.PATTERN, "piece = b'x' * (1 << 20)"),
    ("`(a+)+$` and lines of `a`", "(a+)+$|hit from", "piece = (b'a' * 60 + b'!\\n') * 100"),
)
NASTY_WRITER = """
import os, sys, time
rest = float(sys.argv[2])
{piece}
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for _ in range(1000):
    os.write(fd, piece)
    time.sleep(rest)
"""


def _stalls(stage: Stage) -> list[str]:
    rows = []
    for what, pattern, piece in NASTY:
        stage.say(f"another check meanwhile: {what} ...")
        with some_place(stage, memory=True) as place:
            quiet, nasty = log_files(place, 2)
            checks = [(f"hit-{number}", only(number), quiet) for number in range(QUIET)]
            checks.append((f"hit-{QUIET}", pattern, nasty))
            rounds = place / "rounds"
            os.environ["ROUNDS"] = str(rounds)
            running = rivals.vedette(fresh(place), checks, module="bench.recognised")
            try:
                running.wait_for(f"watching {len(checks)} checks", WITHIN_S)
                time.sleep(4)
                *figures, found, written, before, most = _beside(running, quiet, nasty, piece)
                longest = f"{float(rounds.read_text()) * 1000:.1f}"
                rows.append((what, *figures, longest, found, written, before, most))
            finally:
                del os.environ["ROUNDS"]
                running.stop()
    return [
        "### Another check while one file is nasty",
        "",
        f"{QUIET} lines into a quiet file in {NASTY_S:g} s or more; meanwhile up to 1 GB of the worst into another,",
        "then one line that matches. Writer, monitor and measurement share the cores: the first row is what that alone",
        "costs. The longest round is what reading kept all else waiting at most, in CPU time: what other programs",
        "took is not in it. Expected: no stall over 50 ms, no line lost, RSS flat.",
        "",
        *table(
            "in the other file | lines known | median ms | p99 ms | most ms | longest round ms | last line found"
            " | MB written | RSS before MB | most RSS MB",
            *rows,
        ),
    ]


def _beside(running: Running, quiet: Path, nasty: Path, piece: str) -> tuple[object, ...]:
    pid = running.processes[0].pid
    before = most = Cost.of(pid).rss_mb
    writer = None
    if piece:
        program = NASTY_WRITER.format(piece=piece)  # ends by itself, after all
        writer = subprocess.Popen([sys.executable, "-S", "-c", program, nasty, str(NASTY_S / 1000)])
    taken = []
    for number in range(QUIET):
        time.sleep(NASTY_S / QUIET)
        with quiet.open("ab", buffering=0) as file:
            begun = time.monotonic()
            file.write(hit(number).encode())
            if running.wait_for(f"recognised (log_hit-{number})", WITHIN_S):
                taken.append(time.monotonic() - begun)
        most = max(most, Cost.of(pid).rss_mb)
    found = "-"
    if writer is not None:
        writer.terminate()
        writer.wait()
        with nasty.open("ab") as file:
            file.write(b"\n" + hit(QUIET).encode())
        found, end = "no", time.monotonic() + WITHIN_S
        while found == "no" and time.monotonic() < end:
            most = max(most, Cost.of(pid).rss_mb)
            found = "yes" if running.wait_for(running.announced(QUIET), 0.05) else "no"
    return (*spread(taken), found, f"{nasty.stat().st_size / 1e6:.0f}", f"{before:.1f}", f"{most:.1f}")
