"""Does an interface carry more than it may, or far more than it usually does?

The kernel counts bytes since the interface came up; what matters is how many more they are than when the present period
began. A counter that starts anew, by a reboot, another interface of the name, or a 32-bit counter that is full, only
makes less of it, never more: there is no alarm from that.

What is usual is learned for each interface and direction from the last week of periods: the amount that all but the
highest 3 of 100 stayed within. So what comes every day counts as usual, and one wild hour does not. A period that was
far above it counts as a quarter more than usual, so that an alarm goes on for a day or days before the new amount
becomes the usual one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Any, Final

from vedette.agent.security.patterns import Patterns
from vedette.agent.security.scanner import Context, Finding, Report
from vedette.errors import Invalid, Unavailable
from vedette.model import durations

LEARNS: Final = 24
"""Periods that an interface is watched before anything is unusual."""
WEEK_S: Final = 7 * 86400
MOST_KEPT: Final = 400
"""Periods that are kept: a week, but not more of short ones, and never fewer than LEARNS."""
USUAL: Final = 97
"""Of 100 periods, so many lie within what is usual."""
MAX_INTERFACES: Final = 64
DIRECTIONS: Final = ("in", "out")
_BOOT_ID: Final = "proc/sys/kernel/random/boot_id"


@dataclass(slots=True, kw_only=True)
class Count:
    """How one interface is counted."""

    boot: str
    index: int  # of the interface; another one of this name has another
    began: float  # of the period: seconds since boot
    start: list[int]  # counters then: in, out
    raised: dict[str, list[Any]] = field(default_factory=dict)
    """What is above its bound, "in", "out" or "limit" -> since when (RFC 3339), how much it was, and the bound."""

    def pack(self) -> list[Any]:
        return [self.boot, self.index, self.began, self.start, self.raised]

    @classmethod
    def unpack(cls, kept: Any) -> "Count":
        boot, index, began, start, raised = kept
        return cls(boot=boot, index=index, began=began, start=start, raised=raised)


class Scanner:
    """The kind `traffic`."""

    def scan(self, context: Context) -> Report:
        """Look once."""
        return _Scan(context).report()


class _Scan:
    """One scan. `_counts` is its memory; `_usual` its baseline: of each interface the bytes of past periods."""

    def __init__(self, context: Context) -> None:
        self._context, settings = context, context.settings
        self._period: int = settings["period"]
        self._limit: int = settings["limit"]
        self._factor: int = settings["factor"]
        self._least: int = settings["least-bytes"]
        if not self._limit and not self._factor:
            raise Invalid("limit and factor are both 0, so nothing would ever be reported; set one of them")
        before = context.baseline or {}
        fits = before.get("period") == self._period  # of other periods nothing can be concluded
        self._past: dict[str, list[list[int]]] = dict(before.get("past", {})) if fits else {}
        self._counts = {name: Count.unpack(kept) for name, kept in (context.memory or {}).get("counts", {}).items()}
        self._now = context.clock.elapsed()
        self._wall = context.clock.now()
        self._boot = _text(context.root / _BOOT_ID)

    def report(self) -> Report:
        """Look, and tell."""
        found = dict(self._interfaces())
        findings = [finding for name, now in found.items() for finding in self._one(name, now)]
        for name in self._counts.keys() - found.keys():
            self._missing(name)
        baseline = {"period": self._period, "past": self._past}
        memory = {"counts": {name: count.pack() for name, count in self._counts.items()}}
        return Report(
            findings=findings,
            baseline=baseline if baseline != self._context.baseline else None,
            memory=memory if memory != self._context.memory else None,
        )

    def _interfaces(self) -> Iterator[tuple[str, list[int]]]:
        """Those to watch, with bytes in and out. Source: proc_pid_net(5)."""
        lines = _text(self._context.root / "proc/net/dev").splitlines()
        if not lines:
            raise Unavailable("/proc/net/dev cannot be read: no interface can be watched")
        chosen = Patterns(self._context.settings["interfaces"])
        count = 0
        for line in lines:
            name, colon, rest = line.strip().rpartition(":")
            fields = rest.split()
            if not colon or len(fields) < 9 or not (fields[0].isdigit() and fields[8].isdigit()):
                continue
            if (chosen.match(name) if chosen else name != "lo") and (name in self._counts or count < MAX_INTERFACES):
                count += 1
                yield name, [int(fields[0]), int(fields[8])]

    def _one(self, name: str, now: list[int]) -> Iterator[Finding]:
        """One interface, seen with these counters."""
        index = int(_text(self._context.root / "sys/class/net" / name / "ifindex") or 0)
        count = self._counts.get(name)
        if count is None:
            count = self._counts[name] = Count(boot=self._boot, index=index, began=self._now, start=now)
            if not self._context.by_hand:
                return
            count.began, count.start = 0.0, [0, 0]  # all since the system began is all that can be told
        if (count.boot, count.index) != (self._boot, index):
            count.start = [0, 0]
            if count.boot != self._boot:
                count.began = 0.0
            count.boot, count.index = self._boot, index
        count.start = [start if each >= start else 0 for each, start in zip(now, count.start, strict=True)]
        lasted = max(self._now - count.began, 1.0)
        carried = [each - start for each, start in zip(now, count.start, strict=True)]
        done = lasted >= self._period
        # After a pause the period is longer: what counts is how much it was in the time of one.
        amounts = [int(each * self._period / lasted) if done else each for each in carried]
        yield from self._judged(name, count, amounts, done)
        if done:
            self._learn(name, amounts)
            count.began, count.start = self._now, now

    def _missing(self, name: str) -> None:
        """An interface that is not there carries nothing; what is known of it is kept for a week."""
        count = self._counts[name]
        count.raised = {}
        if count.boot != self._boot:
            count.boot, count.began, count.start = self._boot, 0.0, [0, 0]
        if self._now - count.began > WEEK_S:
            del self._counts[name]
            self._past.pop(name, None)

    def _judged(self, name: str, count: Count, amounts: list[int], done: bool) -> Iterator[Finding]:
        bounds = {"limit": (sum(amounts), self._limit)} if self._limit else {}
        for direction, amount, usual in zip(DIRECTIONS, amounts, self._usual(name), strict=True):
            if (bound := self._bound(usual)) is not None:
                bounds[direction] = (amount, bound)
        for what in [each for each in count.raised if each not in bounds]:
            del count.raised[what]
        for what, (amount, bound) in bounds.items():
            if amount > bound:
                since, most, _ = count.raised.get(what, (self._wall.isoformat(timespec="seconds"), 0, 0))
                if done or amount >= 2 * most:  # what is kept is not written each time
                    count.raised[what] = [since, max(amount, most), bound]
            elif done:
                count.raised.pop(what, None)  # a whole period was calm
            if what in count.raised:
                yield self._tell(name, what, *count.raised[what])

    def _usual(self, name: str) -> list[int | None]:
        """In each direction, what nearly all past periods stayed within; None: too few are known."""
        past = self._past.get(name, [])
        if len(past) < LEARNS:
            return [None, None]
        rank = -(-len(past) * USUAL // 100) - 1
        return [sorted(each[side] for each in past)[rank] for side in range(2)]

    def _learn(self, name: str, amounts: list[int]) -> None:
        """The period is over, and becomes one of those by which the next ones are measured."""
        taken = []
        for amount, usual in zip(amounts, self._usual(name), strict=True):
            bound = self._bound(usual)
            # One that was unusual is only taken for a little more than usual.
            taken.append(amount if bound is None or amount <= bound else bound // self._factor * 5 // 4)
        keep = min(max(WEEK_S // self._period, LEARNS), MOST_KEPT)
        self._past[name] = [*self._past.get(name, []), taken][-keep:]

    def _bound(self, usual: int | None) -> int | None:
        """What is unusual begins above it; None: nothing is."""
        return None if usual is None or not self._factor else max(self._factor * usual, self._least)

    def _tell(self, name: str, what: str, since: str, amount: int, bound: int) -> Finding:
        verb = {"in": "receives", "out": "sends", "limit": "carries"}[what]
        if what == "limit":
            title, told = f"Interface {name} carries more than its limit", f"its limit is {_size(bound)}"
        else:
            title, told = f"Interface {name} {verb} far more than usual", f"up to {_size(bound)} would be usual"
        return Finding(
            key=name if what == "limit" else f"{name} {what}",
            name=title,
            status="TRAFFIC_LIMIT" if what == "limit" else "TRAFFIC_UNUSUAL",
            what=f"{name} {verb} {_size(amount)} in {durations.show(self._period)}; {told}",
            where=name,
            since=datetime.fromisoformat(since),
            do=f"see who talks: ss -tunap; and what passes: tcpdump -ni {quote(name)}; if it is right, set a higher "
            + ("limit" if what == "limit" else "factor, or wait until it has become usual"),
        )


def _size(amount: int) -> str:
    """As people read it: "1.5 GB"."""
    value, units = float(amount), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
