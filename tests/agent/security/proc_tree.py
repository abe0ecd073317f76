"""A /proc of our own, below a directory: processes, sockets and modules as the kernel would list them."""

import ipaddress
import os
import shutil
import sys
from pathlib import Path

BTIME = 1_767_225_600  # 2026-01-01T00:00:00Z
USERS = (
    "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\nalice:x:1000:1000::/home/alice:/bin/sh\n"
)
_STATES = {"tcp": "0A", "udp": "07"}


class Tree:
    """What a scanner finds below `root`."""

    def __init__(self, root: Path, boot: str = "boot-1") -> None:
        self.root = root
        self._proc = root / "proc"
        self._inode = 100
        self.write("proc/stat", f"cpu 0 0 0 0\nbtime {BTIME}\n")
        self.write("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n")
        self.write("etc/passwd", USERS)
        self.boot(boot)
        for name in ("tcp", "tcp6", "udp", "udp6"):
            self.write(f"proc/net/{name}", "  sl  local_address rem_address   st\n")

    def boot(self, id: str) -> None:
        self.write("proc/sys/kernel/random/boot_id", f"{id}\n")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def process(
        self,
        pid: int,
        exe: str,
        *,
        comm: str = "",
        parent: int = 1,
        start_s: float = 10,
        uid: int = 0,
        cmdline: str = "",
        cgroup: str = "",
        kernel: bool = False,
        state: str = "S",
        cwd: str = "/",
    ) -> None:
        """`exe` as the link says it; "" for one that may not be seen."""
        directory = self._proc / str(pid)
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "fd").mkdir(parents=True)
        name = comm or Path(exe.removesuffix(" (deleted)")).name[:15]
        flags = 0x0020_0000 if kernel else 0x400000
        rest = " ".join(["0"] * 12)
        (directory / "stat").write_text(
            f"{pid} ({name}) {state} {parent} 1 1 0 -1 {flags} {rest} {int(start_s * 100)} 0 0\n"
        )
        (directory / "status").write_text(f"Name:\t{name}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
        (directory / "cmdline").write_bytes(os.fsencode((cmdline or exe).replace(" ", "\0") + "\0"))
        (directory / "cgroup").write_text(f"0::{cgroup or '/init.scope'}\n")
        (directory / "cwd").symlink_to(cwd)
        if exe:
            (directory / "exe").symlink_to(exe)

    def end(self, pid: int) -> None:
        shutil.rmtree(self._proc / str(pid))

    def listen(self, where: str, *pids: int, uid: int = 0, state: str = "", far_port: int = 0) -> None:
        """`where` as "tcp 0.0.0.0:22" or "udp [::]:53"; held by these processes."""
        protocol, _, place = where.partition(" ")
        host, _, port = place.rpartition(":")
        address = ipaddress.ip_address(host.strip("[]"))
        self._inode += 1
        name = protocol + ("6" if address.version == 6 else "")
        far = "0" * len(_digits(address)) + f":{far_port:04X}"
        local, state = f"{_digits(address)}:{int(port):04X}", state or _STATES[protocol]
        line = f"  0: {local} {far} {state} 0:0 0:0 0 {uid} 0 {self._inode} 1 0\n"
        with (self._proc / "net" / name).open("a") as file:
            file.write(line)
        for pid in pids:
            (self._proc / str(pid) / "fd" / str(self._inode)).symlink_to(f"socket:[{self._inode}]")

    def close_all(self) -> None:
        for name in ("tcp", "tcp6", "udp", "udp6"):
            self.write(f"proc/net/{name}", "  sl  local_address rem_address   st\n")

    def modules(self, *names: str) -> None:
        """Names, with taints behind a colon: "dropper:OE"."""
        lines = []
        for each in names:
            name, _, taints = each.partition(":")
            lines.append(f"{name} 16384 0 - Live 0x0000000000000000" + (f" ({taints})" if taints else "") + "\n")
        self.write("proc/modules", "".join(lines))


def _digits(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    words = [address.packed[at : at + 4] for at in range(0, len(address.packed), 4)]
    return "".join((word[::-1] if sys.byteorder == "little" else word).hex().upper() for word in words)
