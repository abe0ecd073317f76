"""The sockets that wait for somebody, as the kernel lists them. Source: proc_pid_net(5), /proc/net/tcp and the like."""

import ipaddress
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vedette.errors import Unavailable

FILES: Final = ("tcp", "tcp6", "udp", "udp6")
_LISTEN: Final = "0A"  # TCP: waits for connections
_UNCONNECTED: Final = "07"  # UDP: bound, and takes from anybody


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """One socket that takes what anybody sends."""

    protocol: str  # "tcp" or "udp"
    address: str  # "0.0.0.0", "::1"; an IPv4 address in IPv6 as IPv4
    port: int
    uid: int
    inode: int

    @property
    def key(self) -> str:
        """For people, and to know it by: "tcp [::]:22"."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.protocol} {host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback


def sockets(root: Path) -> list[Socket]:
    """All of the network namespace of whoever asks. Raises Unavailable: the kernel lists none."""
    out: list[Socket] = []
    there = 0
    for name in FILES:
        try:
            text = (root / "proc/net" / name).read_text()
        except OSError:  # a kernel without IPv6 say
            continue
        there += 1
        out += _read(name, text)
    if not there:
        raise Unavailable(f"{root / 'proc/net'} lists no sockets")
    return out


def ephemeral(root: Path) -> range:
    """The ports that the kernel gives to who names none. Source: ip(7), ip_local_port_range."""
    try:
        first, last = (root / "proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return range(int(first), int(last) + 1)
    except (OSError, ValueError):
        return range(32768, 61000)


def _read(name: str, text: str) -> Iterator[Socket]:
    protocol = name.removesuffix("6")
    state = _LISTEN if protocol == "tcp" else _UNCONNECTED
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != state:
            continue
        address, _, port = fields[1].partition(":")
        _, _, far_port = fields[2].partition(":")
        if int(far_port, 16) == 0 and int(port, 16):
            yield Socket(
                protocol=protocol,
                address=_address(address),
                port=int(port, 16),
                uid=int(fields[7]),
                inode=int(fields[9]),
            )


def _address(digits: str) -> str:
    """Words of 32 bits in the order of this machine."""
    words = [bytes.fromhex(digits[at : at + 8]) for at in range(0, len(digits), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    found = ipaddress.ip_address(packed)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found)
