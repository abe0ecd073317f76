"""The kind `setuid`: the samples of tests/corpus/security/setuid, and what a sample cannot say."""

import os
import struct
from pathlib import Path

import pytest
from cases import all_of
from tree import Tree, check

SET = 0o4755


@pytest.mark.parametrize("path", all_of("setuid"), ids=lambda path: path.stem)
def test_sample(path: Path, tmp_path: Path) -> None:
    check(path, tmp_path)


def test_what_it_says(tmp_path: Path) -> None:
    """What, where, since when, by whom, and what to do."""
    tree = Tree(tmp_path, "setuid")
    tree.scan()
    tree.do("file /tmp/it's 6755 x")
    tree.do(f"file /etc/passwd 644 eve:x:{os.getuid()}:0::/:/bin/sh")
    tree.do(f"file /etc/group 644 crew:x:{tree.at('/tmp').stat().st_gid}:")
    (finding,) = tree.scan().findings
    changed = tree.at("/tmp/it's").stat()
    assert finding.key == finding.where == "/tmp/it's"
    assert finding.what.startswith(
        "/tmp/it's gives the rights of the user eve and the rights of the group crew and did not before: "
        "-rwsr-sr-x eve:crew, 1 bytes, modified "
    )
    assert finding.since is not None
    assert int(finding.since.timestamp()) == int(changed.st_ctime)
    assert finding.by == "not recorded; its owner is eve; it is of no package"
    assert finding.do == """take the rights away: chmod ug-s '/tmp/it'"'"'s'"""


@pytest.mark.parametrize("size", [384, 400])
def test_who_was_logged_in(tmp_path: Path, size: int) -> None:
    """As wtmp says, in both of its forms; who had left, or came in later, is not named."""
    tree = Tree(tmp_path, "setuid")
    tree.scan()
    tree.do("file /tmp/x 4755 x")
    then = int(tree.at("/tmp/x").stat().st_ctime)

    def record(sort: int, line: str, user: str, host: str, seconds: int) -> bytes:
        head = struct.pack("=hxxi32s4s32s256s4x", sort, 9, line.encode(), b"", user.encode(), host.encode())
        return (head + struct.pack("=ii" if size == 384 else "=qq", 0, seconds)).ljust(size, b"\0")

    tree.at("/var/log").mkdir(parents=True)
    tree.at("/var/log/wtmp").write_bytes(
        record(7, "tty1", "before-boot", "", then - 900)
        + record(2, "~", "reboot", "", then - 800)
        + record(7, "pts/0", "mallory", "203.0.113.9", then - 60)
        + record(7, "pts/1", "alice", "", then - 60)
        + record(7, "pts/2", "gone", "", then - 60)
        + record(8, "pts/2", "", "", then - 30)
        + record(8, "pts/1", "", "", then + 30)
        + record(7, "pts/1", "late", "", then + 40)
    )
    (finding,) = tree.scan().findings
    assert "; logged in then: alice, mallory from 203.0.113.9; its owner is" in finding.by


def test_repaired(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "setuid")
    tree.scan()
    tree.do("file /tmp/x 4755 x")
    assert tree.found() == {"/tmp/x": "SETUID_NEW"}
    tree.do("chmod /tmp/x 755")
    assert tree.found() == {}


def test_gone_and_there_again(tmp_path: Path) -> None:
    """What was right once is not right for ever."""
    tree = Tree(tmp_path, "setuid")
    tree.do("file /usr/bin/su 4755 x")
    tree.scan()
    tree.do("remove /usr/bin/su")
    assert tree.found() == {}
    tree.do("file /usr/bin/su 4755 x")
    assert tree.found() == {"/usr/bin/su": "SETUID_NEW"}


def test_places_that_are_looked_at_later_are_learned(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "setuid", paths="/usr")
    tree.do("file /usr/bin/su 4755 x")
    tree.do("file /opt/su 4755 x")
    tree.scan()
    later = Tree(tmp_path, "setuid", paths="/usr /opt")
    later.baseline = tree.baseline
    assert later.found() == {}
    later.do("file /opt/other 4755 x")
    assert later.found() == {"/opt/other": "SETUID_NEW"}


def test_what_could_not_be_looked_at_meanwhile_is_still_known(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "setuid")
    tree.do("file /opt/su 4755 x")
    tree.do("mount / ext4 rw")
    tree.scan()
    tree.do("mount /opt nfs4 rw")
    assert list(tree.scan().unseen) == ["/opt: mounted from elsewhere (nfs4)"]
    tree.at("/proc/self/mountinfo").unlink()
    assert tree.found() == {}


