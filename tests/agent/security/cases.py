"""The samples of tests/corpus/security/KIND/*.case: a device, what happens on it, and what a scan finds then.

Sections begin with "== ": `why`; `setting NAME`; `first PATH`, a file before the first scan; `then PATH`, a file after
it (what is appended, of a log below /var/log); `finds`, one finding a line: key | status | part of what it says.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vedette.agent.security.scanner import Context, Report, Scanner
from vedette.clock import FakeClock
from vedette.model.security import interpret

CORPUS = Path(__file__).parents[2] / "corpus/security"
NOW = datetime(2026, 3, 24, 16, tzinfo=UTC)


@dataclass
class Case:
    settings: dict[str, str] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    then: dict[str, str] = field(default_factory=dict)
    finds: list[tuple[str, ...]] = field(default_factory=list)


def all_of(kind: str) -> list[Path]:
    return sorted((CORPUS / kind).glob("*.case"))


def read(path: Path) -> Case:
    out = Case()
    for section in path.read_text().removeprefix("== ").split("\n== "):
        head, _, body = section.partition("\n")
        body = body.rstrip("\n") + "\n" if body.strip() else ""
        word, _, name = head.partition(" ")
        if word == "setting":
            out.settings[name] = body.strip()
        elif word in ("first", "then"):
            getattr(out, word)[name] = body
        elif word == "finds":
            out.finds = [tuple(part.strip() for part in line.split("|")) for line in body.splitlines()]
        else:
            assert word == "why", f"{path}: {head}"
    return out


class Device:
    """A tree of its own, and what the last scan left."""

    def __init__(self, root: Path, kind: str, scanner: Scanner, settings: dict[str, str]) -> None:
        self.root, self._kind, self._scanner = root, kind, scanner
        self.settings = interpret(kind, settings)
        self.clock = FakeClock(NOW)
        self.baseline: Any = None
        self.memory: Any = None

    def write(self, path: str, text: str, *, more: bool = False) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a" if more else "w") as out:
            out.write(text)

    def scan(self, **more: Any) -> Report:
        context = Context(
            name=f"{self._kind}_a",
            settings=self.settings,
            root=self.root,
            state=self.root / "state",
            clock=self.clock,
            **{"baseline": self.baseline, "memory": self.memory, **more},
        )
        report = self._scanner.scan(context)
        self.baseline = self.baseline if report.baseline is None else report.baseline
        self.memory = self.memory if report.memory is None else report.memory
        return report

    def live(self, case: Case) -> Report:
        """The first scan finds nothing; what the second one, after all has happened, says."""
        for name, text in case.first.items():
            self.write(name, text)
        assert not self.scan().findings
        for name, text in case.then.items():
            self.write(name, text, more=name.startswith("/var/log/"))
        return self.scan()


def check(report: Report, case: Case) -> None:
    """Is that what the sample says?"""
    found = [(each.key, each.status, each.what) for each in report.findings]
    assert [each[:2] for each in found] == [each[:2] for each in case.finds]
    for (_, _, what), (_, _, expected) in zip(found, case.finds, strict=True):
        assert expected in what
    assert all(each.do and each.name for each in report.findings)
