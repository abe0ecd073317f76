"""Durations as people write them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.errors import Invalid
from vedette.model import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("90", 90),
        ("007", 7),
        ("90s", 90),
        ("5m", 300),
        ("1h", 3600),
        ("2d", 172_800),
        ("1w", 604_800),
        ("1d12h", 129_600),
        ("1w2d3h4m5s", 788_645),
        ("30m30m", 3600),
    ],
)
def test_what_is_meant(text: str, seconds: int) -> None:
    assert durations.parse(text) == seconds


TOO_LONG = [pytest.param("9" * 5000, id="5000 digits"), "9" * 13, "999999999999w", "36501d"]
WRITTEN_OTHERWISE = [
    "",
    " ",
    "d",
    "2 d",
    " 2d",
    "2d\n",
    "2D",
    "-1",
    "+1",
    "1.5h",
    "1d12",
    "2days",
    "1e3",
    "0x10",
    "²d",
    "٣d",
]


@pytest.mark.parametrize("text", [*WRITTEN_OTHERWISE, *TOO_LONG])
def test_what_is_refused(text: str) -> None:
    """Rather refused than guessed: an alert that is never called off is noticed by nobody."""
    with pytest.raises(Invalid) as refused:
        durations.parse(text)
    assert "duration" in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (3600, "1h"), (172_800, "2d"), (129_600, "1d12h")]
)
def test_how_it_is_shown(seconds: int, text: str) -> None:
    assert durations.show(seconds) == text


def test_a_negative_one_is_no_duration() -> None:
    with pytest.raises(Invalid):
        durations.show(-1)


@given(st.integers(0, durations.LONGEST_S))
def test_what_is_shown_can_be_typed(seconds: int) -> None:
    assert durations.parse(durations.show(seconds)) == seconds


@given(st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(list(durations.UNITS))), min_size=1, max_size=6))
def test_parts_add_up(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert durations.parse(text) == sum(number * durations.UNITS[unit] for number, unit in parts)


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    with contextlib.suppress(Invalid):
        assert 0 <= durations.parse(text) <= durations.LONGEST_S
