"""The kinds `ports`, `pid-change` and `processes`: the samples of tests/corpus/security, each a device in some steps.

A sample begins with a sentence. `== setting NAME` is followed by its value, `== first` and `== then SECONDS` by what
happens (the words of `proc_tree`) before a look, `== finds` by what that look finds, all of it: key | status | words of
what was found. The first look finds nothing when nothing is said.
"""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from proc_tree import Tree

from vedette.agent.security import look
from vedette.agent.security.scanner import Context, Report
from vedette.clock import FakeClock
from vedette.model.security import interpret

CORPUS = Path(__file__).parents[2] / "corpus/security"
KINDS = ("ports", "pid-change", "processes")
CASES = sorted(path for kind in KINDS for path in (CORPUS / kind).glob("*.case"))


@dataclass
class Step:
    after_s: int
    commands: list[str]
    finds: list[str] = field(default_factory=list)


@dataclass
class Case:
    settings: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


def read(path: Path) -> Case:
    out = Case()
    sentence, *sections = path.read_text().split("\n== ")
    assert len(sentence) > 20, f"{path} does not say what it shows"
    for section in sections:
        head, _, body = section.partition("\n")
        lines = [line for line in body.splitlines() if line]
        word, _, rest = head.partition(" ")
        if word == "setting":
            out.settings[rest] = body.strip()
        elif word in ("first", "then"):
            out.steps.append(Step(int(rest or 0), lines))
        else:
            assert word == "finds", f"{path}: {head}"
            out.steps[-1].finds = lines
    return out


class Device:
    """A tree, and what the last scan left."""

    def __init__(self, kind: str, root: Path, settings: dict[str, str]) -> None:
        self.kind, self.tree = kind, Tree(root)
        self.settings = interpret(kind, settings)
        self.clock = FakeClock()
        self.baseline: Any = None
        self.memory: Any = None

    def do(self, line: str) -> None:
        name, *words = shlex.split(line)
        given = dict(word.split("=", 1) for word in words if "=" in word and not word.startswith(("/", "tcp", "udp")))
        plain = [word for word in words if word.partition("=")[0] not in given]
        if name == "process":
            numbers = {key: int(given.pop(key)) for key in ("parent", "uid") if key in given}
            start_s = float(given.pop("start", 10))
            kernel = bool(given.pop("kernel", ""))
            self.tree.process(int(plain[0]), plain[1], start_s=start_s, kernel=kernel, **numbers, **given)  # type: ignore[arg-type]
        elif name == "end":
            self.tree.end(int(plain[0]))
        elif name == "listen":
            numbers = {key: int(given.pop(key)) for key in ("uid", "far_port") if key in given}
            self.tree.listen(plain[0], *map(int, plain[1:]), **numbers, **given)  # type: ignore[arg-type]
        elif name == "close":
            self.tree.close_all()
        elif name == "modules":
            self.tree.modules(*plain)
        elif name == "boot":
            self.tree.boot(plain[0])
        else:
            assert name == "file", line
            self.tree.write(plain[0], "")

    def scan(self, **more: Any) -> Report:
        context = Context(
            name=f"{self.kind}_x",
            settings=self.settings,
            root=self.tree.root,
            state=self.tree.root,
            clock=self.clock,
            baseline=self.baseline,
            memory=self.memory,
            **more,
        )
        report = look.safe(look.scanner(self.kind).scan(context))
        if not context.by_hand:
            self.baseline = self.baseline if report.baseline is None else report.baseline
            self.memory = self.memory if report.memory is None else report.memory
        return report


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_samples(path: Path, tmp_path: Path) -> None:
    case = read(path)
    device = Device(path.parent.name, tmp_path, case.settings)
    for number, step in enumerate(case.steps, 1):
        device.clock.advance(step.after_s)
        for line in step.commands:
            device.do(line)
        found = sorted(device.scan().findings, key=lambda each: each.key)
        expected = [[part.strip() for part in line.split(" | ")] for line in sorted(step.finds)]
        assert [(each.key, each.status) for each in found] == [(key, status) for key, status, _ in expected], number
        for each, (_, _, words) in zip(found, expected, strict=True):
            assert words in each.what, number
            assert each.do, number
            assert each.name, number


def test_memory_stays_as_it_is_while_nothing_happens(tmp_path: Path) -> None:
    """Else each look would be written to the flash."""
    for kind, settings in (("ports", {}), ("pid-change", {"process": "cron"}), ("processes", {})):
        device = Device(kind, tmp_path / kind, settings)
        device.tree.process(5, "/usr/sbin/cron")
        device.tree.listen("tcp 0.0.0.0:22", 5)
        device.tree.modules("ext4")
        device.scan()
        before = device.memory, device.baseline
        device.clock.advance(600)
        device.scan()
        assert (device.memory, device.baseline) == before


def test_by_hand_everything_is_found_at_once_that_is_on_no_list(tmp_path: Path) -> None:
    device = Device("ports", tmp_path, {"allow": "tcp/22"})
    device.tree.process(5, "/usr/sbin/sshd", start_s=50)
    device.tree.listen("tcp 0.0.0.0:22", 5)
    device.tree.listen("tcp 0.0.0.0:80", 5)
    device.baseline = {}
    (found,) = device.scan(by_hand=True).findings
    assert (found.key, found.by, found.since and found.since.isoformat()) == (
        "tcp 0.0.0.0:80",
        "user root",
        "2026-01-01T00:00:50+00:00",
    )


def test_a_port_is_open_since_it_was_first_seen_and_not_since_its_program_began(tmp_path: Path) -> None:
    device = Device("ports", tmp_path, {})
    device.tree.process(5, "/usr/sbin/sshd")
    device.scan()
    device.clock.advance(60)
    device.tree.listen("tcp 0.0.0.0:80", 5)
    device.scan()
    opened = device.clock.now()
    device.clock.advance(60)
    (found,) = device.scan().findings
    assert found.since == opened


@pytest.mark.parametrize("names", ["a\nb", "a\udcffb", "x" * 5000])
def test_hostile_names_are_shown_on_one_line_of_bounded_length(tmp_path: Path, names: str) -> None:
    device = Device("processes", tmp_path, {})
    name = names[:200] if len(names) > 200 else names
    device.tree.process(5, f"/tmp/{name}", comm="x")
    (found,) = device.scan().findings
    assert found.key.isprintable()
    assert found.what.isprintable()
    assert len(found.key) <= look.MAX_KEY
