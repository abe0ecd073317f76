"""File capabilities: what the kernel keeps, in words; beside the real `getcap` where it is installed."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.security.filecaps import ATTRIBUTE, NAMES, decode


def attribute(permitted: int, inheritable: int, *, effective: bool = False, root: int | None = None) -> bytes:
    head = (0x03000000 if root is not None else 0x02000000) | effective
    words = [permitted & 0xFFFFFFFF, inheritable & 0xFFFFFFFF, permitted >> 32, inheritable >> 32]
    return struct.pack("<5I", head, *words) + (b"" if root is None else struct.pack("<I", root))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (attribute(1 << 13, 0, effective=True), "cap_net_raw=ep"),
        (attribute(1 << 13 | 1 << 12, 0), "cap_net_admin,cap_net_raw=p"),
        (attribute(1, 1 << 38, effective=True), "cap_chown=ep cap_perfmon=ei"),
        (attribute(1 << 21, 0, effective=True, root=100000), "cap_sys_admin=ep [rootid=100000]"),
        (attribute(1 << 63, 0), "63=p"),
        (struct.pack("<3I", 0x01000001, 1 << 7, 0), "cap_setuid=ep"),
        (attribute(0, 0), ""),
        (b"", "unknown="),
        (b"\1\0\0\2", "unknown=01000002"),
        (attribute(1, 0) + b"x", "unknown=000000020100000000000000000000000000000078"),
    ],
)
def test_decoded(value: bytes, text: str) -> None:
    assert decode(value) == text


@given(st.binary(max_size=40))
def test_no_value_is_too_much(value: bytes) -> None:
    assert decode(value).isprintable()


@given(permitted=st.integers(0, (1 << 41) - 1), inheritable=st.integers(0, (1 << 41) - 1))
def test_each_bit_has_its_name(permitted: int, inheritable: int) -> None:
    text = decode(attribute(permitted, inheritable))
    found = {"p": 0, "i": 0}
    for group in text.split():
        names, _, flags = group.partition("=")
        for flag in flags:
            found[flag] |= sum(1 << NAMES.index(name) for name in names.split(","))
    assert found == {"p": permitted, "i": inheritable}


@pytest.mark.skipif(shutil.which("getcap") is None, reason="getcap (libcap2-bin) is not installed")
def test_as_getcap_says(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.touch()
    for value in (
        attribute(1 << 13, 0, effective=True),
        attribute(1 << 33 | 7, 1 << 5),
        attribute(3, 3, effective=True),
    ):
        try:
            os.setxattr(file, ATTRIBUTE, value)
        except OSError as exc:
            pytest.skip(f"this user or file system cannot set file capabilities: {exc.strerror}")
        said = subprocess.check_output(["getcap", str(file)], text=True).partition(" ")[2].strip()
        assert sorted(decode(os.getxattr(file, ATTRIBUTE)).split()) == sorted(said.replace("+", "=").split())
