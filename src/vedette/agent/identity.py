"""Who this device is: the identity data by which the server knows it, for ever.

It must not change by accident: a new identity is a new device. So an identity script that fails is an error, and
never replaced by the next best source.
"""

import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vedette.agent import host
from vedette.agent.paths import Paths
from vedette.errors import Unavailable

Identity = dict[str, str | list[str]]

NETWORK = Path("/sys/class/net")
ETHERNET = "1"  # ARPHRD_ETHER in <linux/if_arp.h>; Wi-Fi shows the same
SCRIPT_TIMEOUT_S = 30.0
SCRIPT_MAX_BYTES = 64 * 1024


def identity(paths: Paths, *, network: Path = NETWORK) -> Identity:
    """What the identity script prints; without one the MAC address, or the machine id below a root.

    Raises:
        Unavailable: the script fails or says nothing, or there is nothing to know this device by.
    """
    if paths.identity_script.exists():
        return _by_script(paths.identity_script)
    if paths.root is None:
        if mac := mac_address(network):
            return {"mac": mac}
        if machine_id := _read(paths.machine_id):  # a container: its interfaces are all virtual
            return {"machine_id": machine_id}
        raise Unavailable(
            f"no network interface and no {paths.machine_id} to know this device by:"
            f" put a script that prints key=value lines at {paths.identity_script}"
        )
    return {"machine_id": _read(paths.machine_id) or _make_machine_id(paths.machine_id)}


def parse(lines: Iterable[str]) -> Identity:
    """`key=value` lines as a table; a key that comes twice has the list of its values. Other lines are left out."""
    found: dict[str, list[str]] = {}
    for line in lines:
        key, equals, value = line.strip().partition("=")
        if equals and key:
            found.setdefault(key, []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def mac_address(network: Path) -> str:
    """The address of the first interface (by index) that is a real device; "" when there is none."""
    found: list[tuple[int, str]] = []
    with suppress(OSError):
        for interface in network.iterdir():
            address = _read(interface / "address")
            if (
                (interface / "device").exists()  # lo, bridges, veth and tunnels have none
                and _read(interface / "type") == ETHERNET
                and address.strip("0:")
            ):
                found.append((int(_read(interface / "ifindex") or 0), address))
    return min(found, default=(0, ""))[1]


def _by_script(script: Path) -> Identity:
    try:
        output = host.output([str(script)], timeout_s=SCRIPT_TIMEOUT_S, max_bytes=SCRIPT_MAX_BYTES)
    except Unavailable as error:
        raise Unavailable(f"identity script: {error}") from error
    found = parse(output.splitlines())
    if not found:
        raise Unavailable(f"the identity script {script} printed no key=value line")
    return found


def _read(path: Path) -> str:
    """The first line of a small file, "" when it cannot be had."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(256).strip()
    except OSError:
        return ""


def _make_machine_id(path: Path) -> str:
    """A new random id (form: machine-id(5)) at `path`, also in place of an empty one. One child at a time does this."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(uuid.uuid4().hex + "\n")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise Unavailable(f"{path} cannot be made: {error.strerror}") from error
    return _read(path)
