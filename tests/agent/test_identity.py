"""The identity of a device: it stays, or there is a sentence why it cannot be told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.identity import identity, mac_address, parse
from vedette.agent.paths import Paths
from vedette.errors import Unavailable


class PathsOfADevice(Paths):
    """As on a device, but below a directory: no root is given as far as the identity is concerned."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.root = None

    def below(self, absolute: str) -> Path:
        return self._directory / absolute.lstrip("/")


def script(paths: Paths, text: str, mode: int = 0o755) -> None:
    paths.identity_script.parent.mkdir(parents=True)
    paths.identity_script.write_text(text)
    paths.identity_script.chmod(mode)


def interface(network: Path, name: str, address: str, index: int, *, real: bool = True, kind: str = "1") -> None:
    (network / name).mkdir(parents=True)
    for file, text in {"address": address, "ifindex": str(index), "type": kind}.items():
        (network / name / file).write_text(text + "\n")
    if real:
        (network / name / "device").mkdir()


def test_the_script_decides(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    script(paths, "#!/bin/sh\necho mac=1\necho serial=a=b\necho mac=2\necho nonsense\n")
    assert identity(paths) == {"mac": ["1", "2"], "serial": "a=b"}


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("#!/bin/sh\necho mac=1\nexit 3\n", 0o755, "exit code 3"),
        ("#!/bin/sh\n", 0o755, "printed no key=value line"),
        ("#!/bin/sh\nyes mac=1\n", 0o755, "printed more than"),
        ("#!/nowhere/to/be/found\n", 0o755, "cannot be started"),
        ("#!/bin/sh\necho mac=1\n", 0o644, "cannot be started"),
    ],
)
def test_a_failing_script_is_not_replaced_by_another_source(tmp_path: Path, text: str, mode: int, says: str) -> None:
    paths = Paths(tmp_path)
    script(paths, text, mode)
    with pytest.raises(Unavailable, match=says):
        identity(paths)
    assert not paths.machine_id.exists()


def test_below_a_root_the_machine_id_is_made_and_stays(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    first = identity(paths)
    assert isinstance(first["machine_id"], str)
    assert len(first["machine_id"]) == 32
    assert identity(paths) == first
    assert paths.machine_id.read_text() == f"{first['machine_id']}\n"
    assert [path.name for path in paths.machine_id.parent.iterdir()] == ["machine-id"]


def test_a_machine_id_that_is_there_is_taken(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.machine_id.parent.mkdir(parents=True)
    paths.machine_id.write_text("0123456789abcdef0123456789abcdef\n")
    assert identity(paths) == {"machine_id": "0123456789abcdef0123456789abcdef"}


def test_an_empty_machine_id_of_an_image_is_filled(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.machine_id.parent.mkdir(parents=True)
    paths.machine_id.write_text("")
    assert len(identity(paths)["machine_id"]) == 32


def test_on_a_device_the_first_real_interface_counts(tmp_path: Path) -> None:
    network = tmp_path / "net"
    interface(network, "lo", "00:00:00:00:00:00", 1, real=False, kind="772")
    interface(network, "br0", "02:00:00:00:00:01", 2, real=False)
    interface(network, "wlan0", "02:00:00:00:00:04", 10)
    interface(network, "eth0", "02:00:00:00:00:03", 9)
    interface(network, "can0", "02:00:00:00:00:02", 3, kind="280")
    interface(network, "usb0", "00:00:00:00:00:00", 4)
    (network / "bonding_masters").write_text("")
    assert mac_address(network) == "02:00:00:00:00:03"
    assert identity(PathsOfADevice(tmp_path), network=network) == {"mac": "02:00:00:00:00:03"}


def test_in_a_container_the_machine_id_counts(tmp_path: Path) -> None:
    paths = PathsOfADevice(tmp_path)
    with pytest.raises(Unavailable, match="mender-device-identity"):
        identity(paths, network=tmp_path / "none")
    paths.machine_id.parent.mkdir(parents=True)
    paths.machine_id.write_text("abc\n")
    assert identity(paths, network=tmp_path / "none") == {"machine_id": "abc"}


KEYS = st.text(st.characters(codec="utf-8", exclude_characters="=", exclude_categories=["C", "Z"]), min_size=1)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]))


@given(st.dictionaries(KEYS, st.lists(VALUES, min_size=1, max_size=3), max_size=5))
def test_what_a_script_prints_is_what_is_told(table: dict[str, list[str]]) -> None:
    lines = [f"{key}={value}" for key, values in table.items() for value in values]
    assert parse(lines) == {key: values[0] if len(values) == 1 else values for key, values in table.items()}
