"""Which package brought a file, and what it should look like, from the databases of dpkg, apk and opkg: read as data.

dpkg keeps an MD5 of each file, apk a SHA-1 with rights and owner, opkg only the names and rights. None is a proof against
somebody who is root and rewrites the database too; against a change of a file alone it is one.
"""

import base64
import binascii
import os
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 256 << 20
"""Of one file of a database."""
_MERGED: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # may be links to the same below /usr


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a package says of one path."""

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


class Packages:
    """The databases that are there below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._merged = {
            f"/{name}": f"/usr/{name}"
            for name in _MERGED
            if os.path.lexists(root / name) and (root / name).is_symlink() and _points_to(root / name, f"usr/{name}")
        }

    def changed(self) -> int:
        """When packages last came or went, in nanoseconds by the clock of the file system; 0: there are none."""
        places = ("var/lib/dpkg/status", *_APK, *(f"{place}/status" for place in _OPKG))
        return max((_modified(self._root / place) for place in places), default=0)

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

    def _seen(self, path: str) -> str:
        """As the system sees it: /bin/su of a package is /usr/bin/su where /bin is a link."""
        top = path[: path.find("/", 1)] if path.find("/", 1) > 0 else path
        return self._merged[top] + path[len(top) :] if top in self._merged and path != top else path

    def _dpkg(self, paths: Set[str]) -> Iterator[tuple[str, Claim]]:
        """Source: dpkg(1), deb-md5sums(5), deb-conffiles(5), dpkg-divert(1); names are qualified by ":arch" if need be."""
        base = self._root / "var/lib/dpkg"
        diverted = self._diversions(base / "diversions")
        versions, configuration = _status(base / "status")
        for path, (package, digest) in configuration.items():
            seen = self._seen(path)
            if seen in paths:
                yield seen, Claim(
                    package=package, version=versions.get(package, ""), algorithm="md5", digest=digest,
                    configuration=True, installed=_modified(base / "info" / f"{package}.list"),
                )  # fmt: skip
        try:
            names = sorted(os.listdir(base / "info"))
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
                path = self._seen(path)
                if path in paths:
                    yield path, Claim(
                        package=package, version=version, algorithm="md5" if digest else "", digest=digest,
                        installed=installed,
                    )  # fmt: skip

    def _diversions(self, path: Path) -> dict[str, tuple[str, str]]:
        """Path -> where it is put instead, and the package that is exempt (":" is nobody): three lines each."""
        lines = list(_lines(path))
        return {lines[at]: (lines[at + 1], lines[at + 2]) for at in range(0, len(lines) - 2, 3)}

    def _apk(self, paths: Set[str]) -> Iterator[tuple[str, Claim]]:
        """A line is a letter, ":" and a value: P package, V version, F directory, M its rights, R file, a its rights, Z its hash.

        Source: apk-tools, the writing of its installed database; rights are left out where they are 0755 or 0644 of
        root, a hash is "Q1" and SHA-1 or "Q2" and SHA-256 in base64, of a link that of its target.
        """
        for place in _APK:
            installed = _modified(self._root / place)
            package = version = directory = name = ""
            rights, digest = "", ""

            def claim(file: bool) -> tuple[str, Claim]:
                path = "/" + "/".join(part for part in (directory, name if file else "") if part)
                uid, gid, mode = _rights(rights, 0o644 if file else 0o755)
                return self._seen(path), Claim(
                    package=package, version=version, installed=installed, mode=mode, owner=(uid, gid),
                    algorithm=_HASHES.get(digest[:2], ""), digest=_base64(digest[2:]),
                )  # fmt: skip

            pending: bool | None = None  # a file, a directory, or nothing is begun
            for line in (*_lines(self._root / place), ""):
                key, value = line[:2], line[2:]
                if key in {"F:", "R:", ""} and pending is not None:
                    found = claim(pending)
                    if found[0] in paths:
                        yield found
                    pending = None
                if key == "F:":
                    directory, name, rights, digest, pending = value, "", "", "", True if False else False
                elif key == "R:":
                    name, rights, digest, pending = value, "", "", True
                elif key in {"M:", "a:"}:
                    rights = value
                elif key == "Z:":
                    digest = value
                elif key == "P:":
                    package = value
                elif key == "V:":
                    version = value

    def _opkg(self, paths: Set[str]) -> Iterator[tuple[str, Claim]]:
        """A line of a list is the path, and of newer ones a tab and the mode, and of a link another tab and its target."""
        for place in _OPKG:
            base = self._root / place
            versions, configuration = _status(base / "status")
            try:
                names = sorted(os.listdir(base / "info"))
            except OSError:
                continue
            for name in names:
                package, _, ending = name.rpartition(".")
                if ending != "list":
                    continue
                installed = _modified(base / "info" / name)
                for line in _lines(base / "info" / name):
                    written, *more = line.split("\t")
                    path = self._seen(written.rstrip("/"))
                    if path in paths:
                        _, digest = configuration.get(written, ("", b""))
                        yield path, Claim(
                            package=package, version=versions.get(package, ""), installed=installed,
                            mode=_octal(more[0]) if more else None, link=more[1] if len(more) > 1 else None,
                            configuration=bool(digest), algorithm=_BY_LENGTH.get(len(digest), ""), digest=digest,
                        )  # fmt: skip


_APK: Final = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_OPKG: Final = ("var/lib/opkg", "usr/lib/opkg")
_HASHES: Final = {"Q1": "sha1", "Q2": "sha256"}
_BY_LENGTH: Final = {16: "md5", 32: "sha256"}
