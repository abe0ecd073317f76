"""What a process costs, read from /proc (proc(5))."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one process, at one moment."""

    cpu_s: float  # user and system time since its start
    rss_mb: float
    pss_mb: float  # shared pages counted by share
    wakeups: int  # voluntary context switches of all threads since its start

    @staticmethod
    def of(pid: int) -> "Cost":
        proc = Path(f"/proc/{pid}")
        after_name = (proc / "stat").read_text().rpartition(")")[2].split()
        memory = dict(
            line.split(":", 1) for line in (proc / "smaps_rollup").read_text().splitlines()[1:] if ":" in line
        )
        return Cost(
            cpu_s=(int(after_name[11]) + int(after_name[12])) / TICKS_PER_S,
            rss_mb=_megabytes(memory["Rss"]),
            pss_mb=_megabytes(memory["Pss"]),
            wakeups=sum(_switches(task) for task in (proc / "task").iterdir()),
        )


def _megabytes(text: str) -> float:
    return int(text.split()[0]) / 1024


def _switches(task: Path) -> int:
    for line in (task / "status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    raise RuntimeError(f"{task}: no count of context switches")


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
