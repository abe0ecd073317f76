"""While packages are being installed, files are ahead of what is said of them: look when that is over."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from vedette.agent.security.packages import Packages
from vedette.agent.security.scanner import Context, Report

MAX_WAITS: Final = 3
"""Scans that may be put off in a row, so that nobody hides behind a lock."""
_WAITS: Final = "waits"


def settled(context: Context, packages: Packages, scan: Callable[[], Report]) -> Report:
    """What `scan` reports, if no package came or went meanwhile; else nothing, and the next scan tells."""
    memory = dict(context.memory or {})
    waits, before = int(memory.get(_WAITS, 0)), packages.changed()

    def moving() -> bool:
        return not context.by_hand and waits < MAX_WAITS and (packages.busy() or packages.changed() != before)

    report = None if moving() else scan()
    if report is None or moving():
        note = "packages are being installed: the files are looked at next time"
        return Report(memory=memory | {_WAITS: waits + 1}, partial=True, notes=(note,))
    if not waits:
        return report
    return replace(report, memory={**(report.memory or memory), _WAITS: 0})
