"""Side by side with what a user would take instead: latency, idle weight, start-up. Rate and writes: `following`.

Every program gets the same lines in the same files, in one run on one machine. The monitor's figures hold more than
those of the others: what it announces is on disk, synced, with its context, so that it survives a power cut; they pass
the line on. So its latency is given twice, with its store on the disk and with its store in memory.
"""

import statistics
import sys
import time
from collections.abc import Sequence

from bench import rivals
from bench.following import prime, samples, spread
from bench.markdown import table
from bench.places import fresh, log_files, some_place
from bench.rivals import RIVALS, Rival, Running, address, only
from vedette.demo.stage import Stage

MANY = 1000
"""Files, and patterns, where many are measured."""
SAMPLES, ROUND = 200, 10
IDLE_S = 60
IDLE_FILES, IDLE_CHECKS = 100, 50
WITHIN_S = 30.0


def measure(stage: Stage) -> list[str]:
    """Markdown lines. Takes some five minutes; says on the way what it does and what it leaves out."""
    present = [rival for rival in RIVALS if not rival.missing]
    absent = [rival.name for rival in RIVALS if rival.missing]
    lines = ["## Beside what one would take instead", ""]
    lines += [", ".join(f"{each.name.replace(' and', ',')} {rivals.version(each)}" for each in present) + ".", ""]
    if absent:
        stage.say(f"not installed and left out: {', '.join(absent)}")
        lines += [f"Not installed and left out: {', '.join(absent)}.", ""]
    return [
        *lines,
        *_latency(stage, present),
        *_idle(stage, present),
        *_start(stage, present),
    ]


# -- (b) latency -------------------------------------------------------------------------------------------------------


def _latency(stage: Stage, present: Sequence[Rival]) -> list[str]:
    rows = []
    for count in (1, MANY):
        stage.say(f"latency with {count} followed files ...")
        for name, memory in (("**vedette**", False), ("**vedette**, store in memory", True)):
            taken = []
            # A check that is raised announces nothing more: each sample has a check of its own.
            for first in range(0, SAMPLES, ROUND) if count == 1 else (0,):
                numbers = range(first, first + ROUND) if count == 1 else range(MANY)
                with some_place(stage, memory=memory) as place:
                    files = log_files(place, count)
                    checks = [(f"hit-{number}", only(number), files[number % count]) for number in numbers]
                    running = rivals.vedette(fresh(place), checks)
                    try:
                        if running.wait_for(f"watching {len(checks)} checks", WITHIN_S):
                            taken += samples(running, files, numbers[:SAMPLES], 0.01)
                    finally:
                        running.stop()
            rows.append((name, count, *spread(taken)))
        for rival in present:
            with some_place(stage) as place:
                files = log_files(place, count)
                running = rival.start(fresh(place), files, [rivals.PATTERN])
                try:
                    ready = all(prime(running, path, 9000 + 100 * n) for n, path in enumerate({files[0], files[-1]}))
                    taken = samples(running, files, range(rival.samples), rival.rests_s) if ready else []
                finally:
                    running.stop()
            rows.append((rival.name, count, *spread(taken)))
    return [
        "### From the write of a line to its detection",
        "",
        f"One line at a time, into each file in turn. The monitor has {ROUND} checks on one file, or one on each of",
        f"{MANY}; the others have one pattern. Expected: median < 0.5 ms, p99 < 5 ms.",
        "",
        *table("program | files | samples | median ms | p99 ms | most ms", *rows),
    ]


# -- (c) idle ----------------------------------------------------------------------------------------------------------


