"""The daemon's log: one line an event on standard error, or in DAEMON_LOG_FILE.

Not the `logging` package: it costs 2.4 MB of resident memory, a sixth of this program. Under systemd each line begins
with its priority, which the journal takes off again. Source: sd-daemon(3).
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from vedette.clock import Clock, SystemClock

FATAL, ERROR, WARN, INFO, DEBUG, TRACE = range(6)
NAMES: Final = ("FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE")
_PRIORITY: Final = (2, 3, 4, 6, 7, 7)
_MAX_LINE: Final = 4096
_STDERR: Final = 2

_level = INFO
_fd = _STDERR
_journal = False


def configure(*, level: str, file: str = "") -> None:
    """Set from which level on is written (unknown: INFO) and whereto (empty: standard error).

    Raises:
        OSError: the file cannot be opened for appending; standard error stays in use.
    """
    global _level, _fd, _journal
    _level = NAMES.index(level) if level in NAMES else INFO
    old, _fd = _fd, _STDERR
    if old != _STDERR:
        os.close(old)
    _journal = bool(os.environ.get("JOURNAL_STREAM")) and not file
    if file:
        _fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def write(level: int, sentence: str) -> None:
    """One line; whatever is in it, it stays one line of text."""
    if level > _level:
        return
    text = sentence.encode(errors="backslashreplace")[:_MAX_LINE].decode(errors="ignore")
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    head = f"<{_PRIORITY[level]}>" if _journal else f"{NAMES[level]} "
    with suppress(OSError):  # nobody listens any more; watching goes on
        os.write(_fd, f"{head}{text}\n".encode())


def error(sentence: str) -> None:
    write(ERROR, sentence)


def warn(sentence: str) -> None:
    write(WARN, sentence)


def info(sentence: str) -> None:
    write(INFO, sentence)


def debug(sentence: str) -> None:
    write(DEBUG, sentence)


def relayed(line: str) -> tuple[int, str]:
    """Level and sentence of a line that a child wrote: that of its first word, as this module writes it, else INFO."""
    name, _, sentence = line.partition(" ")
    return (NAMES.index(name), sentence) if name in NAMES and sentence else (INFO, line)


class Limited:
    """Lets `burst` lines through in `interval_s` seconds; says afterwards how many it held back."""

    __slots__ = ("_burst", "_clock", "_held", "_interval_s", "_left", "_since")

    def __init__(self, *, burst: int = 10, interval_s: float = 60.0, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._burst = burst
        self._interval_s = interval_s
        self._left = burst
        self._held = 0
        self._since = self._clock.elapsed()

    def write(self, level: int, sentence: str | Callable[[], str]) -> None:
        """A sentence that costs something to make is made only if it is let through."""
        now = self._clock.elapsed()
        if now - self._since >= self._interval_s:
            if self._held:
                write(level, f"({self._held} more lines like the next one were left out)")
            self._left, self._held, self._since = self._burst, 0, now
        if self._left:
            self._left -= 1
            write(level, sentence if isinstance(sentence, str) else sentence())
        else:
            self._held += 1
