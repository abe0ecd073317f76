"""A program that should run on has another process id: somebody, or a crash, has restarted it.

Of the processes that a name means only those count whose parent is none of them: the server, not its workers. One that
is gone and one that has begun since are a restart; more of them, or fewer, are not. After a reboot all has begun anew,
which is no restart. Restarts while the monitor was off are found, several between two looks as one.
"""

import posixpath
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from vedette.agent.security.proc import Proc, Process, ticks
from vedette.agent.security.scanner import Context, Finding, Report
from vedette.model import durations

UNIT: Final = "systemd:"
COMM_BYTES: Final = 15
MAX_CHANGES: Final = 1000

Changes = list[tuple[float, str, int, int]]
"""Of each: seconds since boot, wall time, the process id before, and after."""


class Scanner:
    """Remembers, of each name, the processes that it meant when they last were others than before."""

    def scan(self, context: Context) -> Report:
        proc = Proc(context.root)
        boot, now = proc.boot(), context.clock.elapsed()
        running = [each for each in proc.all() if not each.kernel]
        before = context.memory if context.memory is not None and context.memory.get("boot") == boot else {}
        memory: dict[str, Any] = {"boot": boot, "watched": {}}
        findings = []
        for name in context.settings["process"]:
            old = before.get("watched", {}).get(name)
            found = _tops(_meant(name, running, proc))
            new, change = _compare(old, found, now)
            if change is not None:
                when = context.clock.now().isoformat(timespec="seconds")
                new["changes"] = [*new["changes"], [now, when, *change]][-MAX_CHANGES:]
            new["changes"] = [each for each in new["changes"] if now - each[0] <= context.settings["within"]]
            if change is not None and len(new["changes"]) >= context.settings["count"]:
                findings.append(_finding(name, new["changes"], found, proc, context.settings))
            memory["watched"][name] = new
        return Report(findings=findings, memory=memory)


def _meant(name: str, running: Sequence[Process], proc: Proc) -> list[Process]:
    if name.startswith(UNIT):
        unit = name.removeprefix(UNIT)
        unit += "" if "." in unit else ".service"
        return [each for each in running if _is_of(unit, proc.text(each.pid, "cgroup"))]
    if name.startswith("/"):
        return [
            each
            for each in running
            if each.exe == name or (not each.exe and proc.text(each.pid, "cmdline").partition("\0")[0] == name)
        ]
    short = name.encode("utf-8", "surrogateescape")[:COMM_BYTES].decode("utf-8", "surrogateescape")
    return [each for each in running if each.comm == short or posixpath.basename(each.exe) == name]


def _is_of(unit: str, cgroups: str) -> bool:
    """Does one of the lines name the unit? Source: cgroups(7), /proc/PID/cgroup: "0::/system.slice/cron.service"."""
    return any(unit in line.split(":", 2)[-1].split("/") for line in cgroups.splitlines())


def _tops(meant: Sequence[Process]) -> list[Process]:
    """Those that none of the others has started."""
    pids = {each.pid for each in meant}
    return [each for each in meant if each.parent not in pids]


def _compare(
    old: Mapping[str, Any] | None, found: Sequence[Process], now: float
) -> tuple[dict[str, Any], tuple[int, int] | None]:
    """What to remember, and of a restart the process ids before and after.

    What is remembered changes only when the processes do, so that nothing is written for a look at which all is as it
    was. `at` is when that was: what has begun before and was not among them then was there all the same, as a child.
    """
    here = [[each.pid, each.start] for each in found]
    if old is None:
        return {"processes": here, "at": now, "changes": []}, None
    if not here or here == old["processes"]:  # what does not run is the affair of other checks
        return dict(old), None
    gone = [each for each in old["processes"] if each not in here]
    begun = [each for each in here if each not in old["processes"] and each[1] >= (old["at"] - 1) * ticks()]
    new = {"processes": here, "at": now, "changes": old["changes"]}
    return new, (gone[0][0], begun[0][0]) if gone and begun else None


def _finding(name: str, changes: Changes, found: Sequence[Process], proc: Proc, settings: Mapping[str, Any]) -> Finding:
    shown = name.removeprefix(UNIT)
    _, when, before, after = changes[-1]
    what = f"{shown} has another process id: {after}, it was {before}"
    if settings["count"] > 1:
        what += f"; {len(changes)} changes within {durations.show(settings['within'])}, the first at {changes[0][1]}"
    process = next((each for each in found if each.pid == after), None)
    parent = proc.process(process.parent) if process is not None else None
    logs = f"journalctl -u {shown}" if name.startswith(UNIT) else f"systemctl status {after}"
    return Finding(
        key=name,
        name=f"The process id of {shown} has changed",
        status="PID_CHANGED",
        what=what,
        where=process.exe if process is not None else "",
        since=proc.began(process.start) if process is not None else datetime.fromisoformat(when),
        by=f"started by {parent.shown}" if parent is not None else "",
        do=f"{logs} says why it ended, coredumpctl info {before} where it crashed",
        expires_s=settings["expiration"],
    )
