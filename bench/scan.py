"""How fast are logs searched? `mender-monitorctl test --count` beside what people would take: whole processes, one log.

Ours has its compiled patterns in its cache, as the daemon has; all have the log in the page cache. The patterns are in
the dialect that all tools share, and all must count the same lines. Slow tools see only the first part of the log;
rates are bytes over wall time of the whole process, start-up included.
"""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vedette.demo.stage import Stage

LOG_BYTES = 1_000_000_000
PART_BYTES = 100_000_000  # for slow tools, and where every line matches
SMALL_BYTES = 10_000_000
LINES = 200_000  # different ones
TIMES = 3
TIMEOUT_S = 60
GOALS = {(1, "0.01 %"): 0.5, (10, "0.01 %"): 3, (100, "0.01 %"): 5, (1000, "0.01 %"): 5, (1000, "1 %"): 4}

_PYTHON = """\
import re, sys
search = re.compile(b"|".join(b"(?:%s)" % each for each in open(sys.argv[1], "rb").read().splitlines())).search
count = 0
with open(sys.argv[2], "rb") as log:
    for line in log:
        if search(line):
            count += 1
print(count)
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One tool on one log."""

    size: int
    seconds: float
    count: int | None  # lines it counted; None: it does not tell

    @property
    def rate(self) -> float:
        """MB/s."""
        return self.size / self.seconds / 1e6


class _World:
    """Patterns with a text that each matches, and lines that none does."""

    def __init__(self) -> None:
        self.random = random.Random(7)
        self.common = [self.word() for _ in range(5000)]

    def word(self) -> str:
        return "".join(self.random.choices("abcdefghijklmnopqrstuvwxyz", k=self.random.randint(4, 9)))

    def line(self, more: str = "") -> str:
        r = self.random
        words = " ".join(r.choices(self.common, k=r.randint(4, 12)))
        at = f"{r.randint(1, 30):2} {r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}"
        who = f"{r.choice(self.common)}[{r.randint(100, 9999)}]"
        return f"Nov {at} gate{r.randint(1, 9)} {who}: {words} {more}id={r.getrandbits(32):08x}\n"

    def pattern(self, number: int) -> tuple[str, str]:
        """Like those that people write: a phrase, a phrase with numbers, alternatives, words in a row."""
        a, b, c = self.word(), self.word(), self.word()
        return (
            (f"{a} {b}", f"{a} {b} "),
            (f"{a}=[0-9]+ {b}", f"{a}=17 {b} "),
            (f"({a}|{b}{c}): (failed|refused)", f"{b}{c}: failed "),
            (f"{b} {a}.*{c}", f"{b} {a} and so {c} "),
            (rf"{a}\[[0-9]+\]: {c}", f"{a}[12]: {c} "),
        )[number % 5]


def measure(stage: Stage) -> list[str]:
    """Markdown: rates of all tools, and the ratio of ours to tuned ripgrep, to Python's `re` and to mtail."""
    world = _World()
    patterns = [world.pattern(number) for number in range(1000)]
    lines = [
        "## Searching logs for patterns",
        "",
        f"A log of {LOG_BYTES / 1e9:g} GB with lines of 90 bytes; whole processes, MB/s. ripgrep is tuned with",
        "`-a --no-unicode --dfa-size-limit=1G --regex-size-limit=1G -c -f`; the others are `grep -E -c -f`, Python",
        "`re` line by line with all patterns as one, and mtail. Where a tool is slow it saw only the start of the log.",
        "",
    ]
    rows: list[tuple[object, ...]] = []
    short: list[str] = []
    for share, every in (("0.01 %", 10_000), ("1 %", 100), ("100 %", 1)):
        log = _log(stage.path / "scan.log", world, patterns, every)
        for count in (1, 10, 100, 1000) if every == 10_000 else (1, 1000) if every == 100 else (1, 10):
            stage_patterns = stage.path / "scan.patterns"
            chosen = [each for each, _ in patterns[:count]]
            if every == 1:
                chosen[0] = "id=[0-9a-f]+"
            stage_patterns.write_text("\n".join(chosen) + "\n")
            row, note = _case(stage, stage_patterns, log, count, share)
            rows.append(row)
            short += note
    head = "patterns | lines that match | Vedette | tuned ripgrep | grep | Python re | mtail | to ripgrep | goal"
    head += " | to re | to mtail"
    columns = head.count("|") + 1
    shown = ("| " + " | ".join(map(str, row)) + " |" for row in rows)
    return [*lines, f"| {head} |", "|" + " --- |" * columns, *shown, "", *short, ""]


