"""`python -m vedette.agent.security`: looks for security checks. Only the daemon starts it (`scans`).

Each line of JSON on standard input says what to look at, each line on standard output what was found (`look`).
"""

import vedette.agent.lean  # noqa: F401  # isort: skip  # before all that it makes quicker to import

import json
import os
import resource
import sys
from typing import Final

from vedette.agent import log
from vedette.clock import SystemClock

MAX_QUESTION: Final = 4 << 20
MAX_ADDRESSES: Final = 1 << 30  # bytes of memory, with what is only mapped
MAX_FILE: Final = 64 << 20  # bytes of a file that it writes
NICE: Final = 10


def main() -> int:
    os.environ.pop("JOURNAL_STREAM", None)  # our standard error is the daemon's pipe, not the journal
    os.nice(NICE)
    _bound(resource.RLIMIT_AS, MAX_ADDRESSES)
    _bound(resource.RLIMIT_FSIZE, MAX_FILE)
    _bound(resource.RLIMIT_CORE, 0)
    from vedette.agent.security import look, priority

    while line := sys.stdin.buffer.readline(MAX_QUESTION):
        question = json.loads(line)
        log.configure(level=question["log_level"])
        used = resource.getrusage(resource.RUSAGE_SELF)
        _bound(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + question["limit_s"] + 5)
        answer = look.answer(question, SystemClock(), priority.idle)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()
    return 0


def _bound(which: int, most: int) -> None:
    """The soft limit: it may be another one for the next look."""
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    sys.exit(main())
