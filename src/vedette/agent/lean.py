"""Imported before anything else by the daemon and its child: leaves out what only costs memory and time on a device.

`dataclasses` imports `inspect`, which imports the parser, the tokenizer and the disassembler of Python: 2 MB that are
needed only to write a docstring for a dataclass that has none. Here that import waits until somebody really asks.
So it does where one small function is wanted of a module: `pathlib` wants one of `urllib.parse`, `uuid` one of
`platform`. And `datetime` is written twice, in Python and in C; the first is read, thrown away, and leaves holes.
"""

import gc
import os
import sys
from collections.abc import Callable
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


def import_later(name: str, **ready: Callable[..., Any]) -> None:
    """Let `import name` succeed at once and cost nothing until more of the module is used than what is `ready`."""
    if name in sys.modules:
        return
    module = sys.modules[name] = _Later(name)
    for each, function in ready.items():
        setattr(module, each, function)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(import_module(parent), child, module)


def settle() -> None:
    """All is imported: what that left behind makes room for what comes, and the rest is never looked through again."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Return freed memory to the system, where the C library can (glibc). Source: malloc_trim(3)."""
    import ctypes  # what starts for a moment only does not come here

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _quote_from_bytes(*args: Any, **named: Any) -> Any:
    sys.modules.pop("urllib.parse", None)
    return import_module("urllib.parse").quote_from_bytes(*args, **named)


def _use_c_datetime() -> None:
    with suppress(ImportError):
        import _datetime  # type: ignore[import-not-found]

        if hasattr(_datetime, "UTC"):
            sys.modules.setdefault("datetime", _datetime)


import_later("inspect")
import_later("ipaddress")
import_later("platform", system=lambda: os.uname().sysname)
import_later("urllib.parse", quote_from_bytes=_quote_from_bytes)
_use_c_datetime()
