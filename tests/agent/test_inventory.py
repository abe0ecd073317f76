"""The inventory: only what the API takes, the same as long as nothing changes."""

import os
from pathlib import Path

import pytest

from vedette import __version__
from vedette.agent import inventory


def test_the_facts_of_this_machine() -> None:
    told = {each["name"]: each["value"] for each in inventory.attributes()}
    assert told["hostname"] == os.uname().nodename
    assert told["kernel"].endswith(os.uname().release)
    assert told["vedette_agent_version"] == __version__
    assert all(value and len(value) <= 1024 for value in told.values())
    assert inventory.attributes() == inventory.attributes()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('NAME=x\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "Debian GNU/Linux 12 (bookworm)"),
        ("PRETTY_NAME=Poky\n", "Poky"),
        ("PRETTY_NAME='Poky'\n", "Poky"),
        ("NAME=x\n", ""),
        ("", ""),
    ],
)
def test_the_name_of_the_system(tmp_path: Path, text: str, name: str) -> None:
    first, second = tmp_path / "missing", tmp_path / "os-release"
    second.write_text(text)
    assert inventory.os_name((first, second)) == name
    told = [each["name"] for each in inventory.attributes((second,))]
    assert ("os" in told) is bool(name)
