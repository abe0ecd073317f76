"""Follow a file through everything that happens to logs: nothing is read twice, nothing is skipped.

A name is not a file. The file is held open and read to its end, whatever it is called by now; then comes the next
generation: what was renamed away in between, oldest first, and at last what the name means today. A file that was
renamed stays open for a while, for its writer may not know yet.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vedette.agent import log
from vedette.agent.follow.events import Patience, Rule
from vedette.agent.follow.generation import Generation
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.lines import Block
from vedette.agent.follow.pathwatch import PathWatch
from vedette.agent.follow.position import Position
from vedette.agent.loop import Loop, Timer
from vedette.errors import Unavailable

LINGER_S: Final = 60.0
"""How long a rotated file is kept open for a writer that does not know yet."""
SETTLE_S: Final = 0.1
"""A file written without growing is looked at again after this: it may have been in the middle of a write."""
MAX_SIBLINGS: Final = 10_000
MAX_LINGERING: Final = 4

# app.log.1, app.log-20260824: rotated, and not compressed since
_ROTATED: Final = re.compile(r"[.-]\d[\d.T_-]*")
_SHORT_NUMBER: Final = re.compile(r"[.-](\d{1,4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What one step of a source brought, for whom."""

    keys: tuple[str, ...]
    block: Block


