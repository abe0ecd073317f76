"""Filters and jails in fail2ban's form, ours in tests/corpus/rules, become patterns that match the same lines."""

import shutil
import subprocess
from pathlib import Path

import pytest
import samples

from vedette.agent.match import Pattern
from vedette.agent.rules import fail2ban
from vedette.agent.rules.imported import Imported
from vedette.errors import NotFound

FILTERS = samples.CORPUS / "fail2ban"


def one(path: Path) -> Imported:
    (rule,) = fail2ban.load(path)
    return rule


def written(directory: Path, text: str) -> Imported:
    path = directory / "x.conf"
    path.write_text(text)
    return one(path)


@pytest.mark.parametrize("name", ["doors", "gate", "web"])
def test_each_filter_matches_what_it_should(name: str) -> None:
    rule = one(FILTERS / f"{name}.conf")
    assert not rule.refused
    samples.check(rule.pattern, FILTERS / f"{name}.log")


@pytest.mark.parametrize("name", ["doors", "gate", "web"])
def test_fail2ban_itself_says_the_same(name: str, tmp_path: Path) -> None:
    program = shutil.which("fail2ban-regex")
    if program is None:
        pytest.skip("fail2ban is not installed: what it makes of the lines is not compared")
    lines = samples.lines(FILTERS / f"{name}.log")
    (tmp_path / "log").write_text("".join(f"{line}\n" for _, line in lines))
    asked = [program, "--print-all-matched", str(tmp_path / "log"), str(FILTERS / f"{name}.conf")]
    said = subprocess.run(asked, capture_output=True, text=True).stdout
    matched = said.partition("Matched line(s):\n")[2].partition("\n`-")[0]
    assert [line.removeprefix("|  ") for line in matched.splitlines()] == [line for expected, line in lines if expected]


def test_a_host_may_be_a_name() -> None:
    """Left out of what fail2ban is asked about: it would look the name up."""
    line = b'client.example.net - bob [24/Mar/2026:15:25:51 +0100] "POST /admin/login HTTP/1.1" 403 12'
    assert Pattern.compile(one(FILTERS / "web.conf").pattern).matches(line)


def test_what_each_filter_is_told_to_be() -> None:
    doors, gate = one(FILTERS / "doors.conf"), one(FILTERS / "gate.conf")
    assert (doors.verdict, doors.sources) == ("exact", ("",))
    assert gate.verdict == "approximated"
    assert gate.notes == ["each line is judged alone, without what others say of the same connection"]
    assert gate.sources == ("@journalctl -f _SYSTEMD_UNIT=gated.service + SYSLOG_IDENTIFIER=gated",)
    lines = one(FILTERS / "lines.conf")
    assert (
        lines.refused == "its failregex looks at several lines at once (<SKIPLINES>), which a check of a log does not"
    )


def test_a_directory_of_filters_leaves_out_what_others_include() -> None:
    rules = {each.rule: each.verdict for each in fail2ban.load(FILTERS)}
    assert rules == {"doors": "exact", "gate": "approximated", "lines": "refused", "web": "exact"}


def test_the_jails_that_are_enabled(tmp_path: Path) -> None:
    rules = {each.rule: each for each in fail2ban.load(FILTERS / "etc")}
    assert rules.keys() == {"front", "gone", "unit"}
    front = rules["front"]
    assert front.sources == ["/var/log/doors.log", "/var/log/more-doors.log"]
    assert front.notes == ["each failure raises; the jail acts on 3 within 1h of one address"]
    line = b"Mar 24 15:25:51 house doorsd: door %s refused alice at 198.51.100.7"
    assert Pattern.compile(front.pattern).matches(line % b"front")
    assert not Pattern.compile(front.pattern).matches(line % b"back")
    assert "not-there" in rules["gone"].refused
    unit = rules["unit"]
    assert unit.sources == ("@journalctl -f _SYSTEMD_UNIT=doors.service",)
    assert unit.notes[1] == "the jail's ignorecommand is not run"
    assert Pattern.compile(unit.pattern).matches(line % b"back")


def test_all_jails_of_a_file_that_is_named(tmp_path: Path) -> None:
    rules = [each.rule for each in fail2ban.load(FILTERS / "etc/jail.conf")]
    assert rules == ["front", "back", "gone", "unit"]


def test_a_local_file_beside_it_counts_more(tmp_path: Path) -> None:
    (tmp_path / "x.local").write_text("[Definition]\nfailregex = %(known/failregex)s\n            ^two <HOST>$\n")
    rule = written(tmp_path, "[Definition]\nfailregex = ^one <HOST>$\n")
    for word in (b"one", b"two"):
        assert Pattern.compile(rule.pattern).matches(word + b" 192.0.2.1")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[Definition]\nfailregex = ^(<HOST>\n", "no regular expression"),
        ("[Definition]\nfailregex =\n", "no failregex"),
        ("[Definition]\nfailregex = %(nobody)s <HOST>\n", "%(nobody)s is not defined"),
        ("[Definition]\na = %(b)s\nb = %(a)s\nfailregex = %(a)s\n", "in a circle"),
        ("[Definition]\na = <b><b>\nb = <a><a>\nfailregex = <a>\n", "in a circle"),
        ("[Definition]\nfailregex = ^x<HOST> (?=^y)\n", "a ^ stands within it"),
        ("[Definition]\nprefregex = ^x\nfailregex = ^y <HOST>\n", "no <F-CONTENT>"),
        ("[Definition]\nfailregex = ^<F-NOFAIL>x</F-NOFAIL> <HOST>\n", "no failregex of it is a failure by itself"),
        ("[Definition]\nfailregex = ^x <HOST>\njournalmatch = $(reboot)\n", "not made of FIELD=value"),
        ("nothing at all\n", "neither a section nor"),
        ("[Other]\nx = y\n", "no failregex in it"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    rule = written(tmp_path, text)
    assert why in rule.refused
    assert rule.verdict == "refused"


def test_a_circle_of_includes_ends(tmp_path: Path) -> None:
    assert "includes itself" in written(tmp_path, "[INCLUDES]\nbefore = x.conf\n[Definition]\nfailregex = x\n").refused


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        list(fail2ban.load(tmp_path))
