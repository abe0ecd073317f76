"""What is installed, out of the databases of the package managers; and whose advisories speak of it."""

import sqlite3
import struct
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from vedette.agent.security import distribution
from vedette.agent.security.installed import Package, installed


def write(root: Path, path: str, text: str) -> Path:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_nothing_is_installed_where_nothing_is(tmp_path: Path) -> None:
    found = installed(tmp_path)
    assert (found.packages, found.unseen) == ([], [])


def test_packages_of_dpkg_are_known_by_their_source(tmp_path: Path) -> None:
    write(
        tmp_path,
        "/var/lib/dpkg/status",
        "Package: bash\nStatus: install ok installed\nVersion: 5.2-1+b2\nSource: bash (5.2-1)\n"
        "Description: a shell\n Version: of no importance\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: half\nStatus: install ok half-configured\nVersion: 1\n\n"
        "Package: kept\nStatus: hold ok installed\nVersion: 2\n",
    )
    write(tmp_path, "/var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12\n")
    write(tmp_path, "/var/lib/dpkg/status.d/base.md5sums", "Package: no\nVersion: 1\n")
    assert installed(tmp_path).packages == [
        Package("dpkg", "bash", "5.2-1", ("bash",), "5.2-1+b2"),
        Package("dpkg", "kept", "2", ("kept",), "2"),
        Package("dpkg", "base-files", "12", ("base-files",), "12"),
    ]


@pytest.mark.parametrize("running", ["6.1.0-17-amd64", "6.1.0-18-amd64", "", "5.15.0-container"])
def test_of_kernels_the_running_one_counts_or_else_all_images(tmp_path: Path, running: str) -> None:
    packages = {
        "linux-image-6.1.0-17-amd64": ("linux-signed-amd64 (6.1.69+1)", "6.1.69-1"),
        "linux-image-6.1.0-18-amd64": ("linux-signed-amd64 (6.1.76+1)", "6.1.76-1"),
        "linux-headers-6.1.0-18-amd64": ("linux", "6.1.76-1"),
        "linux-libc-dev": ("linux", "6.1.76-1"),
        "linux-firmware": ("linux-firmware", "1"),
    }
    text = "\n".join(
        f"Package: {name}\nStatus: install ok installed\nSource: {source}\nVersion: {version}\n"
        for name, (source, version) in packages.items()
    )
    write(tmp_path, "/var/lib/dpkg/status", text)
    if running:
        write(tmp_path, "/proc/sys/kernel/osrelease", f"{running}\n")
    found = {(each.name, each.version) for each in installed(tmp_path).packages}
    images = {("linux", "6.1.69-1"): "6.1.0-17-amd64", ("linux", "6.1.76-1"): "6.1.0-18-amd64"}
    expected = {image for image, name in images.items() if running == name} or set(images)
    assert found == expected | {("linux-firmware", "1")}


def test_a_kernel_of_ubuntu_that_was_signed_apart_is_the_kernel(tmp_path: Path) -> None:
    write(
        tmp_path,
        "/var/lib/dpkg/status",
        "Package: linux-image-6.5.0-15-generic\nStatus: install ok installed\nSource: linux-signed-hwe-6.5\n"
        "Version: 6.5.0-15.15~22.04.1\n",
    )
    (found,) = installed(tmp_path).packages
    assert (found.name, found.version) == ("linux-hwe-6.5", "6.5.0-15.15~22.04.1")


def test_packages_of_apk_are_known_by_their_origin_and_name(tmp_path: Path) -> None:
    write(
        tmp_path, "/lib/apk/db/installed", "C:Q1x\nP:ssl_client\nV:1.36.1-r5\no:busybox\nF:usr\n\nP:musl\nV:1.2.4-r2\n"
    )
    assert installed(tmp_path).packages == [
        Package("apk", "busybox", "1.36.1-r5", ("ssl_client",), "1.36.1-r5"),
        Package("apk", "ssl_client", "1.36.1-r5", ("ssl_client",), "1.36.1-r5"),
        Package("apk", "musl", "1.2.4-r2", ("musl",), "1.2.4-r2"),
    ]


def test_packages_of_opkg(tmp_path: Path) -> None:
    write(
        tmp_path,
        "/usr/lib/opkg/status",
        "Package: libcurl4\nVersion: 8.5.0-1\nStatus: install user installed\nSource: feeds/packages/net/curl\n\n"
        "Package: old\nVersion: 1\nStatus: deinstall user not-installed\n",
    )
    assert [(each.name, each.version) for each in installed(tmp_path).packages] == [
        ("curl", "8.5.0-1"),
        ("libcurl4", "8.5.0-1"),
    ]


def header(values: Mapping[int, str | int]) -> bytes:
    """As rpm writes one: an index of 16 bytes an entry, then the values."""
    index, store = b"", b""
    for tag, value in values.items():
        if isinstance(value, int):
            store += b"\0" * (-len(store) % 4)
            index += struct.pack(">IIII", tag, 4, len(store), 1)
            store += struct.pack(">I", value)
        else:
            index += struct.pack(">IIII", tag, 6, len(store), 1)
            store += value.encode() + b"\0"
    return struct.pack(">II", len(values), len(store)) + index + store


