"""Which package brought a file, and what it should look like: the databases of dpkg, apk, opkg and rpm, as data.

dpkg keeps an MD5 of each file, apk and rpm a hash with rights, opkg the names and maybe the rights. None is a proof
against somebody who is root and rewrites the database too; against a change of a file alone it is one.
"""

import base64
import binascii
import os
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from vedette.agent.security import rpmfiles

MAX_BYTES: Final = 256 << 20
"""Of one file of a database."""
_MERGED: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # may be links to the same below /usr


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a package says of one path."""

    manager: str  # "dpkg", "apk", "opkg" or "rpm"
    package: str
    version: str = ""
    algorithm: str = ""  # of `digest`, as `hashlib` names it; "": its content is not told
    digest: bytes = b""
    link: str | None = None  # a digest of where the link points ("sha1"), or the target itself
    mode: int | None = None  # rights and owner, where they are told
    owner: tuple[int, int] | None = None
    configuration: bool = False  # people may change it
    installed: int = 0  # when the package came or was renewed, by the clock of the file system, in nanoseconds

    def __str__(self) -> str:
        return f"{self.package} {self.version}".rstrip()

    @property
    def restore(self) -> str:
        """The command that brings the file back."""
        return f"{_RESTORE[self.manager]} {self.package}"


class Packages:
    """The databases that are there below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._merged = {
            f"/{name}": f"/usr/{name}"
            for name in _MERGED
            if (root / name).is_symlink() and _points_to(root / name, f"usr/{name}")
        }

    @cached_property
    def algorithms(self) -> tuple[str, ...]:
        """The hashes that the databases keep, besides SHA-256."""
        return ("md5", "sha1") if any((self._root / place).exists() for place in _APK) else ("md5",)

    def changed(self) -> int:
        """When packages last came or went, in nanoseconds by the clock of the file system; 0: there are none."""
        places = ("var/lib/dpkg/status", *_APK, *(f"{place}/status" for place in _OPKG))
        return max(rpmfiles.changed(self._root), *(_modified(self._root / place) for place in places))

    def busy(self) -> bool:
        """Are packages being installed or removed right now? Then files may be ahead of what the database says."""
        inodes = set()
        for place in _LOCKS:
            with suppress(OSError):
                inodes.add(str((self._root / place).stat().st_ino))
        # "1: POSIX ADVISORY WRITE 812 fe:00:1234 0 EOF"; waiting ones have "->" before. Source: proc_locks(5).
        held = (line.split() for line in _lines(self._root / "proc/locks"))
        return any(
            len(fields) > 5 and fields[1] in {"POSIX", "FLOCK"} and fields[5].rpartition(":")[2] in inodes
            for fields in held
        )

    def claims(self, paths: Set[str]) -> dict[str, Claim]:
        """Of those of these paths that a package brought. Paths are as the system sees them, without links."""
        found: dict[str, Claim] = {}
        for path, claim in self._all(paths):
            # The one with a digest counts, else the first: directories have many.
            if path in paths and (path not in found or (claim.digest and not found[path].digest)):
                found[path] = claim
        return found

    def _all(self, paths: Set[str]) -> Iterator[tuple[str, Claim]]:
        yield from self._dpkg(paths)
        yield from self._apk(paths)
        yield from self._opkg(paths)
        yield from self._rpm(paths)

    def seen(self, path: str) -> str:
        """As the system sees it: /bin/su of a package is /usr/bin/su where /bin is a link."""
        top = path[: path.find("/", 1)] if path.find("/", 1) > 0 else path
        return self._merged[top] + path[len(top) :] if top in self._merged and path != top else path

    def _dpkg(self, paths: Set[str]) -> Iterator[tuple[str, Claim]]:
        """Files are named for the package, with ":ARCH" if need be. Source: deb-md5sums(5), dpkg-divert(1)."""
        base = self._root / "var/lib/dpkg"
        diverted = self._diversions(base / "diversions")
        versions, configuration = _status(base / "status")
        for path, (package, digest) in configuration.items():
            seen = self.seen(path)
            if seen in paths:
                yield seen, Claim(
                    manager="dpkg", package=package, version=versions.get(package, ""), algorithm="md5",
                    digest=digest, configuration=True, installed=_modified(base / "info" / f"{package}.list"),
                )  # fmt: skip
        try:
            names = sorted(path.name for path in (base / "info").iterdir())
        except OSError:
            return
        for name in names:
            stem, _, ending = name.rpartition(".")
            if ending not in {"md5sums", "list"}:
                continue
            package, installed = stem, _modified(base / "info" / f"{stem}.list")
            version = versions.get(package) or versions.get(package.partition(":")[0], "")
            for line in _lines(base / "info" / name):
                digest = b""
                path = line
                if ending == "md5sums":
                    digest, path = _hex(line[:32]), "/" + line[34:]
                if (move := diverted.get(path)) is not None and move[1] != package.partition(":")[0]:
                    path = move[0]
                path = self.seen(path)
                if path in paths:
                    yield path, Claim(
                    manager="dpkg", package=package, version=version, algorithm="md5" if digest else "",
                        digest=digest, installed=installed,
                    )  # fmt: skip

    def _diversions(self, path: Path) -> dict[str, tuple[str, str]]:
        """Path -> where it is put instead, and the package that is exempt (":" is nobody): three lines each."""
        lines = list(_lines(path))
        return {lines[at]: (lines[at + 1], lines[at + 2]) for at in range(0, len(lines) - 2, 3)}

    def _apk(self, paths: Set[str]) -> Iterator[tuple[str, Claim]]:
        for place in _APK:
            installed = _modified(self._root / place)
            for each in _apk_entries(_lines(self._root / place)):
                path = self.seen("/" + "/".join(part for part in (each.directory, each.name) if part))
                if path in paths:
                    uid, gid, mode = _rights(each.rights, 0o644 if each.name else 0o755)
                    yield path, Claim(
                        manager="apk", package=each.package, version=each.version, installed=installed, mode=mode,
                        owner=(uid, gid), algorithm=_HASHES.get(each.digest[:2], ""), digest=_base64(each.digest[2:]),
                    )  # fmt: skip

    def _opkg(self, paths: Set[str]) -> Iterator[tuple[str, Claim]]:
        """A line of a list is the path; newer ones go on with a tab and the mode, and for a link its target."""
        for place in _OPKG:
            base = self._root / place
            versions, configuration = _status(base / "status")
            try:
                names = sorted(path.name for path in (base / "info").iterdir())
            except OSError:
                continue
            for name in names:
                package, _, ending = name.rpartition(".")
                if ending != "list":
                    continue
                installed = _modified(base / "info" / name)
                for line in _lines(base / "info" / name):
                    written, *more = line.split("\t")
                    path = self.seen(written.rstrip("/"))
                    if path in paths:
                        _, digest = configuration.get(written, ("", b""))
                        yield path, Claim(
                            manager="opkg", package=package, version=versions.get(package, ""),
                            installed=installed, mode=_octal(more[0]) if more else None,
                            link=more[1] if len(more) > 1 else None, configuration=bool(digest),
                            algorithm=_BY_LENGTH.get(len(digest), ""), digest=digest,
                        )  # fmt: skip

    def _rpm(self, paths: Set[str]) -> Iterator[tuple[str, Claim]]:
        for each in rpmfiles.files(self._root):
            path = self.seen(each.path)
            if path in paths:
                yield path, Claim(
                    manager="rpm", package=each.package, version=each.version, mode=each.mode, link=each.link or None,
                    installed=each.installed * 10**9, configuration=each.configuration,
                    algorithm=each.algorithm if each.digest else "", digest=each.digest,
                )  # fmt: skip


