"""The walk through directories: whatever is in them, each name is told once, no link is followed, and gaps are said."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.agent.security import mounts
from vedette.agent.security.walk import MAX_DEPTH, Seen, Walk
from vedette.clock import FakeClock, SystemClock

NAME = st.binary(min_size=1, max_size=12).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."}
)
TREE = st.recursive(
    st.sampled_from(["file", "link", "pipe"]), lambda below: st.dictionaries(NAME, below, max_size=5), max_leaves=20
)


def walk(root: Path, *starts: str, exclude: tuple[str, ...] = (), **more: object) -> Walk:
    return Walk(root, starts or ("/",), exclude=exclude, clock=FakeClock(), **more)  # type: ignore[arg-type]


def told(walked: Walk) -> list[str]:
    return sorted(entry.path for entry in walked)


def make(place: bytes, tree: object) -> list[bytes]:
    """Make it, and return all paths that there are then."""
    if tree == "file":
        Path(os.fsdecode(place)).write_bytes(b"x")
    elif tree == "link":
        Path(os.fsdecode(place)).symlink_to("/")
    elif tree == "pipe":
        os.mkfifo(place)
    else:
        assert isinstance(tree, dict)
        Path(os.fsdecode(place)).mkdir()
        return [place, *(each for name, below in tree.items() for each in make(place + b"/" + name, below))]
    return [place]


@given(tree=st.dictionaries(NAME, TREE, max_size=5))
@settings(deadline=None, max_examples=40)
def test_all_is_told_once(tmp_path_factory: pytest.TempPathFactory, tree: dict[bytes, object]) -> None:
    root = tmp_path_factory.mktemp("tree") / "root"
    made = make(os.fsencode(root), tree)
    walked = walk(root)
    prefix = len(os.fsencode(root))
    expected = sorted(os.fsdecode(each[prefix:] or b"/") for each in made)
    assert told(walked) == expected
    assert not walked.unseen
    assert not walked.partial


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"a{number}/b/c").mkdir(parents=True)
    before = len(list(Path("/proc/self/fd").iterdir()))
    told(walk(tmp_path))
    entries = iter(walk(tmp_path))
    for _ in range(4):
        next(entries)
    entries.close()  # type: ignore[attr-defined]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_directory_that_is_swapped_for_a_link_leads_nowhere(tmp_path: Path) -> None:
    """Between the look at its name and its opening; here the name is read and the directory replaced."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/inside").touch()
    (tmp_path / "root/d").mkdir(parents=True)
    seen = []
    for entry in walk(tmp_path / "root"):
        seen.append(entry.path)
        if entry.name == "d":
            (tmp_path / "root/d").rmdir()
            (tmp_path / "root/d").symlink_to(tmp_path / "secret")
    assert seen == ["/", "/d"]


def test_starts(tmp_path: Path) -> None:
    """A link that one goes through is told, and where it leads is looked at; nothing is told twice."""
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/ls").touch()
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "out").symlink_to("../../../..")
    walked = walk(tmp_path, "/bin", "/usr/bin", "/usr/bin/ls", "/none", "/loop/x")
    assert told(walked) == ["/bin", "/loop", "/usr/bin", "/usr/bin/ls"]
    assert not walked.unseen
    assert "/usr/bin/ls" in told(walk(tmp_path, "/out")), "no way leads out of the root"


def test_too_deep(tmp_path: Path) -> None:
    place = tmp_path
    for _ in range(MAX_DEPTH + 3):
        place = place / "d"
    place.mkdir(parents=True)
    walked = walk(tmp_path)
    assert len(told(walked)) == MAX_DEPTH + 1
    (unseen,) = walked.unseen
    assert unseen == f"{'/d' * MAX_DEPTH}: more than {MAX_DEPTH} directories within one another"
    assert walked.hidden("/d" * (MAX_DEPTH + 1))
    assert not walked.covers("/d" * (MAX_DEPTH + 1))


