"""Expressions of Python's `re`, written for PCRE2, match what they matched."""

import re
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.agent.match import Pattern
from vedette.agent.rules import pythonre
from vedette.errors import Invalid


def same(text: str, unique: str = "g_") -> Pattern:
    return Pattern.compile(pythonre.write(pythonre.parse(text), unique))


@pytest.mark.parametrize(
    ("text", "matches", "misses"),
    [
        (r"a{,2}b\Z", "aab", "aab c"),
        (r"^[[a]$", "[", "x"),
        (r"^[[:alp:]]$", "a]", "a"),
        (r"[]x]+$", "]x", "[y"),
        (r"[^]]$", "x", "]"),
        (r"(?P<q>['\"])x(?P=q)", "'x'", "'x\""),
        (r"(a)(b)\2", "abb", "aba"),
        (r"(?i)ÄB", "äb", "ab"),
        (r"\u0041\x42", "AB", "ab"),
        (r"\101", "A", "1"),
        (r"(?P<a>x)?y(?(a)z|w)$", "xyz", "xyv"),
        (r"(?s:a.b)|(?m:^c)", "a.b", "ab"),
        (r"(?<=x)y(?!z)", "xy", "xyz"),
        (r"a(?#not this)b", "ab", "a"),
        (r"\d\w\s\b", "1a b", "ab"),
        (r"\\\[\]\.", "\\[].", "\\[]"),
        (r"x(?i)y", "xY", "XY"),
    ],
)
def test_the_same_is_matched(text: str, matches: str, misses: str) -> None:
    pattern = same(text)
    assert pattern.matches(matches.encode())
    assert not pattern.matches(misses.encode())


@pytest.mark.parametrize("text", ["(", "[", "a**", "(?P=x)", r"\p", "(?P<1>x)", "x{2,1}"])
def test_what_python_does_not_take_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        pythonre.parse(text)


def test_the_groups_of_two_do_not_meet() -> None:
    first, second = (pythonre.write(pythonre.parse(r"(a|b)\1"), unique) for unique in ("f_", "s_"))
    pattern = Pattern.compile(f"(?:{first})-(?:{second})")
    assert pattern.matches(b"aa-bb")
    assert not pattern.matches(b"aa-ba")


@pytest.mark.parametrize(
    ("text", "anchored"),
    [("^a", True), ("a", False), ("^a|^b", True), ("^a|b", False), ("(?:^a|^b)c", False), (r"\^a", False), ("", False)],
)
def test_where_it_begins_is_known(text: str, anchored: bool) -> None:
    assert pythonre.is_anchored(pythonre.parse(text)) is anchored


def test_what_stands_for_the_beginning_is_put_in() -> None:
    write = [pythonre.write(pythonre.parse(each), "g_", start="<>") for each in ("^a|(?:^b|c)", r"[^a]\^")]
    assert write == ["<>a|(?:<>b|c)", r"[^a]\^"]
    with pytest.raises(Invalid, match="within it"):
        pythonre.write(pythonre.parse("a(?=^b)"), "g_", start="<>")


PIECES = st.sampled_from(
    ["a", "b", ".", "x", r"\d", r"\w", r"\s", "[ab]", "[^a]", "[[]", "(a|b)", "(?:ab)", "(?P<n>a)", r"\.", "$", "^",
     "a*", "b+?", "a{,2}", "b{1,2}", "(?=a)", "(?!b)", "(?<=a)", "|", " "]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=8), st.text(alphabet="abx1 [.", max_size=8))
def test_whatever_is_put_together_matches_the_same_lines(pieces: list[str], line: str) -> None:
    text = "".join(pieces)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            expected = re.compile(text)
    except re.error:
        return
    assert same(text).matches(line.encode()) is (expected.search(line) is not None)