class Cursor:
    """One place in the succession of generations of one path, shared by the checks that are at it."""

    def __init__(
        self,
        path: str,
        keys: set[str],
        position: Position | None,
        watch: PathWatch,
        context: int,
        rule: Rule | None = None,
    ) -> None:
        self.path = path
        self.keys = keys
        self.now: Generation | None = None
        self.lingering: list[Generation] = []
        self.more = True  # worth another step at once
        self._suspect: tuple[Generation, tuple[int, int]] | None = None
        self._wanted = position
        self._watch = watch
        self._context = context
        self._rule = rule
        self._trouble = ""

    @property
    def generations(self) -> tuple[Generation, ...]:
        """All that are open."""
        return (*self.lingering, self.now) if self.now is not None else tuple(self.lingering)

    def close(self) -> None:
        for each in self.generations:
            self._watch.release(each.fd)
            each.close()
        self.lingering, self.now = [], None

    def position(self) -> Position | None:
        """Behind what was handed out; None before the first file was found."""
        return self._wanted if self.now is None else self.now.position(self.path)

    def same_place(self, other: "Cursor") -> bool:
        """Have both read all there is of the same file?"""
        mine, theirs = self.now, other.now
        return (
            mine is not None and theirs is not None and not self.more and not other.more
            and (mine.device, mine.inode, mine.offset, mine.line)
            == (theirs.device, theirs.inode, theirs.offset, theirs.line)
        )  # fmt: skip

    def step(self) -> list[Block]:
        """One bounded piece of work; `more` says whether another one is worth it at once."""
        out = [block for old in self.lingering if (block := old.read()) is not None]
        self.more = bool(out)
        if self.now is None and not self._open_first():
            return out
        assert self.now is not None
        now = self.now
        if now.replaced():
            self.more = True
            self._begin_anew(now, out)
            return out
        block = now.read()
        if block is not None:
            self.more = True
            out.append(block)
        elif self._move_on(now, out):
            self.more = True
        elif not self.more:
            now.note_time()
        return out

    def suspect(self) -> bool:
        """All was read, and it was written since without growing: remember that for `settle`."""
        if self.now is None or self.more or not self.now.touched():
            return False
        self._suspect = (self.now, self.now.stamp())
        return True

    def settle(self) -> None:
        """If it stands still like that it was written anew with the same length: read it again."""
        suspect, self._suspect = self._suspect, None
        if suspect is not None and suspect[0] is self.now and suspect == (self.now, self.now.stamp()):
            self.now.restart()
            self.more = True

    def _open_first(self) -> bool:
        """Find the file where the last run stopped, or the one the name means now."""
        wanted = self._wanted
        missed: str | None = None
        if wanted is not None:
            if wanted.offset == 0:  # nothing was read, so there is no content to know it by: what is older comes first
                missed = oldest_since(self.path, wanted.written_ns, inode=wanted.inode)
            found = self._find(wanted) if missed is None else None
            if found is not None:
                found.resume(wanted)
                self._take(found)
                return True
            missed = missed or oldest_since(self.path, wanted.written_ns)
        now = self._open(missed or self.path)
        if now is None:
            return False
        if wanted is not None and wanted.offset and wanted.inode != now.inode:
            log.info(f"{self.path}: the file that was read before is gone; going on with the next one there is")
        self._take(now)
        return True

    def _take(self, generation: Generation) -> None:
        self.now, self._wanted = generation, None
        self._watch.hold(generation.fd)

    def _open(self, path: str) -> Generation | None:
        """None while it is missing or may not be read; said once."""
        trouble = ""
        try:
            return Generation.open(path, self._context, self._rule)
        except FileNotFoundError:
            pass
        except (OSError, Unavailable) as exc:
            trouble = exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)
        finally:
            if trouble and trouble != self._trouble:
                log.warn(f"{path} cannot be read ({trouble}); waiting until it can")
            self._trouble = trouble
        return None

    def _find(self, wanted: Position, *, copies_only: bool = False, since_ns: int = 0) -> Generation | None:
        """The file where `wanted` fits: by its number under any name, or by its content under a rotated one.

        A copy is not older than `since_ns`: generations often begin alike, and an old one is not read again for that.
        """
        if not copies_only and (here := self._fitting(self.path, wanted, by_number=True)):
            return here
        copies: list[str] = []
        for entry in siblings(self.path):
            try:
                if not copies_only and entry.inode() == wanted.inode and entry.is_file(follow_symlinks=False):
                    if found := self._fitting(entry.path, wanted, by_number=True):
                        return found
                elif is_rotated(entry.name, os.path.basename(self.path)) and entry.stat().st_mtime_ns >= since_ns:  # noqa: PTH119
                    copies.append(entry.path)
            except OSError:
                continue
        if wanted.offset == 0:
            return None
        return next((found for each in copies if (found := self._fitting(each, wanted, by_number=False))), None)

    def _fitting(self, path: str, wanted: Position, *, by_number: bool) -> Generation | None:
        try:
            found = Generation.open(path, self._context, self._rule)
        except (OSError, Unavailable):
            return None
        # Not the device number: many file systems get another one with each boot. The content tells.
        if (found.inode == wanted.inode or not by_number) and found.is_at(wanted):
            return found
        found.close()
        return None

    def _begin_anew(self, now: Generation, out: list[Block]) -> None:
        """The content was truncated. What came before may live on in a copy (copytruncate): its rest is read first."""
        copy = self._find(now.position(self.path), copies_only=True, since_ns=now.seen_ns)
        if copy is not None:
            copy.resume(now.position(self.path))
            self._watch.release(now.fd)
            now.close()
            self._take(copy)
            return
        block = now.flush()
        if block is not None:
            out.append(block)
        now.restart()

    def _move_on(self, now: Generation, out: list[Block]) -> bool:
        """At the end of a file: is there another one? An empty one can wait, the old may still be written."""
        size = 0
        try:
            status = os.stat(self.path)  # noqa: PTH116
            if (status.st_dev, status.st_ino) == (now.device, now.inode):
                return False
            size = status.st_size
        except OSError:
            pass  # missing: there may be younger generations all the same
        between = next_generation(self.path, now)
        if between is None and size == 0:
            return False
        following = self._open(between or self.path)
        if following is None:
            return False
        block = now.flush()
        if block is not None:
            out.append(block)
        self.lingering.append(now)
        if len(self.lingering) > MAX_LINGERING:
            oldest = self.lingering.pop(0)
            if (block := oldest.flush()) is not None:
                out.append(block)
            self._end(oldest)
        self._take(following)
        return True

    def hand_over(self, identity: tuple[int, int], path: str) -> Position | None:
        """Leave the file with this identity to whoever follows `path`, from the place returned on."""
        for each in self.generations:
            if (each.device, each.inode) == identity:
                position = each.position(path)
                if each is self.now:
                    self.now, self._wanted, self.more = None, None, True
                else:
                    self.lingering.remove(each)
                self._end(each)
                return position
        return None

    def end_lingering(self) -> None:
        """Nothing more is expected of the renamed files."""
        for old in self.lingering:
            self._end(old)
        self.lingering = []

    def _end(self, old: Generation) -> None:
        self._watch.release(old.fd)
        old.close()


