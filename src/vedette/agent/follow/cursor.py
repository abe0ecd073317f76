"""A place in the succession of files that have had one name.

A name is not a file. The file is held open and read to its end, whatever it is called by now; then comes the next
generation: what was renamed away in between, oldest first, and at last what the name means today. A file that was
renamed stays open for a while, for its writer may not know yet.
"""

import errno
import os
from typing import Final

from vedette.agent import log
from vedette.agent.follow.events import Rule
from vedette.agent.follow.generation import Generation
from vedette.agent.follow.lines import Block
from vedette.agent.follow.pathwatch import PathWatch
from vedette.agent.follow.position import Position
from vedette.agent.follow.rest import Rest
from vedette.agent.follow.rotation import next_generation, older_names, oldest_since
from vedette.errors import Unavailable

MAX_LINGERING: Final = 4
"""Renamed files that are kept open."""
_TOLD: Final = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG})
"""Why a file cannot be opened: the name or its permissions must change, of which the kernel tells."""


class Cursor:
    """One place in the succession of generations of one path, shared by the checks that are at it."""

    __slots__ = (
        "_context", "_over", "_rule", "_suspect", "_trouble", "_wanted", "_watch", "blind", "keys", "lingering", "more",
        "now", "path",
    )  # fmt: skip

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
        self.blind = False  # it could not be opened, for a reason of which nobody will tell that it is gone
        self._over: tuple[Generation, ...] = ()  # of those that linger nothing more is expected of these
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

    @classmethod
    def woken(
        cls, path: str, keys: set[str], rest: Rest, watch: PathWatch, context: int, rule: Rule | None = None
    ) -> "Cursor":
        """Goes on where it came to `rest`; the file is held by `watch` still."""
        cursor = cls(path, keys, None, watch, context, rule)
        cursor.now = Generation.woken(rest.fd, rest.position(path), context, rule)
        cursor.more = False  # all was read
        return cursor

    def rest(self) -> Position | None:
        """Its place when nothing is under way; None when something is."""
        if self.now is None or self.lingering or self.more or self._suspect is not None or self._trouble:
            return None
        return self.now.rest()

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
        if self._over and not out:
            self._end_lingering(out)
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

    def find(self) -> None:
        """Open the file, if that has not been done; nothing is read."""
        if self.now is None:
            self._open_first()

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
                missed = oldest_since(self.path, self._watch.beside(), wanted.written_ns, inode=wanted.inode)
            found = self._find(wanted) if missed is None else None
            if found is not None:
                found.resume(wanted)
                self._take(found)
                return True
            missed = missed or oldest_since(self.path, self._watch.beside(), wanted.written_ns)
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
        trouble, self.blind = "", False
        try:
            return Generation.open(path, self._context, self._rule)
        except FileNotFoundError:
            pass
        except Unavailable as exc:
            trouble = str(exc)
        except OSError as exc:
            trouble = exc.strerror or str(exc)
            self.blind = exc.errno not in _TOLD
        finally:
            if trouble and trouble != self._trouble:
                sentence = f"{path} cannot be read ({trouble}); waiting until it can"
                self._watch.warn(sentence) if self.blind else log.warn(sentence)
            self._trouble = trouble
        return None

    def _find(self, wanted: Position, *, copies_only: bool = False, since_ns: int = 0) -> Generation | None:
        """The file where `wanted` fits: by its number under any name, or by its content under a rotated one.

        A copy is not older than `since_ns`: generations often begin alike, and an old one is not read again for that.
        """
        if not copies_only and (here := self._fitting(self.path, wanted, by_number=True)):
            return here
        beside = self._watch.beside()
        own_name = os.path.basename(self.path)  # noqa: PTH119
        for listing in () if copies_only else beside:
            for name in listing.numbered(wanted.inode):
                if wanted.offset == 0 and not name.startswith(own_name):
                    continue  # no content to know it by, and the number may have been given to another file
                if found := self._fitting(os.path.join(listing.directory, name), wanted, by_number=True):  # noqa: PTH118
                    return found
        if wanted.offset == 0:
            return None
        for path in older_names(self.path, beside):
            if _written_ns(path) >= since_ns and (found := self._fitting(path, wanted, by_number=False)):
                return found
        return None

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
        between = next_generation(self.path, self._watch.beside(), now)
        if between is None and size == 0:
            return False
        following = self._open(between or self.path)
        if following is None:
            return False
        if (block := now.read()) is not None:  # written while we looked, perhaps the end of a line
            following.close()
            out.append(block)
            return True
        if (block := now.flush()) is not None:
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
        """Nothing more is expected of the renamed files: once they are read to their ends they are left."""
        self._over = tuple(self.lingering)

    def _end_lingering(self, out: list[Block]) -> None:
        over, self._over = self._over, ()
        for old in over:
            if old in self.lingering:
                self.lingering.remove(old)
                if (block := old.flush()) is not None:
                    out.append(block)
                self._end(old)

    def _end(self, old: Generation) -> None:
        self._watch.release(old.fd)
        old.close()


def _written_ns(path: str) -> int:
    """Time of the last write to what is called so; -1: it is gone."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116
    except OSError:
        return -1