def _case(stage: Stage, patterns: Path, log: Path, count: int, share: str) -> tuple[tuple[object, ...], list[str]]:
    dense = share == "100 %"
    parts = {size: _part(log, size) for size in (PART_BYTES, SMALL_BYTES)}
    big = parts[PART_BYTES] if dense else log
    own = (sys.executable, "-m", "vedette.agent.control", "--root", str(stage.path / "scan-root"), "test")
    environment = {"XDG_CACHE_HOME": str(stage.path / "scan-cache")}

    def ours(where: Path) -> Run | None:
        return _run((*own, "--patterns", str(patterns), "--count", str(where)), where, environment)

    ripgrep = ("rg", "-a", "--no-unicode", "--dfa-size-limit=1G", "--regex-size-limit=1G", "-c", "-f", str(patterns))
    ours(parts[SMALL_BYTES])  # compiles
    us = ours(big)
    assert us is not None, "mender-monitorctl test took too long"
    rg = _run((*ripgrep, str(big)), big)
    few = parts[PART_BYTES] if count == 1 else parts[SMALL_BYTES]
    grep = _run(("grep", "-a", "-E", "-c", "-f", str(patterns), str(few)), few, {"LC_ALL": "C"})
    re_ = _run((sys.executable, "-c", _PYTHON, str(patterns), str(few)), few) if count <= 100 else None  # a minute
    mtail = _mtail(stage, patterns, parts[SMALL_BYTES]) if count <= 100 else None
    for other, where in ((rg, big), (grep, few), (re_, few)):
        if other is not None:
            expected = us if where == big else ours(where)
            assert expected is not None
            assert other.count == expected.count, (
                f"{count} patterns, {share}: {other.count} lines, ours {expected.count}"
            )
    goal = GOALS.get((count, share))
    ratio = us.rate / rg.rate if rg else None
    note = []
    if goal is not None and ratio is not None and ratio < goal:
        note = [f"Short of the goal with {count} patterns and {share}: {ratio:.2g} of {goal} times ripgrep."]
    rates = (_number(each.rate) if each else "-" for each in (us, rg, grep, re_, mtail))
    over = (_number(us.rate / each.rate) if each else "-" for each in (re_, mtail))
    return (count, share, *rates, _number(ratio) if ratio else "-", goal or "-", *over), note


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _run(command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> Run | None:
    """The best of some runs of a quick tool, one of a slow one; None when it is not installed or takes too long."""
    if shutil.which(command[0]) is None:
        print(f"{command[0]} is not installed; left out", file=sys.stderr)
        return None
    best: Run | None = None
    spent = 0.0
    while best is None or (spent < 3 and spent / best.seconds < TIMES - 0.5):
        begun = time.monotonic()
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None
        seconds = time.monotonic() - begun
        assert done.returncode in (0, 1), done.stderr  # 1: grep found nothing
        spent += seconds
        if best is None or seconds < best.seconds:
            best = Run(size=log.stat().st_size, seconds=seconds, count=int(done.stdout or "0"))
    return best


def _mtail(stage: Stage, patterns: Path, log: Path) -> Run | None:
    program = stage.path / "scan.mtail"
    actions = (f"/{each.replace('/', chr(92) + '/')}/ {{\n  hits++\n}}\n" for each in patterns.read_text().splitlines())
    program.write_text("counter hits\n" + "".join(actions))
    command = ("mtail", "-one_shot", "-logtostderr", "-progs", str(program), "-logs", str(log))
    if shutil.which("mtail") is None:
        print("mtail is not installed; left out", file=sys.stderr)
        return None
    begun = time.monotonic()
    try:
        subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as exc:
        print(f"mtail: {exc}", file=sys.stderr)
        return None
    return Run(size=log.stat().st_size, seconds=time.monotonic() - begun, count=None)


def _log(path: Path, world: _World, patterns: list[tuple[str, str]], every: int) -> Path:
    """Lines of which one in `every` matches one of the patterns, in turn; where all match, by what all lines hold."""
    texts = [text for _, text in patterns]
    block = "".join(
        world.line(texts[number // every % len(texts)] if every > 1 and number % every == 0 else "")
        for number in range(LINES)
    ).encode()
    size = PART_BYTES if every == 1 else LOG_BYTES
    with path.open("wb") as file:
        for _ in range(-(-size // len(block))):
            file.write(block)
    return path


def _part(log: Path, size: int) -> Path:
    path = log.with_name(f"{log.name}.{size}")
    with log.open("rb") as file:
        data = file.read(size)
    path.write_bytes(data[: data.rfind(b"\n") + 1])
    return path
