"""What the server is told of a check: what it watches, and no secret."""

from pathlib import Path

import pytest
from checks_world import a_file

from vedette.agent.checks import build
from vedette.agent.checks.told import MAX_CHARACTERS, MAX_SETTINGS, told
from vedette.agent.settings import Settings

GIVEN = {
    "diskusage": {"DISKUSAGE_NAME": "/", "DISKUSAGE_THRESHOLD": "85"},
    "connectivity": {"CONNECTIVITY_ADDRESS": "http://ann:hunter2@127.0.0.1/", "CHECK_INTERVAL": "1m"},
    "ports": {"PORTS_ALLOW": "tcp/22"},
    "weather": {"WEATHER_PLACE": "Oslo", "WEATHER_PASSWORD": "hunter2", "CHECK_INTERVAL": "60", "WEATHER_EMPTY": ""},
}
SAID = {
    "diskusage": {"path": "/", "threshold_percent": 85, "of": "space", "every_seconds": 300},
    "connectivity": {"address": "http://ann:[redacted]@127.0.0.1/", "every_seconds": 60},
    "ports": {"allow": "tcp/22", "every_seconds": 60},
    "weather": {"place": "Oslo", "password": "[redacted]", "every_seconds": 60},
}


@pytest.mark.parametrize("kind", GIVEN)
def test_what_it_watches(kind: str, tmp_path: Path) -> None:
    (tmp_path / "weather.sh").write_text("#!/bin/sh\n")
    (tmp_path / "weather.sh").chmod(0o755)
    file = a_file(kind, monitor_d=tmp_path, **GIVEN[kind])
    assert build(file, Settings(default_check_interval_s=300)).configured().settings == SAID[kind]


def test_it_is_bounded() -> None:
    said = told(**{f"n{number}": "x" * 10_000 for number in range(100)})
    assert len(said) == MAX_SETTINGS
    assert all(len(str(value)) <= MAX_CHARACTERS + 4 for value in said.values())