def test_from_a_list_to_what_is_learned_and_back(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "setuid", baseline="given")
    learning = Tree(tmp_path, "setuid")
    tree.do("file /usr/bin/su 4755 x")
    assert tree.found() == {"/usr/bin/su": "SETUID_NEW"}
    learning.baseline = tree.baseline
    assert learning.found() == {}
    tree.baseline = learning.baseline
    assert tree.found() == {"/usr/bin/su": "SETUID_NEW"}
    tree.do("file /opt/su 4755 x")
    assert len(tree.found()) == 2
    learning.baseline = tree.baseline
    assert learning.found() == {"/opt/su": "SETUID_NEW"}


def test_a_scan_that_ran_out_of_time(tmp_path: Path) -> None:
    """It says so, what it has learned is not lost, and it does not take for gone what it did not reach."""
    tree = Tree(tmp_path, "setuid")
    for number in range(600):
        tree.do(f"file /usr/bin/su{number} 4755 x")
    report = tree.scan(until=tree.clock.elapsed() - 1)
    assert report.partial
    some = len(tree.baseline["files"])
    assert 0 < some < 600
    report = tree.scan()
    assert not report.partial
    assert not report.findings, "still learning"
    assert len(tree.baseline["files"]) == 600
    assert tree.scan(until=tree.clock.elapsed() - 1).partial
    assert len(tree.baseline["files"]) == 600


def test_nothing_is_written_when_nothing_changed(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "setuid")
    tree.do("file /usr/bin/su 4755 x")
    assert tree.scan().baseline is not None
    report = tree.scan()
    assert (report.baseline, report.memory) == (None, None)


def test_by_hand_everything_is_found(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "setuid")
    tree.do("file /usr/bin/su 4755 x")
    (finding,) = tree.scan(baseline={}, by_hand=True).findings
    assert finding.what.startswith(f"/usr/bin/su gives the rights of the user {os.getuid()}: -rwsr-xr-x ")


def test_what_was_accepted_is_the_content(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "setuid")
    tree.scan()
    tree.do("file /usr/bin/su 4755 x")
    (first,) = tree.scan().findings
    tree.at("/usr/bin/su").touch()
    (again,) = tree.scan().findings
    assert first.fingerprint == again.fingerprint
    tree.do("rewrite /usr/bin/su y")
    (other,) = tree.scan().findings
    assert other.fingerprint != first.fingerprint


def test_file_capabilities(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "setuid")
    tree.do("file /usr/bin/ping 755 x")
    tree.scan()
    ping = tree.at("/usr/bin/ping")
    try:  # cap_net_raw, permitted and effective, revision 2
        os.setxattr(ping, "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
    except OSError as exc:
        pytest.skip(f"this user or file system cannot set file capabilities: {exc.strerror}")
    (finding,) = tree.scan().findings
    assert finding.what.startswith("/usr/bin/ping gives cap_net_raw=ep and did not before")
    assert finding.do == f"take the rights away: setcap -r {finding.key}"
    os.setxattr(ping, "security.capability", struct.pack("<5I", 0x02000001, 1 << 12, 0, 0, 0))
    (finding,) = tree.scan().findings
    assert "cap_net_admin=ep" in finding.what
    os.removexattr(ping, "security.capability")
    assert tree.found() == {}


def test_another_system_was_deployed(tmp_path: Path) -> None:
    """What is known has another content and is all right; what is new is told all the same."""
    tree = Tree(tmp_path, "setuid")
    tree.do("deploy release-1")
    tree.do("file /usr/bin/su 4755 su-1")
    tree.scan()
    tree.do("deploy release-2")
    tree.do("file /usr/bin/su 4755 su-2")
    tree.do("file /usr/bin/other 4755 other-2")
    tree.baseline["deployed"]["device"] += 1
    report = tree.scan()
    assert [each.key for each in report.findings] == ["/usr/bin/other"]
    assert list(report.notes) == ["/usr/bin/su changed by the deployment release-2"]
    tree.do("file /usr/bin/su 4755 evil")
    assert set(tree.found()) == {"/usr/bin/su", "/usr/bin/other"}


def test_packages_are_being_installed(tmp_path: Path) -> None:
    """Files are ahead of the database then: the scan waits, but not for ever."""
    tree = Tree(tmp_path, "setuid")
    tree.do("file /usr/bin/su 4755 su-1")
    tree.do("package su 1 /usr/bin/su")
    tree.do("file /var/lib/dpkg/lock 640")
    tree.scan()
    tree.do("file /usr/bin/su 4755 su-2")
    inode = tree.at("/var/lib/dpkg/lock").stat().st_ino
    tree.do(f"file /proc/locks 644 1: POSIX  ADVISORY  WRITE 812 fe:00:{inode} 0 EOF")
    report = tree.scan()
    assert report.partial
    assert not report.findings
    assert report.notes
    for _ in range(2):
        assert tree.found() == {}
    assert tree.found() == {"/usr/bin/su": "SETUID_CHANGED"}, "nobody hides behind a lock"
    tree.do("file /proc/locks 644")
    tree.do("package su 2 /usr/bin/su")
    assert tree.found() == {}
