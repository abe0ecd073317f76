"""What the device tells of itself for the server's inventory: a handful of facts that seldom change.

Sent by PATCH, which leaves alone what a Mender client on the same device reports.
"""

import os
from pathlib import Path

from vedette import __version__

OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))  # in this order: os-release(5)
MAX_VALUE = 1024  # characters; longer values are cut


def attributes(os_release: tuple[Path, ...] = OS_RELEASE) -> list[dict[str, str]]:
    """The attributes as the inventory API takes them, in a fixed order; what is not known is left out."""
    machine = os.uname()
    facts = {
        "hostname": machine.nodename,
        "os": os_name(os_release),
        "kernel": f"{machine.sysname} {machine.release}",
        "machine": machine.machine,
        "vedette_agent_version": __version__,
    }
    return [{"name": name, "value": value[:MAX_VALUE]} for name, value in facts.items() if value]


def os_name(files: tuple[Path, ...] = OS_RELEASE) -> str:
    """The operating system's name for people, such as "Debian GNU/Linux 12 (bookworm)"; "" when it is not told."""
    for path in files:
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                lines = file.read(64 * 1024).splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.strip().partition("=")
            if key == "PRETTY_NAME":
                return value.strip("\"'")
    return ""
