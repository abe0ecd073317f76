"""A life of the real journal, and what a check on `journalctl -f` reads of it: run in namespaces of its own.

usage: python beside_journald.py SEED; prints {"written": [...], "read": [...]} as JSON. Needs root, and mounts of its
own, for it covers /run and /var/log.
"""

import json
import random
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from vedette.agent import log
from vedette.agent.follow import journal
from vedette.agent.follow.command import CommandSource
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.journal import JournalSource, plain
from vedette.agent.follow.position import Position
from vedette.agent.host import Host
from vedette.agent.loop import Loop

JOURNALD = "/lib/systemd/systemd-journald"
SOCKET = "/run/systemd/journal/socket"
CONFIGURATION = """[Journal]
Storage=volatile
RateLimitIntervalSec=0
ForwardToSyslog=no
ForwardToWall=no
ReadKMsg=no
Audit=no
"""
COMMAND = "journalctl -f --no-hostname --utc -t app"
DEADLINE_S = 10.0
STEPS = 60


class Journald:
    """The real one, on a /run of its own."""

    def __init__(self) -> None:
        for where in ("/run", "/var/log"):
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", where], check=True)
        conf = Path("/run/systemd/journald.conf.d/test.conf")
        conf.parent.mkdir(parents=True)
        conf.write_text(CONFIGURATION)
        Path("/run/log").mkdir()
        self.process = subprocess.Popen([JOURNALD], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + DEADLINE_S
        while not Path(SOCKET).exists():
            assert time.monotonic() < end, "journald has not come up"
            time.sleep(0.02)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.connect(SOCKET)

    def write(self, message: str) -> None:
        """Source: systemd.io/JOURNAL_NATIVE_PROTOCOL."""
        self.socket.send(f"SYSLOG_IDENTIFIER=app\nMESSAGE={message}\n".encode())

    def rotate(self) -> None:
        subprocess.run(["journalctl", "--rotate"], check=True, capture_output=True)

    def vacuum(self) -> None:
        subprocess.run(["journalctl", "--rotate", "--vacuum-files=1"], check=True, capture_output=True)


class Reader:
    """One check; `read` is what it has been told."""

    def __init__(self, read: list[str], position: Position | None) -> None:
        self.loop = Loop()
        self.host = Host(self.loop)
        self.inotify = Inotify(self.loop)
        self.read = read
        words = plain(COMMAND)
        assert words is not None
        self.source = JournalSource(COMMAND, words, self.host, self.inotify, 30, self._on_ready)
        self.source.subscribe("log_a", position)

    def _on_ready(self, source: CommandSource) -> None:
        for each in source.step():
            for start in each.block.starts():
                found = re.search(r"app(?:\[\d+\])?: (.*)", each.block.line(start).decode())
                self.read.append(found[1] if found else each.block.line(start).decode())

    def until(self, count: int) -> None:
        """Wait until so much was read."""
        end = time.monotonic() + DEADLINE_S

        def look() -> None:
            if len(self.read) >= count:
                self.loop.stop()
                return
            assert time.monotonic() < end, f"{count} entries were written, and {len(self.read)} read: {self.read[-3:]}"
            self.loop.call_later(0.02, look)

        self.loop.call_soon(look)
        self.loop.run()

    def close(self) -> Position | None:
        position = self.source.position("log_a")
        self.source.close()
        self.host.kill_now()
        self.inotify.close()
        self.loop.close()
        return position


def live(seed: int) -> dict[str, list[str]]:
    """Entries are written while journalctl falls silent over rotations, is started again, and the monitor is too."""
    chance = random.Random(seed)
    journald = Journald()
    written: list[str] = []
    read: list[str] = []
    reader = Reader(read, None)
    written.append("entry 1")
    journald.write(written[-1])
    reader.until(1)  # a journalctl that comes later begins with the last ten
    for _ in range(STEPS):
        for _ in range(chance.randint(0, 5)):
            written.append(f"entry {len(written) + 1}")
            journald.write(written[-1])
        match chance.choice(["nothing", "rotate", "rotate", "vacuum", "read", "restart"]):
            case "rotate":
                journald.rotate()
            case "vacuum":  # what nobody has read is gone then: the journal's own rule
                reader.until(len(written))
                journald.vacuum()
            case "read":
                reader.until(len(written))
            case "restart":
                position = reader.close()
                reader = Reader(read, position)
    reader.until(len(written))
    reader.close()
    return {"written": written, "read": read}


if __name__ == "__main__":
    log.configure(level="ERROR")
    journal.SETTLE_S = 0.1
    print(json.dumps(live(int(sys.argv[1]))))
