"""A device's files below a directory of the test, what happens to them, and scans of them one after the other.

Samples lie in tests/corpus/security/KIND/*.case: sections `== why`, `== setting NAME`, `== first`, `== then` and
`== finds`. What happens is one order a line (`Tree.do`); a finding is `KEY | STATUS | a part of what it says`.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from vedette.agent.security.scanner import Context, Report
from vedette.clock import FakeClock
from vedette.model.security import interpret

CORPUS = Path(__file__).parents[2] / "corpus/security"


@dataclass
class Case:
    settings: dict[str, str] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)
    then: list[str] = field(default_factory=list)
    finds: list[tuple[str, ...]] = field(default_factory=list)


def cases(kind: str) -> list[Path]:
    return sorted((CORPUS / kind).glob("*.case"))


def case(path: Path) -> Case:
    out = Case()
    for section in path.read_text().split("== ")[1:]:
        head, _, body = section.partition("\n")
        lines = [line for line in body.splitlines() if line.strip()]
        word, _, name = head.partition(" ")
        if word == "setting":
            out.settings[name] = body.strip()
        elif word in {"first", "then"}:
            getattr(out, word).extend(lines)
        elif word == "finds":
            out.finds = [tuple(part.strip() for part in line.split("|")) for line in lines]
        else:
            assert word == "why", f"{path}: {head}"
    return out


class Tree:
    """Scanned again and again as one check of this kind; what is kept goes through JSON, as on a device."""

    def __init__(self, root: Path, kind: str, **settings: str) -> None:
        self.root = root
        self.kind = kind
        self.settings: Mapping[str, Any] = interpret(kind, {name.replace("_", "-"): v for name, v in settings.items()})
        self.clock = FakeClock(datetime(2026, 3, 24, 16, tzinfo=UTC))
        self.baseline: Any = None
        self.memory: Any = None

    def scan(self, **more: Any) -> Report:
        context = Context(
            name=f"{self.kind}_a",
            settings=self.settings,
            root=self.root,
            state=self.root / "state",
            clock=self.clock,
            **{"baseline": self.baseline, "memory": self.memory, **more},
        )
        report = import_module(f"vedette.agent.security.{self.kind}").Scanner().scan(context)
        if not context.by_hand:
            self.baseline = self.baseline if report.baseline is None else json.loads(json.dumps(report.baseline))
            self.memory = self.memory if report.memory is None else json.loads(json.dumps(report.memory))
        return report

    def found(self, **more: Any) -> dict[str, str]:
        """Keys with their status."""
        return {each.key: each.status for each in self.scan(**more).findings}

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def do(self, order: str) -> None:
        """One of: `file PATH MODE CONTENT`, `directory PATH MODE`, `link PATH TARGET`, `chmod PATH MODE`,
        `remove PATH`, `move PATH PATH`, `rewrite PATH CONTENT` (with the times as they were), `mount PATH TYPE
        OPTIONS`, `deploy ARTIFACT`, `package NAME VERSION PATH ...` (dpkg installs these files as they are now).
        """
        verb, name, *rest = order.split(" ", 3)
        path = self.at(name)
        if verb not in {"package", "deploy", "mount"}:
            path.parent.mkdir(parents=True, exist_ok=True)
        match verb:
            case "file":
                other = path.with_name("other.tmp")
                other.write_text(rest[1] if len(rest) > 1 else "")
                other.chmod(int(rest[0], 8))
                other.replace(path)
            case "directory":
                path.mkdir()
                path.chmod(int(rest[0], 8))
            case "link":
                other = path.with_name("other.tmp")
                other.symlink_to(rest[0])
                other.replace(path)
            case "chmod":
                path.chmod(int(rest[0], 8))
            case "remove":
                path.unlink()
            case "move":
                path.rename(self.at(rest[0]))
            case "rewrite":
                before = path.stat()
                path.write_text(" ".join(rest))
                path.chmod(before.st_mode & 0o7777)  # who is not root loses the set-uid bit by writing
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            case "package":
                self.package(name, rest[0], rest[1].split())
            case "mount":
                table = self.at("/proc/self/mountinfo")
                table.parent.mkdir(parents=True, exist_ok=True)
                with table.open("a") as file:
                    file.write(f"30 1 0:9 / {name} {rest[1]} - {rest[0]} none rw\n")
            case "deploy":
                self.at("/etc/mender").mkdir(parents=True, exist_ok=True)
                self.at("/etc/mender/artifact_info").write_text(f"artifact_name={name}\n")
            case _:
                raise AssertionError(order)

    def package(self, name: str, version: str, paths: list[str]) -> None:
        info = self.at("/var/lib/dpkg/info")
        info.mkdir(parents=True, exist_ok=True)
        sums = [
            f"{hashlib.md5(self.at(path).read_bytes()).hexdigest()}  {path[1:]}\n"
            for path in paths
            if self.at(path).is_file() and not self.at(path).is_symlink()
        ]
        (info / f"{name}.md5sums").write_text("".join(sums))
        (info / f"{name}.list").write_text("".join(f"{path}\n" for path in ("/.", *paths)))
        status = self.at("/var/lib/dpkg/status")
        others = [each for each in (status.read_text() if status.exists() else "").split("\n\n") if each]
        others = [each for each in others if not each.startswith(f"Package: {name}\n")]
        new = f"Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: {version}"
        status.write_text("".join(f"{each}\n\n" for each in (*others, new)))


def check(path: Path, root: Path) -> None:
    """The sample comes to what it says, after it was learned without a word."""
    sample = case(path)
    tree = Tree(root, path.parent.name, **sample.settings)
    for order in sample.first:
        tree.do(order)
    if tree.settings.get("baseline", "learn") == "learn":
        assert tree.found() == {}, "the first scan only learns"
    for order in sample.then:
        tree.do(order)
    for time in ("the scan that finds it", "the next one, which finds it still"):
        found = tree.scan().findings
        told = {(each.key, each.status): each.what for each in found}
        expected = {(key, status): part for key, status, part in sample.finds}
        assert told.keys() == expected.keys(), time
        for key, part in expected.items():
            assert part in told[key], time
