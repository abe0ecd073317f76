"""Hyperscan databases, kept as files: compiling takes up to seconds and memory, loading neither.

A file tells for which patterns it is, how they are searched and what made it, so one that does not fit (another
version, another processor, other patterns) or is damaged is simply not there. Only this module imports Hyperscan.
Source: hyperscan's "Serialization"; a serialized database carries its version, platform and a CRC.
"""

import json
import os
from binascii import crc32
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from vedette.agent.match.finders import FastFinder, PlainFinder
from vedette.agent.match.plan import Plan, make
from vedette.agent.match.probe import Probe

FORMAT: Final = 5
"""Renewed with every change in how probes are chosen: older files are compiled anew."""
TELLING: Final = 8
"""Bytes of a text that Hyperscan searches for; the others are compared where these are found."""
SHORTEST: Final = 4
"""Of those bytes, where the text is shorter or begins too commonly."""
HIT_COST: Final = 500
"""What a hit costs beside two bytes that look like one."""
MAX_FILES: Final = 64
MAX_BYTES: Final = 256 << 20
SUFFIX: Final = ".patterns"
FEW: Final = 3
MANY: Final = 112
"""Hyperscan compares up to 48 texts by their last three bytes and confirms each that looks alike, which costs more
with every text: 40 take five times as long as 120, for which it has a table. From FEW on, texts that no log holds are
put beside the others until the table is taken, and is large enough to be quick."""


@cache
def available() -> bool:
    """Is Hyperscan installed? Does not load it."""
    from importlib.util import find_spec  # what was compiled before is loaded without asking

    return find_spec("hyperscan") is not None


def load(directory: Path, patterns: Sequence[str]) -> tuple[Plan, FastFinder] | None:
    """The search for these patterns, if it was compiled before."""
    try:
        with _path(directory, patterns).open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                return None
            head = json.loads(file.readline())
            database = file.read()
        if head["patterns"] != list(patterns) or head["made"] != _maker():
            return None
        plan = _plan(head)
        return plan, finder(database, plan)
    except (OSError, ValueError, KeyError, TypeError, ImportError):
        return None
    except Exception as exc:
        if type(exc).__module__.partition(".")[0] != "hyperscan":  # its errors have no common class but Exception
            raise
        return None


def finder(database: bytes, plan: Plan) -> FastFinder:
    """Load a database of the texts of `plan`.

    Raises an error of Hyperscan when it does not fit this machine or is damaged.
    """
    import hyperscan

    loaded = hyperscan.loadb(database, hyperscan.HS_MODE_BLOCK)
    texts = len(plan.texts)
    outlines = PlainFinder(plan.probes[texts:], texts) if texts < len(plan.probes) else None
    return FastFinder(loaded, hyperscan.Scratch(loaded), outlines)


def again(finder: FastFinder) -> FastFinder:
    """The same search for another thread."""
    import hyperscan

    return FastFinder(finder.database, hyperscan.Scratch(finder.database), finder.outlines)


def compile_(directory: Path, patterns: Sequence[str], sample: bytes, avoid: frozenset[Probe]) -> None:
    """Plan the search, compile it and keep it in `directory`. Takes time and memory: not for the daemon itself.

    Raises:
        OSError: the directory cannot be written.
        ImportError: there is no Hyperscan.
    """
    plan = make(patterns, sample, avoid=avoid)
    if not plan.texts:
        return
    database = _compiled(plan.texts, sample)
    head = {
        "patterns": list(patterns),
        "made": _maker(),
        "probes": [[each.text.hex(), each.caseless, each.outline] for each in plan.probes],
        "owners": plan.owners,
        "loose": plan.loose,
    }
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _path(directory, patterns)
    temporary = path.with_suffix(f".{os.getpid()}.new")
    try:
        temporary.write_bytes(json.dumps(head).encode() + b"\n" + database)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _tidy(directory)


def _compiled(texts: Sequence[Probe], sample: bytes) -> bytes:
    import hyperscan

    padding = _padding(MANY - len(texts)) if FEW <= len(texts) < MANY else []
    searched = [_telling(texts[0], sample)] if len(texts) == 1 else texts
    expressions = [each.expression() for each in (*searched, *padding)]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=expressions,
        ids=list(range(len(expressions))),
        flags=[
            *(hyperscan.HS_FLAG_CASELESS if each.caseless else 0 for each in texts),
            *(hyperscan.HS_FLAG_QUIET for _ in padding),
        ],
    )
    return hyperscan.dumpb(database)


def _telling(probe: Probe, sample: bytes) -> Probe:
    """The part of a text that is found soonest when it is searched alone.

    Hyperscan then looks for the first two of its last eight bytes, so those should be rare.
    """
    text = probe.text
    if probe.caseless:
        sample = sample.lower()
    starts = range(max(len(text) - SHORTEST, 0) + 1)
    parts = [(text[: at + TELLING] if at + TELLING <= len(text) else text[at:], text[at : at + 2]) for at in starts]

    def cost(part: tuple[bytes, bytes]) -> tuple[int, int]:
        return sample.count(part[0]) * HIT_COST + sample.count(part[1]), -len(part[0])

    return Probe(min(parts, key=cost)[0], probe.caseless)


def _padding(count: int) -> list[Probe]:
    """Texts that are in no encoding that logs are written in. Where one is found all the same, nothing is told."""
    import random  # for whoever compiles; not for the daemon, whose memory it would stay in

    drawn = random.Random(1)  # always the same  # noqa: S311
    return [Probe(bytes(drawn.choices(range(0xF8, 0x100), k=8)), caseless=False) for _ in range(count)]


def _plan(head: dict[str, Any]) -> Plan:
    probes = tuple(
        Probe(bytes.fromhex(text), caseless=bool(caseless), outline=bool(outline))
        for text, caseless, outline in head["probes"]
    )
    owners = tuple(tuple(int(index) for index in each) for each in head["owners"])
    loose = tuple(int(index) for index in head["loose"])
    count = len(head["patterns"])
    if len(probes) != len(owners) or {*loose, *(index for each in owners for index in each)} != set(range(count)):
        raise ValueError("not a plan for these patterns")
    return Plan(probes=probes, owners=owners, loose=loose)


def _maker() -> list[str | int]:
    import hyperscan

    return [FORMAT, str(getattr(hyperscan, "__version__", "")), os.uname().machine]


def _path(directory: Path, patterns: Iterable[str]) -> Path:
    joined = "\0".join(patterns).encode(errors="replace")
    return directory / f"{crc32(joined):08x}{crc32(joined[::-1]):08x}{SUFFIX}"


def _tidy(directory: Path) -> None:
    """Only the newest files stay."""
    with suppress(OSError):
        files = sorted(directory.glob("*" + SUFFIX), key=lambda each: each.stat().st_mtime)
        for old in files[:-MAX_FILES]:
            old.unlink(missing_ok=True)
