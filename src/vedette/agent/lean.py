"""Imported before anything else by the daemon and its child: leaves out what only costs memory and time on a device.

`dataclasses` imports `inspect`, which imports the parser, the tokenizer and the disassembler of Python: 2 MB that are
needed only to write a docstring for a dataclass that has none. Here that import waits until somebody really asks.
So it does where one small function is wanted of a module: `pathlib` wants one of `urllib.parse`, `uuid` one of
`platform`. And `datetime` is written twice, in Python and in C; the first is read, thrown away, and leaves holes.

Of `typing` (0.4 MB) a program that runs wants nothing but a few names for its annotations; of `pcre2` we use the
library's functions, not the classes like those of `re` around them.
"""

import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from types import ModuleType

LARGEST_BLOCK = 256 * 1024
"""Bytes that are often taken and given back."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)


class _Later(ModuleType):
    """Stands for a module until the first look at anything in it."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def import_later(name: str, **ready: object) -> ModuleType | None:
    """Let `import name` succeed at once and cost nothing until more of the module is used than what is `ready`.

    Returns what stands for it; None when it is there already.
    """
    if name in sys.modules:
        return None
    module = sys.modules[name] = _Later(name)
    for each, value in ready.items():
        setattr(module, each, value)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(import_module(parent), child, module)
    return module


def settle() -> None:
    """All is imported: what that left behind makes room for what comes, and the rest is never looked through again.

    And the blocks that are read of a log do not go back to the system each time, to be mapped anew for the next one.
    """
    from vedette.agent import libc

    gc.collect()
    gc.freeze()
    with suppress(OSError):
        for what, size in ((_MMAP_THRESHOLD, 4 * LARGEST_BLOCK), (_TRIM_THRESHOLD, 4 * LARGEST_BLOCK)):
            libc.call("mallopt", what, size)


def give_back() -> None:
    """Return freed memory to the system, where the C library can (glibc). Source: malloc_trim(3)."""
    from vedette.agent import libc  # what starts for a moment only does not come here

    with suppress(OSError):
        libc.call("malloc_trim", 0)


def _quote_from_bytes(*args: object, **named: object) -> object:
    sys.modules.pop("urllib.parse", None)
    return import_module("urllib.parse").quote_from_bytes(*args, **named)


def _use_c_datetime() -> None:
    with suppress(ImportError):
        import _datetime  # type: ignore[import-not-found]

        if hasattr(_datetime, "UTC"):
            sys.modules.setdefault("datetime", _datetime)


class _Annotation:
    """Any of `typing` that stands in annotations only."""

    def __class_getitem__(cls, item: object) -> type:
        return cls


def _cast(type_: object, value: object) -> object:
    return value


def _use_pcre2_alone() -> None:
    found = (finder.find_spec("pcre2", None) for finder in sys.meta_path)
    spec = next((each for each in found if each is not None), None)
    if spec is not None and (package := import_later("pcre2")) is not None:
        package.__path__ = spec.submodule_search_locations or []
        functions = import_module("pcre2._cy")
        for name in ("LibraryError", "PatternError"):
            setattr(package, name, getattr(functions, name))


# `dataclasses` looks whether an annotation is a ClassVar, in either of its two forms.
import_later(
    "typing", Any=_Annotation, ClassVar=type("ClassVar", (_Annotation,), {}), Final=_Annotation, Protocol=_Annotation,
    TypeGuard=_Annotation, TYPE_CHECKING=False, cast=_cast, _GenericAlias=_cast,
)  # fmt: skip
import_later("inspect")
import_later("ipaddress")
import_later("platform", system=lambda: os.uname().sysname)
import_later("urllib.parse", quote_from_bytes=_quote_from_bytes)
_use_c_datetime()
_use_pcre2_alone()
