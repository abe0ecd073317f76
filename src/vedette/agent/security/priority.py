"""What reads much gets what disk and processor have left. Source: ioprio_set(2), nice(2)."""

import os
from contextlib import suppress
from typing import Final

_NUMBERS: Final = {"x86_64": 251, "i686": 289, "i386": 289, "aarch64": 30, "riscv64": 30, "armv7l": 314, "armv6l": 314}
"""Of the system call `ioprio_set`, by machine. Source: the tables of system calls in the Linux sources."""
_PROCESS: Final = 1
_IDLE: Final = 3 << 13  # class "idle"


def idle() -> None:
    """For this process, from now on. Where the machine is not known, only the processor's part."""
    import ctypes  # most scanners do without

    os.nice(19)
    machine = os.uname().machine
    if ctypes.sizeof(ctypes.c_void_p) == 4:  # a 32-bit program on a 64-bit kernel speaks as on a 32-bit one
        machine = {"x86_64": "i686", "aarch64": "armv7l", "armv8l": "armv7l"}.get(machine, machine)
    number = _NUMBERS.get(machine)
    if number is not None:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).syscall(number, _PROCESS, 0, _IDLE)
