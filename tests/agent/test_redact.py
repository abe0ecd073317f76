"""Secrets do not leave the device; what only looks a little like one does."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.agent import redact
from vedette.model import Alert, Details, Level, Line, Subject


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("login password=hunter2 ok", "hunter2"),
        ('{"api_key": "abc def", "x": 1}', "abc def"),
        ("GET http://user:p%40w@host/x", "p%40w"),
        ("Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789abcdef"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
        ("jwt eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJhbGciOiJSUzI1NiJ9"),
        ("AWS_SECRET_ACCESS_KEY='aaa/bbb'", "aaa/bbb"),
        ("found AKIAIOSFODNN7EXAMPLE in code", "AKIAIOSFODNN7EXAMPLE"),
        ("-----BEGIN RSA PRIVATE KEY-----MIIEabc", "MIIEabc"),
        ("Set-Cookie: session_token=8f2c; Path=/", "8f2c"),
        ("mqtt://sensor:s3cr3t@broker:1883", "s3cr3t"),
        ("'passwd': 'a b c'", "a b c"),
        ("client_secret=abc&grant=x", "abc"),
        ("private_key: MIIEvg", "MIIEvg"),
        ("using glpat-abcdefghij0123456789", "glpat-"),
        ("token=ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_"),
    ],
)
def test_secrets_go_their_labels_stay(line: str, secret: str) -> None:
    cleaned = redact.text(line)
    assert secret not in cleaned
    assert redact.MARK in cleaned


@pytest.mark.parametrize(
    "line",
    [
        "Failed password for root from 198.51.100.87 port 5543 ssh2",
        "PID changed",
        "CVE-2026-1 severity HIGH in basic understanding-of-things",
        "bearer authentication failed",
        "Invalid token: unexpected end of input",
        "http://host:8080/path?x=1",
        "password changed for user ann",
        "Accepted publickey for ann from 10.0.0.1 port 22 ssh2: RSA SHA256:abcdef",
        "basic settings loaded from /etc/app/basic.conf",
        "the secret is out",
        "tokens: refill failed",
        "user@host: no such file",
        "ssh://git@example.com/repo.git",
        "-----BEGIN CERTIFICATE-----MIIB",
        "passing=3 failing=0",
        "key=value",
    ],
)
def test_ordinary_lines_stay(line: str) -> None:
    assert redact.text(line) == line


def test_every_part_of_an_alert_is_looked_at() -> None:
    line = Line(1, "password=x1")
    details = Details(description="password=x1", lines_before=(line,), line_matching=line, lines_after=(line,))
    subject = Subject(name="log_app", type="log", status="LOGCONTAINS", details=details)
    alert = Alert(name="n", level=Level.CRITICAL, at=datetime(2026, 1, 1, tzinfo=UTC), subject=subject)
    assert "x1" not in str(redact.alert(alert))


def test_it_takes_no_time_whatever_the_line() -> None:
    """Each rule is linear: a line of the longest length, made to provoke it, is done at once (or this test hangs)."""
    for evil in ("password" * 2000, "a://" * 4000, "eyJ" * 5000, "Bearer " + "a" * 16_000, "-----BEGIN " + "A " * 8000):
        redact.text(evil)


LABELS = (
    "password",
    "PASSWD",
    "pass",
    "passphrase",
    "secret",
    "api_key",
    "apikey",
    "Access-Key-Id",
    "private_key",
    "auth_token",
    "client_secret",
    "token",
    "Credential",
    "credentials",
    "pwd",
    "Bearer",
    "basic",
    "Digest",
    "negotiate",
    "pa\u017f\u017f",
    "http",
    "-----BEGIN RSA PRIVATE KEY-----",
)
VALUES = (
    "x1",
    "'a b'",
    "user:abc@host",
    "abcdef0123456789abcdef",
    "eyJhbGciOiJ9.eyJz.c2ln",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "gho_abcdefghijklmnopqrst0",
    "github_pat_abcdefghijklmnopqrst",
    "sk_live_abcdefghijklmnopqr",
    "glpat-abcdefghijklmnopqrst",
    "xoxb-abcdefghijk",
    "AIza" + "x" * 35,
    "",
)


@settings(max_examples=500)
@given(st.tuples(*map(st.sampled_from, (LABELS, ("=", ": ", " ", "://"), VALUES))).map("".join))
def test_what_spares_time_hides_no_less(line: str) -> None:
    every = line
    for _, rule, replacement in redact._RULES:
        every = rule.sub(replacement, every)
    assert redact.text(line) == every
