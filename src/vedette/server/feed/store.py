"""The SQL of the feed. It belongs to no tenant: advisories are public, and the same for all."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vedette.server.db import Row, Tx


async def sources(tx: Tx) -> list[Row]:
    return await tx.all("SELECT name, stream, kind, imported_at, advisories FROM feed_source ORDER BY name, stream")


async def parts(tx: Tx, stream: str) -> list[Row]:
    """`name`, `kind` and `content` of all sources of a stream."""
    return await tx.all(
        "SELECT feed_source.name, feed_source.kind, feed_part.content FROM feed_part JOIN feed_source"
        " ON feed_source.name = feed_part.name AND feed_source.stream = feed_part.stream"
        " WHERE feed_part.stream = :stream ORDER BY feed_part.name, feed_part.number",
        stream=stream,
    )


async def set_source(tx: Tx, name: str, stream: str, kind: str, now: int, count: int, content: Sequence[str]) -> None:
    """In place of what this source had for this stream."""
    await tx.execute("DELETE FROM feed_source WHERE name = :name AND stream = :stream", name=name, stream=stream)
    await tx.execute(
        "INSERT INTO feed_source (name, stream, kind, imported_at, advisories)"
        " VALUES (:name, :stream, :kind, :now, :count)",
        name=name, stream=stream, kind=kind, now=now, count=count,
    )  # fmt: skip
    await tx.many(
        "INSERT INTO feed_part (name, stream, number, content) VALUES (:name, :stream, :number, :content)",
        [{"name": name, "stream": stream, "number": number, "content": each} for number, each in enumerate(content)],
    )


async def remove_source(tx: Tx, name: str, stream: str) -> None:
    await tx.execute("DELETE FROM feed_source WHERE name = :name AND stream = :stream", name=name, stream=stream)


async def head(tx: Tx, stream: str) -> str | None:
    found: str | None = await tx.value("SELECT head FROM feed_stream WHERE stream = :stream", stream=stream)
    return found


async def heads(tx: Tx) -> list[Row]:
    """`stream` and `head` of all, with how many `blocks` and `characters` (base64) they have."""
    return await tx.all(
        "SELECT feed_stream.stream, feed_stream.head, count(feed_block.hash) AS blocks,"
        " coalesce(sum(length(feed_block.content)), 0) AS characters FROM feed_stream"
        " LEFT JOIN feed_block ON feed_block.stream = feed_stream.stream"
        " GROUP BY feed_stream.stream, feed_stream.head ORDER BY feed_stream.stream"
    )


async def set_head(tx: Tx, stream: str, head: str) -> None:
    await tx.execute(
        "INSERT INTO feed_stream (stream, head) VALUES (:stream, :head)"
        " ON CONFLICT (stream) DO UPDATE SET head = excluded.head",
        stream=stream, head=head,
    )  # fmt: skip


async def remove_stream(tx: Tx, stream: str) -> None:
    await tx.execute("DELETE FROM feed_stream WHERE stream = :stream", stream=stream)


async def hashes(tx: Tx, stream: str) -> set[str]:
    rows = await tx.all("SELECT hash FROM feed_block WHERE stream = :stream", stream=stream)
    return {row["hash"] for row in rows}


async def blocks(tx: Tx, stream: str, hashes: Sequence[str]) -> dict[str, str]:
    """Those of these that are there, base64."""
    rows = await tx.all(
        "SELECT hash, content FROM feed_block WHERE stream = :stream AND hash IN {each:hashes}",
        stream=stream, hashes=json.dumps(list(hashes)),
    )  # fmt: skip
    return {row["hash"]: row["content"] for row in rows}


async def change_blocks(tx: Tx, stream: str, gone: Sequence[str], new: Mapping[str, str]) -> None:
    await tx.execute(
        "DELETE FROM feed_block WHERE stream = :stream AND hash IN {each:hashes}",
        stream=stream, hashes=json.dumps(list(gone)),
    )  # fmt: skip
    rows: list[Mapping[str, Any]] = [
        {"stream": stream, "hash": hash, "content": content} for hash, content in new.items()
    ]
    await tx.many("INSERT INTO feed_block (stream, hash, content) VALUES (:stream, :hash, :content)", rows)
