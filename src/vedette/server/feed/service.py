"""The rules of the feed: advisories come in from files under a name, devices fetch what all of them come to.

A name and an ecosystem (OSV's word before the colon) are replaced as a whole by what is imported under this name, or
added to. What devices get of a stream is made anew in the transaction that changes what it is made of.
"""

import asyncio
import base64
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from vedette.errors import Conflict, Invalid, NotFound
from vedette.model.feed import Head, load_head, pack
from vedette.server.db import SYSTEM, Row, Tx
from vedette.server.feed import store
from vedette.server.feed.compiling import Compiled, compiled
from vedette.server.feed.files import Taken
from vedette.server.feed.record import Record, load_record
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros
from vedette.wire.outgoing import timestamp

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LINES: Final = 5_000  # of advisories in one row
MAX_HASHES: Final = 100  # of blocks in one call
NO_FEED: Final = "there is no feed of this stream: import advisories with vedette feed import"


@dataclass(frozen=True, slots=True)
class Change:
    """What an import did to a stream."""

    stream: str
    advisories: int
    blocks: int  # that it has now
    changed: int  # of these, that devices have to fetch
    size: int  # bytes of all blocks
    fetched: int  # bytes of those


@dataclass(frozen=True, slots=True)
class Source:
    """What was imported under a name."""

    name: str
    stream: str
    kind: str
    imported_at: datetime
    advisories: int


@dataclass(frozen=True, slots=True)
class Stream:
    """What devices can fetch."""

    head: Head
    blocks: int
    size: int  # bytes


async def take_in(services: Services, name: str, taken: Taken, *, add: bool) -> list[Change]:
    """Import what files held.

    Args:
        name: of the source, in whose place it comes.
        add: what the source has already stays, unless it is of a document that comes again.
    Raises:
        Invalid: no good name, or nothing in the files.
        Conflict: somebody else imports at the same time.
    """
    if not NAME.fullmatch(name):
        raise Invalid(f"{name[:80]!r} is no name for a source: letters, digits and . _ -, at most 64")
    if not taken.lines and not (add and taken.documents):
        raise Invalid("there is no advisory in these files that a device could use")
    streams = set(taken.lines)
    bases = {stream.partition(":")[0] for stream in streams}
    before = await services.db.read(SYSTEM, store.sources)
    for row in before:
        if row["name"] == name and (add or row["stream"].partition(":")[0] in bases):
            streams.add(row["stream"])
    changes = [await _replace(services, name, stream, taken, add=add) for stream in sorted(streams)]
    return [each for each in changes if each is not None]


async def remove(services: Services, name: str, stream: str | None = None) -> list[Change]:
    """Forget what was imported under a name, in one stream or all. Raises NotFound, Conflict."""
    rows = await services.db.read(SYSTEM, store.sources)
    streams = [row["stream"] for row in rows if row["name"] == name and stream in {None, row["stream"]}]
    if not streams:
        raise NotFound(f"nothing was imported as {name!r}" + (f" for {stream}" if stream else ""))
    changes = [await _replace(services, name, each, None, add=False) for each in streams]
    return [each for each in changes if each is not None]


async def _replace(services: Services, name: str, stream: str, taken: Taken | None, *, add: bool) -> Change | None:
    """One stream in one transaction. None: nothing is left of it, or nothing has changed."""
    old, parts = await services.db.read(SYSTEM, _now, stream)
    lines = [] if taken is None else taken.lines.get(stream, [])
    if add and taken is not None:
        mine = await asyncio.to_thread(lambda: list(_lines(row for row in parts if row["name"] == name)))
        kept = [line for line in mine if load_record(stream, line).source not in taken.documents]
        if len(kept) == len(mine) and not lines:
            return None
        lines = [*kept, *lines]
    now = services.clock.now()
    others = [row for row in parts if row["name"] != name]
    kind = taken.kind if taken is not None else ""
    made = await asyncio.to_thread(_compile, stream, kind, lines, others, timestamp(now), old)
    content = await asyncio.to_thread(lambda: [_packed(lines[at : at + LINES]) for at in range(0, len(lines), LINES)])

    async def work(tx: Tx) -> Change | None:
        if await store.head(tx, stream) != old:
            raise Conflict(f"{stream} was changed by another import meanwhile; start this one again")
        if lines:
            await store.set_source(tx, name, stream, kind, micros(now), len(lines), content)
        else:
            await store.remove_source(tx, name, stream)
        if made is None:
            await store.remove_stream(tx, stream)
            return None
        return await _publish(tx, made)

    return await services.db.write(SYSTEM, work)


