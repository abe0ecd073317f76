"""What is mounted where, and which of it belongs to this device's disks. Source: proc_pid_mountinfo(5)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PSEUDO: Final = """
    autofs binder binfmt_misc bpf cgroup cgroup2 configfs cpuset debugfs devpts efivarfs fusectl hugetlbfs mqueue nfsd
    nsfs proc pstore resctrl rpc_pipefs securityfs selinuxfs smackfs sysfs tracefs xenfs
"""
_REMOTE: Final = """
    9p acfs afs beegfs ceph cifs coda davfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 prl_fs smb3 smbfs vboxsf
    virtiofs
"""
PSEUDO: Final = frozenset(_PSEUDO.split())
"""The kernel's own: what is there is no file of anybody's."""
REMOTE: Final = frozenset(_REMOTE.split())
"""On other machines, and `fuse.*` may be: they may not answer, and are watched where they are."""
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of the table, as far as it matters."""

    point: str
    type: str
    nosuid: bool  # set-uid bits and file capabilities have no effect there

    @property
    def pseudo(self) -> bool:
        return self.type in PSEUDO

    @property
    def remote(self) -> bool:
        return self.type in REMOTE or self.type.startswith("fuse.")

    @property
    def image(self) -> bool:
        """A read-only image of a snap: signed, checked by snapd, and another one with each update of it."""
        return self.type == "squashfs" and re.fullmatch(r"/snap/[^/]+/[^/]+", self.point) is not None


def read(root: Path) -> dict[str, Mount] | None:
    """By mount point; of several on one point the upper one. None: the system does not tell."""
    try:
        text = (root / "proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return None
    found = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, more = before.split(" "), after.split(" ")
        if len(fields) > 5 and len(more) > 1:
            point = _ESCAPE.sub(lambda code: chr(int(code[1], 8)), fields[4])
            found[point] = Mount(point=point, type=more[0], nosuid="nosuid" in fields[5].split(","))
    return found
