"""Logins in the real journal, run in namespaces of its own; prints what each scan found, as JSON."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from beside_journald import DEADLINE_S, SOCKET, Journald

from vedette.agent.security.logins import Scanner
from vedette.agent.security.scanner import Context
from vedette.agent.security.stamp import stamp
from vedette.clock import SystemClock
from vedette.model.security import interpret

NOBODY = 65534


class Device:
    """What the last scan left."""

    def __init__(self) -> None:
        self.memory: Any = None
        self.baseline: Any = None
        self.unless: Mapping[str, str] = {}

    def is_worth_a_scan(self) -> bool:
        """Does the journal look otherwise, soon, than when the last scan began?"""
        end = time.monotonic() + DEADLINE_S
        while all(stamp(path) == was for path, was in self.unless.items()):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def scan(self) -> list[str]:
        subprocess.run(["journalctl", "--sync"], check=True, capture_output=True)
        context = Context(
            name="logins_a",
            settings=interpret("logins", {"log": "journal"}),
            root=Path("/"),
            state=Path("/run/state"),
            clock=SystemClock(),
            baseline=self.baseline,
            memory=self.memory,
        )
        report = Scanner().scan(context)
        self.memory, self.baseline, self.unless = report.memory, report.baseline, report.unless
        return [each.key for each in report.findings]


def write(program: str, *messages: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.connect(SOCKET)
        for each in messages:
            journal.send(f"SYSLOG_IDENTIFIER={program}\nMESSAGE={each}\n".encode())


def write_as_nobody(program: str, message: str) -> None:
    child = os.fork()
    if not child:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        write(program, message)
        os._exit(0)
    os.waitpid(child, 0)


def main() -> dict[str, list[str]]:
    journald = Journald()
    device = Device()
    failed = [f"Failed password for root from 198.51.100.87 port {each} ssh2" for each in range(6)]
    write("sshd", *failed)
    said = {"first": device.scan()}
    device.scan()  # nothing has been written since
    write("sshd", *failed)
    assert device.is_worth_a_scan()
    said["failed"] = device.scan()
    write("sshd", "Accepted password for root from 203.0.113.9 port 40112 ssh2")
    journald.rotate()
    said["rotated"] = device.scan()
    write_as_nobody("sshd", "Accepted password for root from 192.0.2.1 port 4 ssh2")
    said["strangers"] = device.scan()
    journald.vacuum()
    write("sudo", "     bob : user NOT in sudoers ; TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/usr/bin/id")
    said["vacuumed"] = device.scan()
    return said


if __name__ == "__main__":
    print(json.dumps(main()))
