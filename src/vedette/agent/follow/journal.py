"""Follow the journal of systemd by its `journalctl`, entry by entry: over rotation, vacuuming, and restarts of ours.

`journalctl -f` may fall silent, without ending, when the files it reads are rotated or removed under it. So it is
started again whenever files of the journal come or go, at the last entry that was read; not with `--after-cursor`,
which leaves out one entry in any case: where the one of the cursor was vacuumed, the next. For that its output is asked
for as JSON, which tells the cursor of each entry, and written here as its "short" format writes it. Commands that are
more than a plain `journalctl -f` are run as they are, see `plain`.

Source: journalctl(1), systemd.journal-fields(7), "Journal JSON Format" of systemd.
"""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from vedette.agent import log
from vedette.agent.follow.command import CommandSource
from vedette.agent.follow.file import Read
from vedette.agent.follow.glob import Glob
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.lines import finished
from vedette.agent.follow.position import Position, checksum
from vedette.agent.host import Host

FILES: Final = ("/run/log/journal/*/*.journal", "/var/log/journal/*/*.journal")
FIELDS: Final = "MESSAGE,_HOSTNAME,SYSLOG_IDENTIFIER,_COMM,_PID,SYSLOG_PID"
SETTLE_S: Final = 1.0
"""From the first change of the files to the new start; many changes are one."""
MAX_FAILURES: Final = 3
"""So often in a row it may fail with a cursor before it is started without."""

_FLAGS: Final = frozenset({"-f", "--follow", "-a", "--all", "-q", "--quiet", "-k", "--dmesg", "-m", "--merge",
                           "--system", "--user", "--no-pager", "--no-hostname", "--no-tail", "--utc"})  # fmt: skip
_VALUED: Final = frozenset({"-u", "--unit", "--user-unit", "-t", "--identifier", "-p", "--priority", "-g", "--grep",
                            "--facility", "--case-sensitive", "-n", "--lines", "-S", "--since",
                            "-b", "--boot"})  # fmt: skip
_START: Final = frozenset({"-n", "--lines", "-S", "--since", "--no-tail"})
"""Where to begin: only without a cursor."""
_CURSOR: Final = re.compile(rb'"__CURSOR"\s*:\s*"([\w=;]+)"')
_JOINED: Final = re.compile(r"-[fakqm]+[fakqmutpgSn]|-n\d+")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def plain(command: str) -> tuple[list[str], list[str]] | None:
    """Is it a plain `journalctl -f`? Then what to begin with, and what to go on with behind a cursor.

    Only options that are known to mean the same with JSON as output; nothing for the shell to do.
    """
    if any(char in command for char in "|&;<>()$`\\*?[#~\n"):
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if not words or words[0] not in ("journalctl", "/bin/journalctl", "/usr/bin/journalctl"):
        return None
    begin, go_on, follows = [words[0]], [words[0]], False
    rest = words[1:]
    while rest:
        word = rest.pop(0)
        if _JOINED.fullmatch(word):  # -fu ssh, -n0
            rest = [f"-{word[1]}", word[2:] if word[1] == "n" else f"-{word[2:]}", *rest]
            continue
        name, equals, _ = word.partition("=")
        if word in _FLAGS or (equals and name in _VALUED and name.startswith("--")):
            given = [word]
        elif word in _VALUED and word not in ("-b", "--boot", "-n", "--lines") and rest:
            given = [word, rest.pop(0)]
        elif word in ("-n", "--lines", "-b", "--boot"):  # their value is optional
            given = [word, rest.pop(0)] if rest and not rest[0].startswith("--") and _is_number(rest[0]) else [word]
        elif word.startswith("_") and equals:  # a match: _SYSTEMD_UNIT=x
            given = [word]
        else:
            return None
        follows |= word in ("-f", "--follow")
        begin += given
        if name not in _START:
            go_on += given
    return (begin, go_on) if follows else None


