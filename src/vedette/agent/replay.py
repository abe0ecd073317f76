"""What would a log check have raised? Replayed over logs that are there, by the rules that the daemon follows."""

import gzip
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from glob import glob
from typing import IO, Final

from vedette.agent import states
from vedette.agent.checks.log import LogCheck
from vedette.agent.follow.events import Assembler, Rule
from vedette.agent.follow.glob import is_pattern
from vedette.agent.follow.lines import Block, Context, Splitter
from vedette.agent.follow.listing import beside
from vedette.agent.follow.many import PACKED
from vedette.agent.follow.rotation import rotated
from vedette.agent.linetime import time_of
from vedette.agent.match import Engine
from vedette.agent.match.fields import scan
from vedette.agent.states import QUIET, Now, State
from vedette.clock import Clock, SystemClock
from vedette.errors import Unavailable
from vedette.model import Level, Subject

READ_BYTES: Final = 1 << 20
STDIN: Final = "-"
LINES_WITHOUT_TIME: Final = 100
"""A line that tells no time, as in a stack trace, has that of the last line before it that does, among so many."""


@dataclass(slots=True, kw_only=True)
class Told:
    """One alert, and for a problem what more there was of it."""

    level: Level
    name: str
    subject: Subject
    at: datetime | None  # None: the lines tell no time
    file: str
    matches: int = 1  # lines, this one included
    last: datetime | None = None  # of the last match


@dataclass(slots=True, kw_only=True)
class Outcome:
    """All that a replay has shown."""

    alerts: list[Told] = field(default_factory=list)
    lines: int = 0
    bytes: int = 0
    matches: int = 0
    undecided: int = 0
    timeless: int = 0  # matches whose time is not known: no expiry could be found from them
    seconds: float = 0.0
    raised: bool = False  # at the end


def logs(source: str) -> list[str]:
    """All files that a check on `source`, a path or a pattern of names, reads, with their older generations."""
    if not is_pattern(source):
        return generations(source)
    found = sorted(each for each in glob(source) if not each.endswith(PACKED))  # noqa: PTH207 - a pattern, not a directory
    return list(dict.fromkeys(each for name in found for each in generations(name)))


def generations(path: str) -> list[str]:
    """The log at `path` with its older, uncompressed generations, oldest first."""
    older = sorted(rotated(path, beside(path)), key=lambda each: (each[0].st_mtime_ns, -(each[2] or 0)))
    return [*(name for _, name, _ in older), path]


def replay(
    check: LogCheck, files: Sequence[str], *, context: int, since: datetime | None = None, clock: Clock | None = None
) -> Outcome:
    """Let `check` see `files`, one after the other; "-" is standard input, a name that ends with .gz is unpacked.

    Args:
        context: lines kept from before each read.
        since: matches before that time, or of no known time, count as if they were not there.

    Raises:
        Unavailable: a file cannot be read.
    """
    clock = clock or SystemClock()
    begun = clock.elapsed()
    run = _Replay(check, since)
    for file in files:
        run.see(file, context)
    run.out.seconds = clock.elapsed() - begun
    run.out.raised = run.state.raised
    return run.out


class _Replay:
    def __init__(self, check: LogCheck, since: datetime | None) -> None:
        self.check, self.since = check, since
        self.engine = Engine([check.pattern])
        self.state: State = QUIET
        self.out = Outcome()
        self.now: datetime | None = None

    def see(self, file: str, context: int) -> None:
        try:
            with _opened(file) as stream:
                status = os.fstat(stream.fileno())
                written = datetime.fromtimestamp(status.st_mtime, UTC)
                for block in _blocks(stream, context, self.out, self.check.events):
                    self.block(block, file, written)
        except (OSError, EOFError, zlib.error) as exc:
            raise Unavailable(f"{file} cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc

    def block(self, block: Block, file: str, written: datetime) -> None:
        search = (
            self.engine.scan(block.data, {0}, once=False)
            if self.check.events is None and self.check.field is None
            else scan(block, self.check.pattern, self.check.field, once=False)
        )
        hits = [each for each in search if each is not None]
        for each in sorted(hits, key=lambda hit: hit.start):
            if each.undecided:
                self.out.undecided += 1
                continue
            at = _time(block, each.start, written)
            if self.since is not None and (at is None or at < self.since):
                continue
            self.match(block, each.start, at, file)

    def match(self, block: Block, start: int, at: datetime | None, file: str) -> None:
        self.out.matches += 1
        if at is None:
            self.out.timeless += 1
            at = self.now
        elif self.now is not None:
            at = max(at, self.now)  # a clock that was set back
        self.expire(at, file)
        self.now = at
        shown = at or datetime.fromtimestamp(0, UTC)
        moment = Now(boot="", elapsed_s=shown.timestamp(), wall=shown)
        if self.state.raised:
            problem = next(each for each in reversed(self.out.alerts) if each.level is not Level.OK)
            problem.matches += 1
            problem.last = at
        self.state, news = states.step(self.state, self.check.verdict(block, start), moment)
        self.tell(news, at, file)

    def expire(self, until: datetime | None, file: str) -> None:
        """Call it off where its time was over before `until`."""
        deadline = self.state.deadline
        if until is None or self.now is None or deadline is None or deadline.wall > until:
            return
        over = Now(boot="", elapsed_s=deadline.elapsed_s, wall=deadline.wall)
        self.state, news = states.expire(self.state, over)
        self.tell(news, deadline.wall, file)

    def tell(self, news: Sequence[states.Announcement], at: datetime | None, file: str) -> None:
        for each in news:
            self.out.alerts.append(
                Told(level=each.level, name=each.name, subject=each.subject, at=at, file=file, last=at)
            )


def _opened(file: str) -> IO[bytes]:
    if file == STDIN:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
    if file.endswith(".gz"):
        return gzip.open(file, "rb")  # type: ignore[return-value]  # it reads bytes and has a descriptor
    return open(file, "rb", buffering=0)  # noqa: PTH123 - the caller closes it


def _blocks(stream: IO[bytes], context: int, out: Outcome, rule: Rule | None) -> Iterator[Block]:
    """By the rule, events; the last one ends with the file. When lines came is not known, so time ends none."""
    splitter, before, line = Splitter(), Context(context), 0
    assembler = Assembler(rule) if rule is not None else None
    while True:
        data = stream.read(READ_BYTES)
        out.bytes += len(data)
        whole = splitter.feed(data) if data else splitter.flush()
        starts: tuple[int, ...] = ()
        if assembler is not None:
            whole, starts = assembler.feed(whole)
            if not data:
                last, _ = assembler.flush()
                starts = (*starts, len(whole)) if last else starts
                whole += last
        if whole:
            block = Block(data=whole, first=line + 1, context=before.data, events=starts)
            line += whole.count(b"\n")
            before.add(whole)
            yield block
        if not data:
            out.lines += line
            return


def _time(block: Block, start: int, written: datetime) -> datetime | None:
    """Of the line that begins at `start`."""
    for _ in range(LINES_WITHOUT_TIME):
        if found := time_of(block.line(start), written):
            return found
        if start == 0:
            break
        start = block.data.rfind(b"\n", 0, start - 1) + 1
    return None
