"""What the daemon does without until it is really wanted, and calls of the C library without `ctypes`."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vedette.agent import libc

AS_THE_DAEMON = """
import vedette.agent.__main__, sys
assert all(type(sys.modules[name]).__name__ == "_Later" for name in ("typing", "pcre2", "inspect"))
assert "ctypes" not in sys.modules
from typing import NamedTuple, get_type_hints
import pcre2
class Pair(NamedTuple):
    first: int
assert Pair(1).first == 1 and get_type_hints(Pair) == {"first": int}
assert pcre2.compile("b+").search("abba").group() == "bb"
"""


def test_modules_that_are_wanted_later_are_there_then() -> None:
    subprocess.run([sys.executable, "-c", AS_THE_DAEMON], check=True)


def test_calls_of_the_c_library(tmp_path: Path) -> None:
    fd = libc.call("open", os.fsencode(tmp_path), os.O_RDONLY)
    try:
        assert os.path.samestat(os.fstat(fd), tmp_path.stat())
    finally:
        os.close(fd)
    with pytest.raises(FileNotFoundError):
        libc.call("open", os.fsencode(tmp_path / "missing"), os.O_RDONLY)
    with pytest.raises(OSError, match="has no") as told:
        libc.call("no_such_function")
    assert told.value.errno == errno.ENOSYS
    buffer = libc.Buffer()
    libc.call("statfs", b"/proc", buffer)
    assert bytes(buffer)[:2] == (0x9FA0).to_bytes(2, sys.byteorder)
