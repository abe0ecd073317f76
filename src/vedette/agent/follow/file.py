"""Follow a file through everything that happens to logs: nothing is read twice, nothing is skipped."""

import os
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Final

from vedette.agent.follow.cursor import Cursor
from vedette.agent.follow.events import Patience, Rule
from vedette.agent.follow.generation import Generation
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.lines import Block
from vedette.agent.follow.pathwatch import PathWatch
from vedette.agent.follow.position import Position
from vedette.agent.follow.rest import Awake, Rest
from vedette.agent.loop import Loop, Timer

LINGER_S: Final = 60.0
"""How long a rotated file is kept open for a writer that does not know yet."""
SETTLE_S: Final = 0.1
"""A file written without growing is looked at again after this: it may have been in the middle of a write."""
BLIND_S: Final = 30.0
"""A file that could not be opened because this machine has too little of something is tried again after this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What one step of a source brought, for whom."""

    keys: frozenset[str]
    block: Block


class FileSource:
    """One followed path and the checks on it. A check that begins or lags has a cursor of its own until it is there."""

    __slots__ = (
        "_awake", "_context", "_cursors", "_keys", "_linger", "_loop", "_modified", "_on_ready", "_patience", "_rest",
        "_rule", "_settle", "_watch", "path",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        loop: Loop,
        inotify: Inotify,
        context: int,
        on_ready: Callable[["FileSource"], None],
        rule: Rule | None = None,
        awake: Awake | None = None,
    ) -> None:
        self.path = path
        self._cursors: tuple[Cursor, ...] = ()
        self._rest: Rest | None = None  # then there is no cursor
        self._keys: tuple[str, ...] = ()  # of those who have read what rests
        self._awake = awake or Awake()
        self._loop = loop
        self._context = context
        self._on_ready = on_ready
        self._rule = rule
        self._patience = Patience(loop, rule.timeout_s, self._event_over) if rule is not None else None
        self._modified = False
        self._settle: Timer | None = None
        self._linger: Timer | None = None
        self._watch = PathWatch(inotify, path, self._changed)

    @property
    def cursors(self) -> tuple[Cursor, ...]:
        """One for each place at which checks are. Wakes what rests."""
        rest, self._rest = self._rest, None
        if rest is not None:
            self._cursors = (Cursor.woken(self.path, set(self._keys), rest, self._watch, self._context, self._rule),)
        return self._cursors

    def rest(self) -> None:
        """Keep only what is needed to go on, unless something is under way."""
        if (
            len(self._cursors) != 1
            or self._modified
            or any(timer is not None and timer.pending for timer in (self._settle, self._linger))
        ):
            return
        cursor = self._cursors[0]
        place = cursor.rest()
        if place is not None and cursor.now is not None:
            self._rest, self._keys = Rest.of(cursor.now.fd, place), self._awake.shared(cursor.keys)
            self._cursors, self._settle, self._linger = (), None, None

    def subscribe(self, key: str, position: Position | None) -> None:
        """From `position` on; None: from the start of the file."""
        for cursor in self.cursors:
            if cursor.now is None and cursor.position() == position:
                cursor.keys.add(key)
                break
        else:
            new = Cursor(self.path, {key}, position, self._watch, self._context, self._rule)
            self._cursors = (*self._cursors, new)
        self._on_ready(self)

    def unsubscribe(self, key: str) -> None:
        if self._rest is not None and any(each != key for each in self._keys):
            self._keys = self._awake.shared(each for each in self._keys if each != key)
            return
        for cursor in self.cursors:
            cursor.keys.discard(key)
            if not cursor.keys:
                cursor.close()
        self._cursors = tuple(each for each in self._cursors if each.keys)

    def close(self) -> None:
        if self._rest is not None:
            self._watch.release(self._rest.fd)
            os.close(self._rest.fd)
        for cursor in self._cursors:
            cursor.close()
        self._cursors, self._rest = (), None
        self._awake.forget(self)
        for timer in (self._settle, self._linger):
            if timer is not None:
                timer.cancel()
        if self._patience is not None:
            self._patience.close()
        self._watch.close()

    def position(self, key: str) -> Position | None:
        if self._rest is not None:
            return self._rest.position(self.path) if key in self._keys else None
        return next((cursor.position() for cursor in self.cursors if key in cursor.keys), None)

    def positions(self, keys: Set[str]) -> dict[str, Position | None]:
        """`position` of each of them, at the cost of one where they have read together."""
        out: dict[str, Position | None] = {}
        if self._rest is not None:
            return dict.fromkeys(keys & set(self._keys), self._rest.position(self.path))
        for cursor in self.cursors:
            if here := cursor.keys & keys:
                out |= dict.fromkeys(here, cursor.position())
        return out

    def identities(self) -> set[tuple[int, int]]:
        """Device and inode number of each file that is open here."""
        if self._rest is not None:
            return {self._rest.identity}
        return {(each.device, each.inode) for cursor in self.cursors for each in cursor.generations}

    def hand_over(self, identity: tuple[int, int], path: str) -> dict[str, Position]:
        """The file is called `path` from now on and is followed there: for each check, where it has read up to."""
        out: dict[str, Position] = {}
        for cursor in self.cursors:
            position = cursor.hand_over(identity, path)
            if position is not None:
                out |= dict.fromkeys(cursor.keys, position)
        return out

    @property
    def more(self) -> bool:
        """Is another step worth it at once?"""
        return any(cursor.more for cursor in self._cursors)

    def step(self) -> list[Read]:
        """One bounded piece of reading for each cursor."""
        self._watch.refresh()
        modified, self._modified = self._modified, False
        out: list[Read] = []
        for cursor in self.cursors:
            if modified and cursor.suspect():
                self._settle_later(SETTLE_S)
            out += (Read(keys=frozenset(cursor.keys), block=block) for block in cursor.step() if block.data)
        self._merge()
        if any(cursor.blind for cursor in self.cursors):
            self._settle_later(BLIND_S)
        if any(cursor.lingering for cursor in self.cursors) and (self._linger is None or not self._linger.pending):
            self._linger = self._loop.call_later(LINGER_S, self._end_lingering)
        if self._patience is not None:
            for cursor in self.cursors:
                for each in cursor.generations:
                    self._patience.note(each, each.holding)
        self._awake.note(self)
        return out

    def find(self) -> None:
        """Open the file, if that has not been done: it has a place from then on. Nothing is read."""
        for cursor in self._cursors:
            cursor.find()

    def _event_over(self, generation: Generation) -> None:
        generation.end_event()
        self._on_ready(self)

    def _changed(self, modified: bool) -> None:
        self._modified |= modified
        self._on_ready(self)

    def _settle_later(self, seconds: float) -> None:
        if self._settle is None or not self._settle.pending:
            self._settle = self._loop.call_later(seconds, self._settled)

    def _settled(self) -> None:
        for cursor in self.cursors:
            cursor.settle()
        self._on_ready(self)

    def _merge(self) -> None:
        """Cursors that have come to the same place go on as one: one read for all."""
        left: list[Cursor] = []
        for cursor in self._cursors:
            same = next((each for each in left if each.same_place(cursor)), None)
            if same is None or cursor.lingering:
                left.append(cursor)
            else:
                same.keys |= cursor.keys
                cursor.close()
        self._cursors = tuple(left)

    def _end_lingering(self) -> None:
        for cursor in self.cursors:
            cursor.end_lingering()
        self._on_ready(self)
