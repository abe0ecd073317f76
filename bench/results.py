"""RESULTS.md: a section for each part, each of its own run."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
HEAD: Final = """# What was measured

Load generator, server and agent share one small machine. Each section is one run of the command it names.
Expect 30 % between runs: read the ratios, whose both sides were measured in the same run.
"""
_PART: Final = re.compile(r"^<!-- part: (\w+) -->\n(.*?)(?=^<!-- part: |\Z)", re.MULTILINE | re.DOTALL)


def put(part: str, lines: Sequence[str], *, order: Sequence[str]) -> None:
    """Replace the section of `part`, or add it; sections stand in `order`."""
    text = RESULTS.read_text() if RESULTS.exists() else ""
    sections = {name: body for name, body in _PART.findall(text) if name in order}
    sections[part] = "\n".join([f"`python -m bench {part}`, {_where()}.", "", *lines]).strip("\n") + "\n\n"
    found = (f"<!-- part: {name} -->\n{sections[name]}" for name in order if name in sections)
    RESULTS.write_text((HEAD + "\n" + "".join(found)).rstrip("\n") + "\n")


def _where() -> str:
    system = f"{platform.machine()}, Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} shared cores, {system}"
