"""Known vulnerabilities: what a scan costs the device, an import the server, and how large a day's change is.

The advisories are made up, but as many and as unevenly spread as those of a distribution: a few packages have
thousands, most have one or two. Their texts are random words, which compress worse than real ones.
"""

import json
import os
import random
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.markdown import table
from vedette.demo.stage import Stage

ADVISORIES = 100_000
PACKAGES = 8_000  # that have any
INSTALLED = 1_000
NEW = 100  # advisories of a day
GOAL_S, GOAL_MB = 2, 60
TIMES = 5
RUN = """\
import sys
from {} import main
code = main(sys.argv[1:])
print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0], file=sys.stderr)
sys.exit(code)
"""
METRICS = {"AV": "NALP", "AC": "LH", "PR": "NLH", "UI": "NR", "S": "UC", "C": "HLN", "I": "HLN", "A": "HLN"}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a whole process."""

    wall_s: float
    cpu_s: float
    rss_mb: float
    output: str


def measure(stage: Stage) -> list[str]:
    """Markdown lines. Takes some two minutes."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "data").mkdir()
        chance = random.Random(1)
        _write(place / "all.zip", range(ADVISORIES), chance)
        first = _run(place, "feed", "import", str(place / "all.zip"), "--json")
        _write(place / "day.zip", range(ADVISORIES, ADVISORIES + NEW), chance)
        second = _run(place, "feed", "import", "--add", str(place / "day.zip"), "--json")
        _run(place, "feed", "export", "Debian:12", str(place))
        root = _device(place / "root")
        scans = {severity: _scan(root, place, severity) for severity in ("critical", "low")}
    (of_first,), (of_second,) = (json.loads(each.output)["streams"] for each in (first, second))
    return [
        "## Known vulnerabilities",
        "",
        f"{INSTALLED:,} packages against {ADVISORIES:,} advisories; whole processes, with the start of Python,",
        f"the best of {TIMES}. Other work on the machine disturbs CPU time less than wall time.",
        "",
        *table(
            "`mender-monitorctl scan cve` | findings | s | CPU s | peak RSS MB | expected",
            *(
                (
                    f"severity {severity}",
                    f"{each.output.count(chr(10)):,}",
                    f"{each.wall_s:.2f}",
                    f"{each.cpu_s:.2f}",
                    f"{each.rss_mb:.0f}",
                    f"< {GOAL_S} s, < {GOAL_MB} MB",
                )
                for severity, each in scans.items()
            ),
        ),
        *table(
            "the feed | advisories | blocks | KiB | of all",
            ("whole", f"{of_first['advisories']:,}", f"{of_first['blocks']:,}", f"{of_first['size'] / 1024:,.0f}", "1"),
            (
                f"{NEW} new advisories: what a device with every package fetches",
                f"{of_second['advisories']:,}",
                f"{of_second['changed']:,}",
                f"{of_second['fetched'] / 1024:,.0f}",
                f"{of_second['fetched'] / of_second['size']:.3f}",
            ),
        ),
        *table(
            "`vedette feed import` | s | CPU s | peak RSS MB",
            *(
                (name, f"{each.wall_s:.0f}", f"{each.cpu_s:.0f}", f"{each.rss_mb:.0f}")
                for name, each in ((f"{ADVISORIES:,} advisories", first), (f"--add, {NEW} advisories", second))
            ),
        ),
    ]


def _scan(root: Path, feed: Path, severity: str) -> Cost:
    command = ["scan", "cve", f"feed={feed}", f"severity={severity}", "unrated=low"]
    os.environ["MENDER_MONITOR_SCANNED"] = str(root)
    try:
        runs = [_process("vedette.agent.control", command, ok=(0, 1)) for _ in range(TIMES)]
    finally:
        del os.environ["MENDER_MONITOR_SCANNED"]
    return min(runs, key=lambda each: each.cpu_s)


def _run(place: Path, *words: str) -> Cost:
    return _process("vedette.__main__", [*words, "--data", str(place / "data")])


def _process(module: str, arguments: Sequence[str], ok: Sequence[int] = (0,)) -> Cost:
    """Run a program of ours to its end. It says itself what its memory was: wait4(2) would count ours."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, errors.fileno(), 2)]
        words = [sys.executable, "-c", RUN.format(module), *arguments]
        pid = os.posix_spawn(sys.executable, words, os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.monotonic() - began
        out.seek(0)
        errors.seek(0)
        text, said = out.read().decode(), errors.read().decode()
    if os.waitstatus_to_exitcode(status) not in ok:
        raise RuntimeError(f"{' '.join(arguments)} failed: {said[-500:]}")
    rss_kb = int(said.rpartition("VmHWM:")[2].split()[0])
    return Cost(wall, usage.ru_utime + usage.ru_stime, rss_kb / 1024, text)


def _device(root: Path) -> Path:
    (root / "etc").mkdir(parents=True)
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    chance = random.Random(2)
    numbers = [0, 1, 2, *chance.sample(range(3, PACKAGES), INSTALLED - 3)]
    (root / "var/lib/dpkg/status").write_text(
        "\n".join(
            f"Package: lib{number}\nStatus: install ok installed\nPriority: optional\nSection: libs\n"
            f"Installed-Size: 100\nArchitecture: amd64\nSource: package-{number}\nVersion: {_version(chance)}\n"
            f"Depends: libc6 (>= 2.36), libfoo{number}, libbar{number}\nDescription: words\n {_words(chance, 60)}\n"
            for number in numbers
        )
    )
    return root


def _write(path: Path, numbers: range, chance: random.Random) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, text in _documents(numbers, chance):
            archive.writestr(name, text)


def _documents(numbers: range, chance: random.Random) -> Iterator[tuple[str, str]]:
    for number in numbers:
        year = 2006 + number * 20 // (ADVISORIES + NEW)
        spread = int(chance.paretovariate(0.25)) - 1 if chance.random() < 0.5 else PACKAGES
        package = spread if spread < PACKAGES else chance.randrange(PACKAGES)
        fixed = [{"fixed": _version(chance)}] if chance.random() < 0.8 else []
        vector = "/".join(f"{name}:{chance.choice(values)}" for name, values in METRICS.items())
        document = {
            "id": f"DEBIAN-CVE-{year}-{number}",
            "modified": f"{year}-06-01T00:00:00Z",
            "published": f"{year}-05-01T00:00:00Z",
            "upstream": [f"CVE-{year}-{number}"],
            "details": _words(chance, 40),
            "severity": [{"type": "CVSS_V3", "score": f"CVSS:3.1/{vector}"}] if chance.random() < 0.7 else [],
            "affected": [
                {
                    "package": {"ecosystem": "Debian:12", "name": f"package-{package}"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, *fixed]}],
                }
            ],
        }
        yield f"{document['id']}.json", json.dumps(document)


def _version(chance: random.Random) -> str:
    return f"{chance.randint(0, 6)}.{chance.randint(0, 20)}.{chance.randint(0, 9)}-{chance.randint(1, 3)}+deb12u1"


def _words(chance: random.Random, count: int) -> str:
    return " ".join("".join(chance.choices("etaoinshrdlucmfwyp", k=chance.randint(2, 9))) for _ in range(count))
