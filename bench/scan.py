"""How fast are logs searched? `mender-monitorctl test --count` beside what people would take: whole processes, one log.

Ours has its compiled patterns in its cache, as the daemon has; all have the log in the page cache. The patterns are in
the dialect that all tools share, and all must count the same lines. Slow tools see only the first part of the log;
rates are bytes over wall time of the whole process, start-up included. Beside wall time stands CPU time, which other
work on the machine disturbs less.
"""

import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.markdown import table
from vedette.demo.stage import Stage

LOG_BYTES = 1_000_000_000
PART_BYTES = 100_000_000  # for slow tools, and where every line matches
SMALL_BYTES = 10_000_000  # for very slow ones
LINES = 200_000  # different ones
TIMES = 3
TIMEOUT_S = 30
GOALS = {(1, "0.01 %"): 0.5, (10, "0.01 %"): 3, (100, "0.01 %"): 5, (1000, "0.01 %"): 5, (1000, "1 %"): 4}
MTAIL_GOAL = 30  # times, from 10 patterns on
CASES = {
    "0.01 %": (1, 10, 100, 1000),
    "1 %": (1, 1000),
    "100 %": (1, 10),
    "100 %, a word": (1,),
}
"""Lines that match, and how many patterns are searched in such a log."""
EVERY = {"0.01 %": 10_000, "1 %": 100, "100 %": 1, "100 %, a word": 1}
IN_ALL = {"100 %": "id=[0-9a-f]+", "100 %, a word": "gate"}

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
    cpu_s: float
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
    before = os.getloadavg()[0]
    world = _World()
    patterns = [world.pattern(number) for number in range(1000)]
    rows: list[tuple[object, ...]] = []
    short: list[str] = []
    log = stage.path / "scan.log"
    try:
        written = 0
        for share, counts in CASES.items():
            if EVERY[share] != written:
                written = EVERY[share]
                _log(log, world, patterns, written)
            for count in counts:
                chosen = [each for each, _ in patterns[:count]]
                if share in IN_ALL:
                    chosen[0] = IN_ALL[share]
                path = stage.path / "scan.patterns"
                path.write_text("\n".join(chosen) + "\n")
                row, notes = _case(stage, path, log, count, share)
                rows.append(row)
                short += notes
    finally:
        for each in stage.path.glob("scan.log*"):
            each.unlink()
    return [
        "## Searching logs for patterns",
        "",
        f"A log of {LOG_BYTES / 1e9:g} GB ({PART_BYTES / 1e9:g} GB where every line matches), lines of 100 bytes, in",
        "the page cache; whole processes, start-up included, MB/s. ripgrep is tuned with",
        "`-a --no-unicode --dfa-size-limit=1G --regex-size-limit=1G -c -f`; the others are `grep -E -c -f`,",
        "Python `re` line by line with all patterns as one, and mtail. Where a tool is slow it saw only the first",
        f"{PART_BYTES / 1e6:g} or {SMALL_BYTES / 1e6:g} MB (mtail always these), and its rate there stands for all.",
        "All that count count the same.",
        "",
        "The patterns, in equal parts: two words; a word, `=[0-9]+` and a word; `(word|word): (failed|refused)`;",
        "two words, `.*` and a word; `word\\[[0-9]+\\]: word`; words are of random letters. The set was changed once",
        "after poor results with another, so it is one example among many.",
        "",
        *table(
            "patterns | lines that match | Vedette | CPU s | tuned ripgrep | CPU s | grep | Python re | mtail"
            " | to ripgrep | by CPU | goal | to re | to mtail",
            *rows,
        ),
        *(f"- {each}" for each in short),
        "",
        f"Load average {before:.1f} before, {os.getloadavg()[0]:.1f} after: where other work keeps the processors",
        "busy, the threads of Vedette lose more by it than the one of ripgrep; so the ratio by CPU time stands beside.",
        "",
    ]


