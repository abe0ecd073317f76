"""Functions of the C library that Python does not offer.

`ctypes` defines types for all that C knows, which costs 0.2 MB; what is below it is enough for a call.
"""

import errno
import os
from _ctypes import Array, CFuncPtr, _SimpleCData, dlopen, dlsym, get_errno
from typing import Final

_THIS_PROGRAM: Final = dlopen(None, 0)  # type: ignore[arg-type]  # dlopen(3): the main program
_known: Final[dict[str, "_Function"]] = {}


class _Function(CFuncPtr):
    """Returns a C int."""

    _flags_ = 1 | 8  # called as C does, and errno is kept


class _Char(_SimpleCData):  # type: ignore[type-arg]  # not at run time
    _type_ = "c"


class Buffer(Array):  # type: ignore[type-arg]
    """Room for what a function has to tell."""

    _type_ = _Char
    _length_ = 512


def call(name: str, *arguments: int | bytes | Buffer | None) -> int:
    """Call a function that returns an int, negative for an error; bytes are given as `const void *`.

    Raises:
        OSError: it failed, as errno says, or (ENOSYS) there is no such function.
    """
    function = _known.get(name)
    if function is None:
        try:
            function = _known[name] = _Function(dlsym(_THIS_PROGRAM, name))
        except OSError:
            raise OSError(errno.ENOSYS, f"this C library has no {name}") from None
    result: int = function(*arguments)
    if result < 0:
        code = get_errno()
        raise OSError(code, os.strerror(code))
    return result
