"""`python -m vedette.agent.security`: one look of one security check. Only the daemon starts it.

A line of JSON on standard input says what to look at, a line on standard output what was found (`look`).
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
    question = json.loads(sys.stdin.buffer.readline(MAX_QUESTION))
    log.configure(level=question["log_level"])
    _bound(resource.RLIMIT_AS, MAX_ADDRESSES)
    _bound(resource.RLIMIT_CPU, question["limit_s"] + 5)
    _bound(resource.RLIMIT_FSIZE, MAX_FILE)
    _bound(resource.RLIMIT_CORE, 0)
    from vedette.agent.security import look, priority

    found = look.answer(question, SystemClock(), priority.idle)
    with open(1, "wb", closefd=False) as out:
        out.write(json.dumps(found).encode() + b"\n")
    return 0


def _bound(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


if __name__ == "__main__":
    sys.exit(main())
