"""Follow what a command prints: its lines are counted from the start of the stream, over its restarts."""

from collections.abc import Callable
from typing import Final

from vedette.agent import log
from vedette.agent.follow.events import Assembler, Patience, Rule
from vedette.agent.follow.file import Read
from vedette.agent.follow.lines import Block, Context, Splitter
from vedette.agent.follow.position import Position
from vedette.agent.host import Host
from vedette.agent.loop import Timer
from vedette.agent.process import Process

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
STEADY_S: Final = 60.0
"""A command that ran this long is no failure when it ends: it is started again after FIRST_WAIT_S."""


class CommandSource:
    """One running command and the checks on it. What it prints is read piece by piece: a flood waits in the pipe."""

    def __init__(
        self,
        command: str,
        host: Host,
        context: int,
        on_ready: Callable[["CommandSource"], None],
        rule: Rule | None = None,
    ) -> None:
        self.command = command
        self._host = host
        self._on_ready = on_ready
        self._keys: set[str] = set()
        self._context = Context(context)
        self._splitter = Splitter()
        self._line = 0
        self._waiting = b""  # whole lines of the last piece, or whole events
        self._starts: tuple[int, ...] = ()  # where the events begin in them
        self._assembler = Assembler(rule) if rule is not None else None
        self._patience = Patience(host.loop, rule.timeout_s, self._event_over) if rule is not None else None
        self._pieces = 0
        self._process: Process | None = None
        self._restart: Timer | None = None
        self._wait_s = FIRST_WAIT_S
        self._started_at = 0.0
        self._complaints = log.Limited(burst=5, clock=host.loop.clock)

    def subscribe(self, key: str, position: Position | None) -> None:
        self._keys.add(key)
        if self._process is None and self._restart is None:
            self._start()

    def unsubscribe(self, key: str) -> None:
        self._keys.discard(key)

    def close(self) -> None:
        """End the command with all it started; returns at once."""
        if self._restart is not None:
            self._restart.cancel()
        if self._process is not None:
            self._process.kill()
        if self._patience is not None:
            self._patience.close()
        self._process = self._restart = None

    def position(self, key: str) -> Position | None:
        """A stream has no place to come back to."""
        return None

    @property
    def more(self) -> bool:
        return bool(self._waiting)

    def step(self) -> list[Read]:
        lines, self._waiting = self._waiting, b""
        starts, self._starts = self._starts, ()
        if self._process is not None:
            self._process.resume()
        if not lines:
            return []
        block = Block(data=lines, first=self._line + 1, context=self._context.data, events=starts)
        self._line += lines.count(b"\n")
        self._context.add(lines)
        return [Read(keys=frozenset(self._keys), block=block)]

    def _start(self) -> None:
        self._restart = None
        self._started_at = self._host.loop.clock.elapsed()
        try:
            self._process = self._host.start_shell(f"@{self.command}", self._shell(), self._output, self._ended)
        except OSError as exc:
            self._complaints.write(log.ERROR, f"@{self.command} cannot be started: {exc.strerror}")
            self._start_later()

    def _shell(self) -> str:
        """What the shell is told to run."""
        return self.command

    def _output(self, data: bytes) -> None:
        self._take_lines(self._splitter.feed(data))

    def _ended(self, code: int) -> None:
        self._process = None
        self._take_lines(self._splitter.flush())
        self._event_over(None)
        if self._host.loop.clock.elapsed() - self._started_at >= STEADY_S:
            self._wait_s = FIRST_WAIT_S
        how = f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"
        self._complaints.write(log.INFO, f"@{self.command} {how}; it is started again in {self._wait_s:g} s")
        self._start_later()

    def _start_later(self) -> None:
        self._restart = self._host.loop.call_later(self._wait_s, self._start)
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)

    def _take_lines(self, lines: bytes) -> None:
        if self._assembler is None or self._patience is None:
            self._take(lines)
        elif lines:
            self._take(*self._assembler.feed(lines))
            self._pieces += 1
            self._patience.note(None, self._pieces)

    def _event_over(self, _: None) -> None:
        if self._assembler is not None:
            self._take(*self._assembler.flush())

    def _take(self, lines: bytes, starts: tuple[int, ...] = ()) -> None:
        if lines:
            self._starts += tuple(len(self._waiting) + start for start in starts)
            self._waiting += lines
            if self._process is not None:
                self._process.pause()
            self._on_ready(self)