_APK: Final = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_OPKG: Final = ("var/lib/opkg", "usr/lib/opkg")
_LOCKS: Final = (
    "var/lib/dpkg/lock", "var/lib/dpkg/lock-frontend", "lib/apk/db/lock", "run/apk/db.lock", "run/opkg.lock",
    "var/lib/opkg/lock", "var/lock/opkg.lock", "var/lib/rpm/.rpm.lock", "usr/lib/sysimage/rpm/.rpm.lock",
)  # fmt: skip
_RESTORE: Final = {
    "dpkg": "apt-get install --reinstall",
    "apk": "apk fix --reinstall",
    "opkg": "opkg install --force-reinstall",
    "rpm": "dnf reinstall",
}
_HASHES: Final = {"Q1": "sha1", "Q2": "sha256"}
_BY_LENGTH: Final = {16: "md5", 32: "sha256"}


@dataclass(slots=True)
class _Apk:
    """One file or directory of apk's database."""

    package: str = ""
    version: str = ""
    directory: str = ""
    name: str = ""  # "": the directory itself
    rights: str = ""
    digest: str = ""


def _apk_entries(lines: Iterable[str]) -> Iterator[_Apk]:
    """A line is a letter and a value: P package, V version, F directory, M its rights, R file, a its rights, Z a hash.

    Rights are left out where they are 0755 or 0644 of root; a hash is "Q1" and a SHA-1 or "Q2" and a SHA-256 in base64,
    of a link that of its target. Source: apk-tools, src/database.c, where the installed database is written.
    """
    now = _Apk()
    begun = False
    for line in lines:
        key, value = line[:2], line[2:]
        if begun and key in {"F:", "R:", "P:", "C:", ""}:
            yield now
            begun = False
        if key == "P:":
            now = _Apk(value)
        elif key == "V:":
            now.version = value
        elif key in {"F:", "R:"}:
            directory, name = (value, "") if key == "F:" else (now.directory, value)
            now, begun = _Apk(now.package, now.version, directory, name), True
        elif key in {"M:", "a:"}:
            now.rights = value
        elif key == "Z:":
            now.digest = value
    if begun:
        yield now


def _status(path: Path) -> tuple[dict[str, str], dict[str, tuple[str, bytes]]]:
    """Of each package its version, also by "name:architecture"; of each configuration file its package and its hash."""
    versions: dict[str, str] = {}
    files: dict[str, tuple[str, bytes]] = {}
    package = architecture = ""
    listing = False
    for line in _lines(path):
        if listing and line.startswith(" /"):
            name, _, rest = line[1:].partition(" ")
            files[name] = (package, _hex(rest.partition(" ")[0]))
            continue
        listing = line == "Conffiles:"
        if line.startswith("Package: "):
            package, architecture = line[9:], ""
        elif line.startswith("Architecture: "):
            architecture = line[14:]
        elif line.startswith("Version: "):
            versions[package] = versions[f"{package}:{architecture}"] = line[9:]
    return versions, files


def _rights(text: str, mode: int) -> tuple[int, int, int]:
    """ "0:0:755" and more; what is left out is root's."""
    uid, gid, written = (*text.split(":"), "", "", "")[:3]
    if not written:
        return 0, 0, mode
    return int(uid) if uid.isdigit() else 0, int(gid) if gid.isdigit() else 0, _octal(written) or 0


def _octal(text: str) -> int | None:
    try:
        return int(text, 8)
    except ValueError:
        return None


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _lines(path: Path) -> Iterator[str]:
    """None where there is no such file. Names are kept whatever bytes they have."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            if os.fstat(file.fileno()).st_size <= MAX_BYTES:
                for line in file:
                    yield line.rstrip("\n")
    except OSError:
        return


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _points_to(link: Path, target: str) -> bool:
    return str(link.readlink()).strip("/") == target
