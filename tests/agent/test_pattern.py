"""Patterns are Perl-compatible, bounded, and mean the same on ASCII and other lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.match import Pattern, Undecided
from vedette.agent.match.pattern import BRIEF_LIMITS
from vedette.errors import Invalid


@pytest.mark.parametrize(
    ("pattern", "line", "matches"),
    [
        ("CVE.*HIGH", b"a CVE-2026-1 is HIGH", True),
        ("CVE.*HIGH", b"HIGH CVE", False),
        (r"(?<!not )bad", b"not bad", False),
        (r"^\d{3}$", b"123", True),
        (r"\x{e9}t\x{e9}", "été".encode(), True),
        (r"\x{20ac}", "10 €".encode(), True),
        (r"\x{20ac}?10", b"10", True),
        ("é?a", b"a", True),
        (r"^.{3}$", "äöü".encode(), True),
        (r"^\w+$", "äöü".encode(), True),
        (r"^\p{Lu}", "Äb".encode(), True),
        (r"(?i)straße", "STRAßE".encode(), True),
        (r"a\x{fffd}b", b"a\xffb", True),
        (r"a.b", b"a\xffb", True),
        (r"a.b", b"a\0b", True),
        (r"\Qa.b\E", b"a.b", True),
        (r"[[:alpha:]]\h[[:digit:]]", b"a\t1", True),
        ("", b"anything", True),
    ],
)
def test_it_matches_as_perl_would(pattern: str, line: bytes, matches: bool) -> None:
    assert Pattern.compile(pattern).matches(line) is matches


@pytest.mark.parametrize(
    ("pattern", "reason", "position"),
    [("a(", "parenthesis", 2), ("[z-a]", "range", 4), ("é+(", "parenthesis", 3), ("*x", "quantifier", 1)],
)
def test_what_is_no_pattern_is_refused_with_reason_and_place(pattern: str, reason: str, position: int) -> None:
    with pytest.raises(Invalid, match=reason) as refused:
        Pattern.compile(pattern)
    assert f"at character {position})" in str(refused.value)


@pytest.mark.parametrize("pattern", ["a\0b", "x" * 100_000])
def test_what_no_shell_argument_can_hold_is_refused(pattern: str) -> None:
    with pytest.raises(Invalid):
        Pattern.compile(pattern)


@pytest.mark.parametrize("line", [b"a" * 40 + b"b", "ä".encode() + b"a" * 40 + b"b"])
def test_an_endless_search_is_undecided(line: bytes) -> None:
    with pytest.raises(Undecided, match="limit"):
        Pattern.compile("(a+)+$").matches(line)


def test_who_is_undecided_again_and_again_gets_less_time_and_still_finds_what_is_clear() -> None:
    pattern = Pattern.compile("(a+)+$")
    quickly, slowly = b"a" * 8 + b"b", b"a" * 11 + b"b"
    assert not pattern.matches(quickly)
    assert not pattern.matches(slowly)
    for _ in range(max(BRIEF_LIMITS)):
        with pytest.raises(Undecided):
            pattern.matches(b"a" * 60 + b"!")
    assert pattern.undecided == max(BRIEF_LIMITS)
    assert not pattern.matches(quickly)
    with pytest.raises(Undecided):
        pattern.matches(slowly)
    assert pattern.matches(b"last line: aaaa")


def test_a_small_machine_stack_is_no_reason_to_give_up() -> None:
    assert Pattern.compile(r"^(?:(a|b)|c(?1))*$").matches(b"ab" * 16_000)


@given(
    st.text(st.sampled_from("ab.*+?[]()|^$\\dws-0é€{}"), max_size=8),
    st.text(st.sampled_from("ab. -0_\t"), max_size=12),
)
def test_the_quick_way_gives_the_same_answer(pattern: str, line: str) -> None:
    """An ASCII line is matched as bytes where that is possible; matched as text the answer must be the same."""
    try:
        quick, slow = Pattern.compile(pattern), Pattern.compile(pattern)
    except Invalid:
        return
    slow._ascii = slow._wide()
    assert quick.matches(line.encode()) is slow.matches(line.encode())