def _idle(stage: Stage, present: Sequence[Rival]) -> list[str]:
    """All programs at once, each with files of its own: nothing happens, so none is in another's way."""
    stage.say(f"idle, {IDLE_S} s of nothing ...")
    # In memory: the monitor is woken by every file that somebody makes beside the directories of its own.
    with some_place(stage, memory=True) as place:
        runs: list[tuple[str, int, int, Running]] = []
        patterns = [
            rivals.PATTERN,
            *(f"event number {number} of [a-z]+ from 10[0-9.]+" for number in range(IDLE_CHECKS - 1)),
        ]
        try:
            for count in (1, IDLE_FILES, MANY):
                files = log_files(place, count)
                checks = [(f"check-{number}", pattern, files[0]) for number, pattern in enumerate(patterns)]
                checks += [(f"file-{number}", rivals.PATTERN, path) for number, path in enumerate(files[1:])]
                running = rivals.vedette(fresh(place), checks)
                runs.append(("**vedette**", count, len(checks), running))
                running.wait_for(f"watching {len(checks)} checks", WITHIN_S)
                for rival in present if count < MANY else ():
                    files = log_files(place, count)
                    running = rival.start(fresh(place), files, patterns)
                    runs.append((rival.name, count, len(patterns), running))
                    prime(running, files[-1], 9000)
            time.sleep(15)  # what was started settles
            before = [running.cost() for *_, running in runs]
            time.sleep(IDLE_S)
            after = [running.cost() for *_, running in runs]
        finally:
            for *_, running in runs:
                running.stop()
    rows = [
        (
            name,
            count,
            checks_,
            f"{new.cpu_s - old.cpu_s:.2f}",
            new.wakeups - old.wakeups,
            f"{new.rss_mb:.1f}",
            f"{new.pss_mb:.1f}",
        )
        for (name, count, checks_, _), old, new in zip(runs, before, after, strict=True)
    ]
    return [
        f"### Idle for {IDLE_S} s, all programs with all their processes",
        "",
        f"{IDLE_CHECKS} patterns on every file; the monitor: {IDLE_CHECKS} checks on one file and one on each other.",
        "Expected of the monitor: no wake-up, no CPU, RSS < 18 MB with 100 files, less than 1 kB for a further one.",
        "",
        *table("program | files | checks or patterns | CPU s | wake-ups | RSS MB | PSS MB", *rows),
    ]


# -- (e) start-up ------------------------------------------------------------------------------------------------------


def _start(stage: Stage, present: Sequence[Rival]) -> list[str]:
    stage.say(f"start to first detection with {MANY} patterns ...")
    patterns = [f"component {number} has been hit from 10[0-9.]+" for number in range(MANY)]
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%S')} sshd: component 7 has been hit from {address(7)}\n"
    rows = []
    with some_place(stage) as place:
        files = log_files(place, 1)
        root = fresh(place)
        checks = [(f"component-{number}", pattern, files[0]) for number, pattern in enumerate(patterns)]
        running = rivals.vedette(root, checks)  # fills its caches
        running.wait_for(f"watching {MANY} checks", 60)
        files[0].write_text("nothing yet\n")
        time.sleep(5)
        running.stop()
        taken = []
        for number in range(5):
            with files[0].open("a") as file:
                file.write(line.replace("component 7 ", f"component {number} "))
            begun = time.monotonic()
            running = rivals.start_daemon(root)
            if running.wait_for(f"(log_component-{number})", 60):
                taken.append(time.monotonic() - begun)
            running.stop()
        rows.append(("**vedette**, checks cached", f"{statistics.median(taken):.2f}" if taken else "never"))
    for rival in present:
        if rival.program not in ("grep", "mtail", "sec", "rsyslogd"):
            continue
        with some_place(stage) as place:
            files = log_files(place, 1)
            begun = time.monotonic()
            running = rival.start(fresh(place), files, patterns)
            seconds = None
            while time.monotonic() < begun + 20 and seconds is None:
                with files[0].open("a") as file:
                    file.write(line)
                if running.wait_for(address(7), 0.02):
                    seconds = time.monotonic() - begun
            running.stop()
        rows.append((rival.name, f"{seconds:.2f}" if seconds is not None else "> 20"))
    return [
        f"### From the start of the program to the first detection, {MANY} patterns",
        "",
        "Median of 5 for the monitor, one start of the others. Expected: < 0.3 s.",
        "",
        *table("program | seconds", *rows),
    ]


def main() -> None:
    """These measurements alone."""
    with Stage(lambda text: print(text, file=sys.stderr, flush=True)) as stage:
        print("\n".join(measure(stage)))


if __name__ == "__main__":
    main()