def _case(stage: Stage, patterns: Path, log: Path, count: int, share: str) -> tuple[tuple[object, ...], list[str]]:
    parts = {size: _part(log, size) for size in (PART_BYTES, SMALL_BYTES)}
    big = parts[PART_BYTES] if EVERY[share] == 1 else log
    own = (sys.executable, "-m", "vedette.agent.control", "--root", str(stage.path / "scan-root"), "test")
    environment = {"XDG_CACHE_HOME": str(stage.path / "scan-cache")}

    def ours(where: Path) -> Run | None:
        return _run((*own, "--patterns", str(patterns), "--count", str(where)), where, environment)

    ripgrep = ("rg", "-a", "--no-unicode", "--dfa-size-limit=1G", "--regex-size-limit=1G", "-c", "-f", str(patterns))
    ours(parts[SMALL_BYTES])  # compiles
    us = ours(big)
    assert us is not None, "mender-monitorctl test took too long"
    rg = _run((*ripgrep, str(big)), big)
    few = parts[PART_BYTES] if count <= 10 else parts[SMALL_BYTES]
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
    case = f"{count} {'pattern' if count == 1 else 'patterns'}, {share}"
    notes = []
    if goal is not None and rg is not None and us.rate < goal * rg.rate:
        notes.append(f"{case}: {us.rate / rg.rate:.2g} times ripgrep, hoped for {goal}.")
    if re_ is not None and us.rate < re_.rate:
        notes.append(f"{case}: slower than Python's `re`.")
    if mtail is not None and count >= 10 and us.rate < MTAIL_GOAL * mtail.rate:
        notes.append(f"{case}: {us.rate / mtail.rate:.2g} times mtail, hoped for {MTAIL_GOAL}.")
    row = (
        count, share, _number(us.rate), f"{us.cpu_s:.2f}", _number(rg.rate) if rg else "-",
        f"{rg.cpu_s:.2f}" if rg else "-", *(_number(each.rate) if each else "-" for each in (grep, re_, mtail)),
        _number(us.rate / rg.rate) if rg else "-", _number(rg.cpu_s / us.cpu_s) if rg else "-", goal or "-",
        *(_number(us.rate / each.rate) if each else "-" for each in (re_, mtail)),
    )  # fmt: skip
    return row, notes


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
        begun, before = time.monotonic(), _cpu_of_children()
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None
        seconds = time.monotonic() - begun
        cpu_s = _cpu_of_children() - before
        assert done.returncode in (0, 1), done.stderr  # 1: grep found nothing
        spent += seconds
        if best is None or seconds < best.seconds:
            best = Run(size=log.stat().st_size, seconds=seconds, cpu_s=cpu_s, count=int(done.stdout or "0"))
    return best


def _mtail(stage: Stage, patterns: Path, log: Path) -> Run | None:
    program = stage.path / "scan.mtail"
    actions = (f"/{each.replace('/', chr(92) + '/')}/ {{\n  hits++\n}}\n" for each in patterns.read_text().splitlines())
    program.write_text("counter hits\n" + "".join(actions))
    command = ("mtail", "-one_shot", "-logtostderr", "-progs", str(program), "-logs", str(log))
    if shutil.which("mtail") is None:
        print("mtail is not installed; left out", file=sys.stderr)
        return None
    begun, before = time.monotonic(), _cpu_of_children()
    try:
        subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as exc:
        print(f"mtail: {exc}", file=sys.stderr)
        return None
    seconds, cpu_s = time.monotonic() - begun, _cpu_of_children() - before
    return Run(size=log.stat().st_size, seconds=seconds, cpu_s=cpu_s, count=None)


def _cpu_of_children() -> float:
    """Seconds, of those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _log(path: Path, world: _World, patterns: list[tuple[str, str]], every: int) -> None:
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


def _part(log: Path, size: int) -> Path:
    path = log.with_name(f"{log.name}.{size}")
    with log.open("rb") as file:
        data = file.read(size)
    path.write_bytes(data[: data.rfind(b"\n") + 1])
    return path