@pytest.mark.skipif(os.getuid() == 0, reason="root may look everywhere")
def test_what_may_not_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "closed/x").mkdir(parents=True)
    (tmp_path / "names/x").mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    (tmp_path / "names").chmod(0o444)
    walked = walk(tmp_path)
    assert told(walked) == ["/", "/closed", "/names"]
    assert sorted(walked.unseen) == ["/closed: Permission denied", "/names: Permission denied"]
    assert not walked.covers("/closed/x")
    assert walked.covers("/other")
    for name in ("closed", "names"):
        (tmp_path / name).chmod(0o755)


def test_time_is_up(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"f{number}").touch()
    walked = walk(tmp_path, until=0.0)
    assert 0 < len(told(walked)) < 1000
    assert walked.partial


def test_left_out(tmp_path: Path) -> None:
    for name in ("a/b", "a/c", "d/b.orig", "d/e"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    walked = walk(tmp_path, exclude=("/a", "*.orig"))
    assert told(walked) == ["/", "/d", "/d/e"]
    assert not walked.covers("/a/b")
    seen = Seen(walked.seen())
    assert seen.covers("/d/new")
    assert not seen.covers("/a/b")


def test_mounts(tmp_path: Path) -> None:
    """The kernel's and those of other machines are not entered, unless one starts there."""
    table = tmp_path / "proc/self/mountinfo"
    table.parent.mkdir(parents=True)
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:5 / /proc rw - proc proc rw\n"
        "3 1 0:6 / /net/a\\040b rw shared:1 - nfs4 host:/x rw\n"
        "4 1 0:7 / /data rw,nosuid master:2 shared:3 - f2fs /dev/sdb rw\n"
        "5 1 0:8 / /fuse rw - fuse.sshfs x rw\n"
        "6 1 0:9 / /fuse rw - ext4 /dev/sdc rw\n"
        "nonsense\n"
    )
    for name in ("net/a b", "data", "fuse"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x").touch()
    walked = walk(tmp_path)
    assert told(walked) == ["/", "/data", "/data/x", "/fuse", "/fuse/x", "/net"]
    assert walked.unseen == ["/net/a b: mounted from elsewhere (nfs4)"]
    walked = walk(tmp_path, leave=lambda mount: mount.nosuid)
    assert "/data/x" not in told(walked)
    assert walked.left == ["/data"]
    assert "/net/a b/x" in told(walk(tmp_path, "/", "/net/a b"))


def test_what_is_mounted_behind_something_that_is_not_entered(tmp_path: Path) -> None:
    table = tmp_path / "proc/self/mountinfo"
    table.parent.mkdir(parents=True)
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:5 / /run rw,nosuid - tmpfs run rw\n"
        "3 2 8:2 / /run/media/stick rw - vfat /dev/sdb rw\n"
        "4 1 0:6 / /net rw - nfs4 host:/x rw\n"
        "5 4 8:3 / /net/local rw - ext4 /dev/sdc rw\n"
        "6 1 8:4 / /data rw - ext4 /dev/sdd rw\n"
    )
    for name in ("run/media/stick", "run/x", "net/local", "data"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "f").touch()
    walked = walk(tmp_path, leave=lambda mount: mount.nosuid)
    found = [path for path in told(walked) if not path.startswith("/proc")]
    assert found == ["/", "/data", "/data/f", "/run/media/stick", "/run/media/stick/f"]
    assert walked.left == ["/run"]
    assert walked.hidden("/run/x/f")
    assert not walked.hidden("/run/media/stick/g")
    assert told(walk(tmp_path, "/data", leave=lambda mount: mount.nosuid)) == ["/data", "/data/f"]


def test_the_real_one() -> None:
    """Of this machine: some of /etc, and its own table of mounts."""
    walked = Walk(Path("/"), ["/etc"], exclude=(), clock=SystemClock())
    names = {entry.path: stat.S_IFMT(entry.stat.st_mode) for entry in walked}
    assert names["/etc/passwd"] == stat.S_IFREG
    table = mounts.read(Path("/"))
    assert table is not None
    assert table["/proc"].pseudo
