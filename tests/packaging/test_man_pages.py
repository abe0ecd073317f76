"""The man pages say what the programs say, and a man can print them."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from vedette import __version__
from vedette.agent.control import COMMANDS
from vedette.agent.control_subsystems import SUBSYSTEMS

RENDER = Path(__file__).parents[2] / "packaging/man/render.py"


def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("packaging_render", RENDER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = sorted(RENDER.parent.glob("*.[18]"))


@pytest.mark.parametrize("source", PAGES, ids=lambda path: path.name)
def test_a_page_is_whole(source: Path) -> None:
    text = render().page(source)
    assert f"Vedette {__version__}" in text
    plain = re.sub(r"@COMMAND|@\S*/|ann@example.com|. _ @ :|@command|@mender", "", text)
    assert "@" not in plain, "a mark is not filled in"
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION"):
        assert f".SH {section}\n" in text


@pytest.mark.parametrize("source", PAGES, ids=lambda path: path.name)
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not on this machine, so man pages are not printed")
def test_roff_has_nothing_to_complain_about(source: Path) -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8"], input=render().page(source), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not on this machine, so man pages are not printed")
def test_the_control_tool_is_documented_whole() -> None:
    page = render().page(RENDER.with_name("mender-monitorctl.1"))
    shown = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-cbou", "-rLL=200n"], input=page, capture_output=True, text=True, timeout=60
    ).stdout
    for name, command in COMMANDS.items():
        assert f"{name} {command.arguments}".strip() in shown
    for name, subsystem in SUBSYSTEMS.items():
        assert f"{name} {subsystem.arguments}" in shown
    for line in COMMANDS["create"].details.splitlines():
        assert line.strip() in shown, "an escape is missing"