class FileSource:
    """One followed path and the checks on it. A check that begins or lags has a cursor of its own until it is there."""

    def __init__(
        self,
        path: str,
        loop: Loop,
        inotify: Inotify,
        context: int,
        on_ready: Callable[["FileSource"], None],
        rule: Rule | None = None,
    ) -> None:
        self.path = path
        self.cursors: list[Cursor] = []
        self._loop = loop
        self._context = context
        self._on_ready = on_ready
        self._rule = rule
        self._patience = Patience(loop, rule.timeout_s, self._event_over) if rule is not None else None
        self._modified = False
        self._settle: Timer | None = None
        self._linger: Timer | None = None
        self._watch = PathWatch(inotify, path, self._changed)

    def subscribe(self, key: str, position: Position | None) -> None:
        """From `position` on; None: from the start of the file."""
        for cursor in self.cursors:
            if cursor.now is None and cursor.position() == position:
                cursor.keys.add(key)
                break
        else:
            self.cursors.append(Cursor(self.path, {key}, position, self._watch, self._context, self._rule))
        self._on_ready(self)

    def unsubscribe(self, key: str) -> None:
        for cursor in list(self.cursors):
            cursor.keys.discard(key)
            if not cursor.keys:
                cursor.close()
                self.cursors.remove(cursor)

    def close(self) -> None:
        for cursor in self.cursors:
            cursor.close()
        self.cursors = []
        for timer in (self._settle, self._linger):
            if timer is not None:
                timer.cancel()
        if self._patience is not None:
            self._patience.close()
        self._watch.close()

    def position(self, key: str) -> Position | None:
        return next((cursor.position() for cursor in self.cursors if key in cursor.keys), None)

    def identities(self) -> set[tuple[int, int]]:
        """Device and inode number of each file that is open here."""
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
        return any(cursor.more for cursor in self.cursors)

    def step(self) -> list[Read]:
        """One bounded piece of reading for each cursor."""
        self._watch.refresh()
        modified, self._modified = self._modified, False
        out: list[Read] = []
        for cursor in self.cursors:
            if modified and cursor.suspect():
                self._settle_later()
            out += (Read(keys=tuple(sorted(cursor.keys)), block=block) for block in cursor.step() if block.data)
        self._merge()
        if any(cursor.lingering for cursor in self.cursors) and (self._linger is None or not self._linger.pending):
            self._linger = self._loop.call_later(LINGER_S, self._end_lingering)
        if self._patience is not None:
            for cursor in self.cursors:
                for each in cursor.generations:
                    self._patience.note(each, each.holding)
        return out

    def _event_over(self, generation: Generation) -> None:
        generation.end_event()
        self._on_ready(self)

    def _changed(self, modified: bool) -> None:
        self._modified |= modified
        self._on_ready(self)

    def _settle_later(self) -> None:
        if self._settle is None or not self._settle.pending:
            self._settle = self._loop.call_later(SETTLE_S, self._settled)

    def _settled(self) -> None:
        for cursor in self.cursors:
            cursor.settle()
        self._on_ready(self)

    def _merge(self) -> None:
        """Cursors that have come to the same place go on as one: one read for all."""
        for index, cursor in enumerate(self.cursors):
            for other in self.cursors[index + 1 :]:
                if cursor.same_place(other) and not other.lingering:
                    cursor.keys |= other.keys
                    other.close()
                    self.cursors.remove(other)

    def _end_lingering(self) -> None:
        for cursor in self.cursors:
            cursor.end_lingering()


def siblings(path: str) -> list[os.DirEntry[str]]:
    """What lies beside `path`, and beside what it links to."""
    out: list[os.DirEntry[str]] = []
    for directory in dict.fromkeys((os.path.dirname(path), os.path.dirname(os.path.realpath(path)))):  # noqa: PTH120
        try:
            with os.scandir(directory or ".") as entries:
                for entry in entries:
                    out.append(entry)
                    if len(out) >= MAX_SIBLINGS:
                        return out
        except OSError:
            continue
    return out


def is_rotated(name: str, base: str) -> bool:
    """Could `name` be an older generation of `base`: base.1, base-20260824, not compressed?"""
    return name.startswith(base) and _ROTATED.fullmatch(name[len(base) :]) is not None


def rotated(path: str) -> list[tuple[os.stat_result, str, int | None]]:
    """The older generations of `path` that are there: status, path, and the short number at its end if it has one."""
    base = os.path.basename(path)  # noqa: PTH119
    found: list[tuple[os.stat_result, str, int | None]] = []
    for entry in siblings(path):
        try:
            if is_rotated(entry.name, base) and entry.is_file(follow_symlinks=False):
                short = _SHORT_NUMBER.fullmatch(entry.name[len(base) :])
                found.append((entry.stat(follow_symlinks=False), entry.path, int(short[1]) if short else None))
        except OSError:
            continue  # gone just then
    return found


def oldest_since(path: str, written_ns: int, *, inode: int | None = None) -> str | None:
    """The oldest generation that was still written after that time, or then if it has that inode number; or None."""
    younger = [
        each
        for each in rotated(path)
        if each[0].st_mtime_ns > written_ns or (each[0].st_ino == inode and each[0].st_mtime_ns == written_ns)
    ]
    return min(younger, key=lambda each: (each[0].st_mtime_ns, -(each[2] or 0)))[1] if younger else None


def next_generation(path: str, now: Generation) -> str | None:
    """What was renamed away after `now` and before today's file, oldest first; None when that is all.

    By number where both have one (base.1 is younger than base.2), else by the time of the last write.
    """
    found = rotated(path)
    mine = next((each for each in found if (each[0].st_dev, each[0].st_ino) == (now.device, now.inode)), None)
    if mine is None or mine[2] is None:
        return oldest_since(path, os.fstat(now.fd).st_mtime_ns)
    younger = [each for each in found if each[2] is not None and each[2] < mine[2]]
    return max(younger, key=lambda each: each[2] or 0)[1] if younger else None
