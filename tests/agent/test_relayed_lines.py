"""What children of the daemon print on standard error, in its log."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent import log


@pytest.mark.parametrize(("level", "name"), list(enumerate(log.NAMES)))
def test_what_a_child_says_with_a_level_keeps_it(level: int, name: str) -> None:
    assert log.relayed(f"{name} the server  refuses ") == (level, "the server  refuses ")


@given(st.text())
def test_nothing_of_any_other_line_is_lost(line: str) -> None:
    assert log.relayed("- " + line) == (log.INFO, "- " + line)
    assert log.relayed("WARNING" + line) == (log.INFO, "WARNING" + line)


def test_a_warning_of_a_child_is_written_where_only_warnings_are(tmp_path: Path) -> None:
    """The uplink says so that a server has not accepted the device."""
    try:
        log.configure(level="WARN", file=str(tmp_path / "log"))
        for line in ("WARN not accepted", "INFO accepted", "a word"):
            log.write(*log.relayed(line))
    finally:
        log.configure(level="INFO")
    assert (tmp_path / "log").read_text() == "WARN not accepted\n"
