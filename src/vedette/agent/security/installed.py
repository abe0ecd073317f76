"""The packages that are installed, out of the databases of the package managers, read as data.

Sources: dpkg-query(1) and deb-control(5), apk-package(5), opkg's control format, PEP 376 and PEP 566.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vedette.errors import Invalid, Unavailable
from vedette.model.feed import MAX_VERSION

MAX_FILE: Final = 64 * 1024 * 1024  # bytes of a database
MAX_METADATA: Final = 64 * 1024  # bytes; name and version stand at the beginning
MAX_PACKAGES: Final = 100_000
PIP: Final = (
    "usr/local/lib/python3*/*-packages",
    "usr/lib/python3.*/site-packages",
    "usr/lib64/python3.*/site-packages",
)
"""Where pip installs for everybody. What the distribution has put there belongs to its own package manager."""
_KERNEL: Final = re.compile(r"linux-(image(-unsigned)?|modules|headers)-[0-9]")
_INSTALLERS: Final = {"pip", "uv", "poetry", "pdm", "conda", "pipx"}


@dataclass(frozen=True, slots=True)
class Package:
    """One source package, with what of it is installed."""

    manager: str  # dpkg, apk, opkg, rpm, pip
    name: str  # by which advisories may know it
    version: str  # of that name
    parts: tuple[str, ...]  # what is installed, as the manager calls it
    installed: str  # the version of the parts
    place: str = ""  # directory, of pip's


@dataclass(slots=True)
class Installed:
    """What was found."""

    packages: list[Package] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)  # "PLACE: why"
    lost: bool = False  # one of these could be read before, and may be again


def installed(root: Path, pip: Iterable[str] = ()) -> Installed:
    """Everything below `root`; `pip` are directories with Python packages besides the usual ones."""
    found = Installed()
    for read in (_dpkg, _apk, _opkg, _rpm):
        try:
            found.packages += _grouped(read(root))
        except Unavailable as exc:
            found.unseen.append(str(exc))
            found.lost = True
        except Invalid as exc:
            found.unseen.append(str(exc))
    found.packages += _pip(root, pip, found.unseen)
    return found


@dataclass(frozen=True, slots=True)
class _Part:
    manager: str
    name: str
    version: str
    sources: tuple[tuple[str, str], ...]  # names and versions by which advisories may know it


def _grouped(parts: Iterable[_Part]) -> list[Package]:
    """One package for each name and version that advisories may speak of."""
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for number, part in enumerate(parts):
        if number >= MAX_PACKAGES:
            break
        for name, version in part.sources:
            if 0 < len(version) <= MAX_VERSION:
                groups.setdefault((part.manager, name, version, part.version), []).append(part.name)
    return [
        Package(manager, name, version, tuple(dict.fromkeys(names)), of_parts)
        for (manager, name, version, of_parts), names in groups.items()
    ]


# --- dpkg ------------------------------------------------------------------------------------------------------------


def _dpkg(root: Path) -> Iterator[_Part]:
    files = [root / "var/lib/dpkg/status"]
    # Images without dpkg itself have a file for each package.
    files += (each for each in sorted((root / "var/lib/dpkg/status.d").glob("*")) if each.suffix != ".md5sums")
    parts = []
    for path in files:
        for stanza in _stanzas(path):
            name, version = stanza.get("Package", ""), stanza.get("Version", "")
            if name and version and stanza.get("Status", "install ok installed").endswith(" installed"):
                parts.append(_Part("dpkg", name, version, (_dpkg_source(name, version, stanza.get("Source", "")),)))
    return iter(_running_kernel(parts, root))


def _dpkg_source(name: str, version: str, source: str) -> tuple[str, str]:
    """`Source: NAME (VERSION)`, where it differs. A kernel that was signed apart is the kernel."""
    if not source:
        return name, version
    source, _, own = source.partition(" ")
    if source.startswith("linux-signed"):
        return re.sub(r"-signed(-(amd64|arm64|armhf|i386|ppc64el|s390x)$)?", "", source), version
    return source, own.strip(" ()") or version


def _running_kernel(parts: list[_Part], root: Path) -> list[_Part]:
    """Without what of kernels does not run: headers, and images other than the running one, where that is known."""
    kernels = {part.sources[0][0] for part in parts if _KERNEL.match(part.name)} | {"linux"}
    images = {part.name for part in parts if part.name.startswith("linux-image-") and _KERNEL.match(part.name)}
    running = _running(root)
    own = {f"linux-image-{running}", f"linux-image-{running}-unsigned"} & images
    return [part for part in parts if part.sources[0][0] not in kernels or part.name in (own or images)]


def _running(root: Path) -> str:
    try:
        return (root / "proc/sys/kernel/osrelease").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


# --- apk, opkg, rpm --------------------------------------------------------------------------------------------------


def _apk(root: Path) -> Iterator[_Part]:
    for place in ("lib/apk/db/installed", "usr/lib/apk/db/installed"):
        path = root / place
        if path.is_symlink() or (place.startswith("usr") and (root / "lib").is_symlink()):
            continue  # the same file once more
        for stanza in _stanzas(path, ":"):
            name, version, origin = stanza.get("P", ""), stanza.get("V", ""), stanza.get("o", "")
            if name and version:
                yield _Part("apk", name, version, _both(origin or name, name, version))


def _opkg(root: Path) -> Iterator[_Part]:
    for place in ("usr/lib/opkg/status", "var/lib/opkg/status"):
        for stanza in _stanzas(root / place):
            name, version = stanza.get("Package", ""), stanza.get("Version", "")
            if name and version and stanza.get("Status", "").endswith(" installed"):
                source = stanza.get("SourceName", "") or stanza.get("Source", "").rpartition("/")[2]  # or a path to it
                yield _Part("opkg", name, version, _both(source or name, name, version))


def _rpm(root: Path) -> Iterator[_Part]:
    from vedette.agent.security import rpmdb  # brings SQLite, and hardly any device has rpm

    path = rpmdb.database(root)
    if path is None:
        return
    found = list(rpmdb.packages(path))
    running = _running(root)  # version-release.architecture
    of_kernel = {each.version for each in found if each.source == "kernel" and running.startswith(f"{each.version}.")}
    for name, version, source in found:
        if source != "kernel" or not of_kernel or version in of_kernel:
            yield _Part("rpm", name, version, _both(name, source, version))


def _both(first: str, second: str, version: str) -> tuple[tuple[str, str], ...]:
    """Some ecosystems speak of source packages, some of what is made of them."""
    return tuple((name, version) for name in dict.fromkeys((first, second)))


def _stanzas(path: Path, colon: str = ": ") -> Iterator[dict[str, str]]:
    """The blocks of `KEY: VALUE` lines in a file; lines that go on are left out. A file that is not there has none.

    Raises:
        Unavailable: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as exc:
        raise Unavailable(_reason(exc)) from exc
    if len(text) > MAX_FILE:
        raise Unavailable(f"{path}: it is larger than {MAX_FILE} bytes")
    for block in text.decode(errors="replace").split("\n\n"):
        lines = (line.partition(colon) for line in block.split("\n") if line[:1] not in {" ", "\t"})
        yield {key: value.strip() for key, found, value in lines if found}


