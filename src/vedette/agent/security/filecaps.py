"""File capabilities as the kernel keeps them in the attribute `security.capability`, in the words of getcap(8).

Source: capabilities(7); struct vfs_ns_cap_data in linux/capability.h.
"""

import struct
from typing import Final

ATTRIBUTE: Final = "security.capability"
_BITS: Final = """
    chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
    net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin
    sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override
    mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore
"""
NAMES: Final = tuple(f"cap_{name}" for name in _BITS.split())
_EFFECTIVE: Final = 1
_WORDS: Final = {1: 1, 2: 2, 3: 2}  # of 32 bits, by revision
_ROOT_ID: Final = 3  # revision with the user who is root in the name space for which they are meant


def decode(value: bytes) -> str:
    """Such as "cap_net_raw=ep", or "" for none at all. What is unknown is shown as it is, never taken for harmless."""
    strange = "unknown=" + value[:64].hex()
    if len(value) < 4:
        return strange
    (head,) = struct.unpack_from("<I", value)
    revision = head >> 24
    words = _WORDS.get(revision, 0)
    if not words or len(value) != 4 + 8 * words + (4 if revision == _ROOT_ID else 0):
        return strange
    pairs = struct.unpack_from(f"<{2 * words}I", value, 4)
    permitted = sum(word << 32 * index for index, word in enumerate(pairs[::2]))
    inheritable = sum(word << 32 * index for index, word in enumerate(pairs[1::2]))
    groups: dict[str, list[str]] = {}
    for number in range(32 * words):
        flags = ("i" if inheritable >> number & 1 else "") + ("p" if permitted >> number & 1 else "")
        if flags:
            flags = ("e" if head & _EFFECTIVE else "") + flags
            groups.setdefault(flags, []).append(NAMES[number] if number < len(NAMES) else str(number))
    text = " ".join(f"{','.join(names)}={flags}" for flags, names in groups.items())
    if text and revision == _ROOT_ID:
        text += f" [rootid={struct.unpack_from('<I', value, 4 + 8 * words)[0]}]"
    return text
