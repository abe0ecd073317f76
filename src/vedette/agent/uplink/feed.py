"""Fetches what the check of known vulnerabilities wants: of each stream its head, then the blocks that changed.

Everything is known by its hash, so nothing is fetched twice, and what was broken off goes on where it was.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from vedette.agent import durable, feedfile
from vedette.agent.store import Store
from vedette.agent.uplink.api import Api
from vedette.agent.uplink.backoff import TryLater
from vedette.agent.uplink.deliver import Warn
from vedette.clock import Clock
from vedette.errors import Invalid
from vedette.model.feed import MAX_HEAD, Head, Pack, bucket, digest, load_head, load_index, pack

PATH: Final = "/api/devices/v1/vedette/feed"
EVERY_S: Final = 1800.0
"""Between looks whether there is something new; what is newly wanted is fetched at once."""
RETRY_S: Final = 300.0
"""After a look that failed."""
BATCH_BYTES: Final = 128 * 1024  # of blocks in one answer
BATCH: Final = 64  # blocks in one answer

LOOKED: Final = "feed.looked"  # key of the store's meta: boot, moment, and what was wanted


class Feed:
    """The feeds of this device, from one server."""

    def __init__(self, state: Path, store: Store, api: Api, clock: Clock, boot: str, warn: Warn) -> None:
        self._directory = feedfile.directory(state)
        self._store, self._api, self._clock, self._boot, self._warn = store, api, clock, boot, warn
        self._changed = False

    def fetch(self, stop: Callable[[], bool]) -> bool:
        """Bring everything up to date, or as far as it gets until `stop`. True when the server was spoken to.

        Raises:
            TryLater: the server cannot be asked now; what has come is kept.
        """
        wanted = feedfile.wanted(self._directory, self._clock.now())
        if not wanted or not self._is_due(wanted) or not self._api.token().ours:
            return False
        complete = True
        try:
            for stream, prefixes in wanted.items():
                complete &= self._stream(stream, prefixes, stop)
        except TryLater:
            self._looked(wanted, EVERY_S - RETRY_S)
            raise
        if complete:
            with suppress(OSError):  # then it is looked at when it is time
                if self._changed:
                    feedfile.say_arrived(self._directory)
            self._looked(wanted)
        elif not stop():  # something is wrong at the server
            self._looked(wanted, EVERY_S - RETRY_S)
        return True

    def _looked(self, wanted: feedfile.Wanted, ago_s: float = 0.0) -> None:
        self._store.set_meta(LOOKED, f"{self._boot} {self._clock.elapsed() - ago_s} {_name(wanted)}")

    def _is_due(self, wanted: feedfile.Wanted) -> bool:
        boot, _, rest = (self._store.meta(LOOKED) or "").partition(" ")
        looked, _, name = rest.partition(" ")
        return boot != self._boot or name != _name(wanted) or self._clock.elapsed() - float(looked) >= EVERY_S

    def _stream(self, stream: str, prefixes: Iterable[int], stop: Callable[[], bool]) -> bool:
        """Whether nothing of it is left to do for now."""
        path = feedfile.path(self._directory, stream)
        try:
            with path.open("rb") if path.exists() else nullcontext() as file:
                return self._update(path, stream, prefixes, self._there(path, file), stop)
        except (OSError, Invalid) as exc:
            why = exc.strerror if isinstance(exc, OSError) else exc
            self._warn(f"{path}: the feed of known vulnerabilities cannot be kept there: {why}")
            return True

    def _there(self, path: Path, file: BinaryIO | None) -> Pack | None:
        """What was fetched before, where it is of use."""
        try:
            return None if file is None else feedfile.open_pack(file)
        except Invalid as exc:
            self._warn(f"{path}: {exc}; it is fetched anew")
            return None

    def _update(
        self, path: Path, stream: str, prefixes: Iterable[int], there: Pack | None, stop: Callable[[], bool]
    ) -> bool:
        text, head = self._head(stream, there)
        if head is None:
            return True
        have = dict(there.blocks()) if there is not None else {}
        index = there.index if there is not None and there.head.index == head.index else b""
        if not index:
            index = self._blocks(stream, [(head.index, 0)])
            if not index or digest(index) != head.index:
                return False  # it changed in between
        buckets = {bucket(each, head.buckets) for each in prefixes}
        entries = [each for each in load_index(index) if each.bucket in buckets]
        missing = [(each.hash, each.size) for each in entries if each.hash not in have]
        if not missing and there is not None and text == there.head_text:
            return True
        wanted = {each.hash for each in entries}
        blocks = {hash: content for hash, content in have.items() if hash in wanted}
        try:
            for batch in _batches(missing):
                if stop() or not self._take(stream, batch, blocks):
                    return False
        finally:  # also of what was broken off
            self._save(path, text, index, blocks)
        return all(hash in blocks for hash in wanted)

    def _take(self, stream: str, batch: list[tuple[str, int]], blocks: dict[str, bytes]) -> bool:
        """Add these to `blocks`, those that came right. False: they are no longer there."""
        content = self._blocks(stream, batch)
        for hash, size in batch:
            part, content = content[:size], content[size:]
            if digest(part) == hash:
                blocks[hash] = part
        return batch[0][0] in blocks

    def _save(self, path: Path, head: bytes, index: bytes, blocks: Mapping[str, bytes]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.replace(path, b"".join(pack(head, index, blocks)), 0o644)
        self._changed = True

    def _head(self, stream: str, there: Pack | None) -> tuple[bytes, Head | None]:
        """What the server has; None: nothing, or nothing that can be read."""
        headers = {"If-None-Match": f'"{digest(there.head_text)}"'} if there is not None else {}
        answer = self._api.call("feed", "GET", f"{PATH}/{quote(stream, safe='')}", lambda _ours: b"", headers)
        if answer.status == 304 and there is not None:
            return there.head_text, there.head
        if answer.status != 200 or len(answer.body) > MAX_HEAD:
            return b"", None  # 404: the server knows no such stream, or is an older one; the check says so in time
        try:
            head = load_head(answer.body)
        except Invalid as exc:
            self._warn(f"the feed of {stream}: {exc}")
            return b"", None
        return answer.body, head if head.stream == stream else None

    def _blocks(self, stream: str, batch: Iterable[tuple[str, int]]) -> bytes:
        """One after the other; nothing where one is no longer there."""
        query = "&".join(f"hash={hash}" for hash, _ in batch)
        path = f"{PATH}/{quote(stream, safe='')}/blocks?{query}"
        answer = self._api.call("feed", "GET", path, lambda _ours: b"")
        return answer.body if answer.status == 200 else b""


def _batches(blocks: Iterable[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    batch: list[tuple[str, int]] = []
    for each in blocks:
        if batch and (len(batch) == BATCH or sum(size for _, size in batch) + each[1] > BATCH_BYTES):
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


def _name(wanted: feedfile.Wanted) -> str:
    """Of what is wanted: another one for anything else."""
    return digest(repr(sorted((stream, sorted(prefixes)) for stream, prefixes in wanted.items())).encode())
