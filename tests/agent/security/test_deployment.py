"""The kind `deployment`: the samples of tests/corpus/security/deployment, and a store that a Mender client wrote."""

import base64
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import cases
import pytest
from cases import Device
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.security import lmdb
from vedette.agent.security.deployment import STORE, Scanner
from vedette.errors import Invalid

# What Debian's mender-client 3.4 has left: seven keys, two of them "state" and "artifact-name".
REAL = Path(__file__).parents[2] / "corpus/security/deployment/mender-store.z"


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path, "deployment", Scanner(), {})


def real() -> bytes:
    return zlib.decompress(base64.b64decode(REAL.read_bytes()))


@pytest.mark.parametrize("path", cases.all_of("deployment"), ids=lambda path: path.stem)
def test_each_sample_finds_what_stands_in_it(device: Device, path: Path) -> None:
    sample = cases.read(path)
    cases.check(device.live(sample), sample)
    cases.check(device.scan(), sample)  # a condition: found as long as it lasts


def test_the_next_success_calls_it_off(device: Device) -> None:
    assert device.live(cases.read(cases.CORPUS / "deployment/failed.case")).findings
    line = (
        '{"timestamp":"2026-03-25T15:30:17Z","level":"info","message":"Deployment with ID d2 finished with status: %s"}'
    )
    device.write("/var/lib/mender/deployments.0000.d2.log", line % "Success")
    (device.root / "var/lib/mender/deployments.0000.d1.log").rename(
        device.root / "var/lib/mender/deployments.0001.d1.log"
    )
    assert not device.scan().findings


def test_an_artifact_that_is_neither_here_nor_there(device: Device) -> None:
    name = b"configuration-e16dd1ed-a86c-48b4-9a90-fd8eb0c98a3a"
    store = device.root / STORE.lstrip("/")
    store.parent.mkdir(parents=True)
    store.write_bytes(real())
    assert not device.scan().findings
    store.write_bytes(real().replace(name, name[:-13] + b"_INCONSISTENT"))
    (finding,) = device.scan().findings
    assert finding.status == "INCONSISTENT"
    assert finding.key == "inconsistent " + name[:-13].decode()


def test_a_store_that_is_none_is_told_and_no_finding(device: Device) -> None:
    device.write(STORE, "not at all" * 2000)
    report = device.scan()
    assert not report.findings
    assert [each.split(":")[0] for each in report.unseen] == [STORE]


@given(st.lists(st.tuples(st.integers(0, 32767), st.integers(0, 255)), max_size=30))
def test_no_damage_does_more_than_to_be_told(damage: list[tuple[int, int]]) -> None:
    data = bytearray(real())
    for at, byte in damage:
        data[at] = byte
    with suppress(Invalid):
        lmdb.find(bytes(data), b"artifact-name")


def test_a_store_of_a_32_bit_machine() -> None:
    """Its numbers of pages are half as wide. Made after the description of the format: two meta pages and a leaf."""
    leaf_number, empty = 2, (1 << 32) - 1
    name, content = b"artifact-name", b"release-1"

    def meta(number: int, root: int, transaction: int) -> bytes:
        free = struct.pack("<IHHIIIII", 4096, 8, 0, 0, 0, 0, 0, empty)
        main = struct.pack("<IHHIIIII", 0, 0, 1, 0, 1, 0, 1, root)
        head = struct.pack("<IHHI", number, 0, 8, 0)
        return (
            head + struct.pack("<IIII", lmdb.MAGIC, 1, 0, 1 << 20) + free + main + struct.pack("<II", 2, transaction)
        ).ljust(4096, b"\0")

    node = struct.pack("<HHHH", len(content), 0, 0, len(name)) + name + content
    at = 4096 - len(node)
    leaf = struct.pack("<IHHHHH", leaf_number, 0, 2, 14, at, at).ljust(at, b"\0") + node
    data = meta(0, empty, 1) + meta(1, leaf_number, 2) + leaf
    assert lmdb.find(data, name) == content
    assert lmdb.find(data, b"other") is None
    assert lmdb.find(meta(0, empty, 3) + meta(1, leaf_number, 2) + leaf, name) is None  # the last commit counts
