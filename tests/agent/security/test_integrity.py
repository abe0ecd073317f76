"""The kind `integrity`: the samples of tests/corpus/security/integrity, and what a sample cannot say."""

import json
import os
import shutil
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cases import all_of
from hypothesis import given, settings
from hypothesis import strategies as st
from tree import Tree, check

from vedette.agent.security.filestate import MAX_BYTES
from vedette.agent.security.patterns import Patterns
from vedette.agent.security.walk import within


@pytest.mark.parametrize("path", all_of("integrity"), ids=lambda path: path.stem)
def test_sample(path: Path, tmp_path: Path) -> None:
    check(path, tmp_path)


def test_what_it_says(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity")
    tree.do(f"file /etc/passwd 644 eve:x:{os.getuid()}:0::/:/bin/sh")
    tree.do("file /usr/bin/ls 755 ls")
    tree.do("package coreutils 9.1 /usr/bin/ls")
    tree.scan()
    tree.do("rewrite /usr/bin/ls evil")
    (finding,) = tree.scan().findings
    assert finding.key == finding.where == "/usr/bin/ls"
    assert finding.name == "File '/usr/bin/ls' is not as it was"
    assert finding.what == (
        "/usr/bin/ls has other content (2 bytes before, 4 now), though its time of modification is not newer"
    )
    assert finding.since is not None
    assert int(finding.since.timestamp()) == int(tree.at("/usr/bin/ls").stat().st_ctime)
    assert finding.by == (
        "not recorded; its owner is eve; it is of the package coreutils 9.1, which did not make this change"
    )
    assert finding.do == "bring it back: apt-get install --reinstall coreutils"


def test_restored(tmp_path: Path) -> None:
    """Back as it was, whatever its times say."""
    tree = Tree(tmp_path, "integrity")
    tree.do("file /etc/hosts 644 good")
    tree.scan()
    tree.do("file /etc/hosts 644 bad")
    assert tree.found() == {"/etc/hosts": "FILE_REPLACED"}
    tree.do("file /etc/hosts 644 good")
    assert tree.found() == {}


def test_a_file_that_differs_from_its_package_when_it_is_learned(tmp_path: Path) -> None:
    """As `debsums` would find it; a configuration file may differ."""
    tree = Tree(tmp_path, "integrity")
    tree.do("file /usr/bin/ls 755 ls")
    tree.do("file /usr/bin/cat 755 cat")
    tree.do("file /etc/tool.conf 644 a=1")
    tree.do("package tool 1.0 /usr/bin/ls /usr/bin/cat /etc/tool.conf")
    status = tree.at("/var/lib/dpkg/status")
    conffiles = "Conffiles:\n /etc/tool.conf 5d41402abc4b2a76b9719d911017c592\n"
    status.write_text(status.read_text().strip() + f"\n{conffiles}\n")
    tree.do("rewrite /usr/bin/ls evil")
    tree.do("rewrite /etc/tool.conf a=2")
    for _ in range(2):
        (finding,) = tree.scan().findings
        assert (finding.key, finding.status) == ("/usr/bin/ls", "FILE_UNLIKE_PACKAGE")
        assert finding.what.startswith("/usr/bin/ls is not as the package tool 1.0 brought it")
    assert tree.found(baseline={}, by_hand=True) == {"/usr/bin/ls": "FILE_UNLIKE_PACKAGE"}
    tree.do("rewrite /usr/bin/ls ls")
    assert tree.found() == {}
    tree.do("rewrite /usr/bin/ls evil")
    assert tree.found() == {"/usr/bin/ls": "FILE_CHANGED"}


def test_an_update_that_the_database_tells_later(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity")
    tree.do("file /usr/bin/ls 755 ls-1")
    tree.do("package coreutils 1 /usr/bin/ls")
    tree.scan()
    tree.do("file /usr/bin/ls 755 ls-2")
    assert len(tree.found()) == 1
    tree.do("package coreutils 2 /usr/bin/ls")
    report = tree.scan()
    assert not report.findings
    assert list(report.notes) == ["/usr/bin/ls changed by the package coreutils 2"]
    assert tree.found() == {}


def test_a_change_with_all_times_faked_is_found_within_a_day(tmp_path: Path) -> None:
    """Nobody can fake the time of the inode without the clock or the disk; here the baseline is made to say so."""
    tree = Tree(tmp_path, "integrity")
    tree.do("file /usr/bin/ls 755 good")
    tree.scan()
    old = tree.baseline["files"]["/usr/bin/ls"].split(" ")
    tree.do("rewrite /usr/bin/ls evil")
    now = tree.at("/usr/bin/ls").stat()
    old[4:7] = [str(now.st_ino), f"{now.st_mtime_ns:x}", f"{now.st_ctime_ns:x}"]
    tree.baseline["files"]["/usr/bin/ls"] = " ".join(old)
    scans = [tree.found() for _ in range(24)]  # one an hour
    assert {} in scans
    assert {"/usr/bin/ls": "FILE_CHANGED"} in scans
    assert tree.found() == {"/usr/bin/ls": "FILE_CHANGED"}


def test_rights_and_the_way_back(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity", paths="/etc")
    tree.do("file /etc/it's 640 x")
    tree.scan()
    tree.do("chmod /etc/it's 666")
    (finding,) = tree.scan().findings
    assert finding.status == "FILE_RIGHTS"
    assert finding.do == """chmod 640 '/etc/it'"'"'s'"""


def test_packages_need_not_be_asked(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity", packages="false")
    tree.do("file /usr/bin/ls 755 ls-1")
    tree.do("file /etc/hosts 644 x")
    tree.do("package tools 1 /usr/bin/ls")
    tree.scan()
    tree.do("file /usr/bin/ls 755 ls-2")
    tree.do("file /etc/ld.so.cache 644 x")
    tree.do("package tools 2 /usr/bin/ls")
    assert set(tree.found()) == {"/usr/bin/ls", "/etc/ld.so.cache"}


def test_new_directory_is_one_finding(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity", paths="/etc")
    tree.do("file /etc/hosts 644 x")
    tree.scan()
    for number in range(30):
        tree.do(f"file /etc/evil/d/f{number} 755 x{number}")
    (finding,) = tree.scan().findings
    assert (finding.key, finding.status) == ("/etc/evil", "FILE_ADDED")
    assert "with 31 files and directories in it" in finding.what
    accepted = finding.fingerprint
    tree.do("file /etc/evil/d/f0 755 other")
    (finding,) = tree.scan().findings
    assert finding.fingerprint != accepted
    shutil.rmtree(tree.at("/etc/evil"))
    assert tree.found() == {}


def test_taken_away_directory_is_one_finding(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity", paths="/etc")
    for number in range(30):
        tree.do(f"file /etc/ssl/f{number} 644 x{number}")
    tree.scan()
    shutil.rmtree(tree.at("/etc/ssl"))
    (finding,) = tree.scan().findings
    assert (finding.key, finding.status) == ("/etc/ssl", "FILE_GONE")


NAMES = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a", "f/a"])
STEPS = st.one_of(
    st.tuples(st.just("file"), NAMES, st.sampled_from(["644 x", "755 x", "644 y"])),
    st.tuples(st.just("link"), NAMES, st.sampled_from(["a", "b"])),
    st.tuples(st.just("remove"), NAMES, st.just("")),
    st.tuples(st.just("chmod"), NAMES, st.sampled_from(["600", "755"])),
    st.tuples(st.just("move"), NAMES, NAMES),
    st.tuples(st.just("rewrite"), NAMES, st.sampled_from(["x", "y", "z"])),
    st.tuples(st.just("scan"), st.just(""), st.just("")),
)


def snapshot(top: Path) -> dict[str, str]:
    """Each file with all of it that counts, seen in another way than the scanner's."""
    out = {}
    for path in [top, *top.rglob("*")]:
        content = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else ""
        mode = "" if path.is_symlink() else f"{path.lstat().st_mode:o}"
        out[f"/{path.relative_to(top.parent)}"] = f"{path.is_symlink()} {mode} {content}"
    return out


@given(steps=st.lists(STEPS, max_size=25))
@settings(deadline=None, max_examples=40)
def test_exactly_what_differs_is_found(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]]
) -> None:
    """Whatever happens, and whenever it looks meanwhile: in the end each file that differs is told, and no other."""
    tree = Tree(tmp_path_factory.mktemp("device"), "integrity", paths="/etc")
    for name in ("a", "d/a", "d/e/a"):
        tree.do(f"file /etc/{name} 644 of {name}")
    tree.scan()
    before = snapshot(tree.at("/etc"))
    for verb, name, more in steps:
        if verb == "scan":
            tree.scan()
            continue
        with suppress(OSError):  # there is no such file, or a link that leads nowhere
            tree.do(f"{verb} /etc/{name} {f'/etc/{more}' if verb == 'move' else more}".strip())
    after = snapshot(tree.at("/etc"))
    differs = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    report = tree.scan()
    told = {each.key for each in report.findings}
    assert told <= differs
    came_or_went = {each.key for each in report.findings if each.status in {"FILE_ADDED", "FILE_GONE"}}
    moved_from = {each.what.partition(" was moved to ")[0] for each in report.findings if each.status == "FILE_MOVED"}
    for path in differs - told - moved_from:
        assert any(within(path, each) for each in came_or_went), f"{path} differs, and is not told"
    assert {each.key for each in tree.scan().findings} == told, "nothing has changed since"


def test_another_setting_floods_nobody(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity", paths="/etc")
    tree.do("file /etc/hosts 644 x")
    tree.do("file /opt/app 755 x")
    tree.scan()
    more = Tree(tmp_path, "integrity", paths="/etc /opt", exclude="/etc/hosts")
    more.baseline, more.memory = tree.baseline, tree.memory
    assert more.found() == {}
    assert "/etc/hosts" not in more.baseline["files"]
    more.do("file /opt/app 755 y")
    assert list(more.found()) == ["/opt/app"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_watched_from_outside(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity", paths="/etc")
    tree.do("file /etc/shadow 000 one")
    tree.do("file /etc/private/key 600 x")
    tree.do("chmod /etc/private 000")
    report = tree.scan()
    assert [each.partition(": ")[0] for each in report.unseen] == ["/etc/private"]
    assert "1 files cannot be read" in report.notes[0]
    assert tree.found() == {}
    tree.do("chmod /etc/shadow 600")
    tree.do("rewrite /etc/shadow three")
    tree.do("chmod /etc/shadow 000")
    assert tree.found() == {"/etc/shadow": "FILE_CHANGED"}
    tree.do("chmod /etc/private 700")
    found = tree.found()
    assert "/etc/private/key" not in found, "seen for the first time"
    tree.do("rewrite /etc/private/key other")
    assert "/etc/private/key" in tree.found()
    tree.do("chmod /etc/private 000")
    report = tree.scan()
    assert "/etc/private" in [each.partition(": ")[0] for each in report.unseen]
    tree.do("chmod /etc/private 700")
    assert "/etc/private/key" in tree.found(), "known over the scan that could not look"


def test_a_very_large_file_is_watched_from_outside(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity", paths="/etc")
    tree.do("file /etc/large 644")
    os.truncate(tree.at("/etc/large"), MAX_BYTES + 1)
    tree.scan()
    assert tree.found() == {}
    os.truncate(tree.at("/etc/large"), MAX_BYTES + 2)
    assert tree.found() == {"/etc/large": "FILE_CHANGED"}


def test_out_of_time(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity", paths="/etc")
    for number in range(600):
        tree.do(f"file /etc/f{number} 644 x{number}")
    late = tree.clock.elapsed() - 1
    assert tree.scan(until=late).partial
    assert 0 < len(tree.baseline["files"]) < 601
    report = tree.scan()
    assert not report.partial
    assert not report.findings
    tree.do("remove /etc/f0")
    assert not tree.scan(until=late).findings, "nothing is gone because it was not reached"
    assert tree.found() == {"/etc/f0": "FILE_GONE"}
    assert tree.scan(until=late).partial
    assert tree.found() == {"/etc/f0": "FILE_GONE"}


def test_strange_names(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity", paths="/etc")
    tree.at("/etc").mkdir()
    name = os.fsencode(tree.at("/etc")) + b"/a\nb\xff\x1b[31m: c"
    tree.scan()
    Path(os.fsdecode(name)).write_text("x")
    (finding,) = tree.scan().findings
    assert finding.key == "/etc/a\nb\udcff\x1b[31m: c"
    Path(os.fsdecode(name)).unlink()
    assert tree.found() == {}


def test_a_baseline_of_many_files_is_small(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "integrity", paths="/etc")
    for number in range(500):
        tree.do(f"file /etc/some-directory/file-{number} 644 x{number}")
    tree.scan()
    assert len(json.dumps(tree.baseline, separators=(",", ":"))) < 500 * 160
    report = tree.scan()
    assert report.baseline is None


def test_another_system_was_deployed(tmp_path: Path) -> None:
    """Another artifact on another file system: all is new, and nothing is wrong."""
    tree = Tree(tmp_path, "integrity")
    tree.do("deploy release-1")
    tree.do("file /usr/bin/ls 755 ls")
    tree.do("file /etc/hosts 644 localhost")
    tree.scan()
    tree.do("deploy release-2")
    tree.do("file /usr/bin/ls 755 LS")
    tree.do("file /usr/bin/new 755 new")
    tree.do("remove /etc/hosts")
    tree.baseline["deployed"]["device"] += 1
    report = tree.scan()
    assert not report.findings
    assert list(report.notes) == ["/etc/hosts and 3 more changed by the deployment release-2"]
    tree.do("file /usr/bin/ls 755 evil")
    assert list(tree.found()) == ["/usr/bin/ls"]


def test_a_configuration_that_was_applied(tmp_path: Path) -> None:
    """What changes while a deployment is applied is its; what changes at another time is not."""
    tree = Tree(tmp_path, "integrity", paths="/etc")
    tree.do("file /etc/timezone 644 UTC")
    tree.do("file /etc/hosts 644 x")
    tree.scan()
    tree.do("file /etc/timezone 644 CET")
    record = tree.root / "state/deployments.json"
    record.parent.mkdir()

    def note(at: datetime) -> None:
        record.write_text(json.dumps([{"id": "1", "artifact": "a", "status": "success", "at": at.isoformat()}]))

    note(datetime.now(UTC) + timedelta(hours=1))
    assert list(tree.found()) == ["/etc/timezone"]
    record.unlink()
    tree.scan()
    note(datetime.now(UTC) + timedelta(seconds=1))
    report = tree.scan()
    assert not report.findings
    assert list(report.notes) == ["/etc/timezone changed by the deployment a"]


@pytest.mark.skipif(shutil.which("dpkg-deb") is None or os.getuid() != 0, reason="needs dpkg and root")
def test_with_a_real_package(tmp_path: Path) -> None:
    """Built by dpkg-deb and installed by dpkg: its update explains itself, a change by hand does not."""
    root = tmp_path / "root"
    tree = Tree(root, "integrity", paths="/usr/bin /etc")
    (root / "var/lib/dpkg/info").mkdir(parents=True)
    (root / "var/lib/dpkg/updates").mkdir()
    (root / "var/lib/dpkg/status").touch()
    (root / "usr/bin").mkdir(parents=True)
    (root / "etc").mkdir()

    def install(version: str, *files: str) -> None:
        package = tmp_path / version
        shutil.rmtree(package, ignore_errors=True)
        (package / "DEBIAN").mkdir(parents=True)
        (package / "DEBIAN/control").write_text(
            f"Package: tool\nVersion: {version}\nArchitecture: all\nMaintainer: Us <us@example.com>\nDescription: x\n"
        )
        for file in files:
            (package / file).parent.mkdir(parents=True, exist_ok=True)
            (package / file).write_text(f"{file} {version}\n")
        (package / "etc").mkdir(exist_ok=True)
        (package / "etc/tool.conf").write_text(f"version={version}\n")
        (package / "DEBIAN/conffiles").write_text("/etc/tool.conf\n")
        sums = [subprocess.check_output(["md5sum", file], cwd=package, text=True) for file in files]
        (package / "DEBIAN/md5sums").write_text("".join(sums))
        deb = tmp_path / f"{version}.deb"
        for command in (
            ["dpkg-deb", "--build", "--root-owner-group", str(package), str(deb)],
            [
                "dpkg",
                f"--root={root}",
                "--log=/dev/null",
                "--force-confold",
                "-i",
                str(deb),
            ],
        ):
            subprocess.run(command, check=True, capture_output=True)

    install("1", "usr/bin/tool", "usr/bin/old")
    assert tree.found() == {}
    install("2", "usr/bin/tool", "usr/bin/new")
    assert not (root / "usr/bin/old").exists()
    report = tree.scan()
    assert not report.findings
    assert report.notes
    assert tree.found() == {}
    tree.do("rewrite /usr/bin/tool evil")
    tree.do("rewrite /etc/tool.conf mine=1")
    assert tree.found() == {"/usr/bin/tool": "FILE_CHANGED", "/etc/tool.conf": "FILE_CHANGED"}
    install("3", "usr/bin/tool", "usr/bin/new")
    assert tree.found() == {"/etc/tool.conf": "FILE_CHANGED"}


@pytest.mark.parametrize(
    ("pattern", "path", "means"),
    [
        ("/opt/app", "/opt/app", True),
        ("/opt/app", "/opt/app/x/y", True),
        ("/opt/app", "/opt/apple", False),
        ("/opt/*/bin", "/opt/a/bin/x", True),
        ("/opt/*/bin", "/opt/a/b/bin", False),
        ("*.pyc", "/usr/lib/a.pyc", True),
        ("*.pyc", "/usr/lib/a.py", False),
        ("cache", "/home/x/cache/y", True),
        ("f[0-9a]?", "/x/f7b", True),
        ("f[!0-9]", "/x/f7", False),
        ("f[!0-9]", "/x/fz", True),
        ("[", "/x/[", True),
        ("a[]]b", "/x/a]b", True),
        ("a$", "/x/a$", True),
        ("*a*a*a*a*a*a*a*a*a*a*b", "/x/" + "a" * 250, False),
        ("*\n*", "/x/a\nb", True),
        ("/", "/x", True),
    ],
)
def test_patterns(pattern: str, path: str, means: bool) -> None:
    assert Patterns([pattern]).match(path) is means
    assert Patterns([pattern, "/other"]).match(path) is means


def test_no_pattern_means_nothing() -> None:
    assert not Patterns().match("/x")
    assert not Patterns()
