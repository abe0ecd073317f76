"""What a security check is: something that looks once and says all that is wrong now.

The scanner of a kind is the class `Scanner` of the module `vedette.agent.security.<kind>` ("-" becomes "_"), made
without arguments. It is run in a short-lived child (`python -m vedette.agent.security`), never in the daemon: what it
imports and the memory it takes are gone when it has looked. `mender-monitorctl scan` runs it too. It decides nothing
about alerts: the daemon raises a problem for each finding that was not there before, and calls it off when a later scan
does not have it any more, or when it expires.

So there are two sorts of findings. A *condition* (an open port, a set-uid file) is found by every scan while it lasts;
`expires_s` is 0. An *event* (a restart, a failed login) is found once, by the scan that first sees it; `expires_s` says
how long it stays raised.

Baseline and memory move together with the alerts of a scan, in one transaction, or not at all: a scan whose alerts were
not made durable has never been, and the next one starts from where it started. So what is found once is not lost.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from vedette.clock import Clock

Json = Mapping[str, Any]
"""What `json` writes and reads: texts, numbers, lists, and objects of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. Texts are for people, one sentence each, and empty where nothing is known.

    Any text may hold what a file name can, such as line ends or bytes that are no UTF-8: it is made safe to show later.
    """

    key: str  # names it from scan to scan, e.g. "tcp 0.0.0.0:8080"; the subject of its problem
    name: str  # of the alert, e.g. "Port tcp 0.0.0.0:8080 is open"; the same for its CRITICAL and its OK
    status: str  # of the subject, e.g. "PORT_OPEN"
    what: str  # what was found, e.g. "nc (/usr/bin/nc, pid 812) listens on tcp 0.0.0.0:8080"
    where: str = ""  # path, address, package, interface ...
    since: datetime | None = None  # when it began, as far as the system knows
    by: str = ""  # user, process, package or address behind it
    do: str = ""  # what to do about it, with the command to type
    expires_s: int = 0  # an event: raised for so long; 0: a condition
    fingerprint: str = ""  # what exactly people accept, e.g. a hash: with another one it is a finding again


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a scan may use. It reads below `root` only (so tests give it a tree of their own), and starts no process but
    `journalctl`, without which nobody can read a journal.
    """

    name: str  # of the check
    settings: Mapping[str, Any]  # by the names and types of `model.security`, all there, defaults filled in
    root: Path  # "/" on a device: <root>/proc, <root>/etc, ...
    state: Path  # directory for what it keeps beside the baseline, e.g. a feed; may be missing
    clock: Clock
    baseline: Json | None  # as the last scan left it, perhaps with other settings; None: this is the first scan, so it
    # learns and finds little; {}: somebody asks for all that is there, with nothing known to be right
    memory: Json | None  # as the last scan left it: positions, counters
    accepted: frozenset[str] = frozenset()  # keys that people have accepted; such findings need not be left out
    by_hand: bool = False  # a person asks once: there will be no second look to compare with, and nothing is kept
    until: float = math.inf  # by `clock.elapsed()`: when to be done, with what there is, and say `partial`


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one scan came to."""

    findings: Sequence[Finding] = ()  # the worst first: of too many, the last ones are only counted
    baseline: Json | None = None  # what counts as right from now on; None: as before
    memory: Json | None = None  # made durable together with the findings; small (64 kB at most); None: as before
    notes: Sequence[str] = ()  # worth a line in the log but no alert, e.g. a change that a package update explains
    unseen: Sequence[str] = field(default=())  # what could not be looked at, each "PLACE: why", e.g. "/root: Permission
    # denied". A finding of before whose key names that place, or something below it, stays as it was
    partial: bool = False  # the budget ended first: findings that are missing here are not called off
    unless: Mapping[str, str] = field(default_factory=dict)  # files, and the `stamp` of each before it was read: while
    # all are as they were, another look would find the same, and is left out; none: each look is worth it


class Scanner(Protocol):
    """One kind. Raises `Invalid`: settings that contradict each other; `Unavailable`: nothing can be looked at.

    One that reads much has the class attribute `heavy = True`: it only gets what disk and processor have left.
    """

    def scan(self, context: Context) -> Report:
        """Look once."""
        ...
