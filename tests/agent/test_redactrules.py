"""The user's own rules: what they match stays on the device, whatever is wrong with the file."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from real_device import Device

from vedette.agent.redactrules import UserRules, parse
from vedette.model import Alert, Details, Level, Line, Subject


def hidden(path: Path, text: str) -> str:
    subject = Subject(name="log_app", type="log", status="S", details=Details(line_matching=Line(1, text)))
    alert = Alert(name="n", level=Level.CRITICAL, at=datetime(2026, 1, 1, tzinfo=UTC), subject=subject)
    details = UserRules(path).alert(alert).subject.details
    assert details is not None
    assert details.line_matching is not None
    return details.line_matching.data


@pytest.mark.parametrize(
    ("rule", "text", "left"),
    [
        (r"\d{4}-\d{4}", "card 1234-5678 and 1234-5679.", "card [redacted] and [redacted]."),
        (r"patient (\w+)", "patient Miller, patient X", "patient [redacted], patient [redacted]"),
        (r"(?i)serial=\K\w+", "SERIAL=a1 x", "SERIAL=[redacted] x"),
        (r"x*", "abc", "abc"),
        (r"(?<=é)ü+", "aéüü", "aé[redacted]"),
        (r"(a+)+$", "a" * 40 + "!", "[redacted]"),  # gives up: better too much
        ("# a+", "aaa", "aaa"),
    ],
)
def test_a_rule(tmp_path: Path, rule: str, text: str, left: str) -> None:
    path = tmp_path / "redact.conf"
    path.write_text(f"# mine\n\n{rule}\n")
    assert hidden(path, text) == left


def test_ours_count_too(tmp_path: Path) -> None:
    path = tmp_path / "redact.conf"
    assert hidden(path, "password=x1") == "password=[redacted]"
    path.write_text("x2\n")
    assert hidden(path, "password=x1 x2") == "password=[redacted] [redacted]"


def test_a_bad_line_is_named_and_harms_no_other() -> None:
    rules, problems = parse("a(\nb\n", "redact.conf")
    assert len(rules) == 1
    (problem,) = problems
    assert problem.startswith("redact.conf, line 1: no valid pattern")


def test_a_change_counts_without_restart(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    for name in ("one", "two"):
        device.check(name, name, log)
    device.start()
    with log.open("a") as file:
        file.write("one for Miller\n")
    device.wait_for(1)
    device.paths.redact_rules.parent.mkdir(parents=True, exist_ok=True)
    device.paths.redact_rules.write_text("for (.*)\n")
    with log.open("a") as file:
        file.write("two for Miller\n")
    alerts = device.wait_for(2)
    assert "one for Miller" in json.dumps(alerts[0])
    assert "Miller" not in json.dumps(alerts[1])
    assert device.stop() == 0
