"""What config.sh says, and what it cannot break."""

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent import settings
from vedette.agent.paths import ROOT_VARIABLE
from vedette.agent.settings import Settings, interpret
from vedette.model import Level

DEFAULT_FILE = Path(__file__).parents[2] / "packaging" / "config" / "config.sh"


def test_nothing_said_is_the_defaults() -> None:
    assert interpret("") == interpret("# comment\n\n") == Settings()


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("ALERT_OFFLINE_STORE_MAX_COUNT=50", "alert_offline_store_max_count", 50),
        ('CONFPUSH_INTERVAL="10m"', "confpush_interval", 600),
        ("DEFAULT_LOG_PATTERN_EXPIRATION_SECONDS=2d", "default_log_pattern_expiration_seconds", 172_800),
        ("DEFAULT_LOG_LINES_BEFORE=0 # none", "default_log_lines_before", 0),
        ("SEND_ALERT_MAX_INTERVAL_S=0", "send_alert_max_interval_s", 0),
        ("CONFIG_LOG_LEVEL=debug", "config_log_level", "DEBUG"),
        ("DEFAULT_DBUS_ALERT_LEVEL=warning", "default_dbus_alert_level", Level.WARNING),
        ("DAEMON_LOG_FILE='/var/log/a b'", "daemon_log_file", "/var/log/a b"),
        ("ALERT_URL=https://example.com/x", "alert_url", "https://example.com/x"),
        ("FLAPPING_INTERVAL=", "flapping_interval", 120),
        ("FLAPPING_INTERVAL=7\nFLAPPING_INTERVAL=", "flapping_interval", 120),
        ("FLAPPING_INTERVAL=7\nFLAPPING_INTERVAL=8", "flapping_interval", 8),
    ],
)
def test_one_setting(line: str, field: str, value: object) -> None:
    found = interpret(line)
    assert getattr(found, field) == value
    assert found.problems == ()


def test_the_level_of_all_is_the_level_of_each_that_has_none() -> None:
    found = interpret("DEFAULT_ALERT_LEVEL=WARNING\nDEFAULT_LOG_ALERT_LEVEL=CRITICAL\n")
    assert found.default_log_alert_level is Level.CRITICAL
    assert found.default_service_alert_level is Level.WARNING
    assert found.default_dbus_alert_level is Level.CRITICAL  # has a documented default of its own


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("DEFAULT_LOG_LINES_BEFOR=3", "do you mean DEFAULT_LOG_LINES_BEFORE?"),
        ("default_log_lines_before=3", "do you mean DEFAULT_LOG_LINES_BEFORE?"),
        ("ZZZ=1", "no setting ZZZ;"),
        ("DEFAULT_LOG_LINES_BEFORE=many", "'many' is not a whole number from 0 to 1000; 30 is used"),
        ("DEFAULT_LOG_LINES_BEFORE=1001", "30 is used"),
        ("DEFAULT_LOG_LINES_BEFORE=-1", "30 is used"),
        ("DEFAULT_LOG_LINES_BEFORE=٣", "30 is used"),
        ("CONFPUSH_INTERVAL=5min", "no duration"),
        ("CONFPUSH_INTERVAL=0", "shorter than 1s; 600 is used"),
        ("DEFAULT_ALERT_LEVEL=BAD", "no level"),
        ("DEFAULT_ALERT_LEVEL=OK", "only CRITICAL, WARNING"),
        ("CONFIG_LOG_LEVEL=LOUD", "INFO is used"),
        ("DAEMON_LOG_FILE=log", "no absolute path; none is used"),
        ("ALERT_URL=ftp://x", "neither"),
        ("ALERT_URL=$HOST/x", "needs a shell"),
        (". /etc/other", "'.'"),
        ("A='", "never closed"),
    ],
)
def test_a_wrong_line_is_named_and_costs_nothing_else(line: str, said: str) -> None:
    found = interpret(f"FLAPPING_INTERVAL=7\n{line}\nFLAPPING_COUNT_THRESHOLD=8\n", "config.sh")
    (problem,) = found.problems
    assert problem.startswith("config.sh, line 2")
    assert said in problem
    assert found == Settings(flapping_interval=7, flapping_count_threshold=8, problems=found.problems)


def test_a_file_of_something_else_does_not_fill_the_log() -> None:
    problems = interpret("echo hello\n" * 1000).problems
    assert len(problems) == settings.MAX_PROBLEMS + 1
    assert f"{1000 - settings.MAX_PROBLEMS} more" in problems[-1]


@given(st.text())
def test_whatever_is_in_the_file_there_are_settings(text: str) -> None:
    found = interpret(text)
    assert found == Settings(problems=found.problems) or "=" in text


@given(st.sampled_from([field.name.upper() for field in fields(Settings) if field.name != "problems"]), st.text())
def test_whatever_a_setting_is_set_to_it_keeps_its_type(name: str, value: str) -> None:
    found = interpret(f"{name}='{value}'")
    for field in fields(Settings):
        assert type(getattr(found, field.name)) is type(getattr(Settings(), field.name))


def test_a_missing_file_is_no_problem(tmp_path: Path) -> None:
    assert settings.read(tmp_path / "config.sh") == Settings()


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (problem,) = settings.read(tmp_path / "directory").problems
    assert "cannot be read" in problem
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, settings.MAX_BYTES + 1)
    (problem,) = settings.read(large).problems
    assert "larger than" in problem


def test_settings_may_move_the_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    config = tmp_path / "usr/share/mender-monitor/config/config.sh"
    config.parent.mkdir(parents=True)
    config.write_text("MONITOR_D_DIRECTORY=/data/checks\n")
    paths, found = settings.load(tmp_path)
    assert paths.available == tmp_path / "data/checks/available"
    assert found.monitor_d_directory == "/data/checks"


def test_the_file_we_ship_changes_nothing_and_names_everything() -> None:
    """Each setting stands there with its default, so that the sed commands of people's scripts find its line."""
    text = DEFAULT_FILE.read_text()
    assert interpret(text) == Settings()
    named = re.findall(r"(?m)^([A-Z_]+)=", text)
    assert sorted(named) == sorted({field.name.upper() for field in fields(Settings)} - {"PROBLEMS"})
    warning = interpret(re.sub("DEFAULT_ALERT_LEVEL=.*", "DEFAULT_ALERT_LEVEL=WARNING", text))
    assert warning.default_log_alert_level is warning.default_service_alert_level is Level.WARNING
    assert interpret(re.sub("CONFPUSH_INTERVAL=.*", "CONFPUSH_INTERVAL=8", text)) == Settings(confpush_interval=8)