def test_packages_of_rpm_are_read_out_of_its_database(tmp_path: Path) -> None:
    path = tmp_path / "var/lib/rpm/rpmdb.sqlite"
    path.parent.mkdir(parents=True)
    rows = [
        header({1000: "openssl-libs", 1001: "3.0.7", 1002: "24.el9", 1003: 1, 1044: "openssl-3.0.7-24.el9.src.rpm"}),
        header({1000: "gpg-pubkey", 1001: "8483c65d", 1002: "5ccc5b19"}),
        header({1000: "bash", 1001: "5.1.8", 1002: "6.el9", 1044: "bash-5.1.8-6.el9.src.rpm"}),
        b"damaged",
        header({1000: "broken", 1001: "1"}),
    ]
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        db.executemany("INSERT INTO Packages (blob) VALUES (?)", [(row,) for row in rows])
        db.commit()
    found = installed(tmp_path)
    assert [(each.name, each.version) for each in found.packages] == [
        ("openssl-libs", "1:3.0.7-24.el9"),
        ("openssl", "1:3.0.7-24.el9"),
        ("bash", "5.1.8-6.el9"),
    ]
    assert found.unseen == []


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    write(tmp_path, "/var/lib/rpm/Packages", "of Berkeley DB")
    (tmp_path / "var/lib/dpkg/status").mkdir(parents=True)
    found = installed(tmp_path, ["/no/such/directory"])
    assert [each.partition(": ")[2].partition(";")[0] for each in found.unseen] == [
        "Is a directory",
        "rpm's older databases are not read",
        "No such file or directory",
    ]


def test_a_damaged_database_of_rpm_is_said(tmp_path: Path) -> None:
    write(tmp_path, "/usr/lib/sysimage/rpm/rpmdb.sqlite", "no database at all" * 100)
    (unseen,) = installed(tmp_path).unseen
    assert "rpmdb.sqlite: file is not a database" in unseen


def test_python_packages_are_those_of_pip_and_of_directories_that_are_named(tmp_path: Path) -> None:
    usual = "/usr/local/lib/python3.11/dist-packages"
    write(tmp_path, f"{usual}/Jinja2-3.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: Jinja2\nVersion: 3.1.0\n")
    write(tmp_path, f"{usual}/Jinja2-3.1.0.dist-info/INSTALLER", "pip\n")
    write(tmp_path, "/usr/lib/python3.11/site-packages/a-1.dist-info/METADATA", "Name: a\nVersion: 1\n")
    write(tmp_path, "/usr/lib/python3.11/site-packages/a-1.dist-info/INSTALLER", "rpm\n")
    write(tmp_path, "/usr/lib/python3/dist-packages/b-1.egg-info/PKG-INFO", "Name: b\nVersion: 1\n")
    write(tmp_path, "/srv/venv/c_d-2.egg-info/PKG-INFO", "Name: c_d\nVersion: 2\n")
    write(tmp_path, "/srv/venv/broken-1.dist-info/METADATA", "no name\n")
    assert installed(tmp_path, ["/srv/venv"]).packages == [
        Package("pip", "jinja2", "3.1.0", ("jinja2",), "3.1.0", usual),
        Package("pip", "c-d", "2", ("c-d",), "2", "/srv/venv"),
    ]


def test_versions_that_nobody_has_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "/var/lib/dpkg/status", f"Package: a\nStatus: install ok installed\nVersion: {'9' * 5000}\n")
    assert installed(tmp_path).packages == []


@pytest.mark.parametrize(
    ("text", "streams"),
    [
        ('ID=debian\nVERSION_ID="12"', ("Debian:12",)),
        ("ID=debian\nVERSION_CODENAME=trixie", ("Debian:13",)),
        ("ID=raspbian\nVERSION_ID=12", ("Debian:12",)),
        ('ID=ubuntu\nVERSION_ID="22.04"\nVERSION="22.04.3 LTS (Jammy Jellyfish)"', ("Ubuntu:22.04:LTS",)),
        ("ID=ubuntu\nVERSION_ID=23.10\nVERSION='23.10 (Mantic Minotaur)'", ("Ubuntu:23.10",)),
        ("ID=alpine\nVERSION_ID=3.18.4", ("Alpine:v3.18",)),
        ("ID=alpine\nVERSION_ID=3.20_alpha20240329", ("Alpine:edge",)),
        ('ID="almalinux"\nVERSION_ID="9.3"', ("AlmaLinux:9",)),
        ("ID=rocky\nVERSION_ID=8.9", ("Rocky Linux:8",)),
        ("ID=rhel\nVERSION_ID=9.3", ("Red Hat:enterprise_linux:9::baseos", "Red Hat:enterprise_linux:9::appstream")),
        ("ID=opensuse-leap\nVERSION_ID=15.5", ("openSUSE:Leap 15.5",)),
        ("ID=sles\nVERSION_ID=15.5", ("SUSE:Linux Enterprise Server 15 SP5",)),
        ("ID=poky\nVERSION_ID=4.0.10", ("poky:4.0.10",)),
        ("ID=arch", ()),
        ("", ()),
    ],
)
def test_whose_advisories_count(tmp_path: Path, text: str, streams: tuple[str, ...]) -> None:
    write(tmp_path, "/usr/lib/os-release", "# a comment\n" + text + "\n")
    assert distribution.ecosystems(distribution.os_release(tmp_path)) == streams
