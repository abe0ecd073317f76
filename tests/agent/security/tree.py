"""A device's files below a directory of the test, what happens to them, and scans of them one after the other.

In samples of these kinds `first` and `then` hold what happens, one order a line (`Tree.do`).
"""

import hashlib
import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import cases

from vedette.agent.security.scanner import Report


class Tree(cases.Device):
    """Scanned again and again as one check of this kind; what is kept goes through JSON, as on a device."""

    def __init__(self, root: Path, kind: str, **settings: str) -> None:
        scanner = import_module(f"vedette.agent.security.{kind}").Scanner()
        super().__init__(root, kind, scanner, {name.replace("_", "-"): each for name, each in settings.items()})

    def scan(self, **more: Any) -> Report:
        before = self.baseline, self.memory
        report = super().scan(**more)
        if more.get("by_hand"):
            self.baseline, self.memory = before
        self.baseline, self.memory = json.loads(json.dumps([self.baseline, self.memory]))
        return report

    def found(self, **more: Any) -> dict[str, str]:
        """Keys with their status."""
        return {each.key: each.status for each in self.scan(**more).findings}

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def do(self, order: str) -> None:
        """One of: `file PATH MODE CONTENT`, `directory PATH MODE`, `link PATH TARGET`, `chmod PATH MODE`,
        `remove PATH`, `move PATH PATH`, `append PATH LINE`, `rewrite PATH CONTENT` (with the times as they were),
        `mount PATH TYPE OPTIONS`, `deploy ARTIFACT`, `package NAME VERSION PATH ...` (dpkg installs these files as
        they are now).
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
            case "append":
                path.write_text(path.read_text().rstrip("\n") + "\n" + " ".join(rest) + "\n")
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


def orders(sample: cases.Case, part: str) -> list[str]:
    return [line for line in getattr(sample, part).get("", "").splitlines() if line]


def check(path: Path, root: Path) -> None:
    """The sample comes to what it says, after it was learned without a word."""
    sample = cases.read(path)
    tree = Tree(root, path.parent.name, **sample.settings)
    for order in orders(sample, "first"):
        tree.do(order)
    if tree.settings.get("baseline", "learn") == "learn":
        assert tree.found() == {}, "the first scan only learns"
    for order in orders(sample, "then"):
        tree.do(order)
    for time in ("the scan that finds it", "the next one, which finds it still"):
        found = tree.scan().findings
        assert all(each.name and each.do for each in found)
        told = {(each.key, each.status): each.what for each in found}
        expected = {(key, status): part for key, status, part in sample.finds}
        assert told.keys() == expected.keys(), time
        for key, part in expected.items():
            assert part in told[key], time
