"""Which distribution this is, in the words of the OSV ecosystems. Sources: os-release(5), the OSV schema's list."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

MAX_FILE: Final = 64 * 1024  # bytes

# A release that is not out yet has a name, but no number.
_DEBIAN_NUMBERS: Final = {"bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14", "duke": "15"}


def os_release(root: Path) -> Mapping[str, str]:
    """What /etc/os-release says; empty where there is none."""
    for name in ("etc/os-release", "usr/lib/os-release"):
        try:
            with (root / name).open("rb") as file:
                text = file.read(MAX_FILE).decode(errors="replace")
        except OSError:
            continue
        pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
        return {key.strip(): value.strip().strip("\"'") for key, equals, value in pairs if equals}
    return {}


def ecosystems(release: Mapping[str, str]) -> tuple[str, ...]:
    """The streams that know the packages of this distribution. One that OSV has no name for is ID:VERSION_ID."""
    name, version = release.get("ID", ""), release.get("VERSION_ID", "")
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    if name in {"debian", "raspbian"}:
        number = version or _DEBIAN_NUMBERS.get(release.get("VERSION_CODENAME", ""), "")
        return (f"Debian:{number}",) if number else ()
    if name == "ubuntu":
        return (f"Ubuntu:{version}:LTS" if "LTS" in release.get("VERSION", "") else f"Ubuntu:{version}",)
    if name == "alpine":
        return ("Alpine:edge",) if "_" in version else (f"Alpine:v{major}.{minor}",)
    if name in {"wolfi", "chainguard"}:
        return ("Wolfi", "Chainguard") if name == "wolfi" else ("Chainguard",)
    if name in {"rhel", "redhat"}:
        return tuple(f"Red Hat:enterprise_linux:{major}::{part}" for part in ("baseos", "appstream"))
    majors = {"almalinux": "AlmaLinux", "rocky": "Rocky Linux", "mageia": "Mageia"}
    if name in majors:
        return (f"{majors[name]}:{major}",)
    if name == "opensuse-leap":
        return (f"openSUSE:Leap {version}",)
    if name == "opensuse-tumbleweed":
        return ("openSUSE:Tumbleweed",)
    if name == "sles":
        return (f"SUSE:Linux Enterprise Server {major}" + (f" SP{minor}" if minor not in {"", "0"} else ""),)
    if name == "photon":
        return (f"Photon OS:{version}",)
    return (f"{name}:{version}",) if name and version else ()