# --- pip -------------------------------------------------------------------------------------------------------------


def _pip(root: Path, given: Iterable[str], unseen: list[str]) -> list[Package]:
    usual = [each for pattern in PIP for each in sorted(root.glob(pattern))]
    named = [root / each.lstrip("/") for each in given]
    packages: dict[tuple[Path, str], Package] = {}
    for directory in dict.fromkeys((*usual, *named)):
        try:
            entries = sorted(directory.iterdir())[:MAX_PACKAGES]
        except OSError as exc:
            unseen.append(_reason(exc))
            continue
        for entry in entries:
            if entry.suffix in {".dist-info", ".egg-info"}:
                found = _python(entry, by_hand=directory in named)
                if found is not None:
                    shown = f"/{directory.relative_to(root)}"
                    packages[directory, found[0]] = Package("pip", *found, (found[0],), found[1], shown)
    return list(packages.values())


def _python(path: Path, *, by_hand: bool) -> tuple[str, str] | None:
    """Normalised name and version; None for what the distribution's own package manager takes care of."""
    try:
        if not by_hand and (path / "INSTALLER").read_text().strip() not in _INSTALLERS:
            return None
        with (path / ("METADATA" if path.suffix == ".dist-info" else "PKG-INFO")).open("rb") as file:
            text = file.read(MAX_METADATA).decode(errors="replace")
    except (OSError, UnicodeDecodeError):
        return None
    name, version = (re.search(rf"^{key}:[ \t]*(\S+)", text, re.MULTILINE) for key in ("Name", "Version"))
    if name is None or version is None or len(version[1]) > MAX_VERSION:
        return None
    return normalised(name[1]), version[1]


def normalised(name: str) -> str:
    """A Python project's name as it is compared. Source: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _reason(exc: OSError) -> str:
    return f"{exc.filename}: {exc.strerror}"
