"""Load by wrk, and what it costs the process that takes it."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.process import Cost

CONNECTIONS: Final = 64
THREADS: Final = 2
SECONDS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load: requests by wrk's count, times as its connections saw them."""

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float  # user and system time of the loaded process
    rss_mb: float  # of it, afterwards

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds

    @property
    def per_cpu_s(self) -> float:
        return self.requests / self.cpu_s


def load(script: str, url: str, pid: int, *arguments: object, seconds: int = SECONDS) -> Load:
    """`CONNECTIONS` connections to `url` with the Lua script of this folder; `pid` is the process that answers.

    The script prints the line RESULT (see alerts.lua) when it is done.
    """
    before = Cost.of(pid)
    said = _wrk(Path(__file__).with_name(script), url, [str(each) for each in arguments], seconds)
    after = Cost.of(pid)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", said)
    if found is None:
        raise RuntimeError(f"wrk said no result: {said}")
    requests, errors, duration_us, p50_us, p99_us = map(int, found.groups())
    return Load(
        requests=requests,
        errors=errors,
        seconds=duration_us / 1e6,
        p50_ms=p50_us / 1000,
        p99_ms=p99_us / 1000,
        cpu_s=after.cpu_s - before.cpu_s,
        rss_mb=after.rss_mb,
    )


def _wrk(script: Path, url: str, arguments: Sequence[str], seconds: int) -> str:
    words = ["wrk", f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url, "--", *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