class JournalSource(CommandSource):
    """A `journalctl -f` of one check. Its place is the cursor of the last entry, and the number of its last line."""

    def __init__(
        self,
        command: str,
        words: tuple[list[str], list[str]],
        host: Host,
        inotify: Inotify,
        context: int,
        on_ready: Callable[[CommandSource], None],
    ) -> None:
        super().__init__(command, host, context, on_ready)
        self._begin, self._go_on = words
        self._read = ""  # cursor of the last entry that was read
        self._waiting_cursor = ""  # the same of what waits to be handed out
        self._handed_out = ""
        self._failures = 0
        self._renewing = self._closed = False
        self._hostname = "--no-hostname" not in self._begin
        self._zone = UTC if "--utc" in self._begin else None
        self._globs = [Glob(inotify, files, self._on_files) for files in FILES]
        self._files = self._look()

    def subscribe(self, key: str, position: Position | None) -> None:
        if position is not None and self._fits(position):
            self._read = self._handed_out = self._waiting_cursor = position.path
            self._line = position.line
        super().subscribe(key, position)

    def position(self, key: str) -> Position | None:
        if not self._handed_out:
            return None
        return Position(
            path=self._handed_out, device=0, inode=0, offset=0, line=self._line,
            head=checksum(self.command.encode(errors="replace")), tail=0, written_ns=0,
        )  # fmt: skip

    def _fits(self, position: Position) -> bool:
        return position.head == checksum(self.command.encode(errors="replace")) and position.inode == 0

    def close(self) -> None:
        self._closed = True
        for glob in self._globs:
            glob.close()
        super().close()

    def step(self) -> list[Read]:
        cursor = self._waiting_cursor
        reads = super().step()
        self._handed_out = cursor
        return reads

    def _shell(self) -> str:
        if self._read and self._failures >= MAX_FAILURES:
            log.warn(f"@{self.command} cannot go on behind the entry {self._read}; it begins anew")
            self._read = ""
        words = [*self._go_on, "--no-tail", f"--cursor={self._read}"] if self._read else self._begin
        return "exec " + shlex.join([*words, "--output=json", "--all", f"--output-fields={FIELDS}"])

    def _on_files(self) -> None:
        if self._renewing:
            return
        self._renewing = True
        self._host.loop.call_later(SETTLE_S, self._renew)

    def _renew(self) -> None:
        """Are there other files than before? Then journalctl is started again, which costs some milliseconds."""
        self._renewing = False
        if self._closed:
            return
        before, self._files = self._files, self._look()
        if self._files != before and self._process is not None:
            log.debug(f"the files of the journal have changed; @{self.command} is started again")
            self._process.kill()
            self._splitter.flush()  # an entry of which only a part had come: it comes again
            self._process = None
            self._start()

    def _look(self) -> list[list[str]]:
        return [list(glob.found()) for glob in self._globs]

    def _ended(self, code: int) -> None:
        self._failures = self._failures + 1 if code else 0
        self._splitter.flush()
        super()._ended(code)

    def _take_lines(self, lines: bytes) -> None:
        out = []
        for line in lines.split(b"\n")[:-1]:
            try:
                entry = json.loads(line.decode(errors="replace"))
                cursor = entry["__CURSOR"]
            except (ValueError, TypeError, KeyError, RecursionError):  # longer than a line may be, so it was cut
                found = _CURSOR.search(line)
                cursor = found[1].decode() if found else ""
                text = finished(line).decode(errors="replace") + "\n"
            else:
                text = self._text(entry)
            self._failures = 0
            if cursor != self._read:  # else it was told before journalctl was started again
                out.append(text)
                self._read = cursor or self._read
        if out:
            self._waiting_cursor = self._read
            super()._take_lines("".join(out).encode(errors="replace"))

    def _text(self, entry: Mapping[str, Any]) -> str:
        """As the "short" format writes it: `Nov 23 10:12:33 host sshd[123]: text`, further lines indented."""
        try:
            at = datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, UTC).astimezone(self._zone)
            start = f"{_MONTHS[at.month - 1]} {at:%d %H:%M:%S}"
        except (KeyError, ValueError, OverflowError, OSError):
            start = "-"
        if self._hostname and (host := _value(entry, "_HOSTNAME")):
            start += f" {host}"
        start += f" {_value(entry, 'SYSLOG_IDENTIFIER', '_COMM') or 'unknown'}"
        if pid := _value(entry, "_PID", "SYSLOG_PID"):
            start += f"[{pid}]"
        first, *more = _value(entry, "MESSAGE").split("\n")
        indent = " " * (len(start) + 2)
        return "".join([f"{start}: {first}\n", *(f"{indent}{line}\n" for line in more)])


def _value(entry: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that is there. What is no text comes as a list of bytes, what came twice as a list."""
    for name in names:
        value = entry.get(name)
        if isinstance(value, list) and value and not isinstance(value[0], int):
            value = value[0]
        if isinstance(value, list):
            value = bytes(each for each in value if isinstance(each, int) and 0 <= each < 256).decode(errors="replace")
        if value:
            return str(value)
    return ""


def _is_number(word: str) -> bool:
    return word == "all" or word.lstrip("+-").isdigit()
