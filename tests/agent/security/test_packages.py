"""What the databases of dpkg, apk and opkg say of a file; samples by us, and the real dpkg of this machine."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
from base64 import b64encode
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.agent.security.explain import Change, as_packaged, by_package
from vedette.agent.security.filestate import FileState
from vedette.agent.security.packages import Claim, Packages

LINK = FileState(mode=0o120777, uid=0, gid=0, size=6, inode=1, modified=0, changed=0, content="/tmp/x")


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_dpkg(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    info = "var/lib/dpkg/info/"
    write(tmp_path, info + "util-linux.md5sums", "aa" * 16 + "  bin/su\n" + "bb" * 16 + "  usr/bin/two words\n")
    write(tmp_path, info + "util-linux.list", "/.\n/bin\n/bin/su\n/usr/bin/two words\n/etc/a.conf\n/usr/bin/link\n")
    write(tmp_path, info + "libc6:amd64.md5sums", "cc" * 16 + "  usr/bin/ldd\n")
    write(tmp_path, info + "libc6:amd64.list", "/usr/bin/ldd\n")
    write(tmp_path, info + "dash.list", "/usr/bin/su\n")
    write(tmp_path, "var/lib/dpkg/diversions", "/bin/su\n/bin/su.other\nutil-linux\n")
    write(
        tmp_path,
        "var/lib/dpkg/status",
        "Package: util-linux\nArchitecture: amd64\nVersion: 2.38-5\nConffiles:\n"
        f" /etc/a.conf {'dd' * 16}\n /etc/b.conf {'ee' * 16} obsolete\nDescription: x\n\n"
        "Package: libc6\nArchitecture: amd64\nVersion: 2.36\n",
    )
    wanted = {
        "/usr/bin/su",
        "/usr/bin/two words",
        "/etc/a.conf",
        "/usr/bin/ldd",
        "/usr/bin/link",
        "/x",
        "/usr/bin/su.other",
    }
    found = Packages(tmp_path).claims(wanted)
    assert {path: str(claim) for path, claim in found.items()} == {
        "/usr/bin/su": "util-linux 2.38-5",
        "/usr/bin/two words": "util-linux 2.38-5",
        "/etc/a.conf": "util-linux 2.38-5",
        "/usr/bin/ldd": "libc6:amd64 2.36",
        "/usr/bin/link": "util-linux 2.38-5",
    }
    assert found["/usr/bin/su"].digest == b"\xaa" * 16
    assert found["/usr/bin/su"].restore == "apt-get install --reinstall util-linux"
    assert found["/etc/a.conf"].configuration
    assert found["/etc/a.conf"].digest == b"\xdd" * 16
    assert found["/usr/bin/link"].digest == b""


def test_diverted_by_another_package(tmp_path: Path) -> None:
    write(tmp_path, "var/lib/dpkg/info/bash.md5sums", "aa" * 16 + "  usr/bin/sh\n")
    write(tmp_path, "var/lib/dpkg/info/dash.md5sums", "bb" * 16 + "  usr/bin/sh\n")
    write(tmp_path, "var/lib/dpkg/diversions", "/usr/bin/sh\n/usr/bin/sh.distrib\ndash\n")
    found = Packages(tmp_path).claims({"/usr/bin/sh", "/usr/bin/sh.distrib"})
    assert found["/usr/bin/sh"].package == "dash"
    assert found["/usr/bin/sh.distrib"].package == "bash"


def test_apk(tmp_path: Path) -> None:
    content, target = b"busybox", b"/bin/busybox"
    sums = [b64encode(hashlib.sha1(each).digest()).decode() for each in (content, target)]
    sha256 = b64encode(hashlib.sha256(content).digest()).decode()
    write(
        tmp_path,
        "lib/apk/db/installed",
        f"C:Q1x=\nP:busybox\nV:1.36-r2\nA:x86_64\nF:bin\nR:busybox\na:0:0:755\nZ:Q1{sums[0]}\nR:sh\na:0:0:777\nZ:Q1{sums[1]}\n"
        f"R:bbsuid\na:0:0:4111\nZ:Q2{sha256}\nF:var/spool\nM:0:12:1777\n\nP:other\nV:2\nF:etc\nR:plain\nZ:Q1{sums[0]}\n",
    )
    packages = Packages(tmp_path)
    found = packages.claims({"/bin/busybox", "/bin/sh", "/bin/bbsuid", "/var/spool", "/etc/plain"})
    assert {path: str(each) for path, each in found.items()} == dict.fromkeys(
        ("/bin/busybox", "/bin/sh", "/bin/bbsuid", "/var/spool"), "busybox 1.36-r2"
    ) | {"/etc/plain": "other 2"}
    assert (found["/bin/bbsuid"].mode, found["/bin/bbsuid"].algorithm) == (0o4111, "sha256")
    assert (found["/var/spool"].mode, found["/var/spool"].owner) == (0o1777, (0, 12))
    assert (found["/etc/plain"].mode, found["/etc/plain"].owner) == (0o644, (0, 0))
    assert found["/etc/plain"].restore == "apk fix --reinstall other"
    assert "sha1" in packages.algorithms
    link = FileState(mode=0o120777, uid=0, gid=0, size=0, inode=0, modified=0, changed=0, content=target.decode())
    assert as_packaged(found["/bin/sh"], link, {}) is True
    file = FileState(mode=0o100755, uid=0, gid=0, size=0, inode=0, modified=0, changed=0)
    assert as_packaged(found["/bin/busybox"], file, {"sha1": hashlib.sha1(content).digest()}) is True
    assert as_packaged(found["/bin/busybox"], file, {"sha1": hashlib.sha1(b"x").digest()}) is False


@pytest.mark.parametrize("place", ["var/lib/opkg", "usr/lib/opkg"])
def test_opkg(tmp_path: Path, place: str) -> None:
    write(
        tmp_path,
        f"{place}/info/tool.list",
        "/usr/bin/tool\t0100755\n/usr/bin/t\t0120777\ttool\n/etc/tool.conf\t0100644\n",
    )
    write(tmp_path, f"{place}/info/plain.list", "/usr/bin/plain\n")
    write(
        tmp_path,
        f"{place}/status",
        f"Package: tool\nVersion: 3\nConffiles:\n /etc/tool.conf {'aa' * 16}\nInstalled-Time: 1\n",
    )
    found = Packages(tmp_path).claims({"/usr/bin/tool", "/usr/bin/t", "/etc/tool.conf", "/usr/bin/plain"})
    assert str(found["/usr/bin/tool"]) == "tool 3"
    assert found["/usr/bin/tool"].mode == 0o100755
    assert found["/usr/bin/t"].link == "tool"
    assert found["/etc/tool.conf"].configuration
    assert found["/usr/bin/plain"].package == "plain"
    assert found["/usr/bin/plain"].mode is None
    file = FileState(mode=0o100755, uid=0, gid=0, size=0, inode=0, modified=0, changed=0)
    assert as_packaged(found["/usr/bin/tool"], file, {}) is None


@pytest.mark.skipif(shutil.which("rpmbuild") is None or os.getuid() != 0, reason="needs rpm, and root to install")
def test_rpm(tmp_path: Path) -> None:
    """A package that the real rpm builds and installs."""
    root = tmp_path / "root"
    spec = tmp_path / "tool.spec"
    spec.write_text(
        "Name: tool\nVersion: 1.0\nRelease: 2\nSummary: x\nLicense: none\nBuildArch: noarch\n"
        "%description\nx\n%install\n"
        "mkdir -p %{buildroot}/usr/bin %{buildroot}/etc\necho tool > %{buildroot}/usr/bin/tool\n"
        "ln -s tool %{buildroot}/usr/bin/t\necho a=1 > %{buildroot}/etc/tool.conf\n"
        "%files\n%attr(4755, root, root) /usr/bin/tool\n/usr/bin/t\n%config /etc/tool.conf\n%ghost /etc/tool.state\n"
    )
    for command in (
        ["rpmbuild", "-bb", f"--define=_topdir {tmp_path}/build", f"--define=_rpmdir {tmp_path}", str(spec)],
        [
            "rpm",
            f"--root={root}",
            "--dbpath=/var/lib/rpm",
            "--nodeps",
            "-i",
            str(tmp_path / "noarch/tool-1.0-2.noarch.rpm"),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    if not (root / "var/lib/rpm/rpmdb.sqlite").exists():
        pytest.skip("this rpm keeps another form of database")
    packages = Packages(root)
    found = packages.claims({"/usr/bin/tool", "/usr/bin/t", "/etc/tool.conf", "/etc/tool.state"})
    assert {path: str(each) for path, each in found.items()} == dict.fromkeys(
        ("/usr/bin/tool", "/usr/bin/t", "/etc/tool.conf"), "tool 1.0-2"
    )
    tool = found["/usr/bin/tool"]
    assert tool.digest == hashlib.new(tool.algorithm, b"tool\n").digest()
    assert tool.algorithm in {"sha256", *packages.algorithms}
    assert tool.mode == 0o104755
    assert found["/usr/bin/t"].link == "tool"
    assert found["/etc/tool.conf"].configuration
    assert packages.changed() > 0
    assert tool.installed <= packages.changed()


def test_damaged_databases_say_nothing(tmp_path: Path) -> None:
    write(tmp_path, "var/lib/dpkg/info/x.md5sums", "nonsense\n\n" + "zz" * 16 + "  usr/bin/x\n")
    write(tmp_path, "var/lib/dpkg/diversions", "/a\n/b\n")
    write(tmp_path, "lib/apk/db/installed", "R:\nZ:\nF\na:x:y:z\nF:usr/bin\nR:x\na:1:2\nZ:Q1!!\n")
    found = Packages(tmp_path).claims({"/usr/bin/x"})
    assert all(not claim.digest for claim in found.values())


def test_a_link_in_place_of_a_file_is_not_the_packages() -> None:
    claim = Claim(manager="opkg", package="tool", mode=0o100755, installed=2)
    change = Change(path="/usr/bin/tool", old=None, new=LINK, hashes={})
    assert not by_package(change, claim, None, 1, 2)
    assert by_package(change, replace(claim, mode=0o120777, link="/tmp/x"), None, 1, 2)


WORDS = st.sampled_from([
    "Package: x", "Version: 1", "Architecture: all", "Conffiles:", " /usr/bin/x aa", "/usr/bin/x", "P:x", "V:1",
    "F:usr/bin", "R:x", "Z:Q1AAAA", "Z:Q2", "a:0:0:755", "a:9:x", "M:", "", "\t", "/usr/bin/x\t0100755\tt",
    "aa" * 16 + "  usr/bin/x",
])  # fmt: skip
PLACES = ("var/lib/dpkg/status", "var/lib/dpkg/diversions", "var/lib/dpkg/info/x.md5sums", "var/lib/dpkg/info/x.list",
          "lib/apk/db/installed", "var/lib/opkg/status", "var/lib/opkg/info/x.list", "proc/locks")  # fmt: skip


@given(lines=st.lists(st.one_of(WORDS, st.text(max_size=20)), max_size=12), header=st.binary(max_size=120))
@settings(deadline=None, max_examples=30)
def test_whatever_is_in_the_databases(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], header: bytes
) -> None:
    """Nothing of it is believed that cannot be understood, and nothing of it ends a scan."""
    root = tmp_path_factory.mktemp("root")
    for place in PLACES:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes("\n".join(lines).encode("utf-8", "replace"))
    (root / "var/lib/rpm").mkdir()
    with closing(sqlite3.connect(root / "var/lib/rpm/rpmdb.sqlite")) as db, db:
        db.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)")
        db.executemany("INSERT INTO Packages (blob) VALUES (?)", [(header,), (b"\0\0\0\1" + header,)])
    packages = Packages(root)
    assert packages.claims({"/usr/bin/x"}).keys() <= {"/usr/bin/x"}
    assert packages.changed() > 0
    assert not packages.busy()


def test_nothing_is_installed(tmp_path: Path) -> None:
    packages = Packages(tmp_path)
    assert packages.claims({"/usr/bin/x"}) == {}
    assert packages.changed() == 0
    assert not packages.busy()


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed")
def test_as_the_real_dpkg_says() -> None:
    """Owners as `dpkg -S` tells them, contents as they are."""
    paths = {f"/usr/bin/{name}" for name in ("dpkg", "env", "ls", "sort", "tar")} & {
        str(p) for p in Path("/usr/bin").iterdir()
    }
    found = Packages(Path("/")).claims(paths)
    for path in paths:
        names = [path, path.removeprefix("/usr")]
        said = [
            subprocess.run(["dpkg", "-S", name], capture_output=True, text=True, check=False).stdout for name in names
        ]
        owners = {line.rpartition(": ")[0] for each in said for line in each.splitlines()}
        assert found[path].package in owners
        assert hashlib.md5(Path(path).read_bytes()).digest() == found[path].digest
    assert Packages(Path("/")).changed() == Path("/var/lib/dpkg/status").stat().st_mtime_ns
