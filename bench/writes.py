"""What an alert writes on the device's storage."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import rivals
from bench.markdown import table
from bench.places import fresh, log_files, some_place
from bench.rivals import hit, only
from vedette.demo.stage import Stage

ALERTS = 100
WITHIN_S = 30.0


def measure(stage: Stage) -> list[str]:
    stage.say(f"writes per alert, {ALERTS} alone and {ALERTS} in a burst ...")
    rows = []
    with some_place(stage) as place:
        files = log_files(place, 1)
        checks = [(f"hit-{number}", only(number), files[0]) for number in range(2 * ALERTS + 1)]
        running = rivals.vedette(fresh(place), checks)
        try:
            running.wait_for(f"watching {len(checks)} checks", WITHIN_S)
            with files[0].open("ab", buffering=0) as file:
                file.write(hit(2 * ALERTS).encode())
                running.wait_for(f"(log_hit-{2 * ALERTS})", WITHIN_S)
                for name, numbers in (("one at a time", range(ALERTS)), ("in one burst", range(ALERTS, 2 * ALERTS))):
                    pid = running.processes[0].pid
                    with _syncs(pid) as syncs:
                        before = _io(pid)
                        if name == "in one burst":
                            file.write("".join(map(hit, numbers)).encode())
                            running.wait_for(f"(log_hit-{numbers[-1]})", WITHIN_S)
                        else:
                            for number in numbers:
                                file.write(hit(number).encode())
                                running.wait_for(f"(log_hit-{number})", WITHIN_S)
                        after = _io(pid)
                    written = (after["write_bytes"] - before["write_bytes"]) / ALERTS
                    calls = (after["syscw"] - before["syscw"]) / ALERTS
                    rows.append(
                        (name, f"{written / 1024:.1f}", f"{calls:.1f}", f"{syncs[0] / ALERTS:.2f}" if syncs else "?")
                    )
        finally:
            running.stop()
    return [
        "### What an alert writes on the device",
        "",
        "Pages handed to the block layer by the daemon (/proc/PID/io; the file system's journal is not in it), for an",
        "alert with 30 lines of context, stored, not delivered. Syncs as counted by strace, where it is installed.",
        "",
        *table("alerts | kB an alert | writes an alert | syncs an alert", *rows),
    ]


def _io(pid: int) -> dict[str, int]:
    pairs = (line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return {name: int(value) for name, value in pairs}


@contextmanager
def _syncs(pid: int) -> Iterator[list[int]]:
    """Filled at the end with the number of fsync(2) and fdatasync(2) of the process; stays empty without strace."""
    counted: list[int] = []
    if shutil.which("strace") is None:
        yield counted
        return
    with tempfile.NamedTemporaryFile("r") as trace:
        tracer = subprocess.Popen(
            ["strace", "-f", "-q", "-e", "trace=fsync,fdatasync", "-o", trace.name, "-p", str(pid)],
            stderr=subprocess.DEVNULL,
        )
        status = Path(f"/proc/{pid}/status")
        end = time.monotonic() + 5
        while "TracerPid:\t0\n" in status.read_text() and tracer.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        try:
            yield counted
        finally:
            traced = tracer.poll() is None
            tracer.terminate()
            tracer.wait()
            if traced:
                counted.append(sum("sync(" in line for line in trace.read().splitlines()))
