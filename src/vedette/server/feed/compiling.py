"""Everything that is known of a stream, made into the blocks that devices fetch (model/feed.py)."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from vedette.errors import Invalid
from vedette.model.feed import (
    MAX_BLOCK,
    MAX_BUCKETS,
    MAX_EXPANDED,
    Advisory,
    Entry,
    Head,
    bucket,
    digest,
    dump_block,
    dump_index,
    prefix,
)
from vedette.server.feed.record import DEBIAN, Record, cves

BUCKET: Final = 12 * 1024  # bytes of advisories that a bucket should hold, before compression
SLACK: Final = 4  # times more or fewer buckets than there should be, before their number changes
PART: Final = 10 * 1024  # bytes, compressed: a block that is larger is divided
MAX_PARTS: Final = 1024


@dataclass(frozen=True, slots=True)
class Compiled:
    """A stream, ready to be fetched."""

    head: Head
    index: bytes
    blocks: Mapping[str, bytes]  # by hash, the index among them


def compiled(stream: str, records: Iterable[tuple[str, Record]], imported: str, before: int = 0) -> Compiled:
    """The stream of these records, each with the format it came in.

    Args:
        imported: when the last of them came, RFC 3339.
        before: how many buckets there were; kept where that will do, for another number changes every block.
    Raises:
        Invalid: it is more than a feed can hold.
    """
    of_package: dict[str, list[tuple[str, Advisory]]] = {}
    newest = ""
    for kind, record in records:
        of_package.setdefault(record.package, []).append((kind, record.advisory))
        newest = max(newest, record.modified)
    packages = {name: _settled(advisories) for name, advisories in of_package.items()}
    buckets = _buckets(packages, before)
    contents: dict[int, dict[str, Sequence[Advisory]]] = {}
    for name, advisories in packages.items():
        contents.setdefault(bucket(prefix(name), buckets), {})[name] = advisories
    entries: list[Entry] = []
    blocks: dict[str, bytes] = {}
    for number in sorted(contents):
        for block in _divided(contents[number]):
            entries.append(Entry(number, len(block), digest(block)))
            blocks[entries[-1].hash] = block
    index = dump_index(entries)
    head = Head(
        stream=stream,
        imported=imported,
        newest=newest,
        advisories=sum(map(len, packages.values())),
        buckets=buckets,
        index=digest(index),
    )
    return Compiled(head, index, {**blocks, head.index: index})


def _buckets(packages: Mapping[str, Sequence[Advisory]], before: int) -> int:
    size = sum(len(name) + sum(len(str(each.dump())) for each in advisories) for name, advisories in packages.items())
    wanted = 1
    while wanted < MAX_BUCKETS and wanted * BUCKET < size:
        wanted *= 2
    return before if wanted <= before * SLACK and before <= wanted * SLACK else wanted


def _divided(packages: Mapping[str, Sequence[Advisory]]) -> list[bytes]:
    """The blocks of a bucket. One that is large is divided by advisories, so that a new one changes one block only."""
    whole = dump_block(packages)
    if len(whole) <= PART:
        return [whole]
    parts = 2
    while parts * PART < len(whole):
        parts *= 2
    while parts <= MAX_PARTS:
        blocks = [dump_block(each) for each in _dealt(packages, parts) if each]
        if max(map(len, blocks)) <= (PART if parts < 64 else MAX_BLOCK):
            return blocks
        parts *= 2
    raise Invalid(f"too many advisories for one package: {', '.join(sorted(packages))[:200]}")


def _dealt(packages: Mapping[str, Sequence[Advisory]], parts: int) -> list[dict[str, list[Advisory]]]:
    dealt: list[dict[str, list[Advisory]]] = [{} for _ in range(parts)]
    for name, advisories in packages.items():
        for each in advisories:
            number = int.from_bytes(hashlib.sha256(each.id.encode()).digest()[:4]) % parts
            dealt[number].setdefault(name, []).append(each)
    return dealt


# --- one package -----------------------------------------------------------------------------------------------------


def _settled(found: Sequence[tuple[str, Advisory]]) -> list[Advisory]:
    """The advisories of a package, each vulnerability once.

    What Debian's tracker says of one counts before what others made of it. Several documents about one become one,
    which any of them may hold to affect a version. A document about several vulnerabilities that all have one of
    their own has nothing to add.
    """
    by_tracker = {advisory.id for kind, advisory in found if kind == DEBIAN}
    levels: dict[str, int] = {}
    for _, advisory in found:
        levels[advisory.id] = max(levels.get(advisory.id, 0), advisory.level)
    merged: dict[str, Advisory] = {}
    for kind, advisory in found:
        if kind != DEBIAN and advisory.id in by_tracker:
            continue
        one = merged.get(advisory.id)
        merged[advisory.id] = advisory if one is None else _both(one, advisory)
    single = {each for each in merged if each.startswith("CVE-")}
    kept = [
        replace(each, level=each.level or levels[each.id])
        for each in merged.values()
        if each.id in single or not (numbers := cves(each.aliases)) or not single.issuperset(numbers)
    ]
    return sorted(kept, key=lambda each: each.id)


def _both(one: Advisory, other: Advisory) -> Advisory:
    aliases = {*one.aliases, *other.aliases} - {one.id}
    return replace(
        one,
        aliases=tuple(sorted(aliases)),
        level=max(one.level, other.level),
        published=min(filter(None, (one.published, other.published)), default=""),
        summary=max(one.summary, other.summary, key=len),
        ranges=tuple(dict.fromkeys((*one.ranges, *other.ranges))),
        versions=tuple(dict.fromkeys((*one.versions, *other.versions))),
    )


assert MAX_BLOCK * 8 <= MAX_EXPANDED  # what a block may hold before it is divided
