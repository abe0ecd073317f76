"""Lines that belong together are one event: a stack trace, a statement over several lines.

An event ends where the next one starts. What nobody has continued for a while has ended too, and so has one that grew
too large: what comes then is an event of its own. Until an event has ended it is held back, like a line without its
newline; so a restart in the middle of one reads it again from its first line.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vedette.agent.follow.lines import finished
from vedette.agent.loop import Loop, Timer
from vedette.agent.match.pattern import Pattern, Undecided
from vedette.errors import Invalid

MAX_EVENT_BYTES: Final = 64 * 1024
MAX_EVENT_LINES: Final = 1000
DEFAULT_TIMEOUT_S: Final = 2.0
LONGEST_TIMEOUT_S: Final = 30.0
INDENT: Final = "indent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which lines start an event: those where `start` matches; without it, those that are neither indented nor empty.

    `timeout_s`: after so long without another line the event has ended.
    """

    start: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S


def rule(values: Mapping[str, str]) -> Rule | None:
    """The rule that LOG_MULTILINE* of a check file ask for; None when each line is for itself. Raises `Invalid`."""
    start, how, timeout = (
        values.get(name, "") for name in ("LOG_MULTILINE_START", "LOG_MULTILINE", "LOG_MULTILINE_TIMEOUT")
    )
    if how not in ("", INDENT):
        raise Invalid(f"LOG_MULTILINE {how!r} is not {INDENT!r}; a pattern of first lines is LOG_MULTILINE_START")
    if how and start:
        raise Invalid("LOG_MULTILINE and LOG_MULTILINE_START exclude each other")
    if not how and not start:
        if timeout:
            raise Invalid("LOG_MULTILINE_TIMEOUT needs LOG_MULTILINE or LOG_MULTILINE_START")
        return None
    if start:
        try:
            Pattern.compile(start)
        except Invalid as exc:
            raise Invalid(f"LOG_MULTILINE_START is {exc}") from None
    return Rule(start=start, timeout_s=_timeout(timeout) if timeout else DEFAULT_TIMEOUT_S)


def _timeout(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_TIMEOUT_S:
        raise Invalid(f"LOG_MULTILINE_TIMEOUT {value!r} is no number of seconds up to {LONGEST_TIMEOUT_S:g}")
    return seconds


class Assembler:
    """Cuts whole lines into events, and holds the last one back."""

    __slots__ = ("_held", "_held_lines", "_pattern", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._pattern = Pattern.compile(rule.start) if rule.start else None
        self._held = b""
        self._held_lines = 0

    @property
    def held(self) -> int:
        """Bytes of the event that has not ended, as far as they were kept."""
        return len(self._held)

    def feed(self, lines: bytes) -> tuple[bytes, tuple[int, ...]]:
        """The events that `lines` (whole, each with its newline) show to have ended, and where each begins in them."""
        data = self._held + lines
        starts: list[int] = [0] if self._held else []
        count, at = self._held_lines, len(self._held)
        while at < len(data):
            end = data.find(b"\n", at) + 1
            full = count >= MAX_EVENT_LINES or (starts and end - starts[-1] > MAX_EVENT_BYTES)
            if not starts or full or self._starts(data, at, end):
                starts.append(at)
                count = 0
            count += 1
            at = end
        if not starts:
            return b"", ()
        cut = starts.pop()
        self._held, self._held_lines = data[cut:], count
        return data[:cut], tuple(starts)

    def flush(self) -> tuple[bytes, tuple[int, ...]]:
        """The event that was held back: nothing will continue it."""
        data, self._held, self._held_lines = self._held, b"", 0
        return data, (0,) if data else ()

    def _starts(self, data: bytes, at: int, end: int) -> bool:
        line = finished(data[at : end - 1])
        if self._pattern is None:
            return bool(line) and line[0] not in b" \t"
        try:
            return self._pattern.matches(line)
        except Undecided:
            return False


class Patience:
    """Knows since when events are held back, and says so of each that nobody has continued for the time."""

    __slots__ = ("_held", "_loop", "_on_over", "_timeout_s", "_timer")

    def __init__(self, loop: Loop, timeout_s: float, on_over: Callable[[Any], None]) -> None:
        self._loop, self._timeout_s, self._on_over = loop, timeout_s, on_over
        self._held: dict[Any, tuple[int, float]] = {}  # who holds one: how far it has come, and when it is over
        self._timer: Timer | None = None

    def note(self, holder: Any, mark: int | None) -> None:
        """`holder` holds back an event that has come as far as `mark`; None: it holds none."""
        if mark is None:
            self._held.pop(holder, None)
        elif self._held.get(holder, (None, 0.0))[0] != mark:
            self._held[holder] = (mark, self._loop.clock.elapsed() + self._timeout_s)
            self._arm()

    def close(self) -> None:
        self._held = {}
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._held and (self._timer is None or not self._timer.pending):
            self._timer = self._loop.call_at(min(at for _, at in self._held.values()), self._ring)

    def _ring(self) -> None:
        now = self._loop.clock.elapsed()
        for holder in [each for each, (_, at) in self._held.items() if at <= now]:
            del self._held[holder]
            self._on_over(holder)
        self._arm()