async def _now(tx: Tx, stream: str) -> tuple[str | None, list[Row]]:
    return await store.head(tx, stream), await store.parts(tx, stream)


async def _publish(tx: Tx, made: Compiled) -> Change:
    stream = made.head.stream
    there = await store.hashes(tx, stream)
    new = {hash: content for hash, content in made.blocks.items() if hash not in there}
    await store.set_head(tx, stream, made.head.dump().decode())
    encoded = {hash: base64.b64encode(content).decode() for hash, content in new.items()}
    await store.change_blocks(tx, stream, sorted(there - set(made.blocks)), encoded)
    return Change(
        stream=stream,
        advisories=made.head.advisories,
        blocks=len(made.blocks),
        changed=len(new),
        size=sum(map(len, made.blocks.values())),
        fetched=sum(map(len, new.values())),
    )


def _compile(
    stream: str, kind: str, lines: Sequence[bytes], others: Sequence[Row], imported: str, old: str | None
) -> Compiled | None:
    def records() -> Iterator[tuple[str, Record]]:
        for row in others:
            for line in _lines([row]):
                yield row["kind"], load_record(stream, line)
        for line in lines:
            yield kind, load_record(stream, line)

    if not lines and not others:
        return None
    before = 0 if old is None else load_head(old.encode()).buckets
    return compiled(stream, records(), imported, before)


def _packed(lines: Sequence[bytes]) -> str:
    return base64.b64encode(zlib.compress(b"\n".join(lines))).decode()


def _lines(rows: Iterable[Any]) -> Iterator[bytes]:
    for row in rows:
        yield from zlib.decompress(base64.b64decode(row["content"])).split(b"\n")


# --- asking ----------------------------------------------------------------------------------------------------------


async def streams(services: Services) -> list[Stream]:
    """All that devices can fetch."""
    rows = await services.db.read(SYSTEM, store.heads)
    return [Stream(load_head(row["head"].encode()), row["blocks"], row["characters"] * 3 // 4) for row in rows]


async def sources(services: Services) -> list[Source]:
    """All that was imported."""
    rows = await services.db.read(SYSTEM, store.sources)
    return [
        Source(row["name"], row["stream"], row["kind"], datetime_of(row["imported_at"]), row["advisories"])
        for row in rows
    ]


async def head(services: Services, stream: str) -> str:
    """What a stream is now, as devices read it. Raises NotFound."""
    found = await services.db.read(SYSTEM, store.head, stream)
    if found is None:
        raise NotFound(NO_FEED)
    return found


async def blocks(services: Services, stream: str, hashes: Sequence[str]) -> bytes:
    """These blocks, one after the other.

    Raises:
        Invalid: none, or too many.
        NotFound: one is not there, or no longer: the stream has changed.
    """
    if not 0 < len(hashes) <= MAX_HASHES:
        raise Invalid(f"hash: name 1 to {MAX_HASHES} blocks")
    found = await services.db.read(SYSTEM, store.blocks, stream, hashes)
    if not found.keys() >= set(hashes):
        raise NotFound("the feed has changed: fetch its head again")
    return b"".join(base64.b64decode(found[each]) for each in hashes)


async def exported(services: Services, stream: str) -> bytes:
    """A stream with all its blocks in one file, for a device without a server. Raises NotFound."""

    async def work(tx: Tx) -> tuple[str | None, dict[str, str]]:
        return await store.head(tx, stream), await store.blocks(tx, stream, sorted(await store.hashes(tx, stream)))

    text, found = await services.db.read(SYSTEM, work)
    if text is None:
        raise NotFound(NO_FEED)
    content = {hash: base64.b64decode(each) for hash, each in found.items()}
    index = content[load_head(text.encode()).index]
    return b"".join(pack(text.encode(), index, content))
