"""Imported before anything else by the daemon and its child: leaves out what only costs memory and time on a device.

`dataclasses` imports `inspect`, which imports the parser, the tokenizer and the disassembler of Python: 2 MB that are
needed only to write a docstring for a dataclass that has none. Here that import waits until somebody really asks.
"""

import sys
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module until the first look at anything in it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def import_later(name: str) -> None:
    """Let `import name` succeed at once and cost nothing until the module is used."""
    if name not in sys.modules:
        sys.modules[name] = _Later(name)


def give_back() -> None:
    """Return freed memory to the system, where the C library can (glibc). Source: malloc_trim(3)."""
    import ctypes  # what starts for a moment only does not come here

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


import_later("inspect")
import_later("ipaddress")
