"""How values are shown: words for times, and nothing that a device says may act on the page."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.server.web import filters

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAMED = re.compile(r'<span class="unseen" title="[^"<>]*">[^<>]*</span>')


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (4, "just now"),
        (5, "5 seconds ago"),
        (59.9, "59 seconds ago"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (7200, "2 hours ago"),
        (86_400, "1 day ago"),
        (86_400 * 400, "400 days ago"),
        (-120, "in 2 minutes"),
        (-3, "just now"),
    ],
)
def test_relative(seconds: float, text: str) -> None:
    assert filters.relative(NOON - timedelta(seconds=seconds), NOON) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "never"),
        (-5, "never"),
        (1, "1 second"),
        (172_800, "2 days"),
        (5_400, "1 hour 30 minutes"),
        ("2d", "2d"),
        (10**30, f"{10**30 // 86_400:,} days " + filters.duration(10**30 % 86_400)),
    ],
)
def test_duration(seconds: object, text: str) -> None:
    assert filters.duration(seconds) == text


@given(st.text())
def test_nothing_seen_is_markup_or_unseen(text: str) -> None:
    """Whatever a device sends, what is left are characters that show themselves, and our own named ones."""
    rest = NAMED.sub("", str(filters.seen(text)))
    assert not set(rest) & set("<>\"'")
    assert not re.search("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b-\u200f]", rest)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="<>&\"'\u2028\u2029")))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert str(filters.seen(text)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", ">^[<"),
        ("a\x00b", ">^@<"),
        ("\u202egpj.exe", ">U+202E<"),
        ("two\nlines", ">^J<"),
        ("\ud800", ">U+D800<"),
    ],
)
def test_what_cannot_be_seen_is_named(text: str, shown: str) -> None:
    assert shown in str(filters.seen(text))
    assert "\ufffd" in filters.plain(text)


@pytest.mark.parametrize(
    ("level", "style"),
    [("OK", "ok"), ("CRITICAL_FLAPPING", "critical"), ("no such level", "unknown"), (None, "unknown")],
)
def test_every_level_has_a_style(level: object, style: str) -> None:
    assert filters.level_class(level) == style


@pytest.mark.parametrize(
    ("name", "identity", "label"),
    [
        ("gateway-1", {"mac": "52:54"}, "gateway-1"),
        ("id-1", {"mac": "52:54", "sn": 7}, "mac=52:54, sn=7"),
        ("", {"mac": "52:54"}, "mac=52:54"),
        ("id-1", {}, "id-1"),
    ],
)
def test_a_device_is_called_what_people_know_it_by(name: str, identity: dict[str, object], label: str) -> None:
    assert filters.label(SimpleNamespace(id="id-1", name=name, identity=identity)) == label
