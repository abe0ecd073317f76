"""Which keys and values the server lets travel, and the device takes."""

from pathlib import Path

import pcre2
import pytest

from vedette.agent.checkfiles import CheckFile
from vedette.agent.checks import build
from vedette.agent.settings import Settings
from vedette.errors import Invalid
from vedette.model import configkeys
from vedette.model.configkeys import CheckKey, SecurityKey
from vedette.model.security import LIST, SECURITY, TEXT


def pattern(text: str) -> None:
    try:
        pcre2.compile(text)
    except pcre2.PatternError as exc:
        raise Invalid("not a valid pattern") from exc


def test_what_keys_mean() -> None:
    assert configkeys.parse("security.cve.feed-age") == SecurityKey("cve", "feed-age")
    assert SecurityKey("pid-change", "time-limit").variable == "PID_CHANGE_TIME_LIMIT"
    assert configkeys.parse("monitor.check.service.sshd.service.SERVICE_NAME") == CheckKey(
        "service", "sshd.service", "SERVICE_NAME"
    )
    assert configkeys.parse("monitor.check.log.a.enabled") == CheckKey("log", "a", "enabled")
    assert configkeys.parse("monitor.check.mine.a.ANY_THING") == CheckKey("mine", "a", "ANY_THING")
    for own in ("timezone", "security", "securityx.cve", "monitor.checks", "a b"):
        assert configkeys.parse(own) is None


@pytest.mark.parametrize(
    "key",
    [
        "security.",
        "security.cve",
        "security.cve.sever",
        "security.nothing.level",
        "security.cve.level.x",
        "monitor.check.",
        "monitor.check.log.a",
        "monitor.check.log..LOG_FILE",
        "monitor.check.log.a.log_file",
        "monitor.check.log.a.LOG_PATERN",
        "monitor.check.lo_g.a.LOG_FILE",
        "monitor.check.log.-a.LOG_FILE",
        "monitor.check.log.a/b.LOG_FILE",
        "monitor.check.ports.security.PORTS_ALLOW",
        f"monitor.check.log.{'a' * 200}.LOG_FILE",
    ],
)
def test_keys_like_ours_that_mean_nothing(key: str) -> None:
    with pytest.raises(Invalid):
        configkeys.parse(key)


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("security.cve.severity", "critical", "urgent"),
        ("security.cve.enabled", "false", "no"),
        ("security.ports.interval", "5m", "4"),
        ("security.traffic.limit", "2G", "-1"),
        ("monitor.check.log.a.enabled", "true", "1"),
        ("monitor.check.log.a.LOG_PATTERN", "CVE.*HIGH", "a("),
        ("monitor.check.log.a.LOG_PATTERN_EXPIRATION", "2d", "2 days"),
        ("monitor.check.log.a.LOG_FILE", "@/usr/local/bin/pid-change", "relative"),
        ("monitor.check.log.a.LOG_ALERT_LEVEL", "warning", "OK"),
        ("monitor.check.service.a.SERVICE_TYPE", "sysV", "upstart"),
        ("monitor.check.diskusage.a.DISKUSAGE_THRESHOLD", "90%", "0"),
        ("monitor.check.diskusage.a.CHECK_INTERVAL", "1m", "0"),
        ("monitor.check.ports.lan.PORTS_DWELL", "1m", "soon"),
        ("monitor.check.mine.a.X", "anything", "\0"),
    ],
)
def test_values(key: str, good: str, bad: str) -> None:
    configkeys.judge(key, good, pattern)
    configkeys.judge(key, None, pattern)
    assert set(configkeys.faults({key: bad, "timezone": "Europe/Oslo"}, pattern)) == {key}


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = {f"security.cve.x{number}": "1" for number in range(30)} | {"security.cve.severity": "urgent"}
    with pytest.raises(Invalid, match=r"x0: .*x19.*and 11 more") as caught:
        configkeys.require(wrong, pattern)
    assert len(str(caught.value)) < 10_000
    configkeys.require({"security.cve.severity": "high", "anything": "\x01"}, pattern)


def test_a_check_without_what_it_needs() -> None:
    values = {"monitor.check.log.a.LOG_FILE": "/x", "monitor.check.dbus.b.DBUS_PATTERN": "x", "other": "1"}
    assert configkeys.incomplete(values) == {"monitor.check.log.a": "LOG_PATTERN is missing"}
    values["monitor.check.log.a.LOG_PATTERN"] = "x"
    assert configkeys.incomplete(values) == {}
    assert configkeys.checks(values)["log", "a"] == {"LOG_FILE": "/x", "LOG_PATTERN": "x"}


@pytest.mark.parametrize(
    ("subsystem", "variables"),
    [
        ("log", {"LOG_PATTERN": "x", "LOG_FILE": "/x", "LOG_MULTILINE": "indent"}),
        ("log", {"LOG_PATTERN": "x", "LOG_FILE": "relative"}),
        ("log", {"LOG_PATTERN": "x(", "LOG_FILE": "/x"}),
        ("log", {"LOG_PATTERN": "x", "LOG_FILE": "/x", "LOG_ALERT_LEVEL": "OK"}),
        ("log", {"LOG_PATTERN": "x", "LOG_FILE": "/x", "LOG_PATTERN_EXPIRATION": ""}),
        ("log", {"LOG_FILE": "/x"}),
        ("service", {"SERVICE_NAME": "ssh", "SERVICE_TYPE": "SYSV"}),
        ("service", {"SERVICE_NAME": "a/b"}),
        ("service", {}),
        ("dbus", {"DBUS_NAME": "x"}),
        ("dbus", {"DBUS_PATTERN": "x", "DBUS_ALERT_EXPIRATION": "1"}),
        ("diskusage", {"DISKUSAGE_NAME": "/", "DISKUSAGE_THRESHOLD": "101"}),
        ("diskusage", {"DISKUSAGE_NAME": "/", "DISKUSAGE_OF": "files"}),
        ("diskusage", {"DISKUSAGE_NAME": "/", "CHECK_INTERVAL": "0"}),
        ("connectivity", {"CONNECTIVITY_ADDRESS": "https://example.com", "CONNECTIVITY_TRIES": "10"}),
        ("connectivity", {"CONNECTIVITY_ADDRESS": "https://example.com", "CONNECTIVITY_TRIES": "11"}),
    ],
)
def test_both_sides_judge_alike(subsystem: str, variables: dict[str, str]) -> None:
    """What the rules here let travel the device can build, and what they refuse it cannot."""
    values = {f"monitor.check.{subsystem}.a.{name}": value for name, value in variables.items()}
    travels = not configkeys.faults(values, pattern) and (not values or not configkeys.incomplete(values))
    file = CheckFile(subsystem=subsystem, name="a", values=variables, path=Path("/x"))
    try:
        build(file, Settings())
        builds = True
    except Invalid:
        builds = False
    assert builds == (travels and bool(values))


def test_every_setting_has_a_variable_of_its_own() -> None:
    for kind, about in SECURITY.items():
        assert len(configkeys.variables(kind) or ()) == len(about.settings)
        for name, setting in about.settings.items():
            configkeys.judge(f"security.{kind}.{name}", setting.default, pattern)
            if setting.type not in {LIST, TEXT}:
                with pytest.raises(Invalid):
                    configkeys.judge(f"security.{kind}.{name}", "?", pattern)
